//! Arbitrary commands of several clients, with time passing, topics unloaded and what is kept read back.
//! Nothing panics, a client hears only what can be decoded, and what the broker keeps can be taken up.
//!
//! Input: repeated `[what] [a] [b] [c]`; `what` picks a client and a command, the others fill its fields.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use pulsewire_broker::core::Kept;
use pulsewire_broker::core::names::TopicName;
use pulsewire_broker::{Broker, BrokerConfig, ConnId, Now};
use pulsewire_proto::wire::entry::encode_entry;
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command, encode_with_entry};
use pulsewire_proto::wire::*;

const TOPICS: [&str; 4] =
    ["t", "persistent://public/default/p-partition-1", "non-persistent://public/default/n", "//"];

struct Host {
    broker: Broker,
    now: Now,
    ears: BTreeMap<ConnId, FrameDecoder>,
    kept: BTreeMap<Vec<u8>, Bytes>,
}

impl Host {
    fn poll(&mut self) {
        for change in self.broker.poll_kept() {
            match change {
                Kept::Put(key, value) => drop(self.kept.insert(key, value)),
                Kept::Remove(from, to) => self.kept.retain(|key, _| *key < from || *key >= to),
            }
        }
        while let Some((id, segments)) = self.broker.poll_transmit() {
            let bytes: Bytes = segments.concat().into();
            let ear = self.ears.entry(id).or_insert_with(|| FrameDecoder::new(64 << 20));
            ear.push(bytes.clone());
            while let Some(frame) = ear.next_frame().expect("whole frames") {
                frame.decode().expect("a command");
            }
            self.broker.transmitted(id, bytes.len(), self.now);
        }
        while self.broker.poll_disconnect().is_some() {}
    }

    fn say(&mut self, id: ConnId, command: Command, entry: Option<(MessageMetadata, &[u8])>) {
        let mut out = BytesMut::new();
        match entry {
            None => encode_command(&command, &mut out),
            Some((metadata, payload)) => {
                let mut entry = BytesMut::new();
                encode_entry(&metadata, payload, &mut entry);
                encode_with_entry(&command, &entry, &mut out);
            }
        }
        self.broker.received(id, out.freeze(), self.now);
        self.poll();
    }
}

/// Small numbers, and the ends of what a number can be.
fn number(byte: u8) -> u64 {
    match byte {
        0..200 => u64::from(byte % 8),
        200..220 => u64::MAX,
        220..240 => 1 << 31,
        _ => u64::from(u32::MAX),
    }
}

fn id(a: u8, b: u8) -> MessageIdData {
    let ack_set = if a & 64 == 0 { Vec::new() } else { vec![i64::from(b), -1] };
    MessageIdData { ledger_id: number(a), entry_id: number(b), ack_set, ..MessageIdData::default() }
}

/// Schemas, some of which fit each other.
fn schema(a: u8) -> Schema {
    const TEXTS: [&str; 4] = [
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":["null","string"],"default":null}]}"#,
        "",
        "{",
    ];
    Schema {
        name: "s".to_owned(),
        schema_data: Bytes::from_static(TEXTS[usize::from(a & 3)].as_bytes()),
        r#type: SchemaType(i32::from(a >> 2 & 31)),
        properties: Vec::new(),
    }
}

/// Commands of which few are enough.
fn rarer(a: u8, b: u8, c: u8, topic: String, own: u64, request_id: u64) -> Command {
    let (least, most) = (Some(u64::from(b & 7)), Some(u64::from(c & 1)));
    match b >> 4 {
        0 => CommandLookupTopic { topic, request_id, authoritative: Some(c & 1 == 1), ..Default::default() }
            .into(),
        1 => CommandGetTopicsOfNamespace {
            request_id,
            namespace: if c & 1 == 0 { "public/default" } else { "/" }.to_owned(),
            mode: Some(TopicsMode(i32::from(c >> 1 & 3))),
            topics_pattern: (c & 8 != 0).then(|| "persistent://public/default/.*".to_owned()),
            ..Default::default()
        }
        .into(),
        2 => CommandConsumerStats { request_id, consumer_id: own }.into(),
        3 => CommandWatchTopicListClose { request_id, watcher_id: own }.into(),
        4 => CommandGetSchema {
            request_id,
            topic,
            schema_version: (c & 1 == 1)
                .then(|| Bytes::copy_from_slice(&u64::from(a).to_be_bytes()[usize::from(c >> 5)..])),
        }
        .into(),
        5 => CommandGetOrCreateSchema { request_id, topic, schema: schema(c), producer_name: None }.into(),
        6 => CommandProducer {
            topic,
            producer_id: own,
            request_id,
            schema: Some(schema(c)),
            ..Default::default()
        }
        .into(),
        7 => CommandSubscribe {
            topic,
            subscription: "s".to_owned(),
            sub_type: SubType(i32::from(a >> 2 & 3)),
            consumer_id: own,
            request_id,
            schema: Some(schema(c)),
            ..Default::default()
        }
        .into(),
        8 => CommandTcClientConnectRequest { request_id, tc_id: u64::from(c & 3), scalable: None }.into(),
        9 => CommandNewTxn {
            request_id,
            txn_ttl_millis: Some(number(a)),
            tc_id: Some(u64::from(c & 1)),
            scalable: None,
        }
        .into(),
        10 => CommandAddPartitionToTxn {
            request_id,
            txnid_least_bits: least,
            txnid_most_bits: most,
            partitions: vec![topic],
            scalable: None,
        }
        .into(),
        11 => CommandAddSubscriptionToTxn {
            request_id,
            txnid_least_bits: least,
            txnid_most_bits: most,
            subscription: vec![Subscription { topic, subscription: "s".to_owned() }],
            scalable: None,
        }
        .into(),
        12 => CommandEndTxn {
            request_id,
            txnid_least_bits: least,
            txnid_most_bits: most,
            txn_action: Some(TxnAction(i32::from(c >> 1 & 3))),
            scalable: None,
        }
        .into(),
        13 => CommandAck {
            consumer_id: number(a),
            ack_type: AckType(i32::from(c & 1)),
            message_id: vec![id(c, b)],
            txnid_least_bits: least,
            txnid_most_bits: most,
            request_id: Some(request_id),
            ..Default::default()
        }
        .into(),
        14 => CommandAuthResponse::default().into(),
        _ => CommandPing::default().into(),
    }
}

fuzz_target!(|data: &[u8]| {
    let config = BrokerConfig { max_stored_bytes: 1 << 16, max_topics: 20, ..BrokerConfig::default() };
    let now = Now::new(Duration::ZERO, 1_700_000_000_000);
    let broker = Broker::restored(config.clone(), Vec::new(), now).expect("nothing was kept");
    let mut host = Host { broker, now, ears: BTreeMap::new(), kept: BTreeMap::new() };
    let mut next = 4;
    let mut clients = [ConnId(0), ConnId(1), ConnId(2), ConnId(3)];
    for client in clients {
        host.broker.connected(client, host.now);
        host.say(
            client,
            CommandConnect { protocol_version: Some(21), ..CommandConnect::default() }.into(),
            None,
        );
    }
    for op in data.chunks_exact(4) {
        let (what, a, b, c) = (op[0], op[1], op[2], op[3]);
        let at = usize::from(what & 3);
        let client = clients[at];
        let topic = TOPICS[usize::from(a & 3)].to_owned();
        let (own, request_id) = (number(b), u64::from(c));
        let command: Command = match what >> 2 {
            0..6 => CommandProducer {
                topic,
                producer_id: own,
                request_id,
                producer_name: (c & 1 == 1).then(|| "n".to_owned()),
                producer_access_mode: Some(ProducerAccessMode(i32::from(c >> 1 & 7))),
                topic_epoch: (c & 64 != 0).then(|| number(a)),
                epoch: Some(u64::from(c >> 4)),
                initial_subscription_name: (c & 128 != 0).then(|| "s".to_owned()),
                ..CommandProducer::default()
            }
            .into(),
            6..12 => CommandSubscribe {
                topic,
                subscription: if c & 1 == 0 { "s" } else { "r" }.to_owned(),
                sub_type: SubType(i32::from(c >> 1 & 7)),
                consumer_id: own,
                request_id,
                durable: Some(c & 16 == 0),
                read_compacted: Some(c & 32 != 0),
                start_message_id: (c & 64 != 0).then(|| id(a, c)),
                key_shared_meta: (c & 128 != 0).then(|| KeySharedMeta {
                    key_shared_mode: KeySharedMode(i32::from(a >> 2 & 3)),
                    hash_ranges: vec![IntRange { start: i32::from(b), end: number(c) as i32 }],
                    ..KeySharedMeta::default()
                }),
                ..CommandSubscribe::default()
            }
            .into(),
            12..24 => {
                let command = CommandSend {
                    producer_id: number(a),
                    sequence_id: own,
                    txnid_least_bits: (c & 32 != 0).then(|| u64::from(b & 7)),
                    txnid_most_bits: (c & 32 != 0).then_some(0),
                    highest_sequence_id: (c & 1 == 1).then(|| number(c)),
                    message_id: (c & 128 != 0).then(|| id(b, c)),
                    is_chunk: Some(c & 64 != 0),
                    ..CommandSend::default()
                };
                let metadata = MessageMetadata {
                    partition_key: (c & 2 == 2).then(|| (c & 12).to_string()),
                    num_messages_in_batch: (c & 4 == 4).then(|| number(b) as i32),
                    deliver_at_time: (c & 8 == 8).then(|| host.now.wall_ms as i64 + i64::from(b)),
                    ..MessageMetadata::default()
                };
                host.say(client, command.into(), Some((metadata, &op[1..])));
                continue;
            }
            24..30 => CommandFlow { consumer_id: number(a), message_permits: own as u32 }.into(),
            30..36 => CommandAck {
                consumer_id: number(a),
                ack_type: AckType(i32::from(c & 3)),
                message_id: vec![id(c, b)],
                request_id: Some(1),
                ..CommandAck::default()
            }
            .into(),
            36..39 => CommandRedeliverUnacknowledgedMessages {
                consumer_id: number(a),
                message_ids: if c & 1 == 0 { Vec::new() } else { vec![id(b, c)] },
                consumer_epoch: None,
            }
            .into(),
            39 => CommandSeek {
                consumer_id: number(a),
                request_id,
                message_id: (c & 1 == 0).then(|| id(b, c)),
                message_publish_time: (c & 1 == 1).then_some(own),
            }
            .into(),
            40 => CommandCloseProducer { producer_id: number(a), request_id, ..Default::default() }.into(),
            41 => CommandCloseConsumer { consumer_id: number(a), request_id, ..Default::default() }.into(),
            42 => CommandUnsubscribe { consumer_id: number(a), request_id, force: Some(c & 1 == 1) }.into(),
            43 => CommandGetLastMessageId { consumer_id: number(a), request_id }.into(),
            44 => CommandWatchTopicList {
                request_id,
                watcher_id: own,
                namespace: "public/default".to_owned(),
                topics_pattern: if c & 1 == 0 { ".*" } else { "((" }.to_owned(),
                topics_hash: None,
            }
            .into(),
            45 => CommandPartitionedTopicMetadata { topic, request_id, ..Default::default() }.into(),
            46 => CommandPong::default().into(),
            47 | 48 => {
                let Ok(name) = TopicName::parse(&topic) else { continue };
                // Whether there is such a topic is no matter.
                let _ = match c & 7 {
                    0 => host.broker.unload_topic(&name, host.now),
                    1 => host.broker.compact(&name, host.now),
                    2 => host.broker.terminate(&name, host.now).map(drop),
                    3 => host.broker.delete_topic(&name, true, host.now),
                    4 => host.broker.skip(&name, "s", own, host.now),
                    5 => host.broker.expire_messages(&name, "s", own, host.now).map(drop),
                    _ => host.broker.create_partitioned_topic(&name, u32::from(b & 7), host.now),
                };
                host.poll();
                continue;
            }
            49 => {
                host.broker.closed(client, host.now);
                clients[at] = ConnId(next);
                next += 1;
                host.broker.connected(clients[at], host.now);
                let connect =
                    CommandConnect { protocol_version: Some(i32::from(c)), ..CommandConnect::default() };
                host.say(clients[at], connect.into(), None);
                continue;
            }
            50 => {
                host.broker.received(client, Bytes::copy_from_slice(op), host.now);
                host.poll();
                continue;
            }
            51..56 => {
                host.say(client, rarer(a, b, c, topic, own, request_id), None);
                continue;
            }
            _ => {
                let step = Duration::from_millis(u64::from(a) * u64::from(b));
                host.now = Now::new(host.now.mono + step, host.now.wall_ms + step.as_millis() as u64);
                host.broker.timeout(host.now);
                host.poll();
                continue;
            }
        };
        host.say(client, command, None);
    }
    Broker::restored(config, host.kept, host.now).expect("what was kept can be read");
});
