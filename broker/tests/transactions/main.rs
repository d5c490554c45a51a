//! Transactions, where the differential scripts do not reach: bounds, bad input, what outlives a broker,
//! and random operations against a model.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod coordinating;
mod modelled;
mod surviving;

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

fn begin_past(w: &mut World, c: ConnId) -> Txn {
    while !w.silent(c) {
        w.hear(c);
    }
    begin(w, c, MINUTE)
}
