//! Subscriptions beside a model of them that is too simple to be wrong: random operations, and what
//! must hold whatever happens.
//!
//! 300 cases, or `PROPTEST_CASES` of them (the suite `model` of `npm test` plays 10,000). A failure is
//! made as small as it goes, printed, and its seed written into `model.proptest-regressions` beside this file, which
//! is played first from then on.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::*;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use pulsewire_broker::ConnId;
use pulsewire_broker::core::names::TopicName;
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";

/// A message: its entry, its number in it.
type Place = (u64, u64, u32);

/// What happens. Numbers choose among what is there then, so that each operation means something in any order.
#[derive(Debug, Clone)]
enum Op {
    Publish { messages: u32, key: u8 },
    Subscribe,
    Leave { who: usize, politely: bool },
    Flow { who: usize, permits: u32 },
    Ack { who: usize, which: usize, whole: bool },
    AckUpTo { who: usize, which: usize },
    TakeBack { who: usize, which: usize, all: bool },
    Seek { who: usize, which: usize },
    SeekToEnd { who: usize },
    Skip { messages: u64 },
    Unload,
    Pass { ms: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let (who, which) = (|| 0usize..4, || 0usize..64);
    prop_oneof![
        7 => (prop_oneof![Just(1u32), 2u32..6], 0u8..4).prop_map(|(messages, key)| Op::Publish { messages, key }),
        2 => Just(Op::Subscribe),
        1 => (who(), any::<bool>()).prop_map(|(who, politely)| Op::Leave { who, politely }),
        4 => (who(), 1u32..12).prop_map(|(who, permits)| Op::Flow { who, permits }),
        4 => (who(), which(), any::<bool>()).prop_map(|(who, which, whole)| Op::Ack { who, which, whole }),
        1 => (who(), which()).prop_map(|(who, which)| Op::AckUpTo { who, which }),
        2 => (who(), which(), any::<bool>()).prop_map(|(who, which, all)| Op::TakeBack { who, which, all }),
        1 => (who(), which()).prop_map(|(who, which)| Op::Seek { who, which }),
        1 => who().prop_map(|who| Op::SeekToEnd { who }),
        1 => (1u64..8).prop_map(|messages| Op::Skip { messages }),
        1 => Just(Op::Unload),
        2 => (1u64..3000).prop_map(|ms| Op::Pass { ms }),
    ]
}

fn kind() -> impl Strategy<Value = SubType> {
    prop::sample::select(vec![SubType::EXCLUSIVE, SubType::SHARED, SubType::FAILOVER, SubType::KEY_SHARED])
}

/// One of them, whatever the number.
fn choose<T: Clone>(among: &[T], number: usize) -> Option<T> {
    (!among.is_empty()).then(|| among[number % among.len()].clone())
}

struct Model {
    w: World,
    kind: SubType,
    producer: ConnId,
    sequence: u64,
    /// Messages that are stored, with their keys, and how many an entry has.
    stored: BTreeMap<Place, String>,
    entries: BTreeMap<(u64, u64), u32>,
    acked: BTreeSet<Place>,
    consumers: BTreeMap<u64, Member>,
    next_consumer: u64,
}

struct Member {
    conn: ConnId,
    permits: i64,
    held: BTreeSet<Place>,
}

impl Model {
    fn new(kind: SubType) -> Self {
        let mut w = World::new();
        let producer = w.client();
        w.produce(producer, 1, TOPIC);
        let mut model = Self {
            w,
            kind,
            producer,
            sequence: 0,
            stored: BTreeMap::new(),
            entries: BTreeMap::new(),
            acked: BTreeSet::new(),
            consumers: BTreeMap::new(),
            next_consumer: 0,
        };
        model.subscribe();
        model
    }

    fn single(&self) -> bool {
        self.kind == SubType::EXCLUSIVE || self.kind == SubType::FAILOVER
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Publish { messages, key } => self.publish(messages, key),
            Op::Subscribe => self.subscribe(),
            Op::Leave { who, politely } => self.leave(who, politely),
            Op::Flow { who, permits } => self.flow(who, permits),
            Op::Ack { who, which, whole } => self.ack(who, which, whole),
            Op::AckUpTo { who, which } => self.ack_cumulative(who, which),
            Op::TakeBack { who, which, all } => self.take_back(who, which, all),
            Op::Seek { who, which } => {
                let entries: Vec<(u64, u64)> = self.entries.keys().copied().collect();
                self.seek(who, choose(&entries, which));
            }
            Op::SeekToEnd { who } => self.seek(who, None),
            Op::Skip { messages } => self.skip(messages),
            Op::Unload => self.unload(),
            Op::Pass { ms } => self.w.pass(Duration::from_millis(ms)),
        }
        self.hear();
    }

    fn publish(&mut self, messages: u32, number: u8) {
        let name = format!("k{number}");
        let batch = messages > 1;
        let metadata =
            MessageMetadata { num_messages_in_batch: batch.then_some(messages as i32), ..key(&name) };
        self.w.send(self.producer, 1, self.sequence, metadata, "x");
        self.sequence += 1;
        let id = self.w.receipt(self.producer);
        self.entries.insert((id.ledger_id, id.entry_id), messages);
        for n in 0..messages {
            self.stored.insert((id.ledger_id, id.entry_id, n), name.clone());
        }
    }

    fn subscribe(&mut self) {
        if self.consumers.len() >= 4 || (self.kind == SubType::EXCLUSIVE && !self.consumers.is_empty()) {
            return;
        }
        let (conn, id) = (self.w.client(), self.next_consumer);
        self.next_consumer += 1;
        self.w.say(conn, subscribe(id, TOPIC, "s", self.kind));
        self.consumers.insert(id, Member { conn, permits: 0, held: BTreeSet::new() });
    }

    fn consumer(&self, who: usize) -> Option<u64> {
        let ids: Vec<u64> = self.consumers.keys().copied().collect();
        choose(&ids, who)
    }

    fn leave(&mut self, who: usize, politely: bool) {
        let Some(id) = self.consumer(who) else { return };
        let member = self.consumers.remove(&id).unwrap();
        if politely {
            let close =
                CommandCloseConsumer { consumer_id: id, request_id: 9, ..CommandCloseConsumer::default() };
            self.w.say(member.conn, close);
        } else {
            self.w.leave(member.conn);
        }
    }

    fn flow(&mut self, who: usize, permits: u32) {
        let Some(id) = self.consumer(who) else { return };
        let member = self.consumers.get_mut(&id).unwrap();
        member.permits += i64::from(permits);
        let conn = member.conn;
        self.w.flow(conn, id, permits);
    }

    /// Some message that a consumer holds.
    fn held(&self, who: usize, which: usize) -> Option<(u64, ConnId, Place)> {
        let id = self.consumer(who)?;
        let held: Vec<Place> = self.consumers[&id].held.iter().copied().collect();
        Some((id, self.consumers[&id].conn, choose(&held, which)?))
    }

    fn ack(&mut self, who: usize, which: usize, whole: bool) {
        let Some((consumer, conn, place)) = self.held(who, which) else { return };
        let count = self.entries[&(place.0, place.1)];
        let mut message = id(place.0 as i64, place.1 as i64);
        let done: Vec<Place> = if count == 1 || whole {
            (0..count).map(|n| (place.0, place.1, n)).collect()
        } else {
            message.ack_set = vec![((1i64 << count) - 1) & !(1 << place.2)];
            vec![place]
        };
        self.w.ack(conn, consumer, AckType::INDIVIDUAL, &[message]);
        self.done(&done);
    }

    fn ack_cumulative(&mut self, who: usize, which: usize) {
        if !self.single() {
            return;
        }
        let Some((consumer, conn, place)) = self.held(who, which) else { return };
        self.w.ack(conn, consumer, AckType::CUMULATIVE, &[id(place.0 as i64, place.1 as i64)]);
        let last = (place.0, place.1, u32::MAX);
        let done: Vec<Place> = self.stored.range(..=last).map(|(place, _)| *place).collect();
        self.done(&done);
    }

    /// To an entry, which then is the first that comes; or behind all.
    fn seek(&mut self, who: usize, to: Option<(u64, u64)>) {
        let Some(consumer) = self.consumer(who) else { return };
        let conn = self.consumers[&consumer].conn;
        let latest = id(i64::MAX, i64::MAX);
        let message_id = Some(to.map_or(latest, |(ledger, entry)| id(ledger as i64, entry as i64)));
        let seek =
            CommandSeek { consumer_id: consumer, request_id: 8, message_id, message_publish_time: None };
        self.w.say(conn, seek);
        let first = to.map_or((u64::MAX, u64::MAX, 0), |(ledger, entry)| (ledger, entry, 0));
        self.acked = self.stored.keys().copied().filter(|place| *place < first).collect();
        // All are sent away; whoever wants to go on subscribes again.
        self.consumers.clear();
    }

    /// By the administrator: passes over as many entries as are open.
    fn skip(&mut self, messages: u64) {
        let topic = TopicName::parse(TOPIC).unwrap();
        if self.w.broker.skip(&topic, "s", messages, self.w.now).is_err() {
            return;
        }
        self.w.settle();
        let open = |entry: &&(u64, u64)| {
            let count = self.entries[*entry];
            (0..count).any(|n| !self.acked.contains(&(entry.0, entry.1, n)))
        };
        let skipped: Vec<(u64, u64)> =
            self.entries.keys().filter(open).take(messages as usize).copied().collect();
        for (ledger, entry) in skipped {
            let done: Vec<Place> = (0..self.entries[&(ledger, entry)]).map(|n| (ledger, entry, n)).collect();
            self.done(&done);
        }
    }

    fn done(&mut self, places: &[Place]) {
        for place in places {
            self.acked.insert(*place);
            for member in self.consumers.values_mut() {
                member.held.remove(place);
            }
        }
    }

    fn take_back(&mut self, who: usize, which: usize, all: bool) {
        let Some((consumer, conn, place)) = self.held(who, which) else { return };
        let all = all || self.single();
        let message_ids = if all { Vec::new() } else { vec![id(place.0 as i64, place.1 as i64)] };
        // What comes again is held again; what was held until now is not.
        let member = self.consumers.get_mut(&consumer).unwrap();
        if all {
            member.held.clear();
        } else {
            member.held.retain(|held| (held.0, held.1) != (place.0, place.1));
        }
        let again = CommandRedeliverUnacknowledgedMessages {
            consumer_id: consumer,
            message_ids,
            consumer_epoch: None,
        };
        self.w.say(conn, again);
    }

    fn unload(&mut self) {
        self.w.broker.unload_topic(&TopicName::parse(TOPIC).unwrap(), self.w.now).unwrap();
        self.w.settle();
        self.consumers.clear();
        assert!(matches!(self.w.hear(self.producer), Command::CloseProducer(_)));
        self.w.produce(self.producer, 1, TOPIC);
        // Ledgers that are consumed whole are gone with it.
        let open = self.stored.keys().find(|place| !self.acked.contains(place));
        let kept = open.map_or(u64::MAX, |(ledger, _, _)| *ledger);
        self.stored.retain(|(ledger, _, _), _| *ledger >= kept);
        self.acked.retain(|(ledger, _, _)| *ledger >= kept);
        self.entries.retain(|(ledger, _), _| *ledger >= kept);
    }

    /// What consumers heard must be what they may hear.
    fn hear(&mut self) {
        let mut heard = Vec::new();
        for (id, member) in &self.consumers {
            while !self.w.silent(member.conn) {
                if let Command::Message(message) = self.w.hear(member.conn) {
                    heard.push((*id, message));
                }
            }
        }
        for (consumer, message) in heard {
            let entry = (message.message_id.ledger_id, message.message_id.entry_id);
            let count = *self.entries.get(&entry).expect("it was stored");
            let bits = message.ack_set.first().copied().unwrap_or(-1);
            let open: Vec<Place> =
                (0..count).filter(|n| bits & (1 << n) != 0).map(|n| (entry.0, entry.1, n)).collect();
            assert!(!open.is_empty(), "an entry of which nothing is open");
            for place in &open {
                assert!(!self.acked.contains(place), "{place:?} was acknowledged");
                if !self.single() {
                    let holder = self.consumers.iter().find(|(_, member)| member.held.contains(place));
                    assert!(holder.is_none(), "{place:?} is held by {:?}", holder.map(|(id, _)| id));
                }
            }
            let member = self.consumers.get_mut(&consumer).unwrap();
            assert!(member.permits > 0, "consumer {consumer} has no permits");
            member.permits -= open.len() as i64;
            if self.kind == SubType::KEY_SHARED {
                self.in_order(consumer, &open);
            }
            self.consumers.get_mut(&consumer).unwrap().held.extend(open);
        }
    }

    /// Nobody else holds an earlier message of that key.
    fn in_order(&self, consumer: u64, open: &[Place]) {
        let name = &self.stored[&open[0]];
        for (id, member) in self.consumers.iter().filter(|(id, _)| **id != consumer) {
            let held = member.held.iter().find(|place| self.stored[place] == *name);
            assert!(held.is_none(), "{name}: consumer {consumer} gets {:?}, {id} holds {held:?}", open[0]);
        }
    }

    /// In the end everything that was not acknowledged is somewhere.
    fn end(&mut self) {
        self.subscribe();
        let ids: Vec<u64> = self.consumers.keys().copied().collect();
        for id in ids {
            let conn = self.consumers[&id].conn;
            self.consumers.get_mut(&id).unwrap().permits += 100_000;
            self.w.flow(conn, id, 100_000);
        }
        for _ in 0..3 {
            self.w.pass(Duration::from_secs(2));
            self.hear();
        }
        // Keys that changed hands come when their old holders are done.
        for _ in 0..self.stored.len() {
            let held: Vec<(u64, ConnId, Place)> = self
                .consumers
                .iter()
                .flat_map(|(id, member)| member.held.iter().map(|place| (*id, member.conn, *place)))
                .collect();
            if held.is_empty() {
                break;
            }
            for (consumer, conn, place) in held {
                self.w.ack(conn, consumer, AckType::INDIVIDUAL, &[id(place.0 as i64, place.1 as i64)]);
                let count = self.entries[&(place.0, place.1)];
                let done: Vec<Place> = (0..count).map(|n| (place.0, place.1, n)).collect();
                self.done(&done);
            }
            self.hear();
        }
        let lost: Vec<&Place> = self.stored.keys().filter(|place| !self.acked.contains(place)).collect();
        assert!(lost.is_empty(), "never delivered: {lost:?}");
        let stats = self.w.broker.stats(&TopicName::parse(TOPIC).unwrap()).unwrap();
        assert_eq!((stats.subscriptions[0].backlog, stats.subscriptions[0].unacked), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn subscriptions_behave_as_their_model(kind in kind(), ops in prop::collection::vec(op(), 1..60)) {
        let mut model = Model::new(kind);
        for op in &ops {
            model.step(op);
        }
        model.end();
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300)
}
