//! Subscriptions beside a model of them that is too simple to be wrong: random operations, and what
//! must hold whatever happens. A failure names its seed; `MODEL_SEED=n` plays that one alone.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::*;
use pulsewire_broker::ConnId;
use pulsewire_broker::core::names::TopicName;
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";

/// A message: its entry, its number in it.
type Place = (u64, u64, u32);

struct Model {
    w: World,
    rng: fastrand::Rng,
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
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let kinds = [SubType::EXCLUSIVE, SubType::SHARED, SubType::FAILOVER, SubType::KEY_SHARED];
        let kind = kinds[rng.usize(..kinds.len())];
        let mut w = World::new();
        let producer = w.client();
        w.produce(producer, 1, TOPIC);
        let mut model = Self {
            w,
            rng,
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

    fn step(&mut self) {
        match self.rng.u8(..20) {
            0..7 => self.publish(),
            7 => self.subscribe(),
            8 => self.leave(),
            9..13 => self.flow(),
            13..16 => self.ack(),
            16 => self.ack_cumulative(),
            17 => self.take_back(),
            18 => self.unload(),
            _ => self.w.pass(Duration::from_secs(2)),
        }
        self.hear();
    }

    fn publish(&mut self) {
        let count = if self.rng.bool() { 1 } else { self.rng.i32(1..5) };
        let name = format!("k{}", self.rng.u8(..4));
        let batch = count > 1;
        let metadata = MessageMetadata { num_messages_in_batch: batch.then_some(count), ..key(&name) };
        self.w.send(self.producer, 1, self.sequence, metadata, "x");
        self.sequence += 1;
        let id = self.w.receipt(self.producer);
        self.entries.insert((id.ledger_id, id.entry_id), count as u32);
        for n in 0..count as u32 {
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

    fn some_consumer(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.consumers.keys().copied().collect();
        self.rng.choice(ids)
    }

    fn leave(&mut self) {
        let Some(id) = self.some_consumer() else { return };
        let member = self.consumers.remove(&id).unwrap();
        if self.rng.bool() {
            self.w.leave(member.conn);
        } else {
            let close =
                CommandCloseConsumer { consumer_id: id, request_id: 9, ..CommandCloseConsumer::default() };
            self.w.say(member.conn, close);
        }
    }

    fn flow(&mut self) {
        let Some(id) = self.some_consumer() else { return };
        let permits = self.rng.u32(1..12);
        let member = self.consumers.get_mut(&id).unwrap();
        member.permits += i64::from(permits);
        let conn = member.conn;
        self.w.flow(conn, id, permits);
    }

    /// Some message that a consumer holds.
    fn some_held(&mut self) -> Option<(u64, ConnId, Place)> {
        let id = self.some_consumer()?;
        let held: Vec<Place> = self.consumers[&id].held.iter().copied().collect();
        Some((id, self.consumers[&id].conn, self.rng.choice(held)?))
    }

    fn ack(&mut self) {
        let Some((consumer, conn, place)) = self.some_held() else { return };
        let count = self.entries[&(place.0, place.1)];
        let mut message = id(place.0 as i64, place.1 as i64);
        let done: Vec<Place> = if count > 1 && self.rng.bool() {
            message.ack_set = vec![((1i64 << count) - 1) & !(1 << place.2)];
            vec![place]
        } else {
            (0..count).map(|n| (place.0, place.1, n)).collect()
        };
        self.w.ack(conn, consumer, AckType::INDIVIDUAL, &[message]);
        self.done(&done);
    }

    fn ack_cumulative(&mut self) {
        if !self.single() {
            return;
        }
        let Some((consumer, conn, place)) = self.some_held() else { return };
        self.w.ack(conn, consumer, AckType::CUMULATIVE, &[id(place.0 as i64, place.1 as i64)]);
        let last = (place.0, place.1, u32::MAX);
        let done: Vec<Place> = self.stored.range(..=last).map(|(place, _)| *place).collect();
        self.done(&done);
    }

    fn done(&mut self, places: &[Place]) {
        for place in places {
            self.acked.insert(*place);
            for member in self.consumers.values_mut() {
                member.held.remove(place);
            }
        }
    }

    fn take_back(&mut self) {
        let Some((consumer, conn, place)) = self.some_held() else { return };
        let all = self.rng.bool() || self.single();
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

fn play(seed: u64) {
    let mut model = Model::new(seed);
    for _ in 0..60 {
        model.step();
    }
    model.end();
}

#[test]
fn subscriptions_behave_as_their_model() {
    if let Ok(seed) = std::env::var("MODEL_SEED") {
        return play(seed.parse().unwrap());
    }
    for seed in 0..10_000 {
        if let Err(cause) = std::panic::catch_unwind(|| play(seed)) {
            panic!("seed {seed}: {:?}", cause.downcast_ref::<String>());
        }
    }
}
