//! Transactions, where the differential scripts do not reach: bounds, bad input, what outlives a broker,
//! and random operations against a model.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::*;
use pulsewire_broker::core::{DisconnectReason, Kept, names::TopicName};
use pulsewire_broker::{Broker, BrokerConfig, ConnId};
use pulsewire_proto::wire::frame::encode_with_entry;
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";
const ASSIGN: &str = "persistent://pulsar/system/transaction_coordinator_assign";
const MINUTE: u64 = 60_000;

/// Most bits, least bits.
type Txn = (u64, u64);

fn new_txn(ttl: u64) -> CommandNewTxn {
    CommandNewTxn { request_id: 2, txn_ttl_millis: Some(ttl), tc_id: Some(0), ..Default::default() }
}

fn begin(w: &mut World, c: ConnId, ttl: u64) -> Txn {
    match w.ask(c, new_txn(ttl)) {
        Command::NewTxnResponse(CommandNewTxnResponse {
            error: None,
            txnid_most_bits: Some(most),
            txnid_least_bits: Some(least),
            ..
        }) => (most, least),
        other => panic!("no transaction: {other:?}"),
    }
}

fn with_topic(txn: Txn, topic: &str) -> CommandAddPartitionToTxn {
    CommandAddPartitionToTxn {
        request_id: 3,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        partitions: vec![topic.to_owned()],
        ..Default::default()
    }
}

fn with_sub(txn: Txn, sub: &str) -> CommandAddSubscriptionToTxn {
    CommandAddSubscriptionToTxn {
        request_id: 4,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        subscription: vec![Subscription { topic: TOPIC.to_owned(), subscription: sub.to_owned() }],
        ..Default::default()
    }
}

fn join(w: &mut World, c: ConnId, txn: Txn) {
    w.ask(c, with_topic(txn, TOPIC));
    w.ask(c, with_sub(txn, "s"));
}

fn end(w: &mut World, c: ConnId, txn: Txn, action: TxnAction) -> Option<ServerError> {
    let command = CommandEndTxn {
        request_id: 5,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        txn_action: Some(action),
        ..Default::default()
    };
    match w.ask(c, command) {
        Command::EndTxnResponse(response) => response.error,
        other => panic!("not ended: {other:?}"),
    }
}

fn on_partition(txn: Txn, action: TxnAction, low: u64) -> CommandEndTxnOnPartition {
    CommandEndTxnOnPartition {
        request_id: 6,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        topic: Some(TOPIC.to_owned()),
        txn_action: Some(action),
        txnid_least_bits_of_low_watermark: Some(low),
    }
}

/// Sends a message in a transaction and hears what becomes of it.
fn send(w: &mut World, c: ConnId, sequence: u64, txn: Txn, text: &str) -> Command {
    let metadata = MessageMetadata {
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        ..MessageMetadata::default()
    };
    let command = CommandSend {
        producer_id: 1,
        sequence_id: sequence,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        ..CommandSend::default()
    };
    let mut out = BytesMut::new();
    encode_with_entry(&command.into(), &entry(sequence, metadata, text.as_bytes()), &mut out);
    w.bytes(c, out);
    w.hear(c)
}

fn ack(kind: AckType, txn: Option<Txn>, id: &MessageIdData) -> CommandAck {
    CommandAck {
        consumer_id: 1,
        ack_type: kind,
        message_id: vec![id.clone()],
        txnid_most_bits: txn.map(|txn| txn.0),
        txnid_least_bits: txn.map(|txn| txn.1),
        request_id: Some(77),
        ..CommandAck::default()
    }
}

fn acked(w: &mut World, c: ConnId, command: CommandAck) -> Option<ServerError> {
    match w.ask(c, command) {
        Command::AckResponse(response) => response.error,
        other => panic!("not answered: {other:?}"),
    }
}

fn name() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

#[test]
fn there_are_as_many_coordinators_as_are_found() {
    let mut w = World::with(BrokerConfig { transaction_coordinators: 3, ..BrokerConfig::default() });
    let c = w.client();
    let ask = CommandPartitionedTopicMetadata { topic: ASSIGN.to_owned(), ..Default::default() };
    let Command::PartitionedTopicMetadataResponse(found) = w.ask(c, ask) else { panic!() };
    assert_eq!(found.partitions, Some(3));
    for (tc_id, error) in [(2, None), (3, Some(ServerError::TRANSACTION_COORDINATOR_NOT_FOUND))] {
        let attach = CommandTcClientConnectRequest { request_id: 1, tc_id, ..Default::default() };
        let Command::TcClientConnectResponse(response) = w.ask(c, attach) else { panic!() };
        assert_eq!((response.request_id, response.error), (1, error));
    }
    assert_eq!(w.broker.topics("pulsar/system", true), Vec::<String>::new());
}

#[test]
fn too_many_transactions_are_refused_politely() {
    let mut w = World::with(BrokerConfig { max_transactions: 2, ..BrokerConfig::default() });
    let c = w.client();
    let (first, _) = (begin(&mut w, c, MINUTE), begin(&mut w, c, 1000));
    let Command::NewTxnResponse(refused) = w.ask(c, new_txn(MINUTE)) else { panic!() };
    assert_eq!(refused.error, Some(ServerError::TOO_MANY_REQUESTS));
    assert_eq!(refused.txnid_least_bits, None);
    assert_eq!(end(&mut w, c, first, TxnAction::ABORT), None);
    begin(&mut w, c, MINUTE);
    assert!(matches!(w.ask(c, new_txn(MINUTE)), Command::NewTxnResponse(r) if r.error.is_some()));
    w.pass(Duration::from_secs(1));
    begin(&mut w, c, MINUTE);
}

#[test]
fn what_transactions_know_counts_as_memory_and_is_given_back() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 100_000, ..BrokerConfig::default() });
    let c = w.client();
    let txn = begin(&mut w, c, MINUTE);
    let mut refused = 0;
    for n in 0..100 {
        let names: Vec<String> = (0..20).map(|m| format!("{TOPIC}-{n}-{m}")).collect();
        let add = CommandAddPartitionToTxn { partitions: names, ..with_topic(txn, TOPIC) };
        let Command::AddPartitionToTxnResponse(response) = w.ask(c, add) else { panic!() };
        refused += usize::from(response.error == Some(ServerError::TOO_MANY_REQUESTS));
    }
    assert!((1..90).contains(&refused), "{refused}");
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), None);
    w.produce(c, 1, TOPIC);
    for n in 0..100 {
        w.publish(c, 1, n, &"x".repeat(500));
    }
}

#[test]
fn markers_that_nobody_waits_for_do_not_fill_the_memory() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 100_000, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    let txn = begin(&mut w, c, MINUTE);
    w.ask(c, with_topic(txn, TOPIC));
    assert!(matches!(send(&mut w, c, 0, txn, "t"), Command::SendReceipt(_)));
    let mut refused = 0;
    for n in 0..1000 {
        let command = on_partition((5, n), TxnAction::COMMIT, 0);
        let Command::EndTxnOnPartitionResponse(response) = w.ask(c, command) else { panic!() };
        refused += usize::from(response.error == Some(ServerError::PERSISTENCE_ERROR));
    }
    assert!(refused > 100, "{refused}");
    assert!(w.broker.stats(&name()).unwrap().storage_size < 110_000);
    // One that somebody waits for ends all the same.
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), None);
    w.flow(c, 1, 10);
    assert_eq!(w.payloads(c), ["t"]);
}

#[test]
fn an_end_that_does_not_say_how_is_a_fault() {
    let mut w = World::new();
    let c = w.client();
    let txn = begin(&mut w, c, MINUTE);
    let odd = |action| CommandEndTxn {
        request_id: 5,
        txnid_most_bits: Some(txn.0),
        txnid_least_bits: Some(txn.1),
        txn_action: action,
        ..Default::default()
    };
    for action in [None, Some(TxnAction(7))] {
        let c = w.client();
        w.say(c, odd(action));
        assert!(matches!(w.cut(c), Some(DisconnectReason::Protocol(what)) if what.contains("END_TXN")));
    }
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), None);
}

#[test]
fn a_transaction_outlives_its_connection_but_not_its_time() {
    let mut w = World::new();
    let (c, reader) = (w.client(), w.client());
    w.produce(c, 1, TOPIC);
    w.consume(reader, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.flow(reader, 1, 10);
    let txn = begin(&mut w, c, 5000);
    join(&mut w, c, txn);
    send(&mut w, c, 0, txn, "t");
    w.publish(c, 1, 1, "m");
    w.leave(c);
    w.pass(Duration::from_millis(4999));
    assert!(w.silent(reader));
    w.pass(Duration::from_millis(1));
    assert_eq!(w.payloads(reader), ["m"]);
    let c = w.client();
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), Some(ServerError::TRANSACTION_NOT_FOUND));
    let stats = w.broker.stats(&name()).unwrap();
    assert_eq!((stats.ongoing_txns, stats.aborted_txns, stats.committed_txns), (0, 1, 0));
}

#[test]
fn an_end_that_cannot_be_is_given_up_when_its_time_is_over() {
    let mut w = World::with(BrokerConfig { max_transactions: 1, ..BrokerConfig::default() });
    let c = w.client();
    let txn = begin(&mut w, c, 5000);
    w.ask(c, with_topic(txn, "not://a/topic"));
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), Some(ServerError::UNKNOWN_ERROR));
    assert_eq!(end(&mut w, c, txn, TxnAction::ABORT), Some(ServerError::INVALID_TXN_STATUS));
    w.pass(Duration::from_secs(5));
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), Some(ServerError::TRANSACTION_NOT_FOUND));
    begin(&mut w, c, 5000);
}

/// A message of a transaction that no coordinator knows of (any more) would hold the topic for ever.
#[test]
fn a_transaction_that_nobody_ends_is_left_behind_by_later_ones() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.flow(c, 1, 100);
    let first = begin(&mut w, c, MINUTE);
    assert_eq!(end(&mut w, c, first, TxnAction::COMMIT), None);
    assert!(matches!(send(&mut w, c, 0, first, "too late"), Command::SendReceipt(_)));
    w.publish(c, 1, 1, "m1");
    assert!(w.silent(c));
    let second = begin(&mut w, c, MINUTE);
    w.ask(c, with_topic(second, TOPIC));
    assert!(matches!(send(&mut w, c, 2, second, "t2"), Command::SendReceipt(_)));
    assert_eq!(end(&mut w, c, second, TxnAction::COMMIT), None);
    assert_eq!(w.payloads(c), ["m1", "t2"]);
    let Command::SendError(refused) = send(&mut w, c, 3, first, "later still") else { panic!() };
    assert_eq!(refused.error, ServerError::NOT_ALLOWED_ERROR);
    assert!(refused.message.contains("has been ended"));
}

#[test]
fn a_low_water_mark_below_zero_says_nothing() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let (one, two) = (begin(&mut w, c, MINUTE), begin(&mut w, c, MINUTE));
    send(&mut w, c, 0, one, "one");
    send(&mut w, c, 1, two, "two");
    w.ask(c, on_partition(two, TxnAction::COMMIT, u64::MAX));
    assert_eq!(w.broker.stats(&name()).unwrap().ongoing_txns, 1);
    w.ask(c, on_partition((0, 9), TxnAction::COMMIT, one.1));
    assert_eq!(w.broker.stats(&name()).unwrap().ongoing_txns, 0);
}

/// The real broker never ends it: its marker cannot be stored, and so all later messages wait.
#[test]
fn a_terminated_topic_still_ends_its_transactions() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.flow(c, 1, 100);
    let txn = begin(&mut w, c, MINUTE);
    w.ask(c, with_topic(txn, TOPIC));
    send(&mut w, c, 0, txn, "t");
    w.broker.terminate(&name(), w.now).unwrap();
    w.settle();
    assert!(matches!(w.hear(c), Command::CloseProducer(_)));
    assert!(w.silent(c));
    w.say(
        c,
        CommandEndTxn {
            txnid_most_bits: Some(txn.0),
            txnid_least_bits: Some(txn.1),
            txn_action: Some(TxnAction::COMMIT),
            ..CommandEndTxn::default()
        },
    );
    assert!(matches!(w.hear(c), Command::EndTxnResponse(_)));
    let Command::Message(message) = w.hear(c) else { panic!() };
    assert!(w.silent(c));
    w.ack(c, 1, AckType::INDIVIDUAL, &[message.message_id]);
    assert!(matches!(w.hear(c), Command::ReachedEndOfTopic(_)));
}

/// The real broker's clock cannot add the longest of them, and stands still after it.
#[test]
fn the_longest_of_lifetimes_holds_nobody_up() {
    let mut w = World::new();
    let c = w.client();
    let long = begin(&mut w, c, i64::MAX as u64);
    let short = begin(&mut w, c, 1000);
    w.pass(Duration::from_secs(2));
    assert_eq!(end(&mut w, c, short, TxnAction::COMMIT), Some(ServerError::TRANSACTION_NOT_FOUND));
    assert_eq!(end(&mut w, c, long, TxnAction::COMMIT), None);
}

#[test]
fn half_an_id_is_none() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let at = w.publish(c, 1, 0, "m");
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.flow(c, 1, 1);
    assert_eq!(w.payloads(c), ["m"]);
    let half = CommandAck { txnid_most_bits: Some(1), ..ack(AckType::INDIVIDUAL, None, &at) };
    assert_eq!(acked(&mut w, c, half), None);
    assert_eq!(w.broker.stats(&name()).unwrap().subscriptions[0].backlog, 0);
}

/// A host's store.
#[derive(Default)]
struct Disk(BTreeMap<Vec<u8>, Bytes>);

impl Disk {
    fn start_at(&self, seconds: u64) -> World {
        let mut w = World::new();
        w.now.wall_ms += seconds * 1000;
        w.broker = Broker::restored(BrokerConfig::default(), self.0.clone(), w.now).unwrap();
        w
    }

    fn start(&self) -> World {
        self.start_at(0)
    }

    fn keep(&mut self, w: &mut World) {
        for change in w.broker.poll_kept() {
            match change {
                Kept::Put(key, value) => drop(self.0.insert(key, value)),
                Kept::Remove(from, to) => self.0.retain(|key, _| *key < from || *key >= to),
            }
        }
    }
}

/// A client that has the producer, and the consumer that waits for messages.
fn back(w: &mut World, kind: SubType) -> ConnId {
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", kind);
    w.flow(c, 1, 100);
    c
}

#[test]
fn open_and_ended_transactions_survive_the_broker() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = back(&mut w, SubType::SHARED);
    let [committed, aborted, open] = [0, 1, 2].map(|_| begin(&mut w, c, MINUTE));
    for (n, txn) in [committed, aborted, open].into_iter().enumerate() {
        join(&mut w, c, txn);
        assert!(matches!(send(&mut w, c, n as u64, txn, &format!("t{n}")), Command::SendReceipt(_)));
    }
    assert!(acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(open), &id(0, 77))).is_none());
    w.say(
        c,
        CommandEndTxn {
            txnid_most_bits: Some(committed.0),
            txnid_least_bits: Some(committed.1),
            txn_action: Some(TxnAction::COMMIT),
            ..CommandEndTxn::default()
        },
    );
    assert!(matches!(w.hear(c), Command::EndTxnResponse(_)));
    assert_eq!(w.payloads(c), ["t0"]);
    assert_eq!(end(&mut w, c, aborted, TxnAction::ABORT), None);
    disk.keep(&mut w);
    assert_eq!(w.broker.poll_kept(), [], "nothing happened since");

    let mut w = disk.start();
    let c = back(&mut w, SubType::SHARED);
    assert_eq!(w.payloads(c), ["t0"]);
    for ended in [committed, aborted] {
        let again = end(&mut w, c, ended, TxnAction::COMMIT);
        assert_eq!(again, Some(ServerError::TRANSACTION_NOT_FOUND));
    }
    assert!(begin(&mut w, c, MINUTE).1 > open.1);
    w.say(
        c,
        CommandEndTxn {
            txnid_most_bits: Some(open.0),
            txnid_least_bits: Some(open.1),
            txn_action: Some(TxnAction::COMMIT),
            ..CommandEndTxn::default()
        },
    );
    assert!(matches!(w.hear(c), Command::EndTxnResponse(r) if r.error.is_none()));
    assert_eq!(w.payloads(c), ["t2"]);
}

#[test]
fn a_transaction_times_out_while_the_broker_is_away() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = back(&mut w, SubType::SHARED);
    let txn = begin(&mut w, c, 10_000);
    join(&mut w, c, txn);
    send(&mut w, c, 0, txn, "t");
    w.publish(c, 1, 1, "m");
    disk.keep(&mut w);
    let mut w = disk.start_at(7);
    let c = back(&mut w, SubType::SHARED);
    assert!(w.silent(c));
    w.pass(Duration::from_secs(3));
    assert_eq!(w.payloads(c), ["m"]);
    let mut w = disk.start_at(60);
    w.pass(Duration::from_millis(1));
    let c = back(&mut w, SubType::SHARED);
    assert_eq!(w.payloads(c), ["m"]);
}

#[test]
fn pending_acknowledgements_survive_the_broker() {
    for (action, kind) in [
        (TxnAction::COMMIT, SubType::SHARED),
        (TxnAction::ABORT, SubType::SHARED),
        (TxnAction::COMMIT, SubType::EXCLUSIVE),
        (TxnAction::ABORT, SubType::EXCLUSIVE),
    ] {
        let mut disk = Disk::default();
        let mut w = disk.start();
        let c = w.client();
        w.produce(c, 1, TOPIC);
        let ids: Vec<_> = (0..4).map(|n| w.publish(c, 1, n, &format!("m{n}"))).collect();
        w.send(c, 1, 4, batch_of(4), "batch");
        let batch = w.receipt(c);
        w.consume(c, 1, TOPIC, "s", kind);
        w.flow(c, 1, 100);
        w.payloads(c);
        let txn = begin(&mut w, c, MINUTE);
        join(&mut w, c, txn);
        let in_part = MessageIdData { ack_set: vec![0b1010], batch_size: Some(4), ..batch };
        for id in [&ids[1], &ids[2], &in_part] {
            assert_eq!(acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(txn), id)), None);
        }
        // One is acknowledged by somebody else after all.
        assert_eq!(acked(&mut w, c, ack(AckType::INDIVIDUAL, None, &ids[2])), None);
        disk.keep(&mut w);
        for _ in 0..2 {
            let mut w = disk.start();
            let c = back(&mut w, kind);
            let found = w.deliveries(c);
            let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, ["m0", "m3", "batch"]);
            assert_eq!(found[2].0.ack_set, [0b1010]);
            let other = begin(&mut w, c, MINUTE);
            let conflict = acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(other), &ids[1]));
            assert_eq!(conflict, Some(ServerError::TRANSACTION_CONFLICT));
            disk.keep(&mut w);
        }
        let mut w = disk.start();
        let c = w.client();
        assert_eq!(end(&mut w, c, txn, action), None);
        disk.keep(&mut w);
        assert!(disk.0.keys().all(|key| key[0] != b'V'), "nothing is pending");
        let mut w = disk.start();
        let c = back(&mut w, kind);
        let found = w.deliveries(c);
        let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        let (left, bits): (&[&str], &[i64]) = match action {
            TxnAction::COMMIT => (&["m0", "m3", "batch"], &[0b1010]),
            _ => (&["m0", "m1", "m3", "batch"], &[]),
        };
        assert_eq!((texts.as_slice(), found[left.len() - 1].0.ack_set.as_slice()), (left, bits));
    }
}

#[test]
fn all_up_to_an_entry_survives_the_broker() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = back(&mut w, SubType::FAILOVER);
    w.pass(Duration::from_secs(2));
    let txn = begin_past(&mut w, c);
    let ids: Vec<_> = (0..4)
        .map(|n| {
            w.send(c, 1, n, MessageMetadata::default(), &format!("m{n}"));
            loop {
                if let Command::SendReceipt(receipt) = w.hear(c) {
                    break receipt.message_id.unwrap();
                }
            }
        })
        .collect();
    while !w.silent(c) {
        w.hear(c);
    }
    join(&mut w, c, txn);
    assert_eq!(acked(&mut w, c, ack(AckType::CUMULATIVE, Some(txn), &ids[1])), None);
    disk.keep(&mut w);
    let mut w = disk.start();
    let c = w.client();
    assert_eq!(end(&mut w, c, txn, TxnAction::COMMIT), None);
    disk.keep(&mut w);
    let mut w = disk.start();
    let c = back(&mut w, SubType::EXCLUSIVE);
    assert_eq!(w.payloads(c), ["m2", "m3"]);
}

fn begin_past(w: &mut World, c: ConnId) -> Txn {
    while !w.silent(c) {
        w.hear(c);
    }
    begin(w, c, MINUTE)
}

#[test]
fn what_was_pending_in_a_subscription_goes_with_it() {
    let mut disk = Disk::default();
    let mut w = disk.start();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let at = w.publish(c, 1, 0, "m");
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    let txn = begin(&mut w, c, MINUTE);
    join(&mut w, c, txn);
    assert_eq!(acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(txn), &at)), None);
    disk.keep(&mut w);
    // Gone and there again before the host has looked.
    w.ask(c, CommandUnsubscribe { consumer_id: 1, request_id: 9, force: None });
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    disk.keep(&mut w);
    let mut w = disk.start();
    let c = back(&mut w, SubType::SHARED);
    assert_eq!(w.payloads(c), ["m"]);
    assert_eq!(acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(txn), &at)), None);
    disk.keep(&mut w);
    w.broker.delete_topic(&name(), true, w.now).unwrap();
    disk.keep(&mut w);
    assert!(disk.0.keys().all(|key| key[0] != b'V'));
    disk.start();
}

/// What the broker should make of it, said as simply as possible.
#[derive(Default)]
struct Model {
    /// Messages in their order: text, and the transaction.
    sent: Vec<(String, MessageIdData, Option<Txn>)>,
    ended: BTreeMap<Txn, bool>,
    open: BTreeSet<Txn>,
    /// Acknowledged by their place.
    acked: BTreeSet<usize>,
    pending: BTreeMap<usize, Txn>,
}

impl Model {
    /// How many of the messages are not held back.
    fn readable(&self) -> usize {
        let waits = |txn: &Option<Txn>| txn.is_some_and(|txn| self.open.contains(&txn));
        self.sent.iter().position(|(_, _, txn)| waits(txn)).unwrap_or(self.sent.len())
    }

    fn exists(&self, at: usize) -> bool {
        self.sent[at].2.is_none_or(|txn| self.ended.get(&txn) != Some(&false))
    }

    fn expected(&self) -> Vec<String> {
        let there =
            |at: &usize| self.exists(*at) && !self.acked.contains(at) && !self.pending.contains_key(at);
        (0..self.readable()).filter(there).map(|at| self.sent[at].0.clone()).collect()
    }
}

/// A failure names its seed; `MODEL_SEED=n` plays that one alone.
#[test]
fn random_transactions_do_what_a_simple_model_does() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    if let Some(seed) = number("MODEL_SEED") {
        return random_case(seed);
    }
    for seed in 0..number("MODEL_CASES").unwrap_or(300) {
        random_case(seed);
    }
}

fn random_case(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut disk = Disk::default();
    let mut w = disk.start();
    let kind = if rng.bool() { SubType::SHARED } else { SubType::EXCLUSIVE };
    let mut c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", kind);
    let mut model = Model::default();
    for step in 0..rng.u64(10..80) {
        let txn = rng.choice(model.open.iter().copied().collect::<Vec<_>>());
        let at = (!model.sent.is_empty()).then(|| rng.usize(..model.sent.len()));
        match (rng.u8(..12), txn, at) {
            (0, ..) => drop(model.open.insert(begin(&mut w, c, MINUTE))),
            (1 | 2, ..) => {
                let text = format!("m{step}");
                let at = w.publish(c, 1, step, &text);
                model.sent.push((text, at, None));
            }
            (3..=5, Some(txn), _) => {
                w.ask(c, with_topic(txn, TOPIC));
                let text = format!("t{step}");
                let Command::SendReceipt(receipt) = send(&mut w, c, step, txn, &text) else { panic!() };
                model.sent.push((text, receipt.message_id.unwrap(), Some(txn)));
            }
            (6, Some(txn), _) => {
                let commit = rng.bool();
                let action = if commit { TxnAction::COMMIT } else { TxnAction::ABORT };
                assert_eq!(end(&mut w, c, txn, action), None, "seed {seed}");
                model.open.remove(&txn);
                model.ended.insert(txn, commit);
                let here: Vec<usize> =
                    model.pending.iter().filter(|(_, t)| **t == txn).map(|(at, _)| *at).collect();
                for at in here {
                    model.pending.remove(&at);
                    if commit {
                        model.acked.insert(at);
                    }
                }
            }
            (7 | 8, Some(txn), Some(at)) if at < model.readable() && model.exists(at) => {
                w.ask(c, with_sub(txn, "s"));
                let id = model.sent[at].1.clone();
                let error = acked(&mut w, c, ack(AckType::INDIVIDUAL, Some(txn), &id));
                let taken = model.acked.contains(&at) || model.pending.contains_key(&at);
                assert_eq!(error, taken.then_some(ServerError::TRANSACTION_CONFLICT), "seed {seed}");
                if !taken {
                    model.pending.insert(at, txn);
                }
            }
            (9, _, Some(at)) if at < model.readable() && model.exists(at) => {
                let id = model.sent[at].1.clone();
                assert_eq!(acked(&mut w, c, ack(AckType::INDIVIDUAL, None, &id)), None);
                model.acked.insert(at);
                model.pending.remove(&at);
            }
            (10, ..) => {
                // All that there is, to one who takes it all.
                w.flow(c, 1, 1000);
                w.payloads(c);
                w.say(c, CommandCloseConsumer { consumer_id: 1, ..CommandCloseConsumer::default() });
                w.hear(c);
                w.consume(c, 1, TOPIC, "s", kind);
                w.flow(c, 1, 1000);
                assert_eq!(w.payloads(c), model.expected(), "seed {seed} step {step}");
                w.say(c, CommandCloseConsumer { consumer_id: 1, ..CommandCloseConsumer::default() });
                w.hear(c);
                w.consume(c, 1, TOPIC, "s", kind);
            }
            (11, ..) => {
                disk.keep(&mut w);
                w = disk.start();
                c = w.client();
                w.produce(c, 1, TOPIC);
                w.consume(c, 1, TOPIC, "s", kind);
            }
            _ => {}
        }
    }
    for txn in std::mem::take(&mut model.open) {
        assert_eq!(end(&mut w, c, txn, TxnAction::ABORT), None);
        model.ended.insert(txn, false);
        model.pending.retain(|_, t| *t != txn);
    }
    w.flow(c, 1, 1000);
    assert_eq!(w.payloads(c), model.expected(), "seed {seed} at the end");
}

#[test]
fn a_broker_without_transactions_says_so() {
    let mut w = World::with(BrokerConfig { transactions: false, ..BrokerConfig::default() });
    let c = w.client();
    let attach = CommandTcClientConnectRequest { request_id: 1, tc_id: 0, ..Default::default() };
    for command in [Command::from(attach), new_txn(MINUTE).into(), with_topic((0, 0), TOPIC).into()] {
        let heard = w.ask(c, command);
        assert!(matches!(heard, Command::Error(_)), "{heard:?}");
        let told = (ServerError::NOT_ALLOWED_ERROR, "Transactions are not enabled".to_owned());
        assert_eq!(refusal(heard), told);
    }
    w.produce(c, 1, TOPIC);
}
