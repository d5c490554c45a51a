//! Traces tell brokers that answer wrongly from one that does not.
//!
//! The same conversation with the embedded broker, in which some answers are changed on their way: what
//! every true run saw and no changed one, and the other way round, is what `cargo xtask differential` calls
//! a difference.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use pulsewire_broker::{Broker, BrokerConfig, ConnId, Now};
use pulsewire_proto::wire::entry::{Entry, encode_broker_metadata, encode_entry};
use pulsewire_proto::wire::frame::{FrameDecoder, RawFrame, encode_command, encode_with_entry};
use pulsewire_proto::wire::*;
use pulsewire_tests::Trace;

const TOPIC: &str = "persistent://public/default/t~run";

/// Changes what a client hears.
type Lie = fn(&mut Command, &mut Bytes);

/// A client of a broker; its trace hears what it hears.
struct Line {
    broker: Broker,
    frames: FrameDecoder,
    trace: Trace,
    lie: Lie,
    sequence: u64,
}

const CLIENT: ConnId = ConnId(1);
const NOW: Now = Now { mono: std::time::Duration::ZERO, wall_ms: 1_700_000_000_000 };

impl Line {
    fn say(&mut self, command: impl Into<Command>) {
        let mut bytes = BytesMut::new();
        encode_command(&command.into(), &mut bytes);
        self.frame(bytes);
    }

    fn send(&mut self, payload: &[u8]) {
        let metadata = MessageMetadata {
            producer_name: "p".to_owned(),
            sequence_id: self.sequence,
            publish_time: NOW.wall_ms,
            ..MessageMetadata::default()
        };
        let (mut entry, mut bytes) = (BytesMut::new(), BytesMut::new());
        encode_entry(&metadata, payload, &mut entry);
        let send = CommandSend { producer_id: 1, sequence_id: self.sequence, ..CommandSend::default() };
        encode_with_entry(&send.into(), &entry, &mut bytes);
        self.sequence += 1;
        self.frame(bytes);
    }

    fn frame(&mut self, bytes: BytesMut) {
        let bytes = bytes.freeze();
        let mut sent = FrameDecoder::new(1 << 20);
        sent.push(bytes.clone());
        self.trace.sent(1, &sent.next_frame().unwrap().unwrap());
        self.broker.received(CLIENT, bytes, NOW);
        while let Some((id, segments)) = self.broker.poll_transmit() {
            let bytes: Bytes = segments.concat().into();
            let count = bytes.len();
            self.frames.push(bytes);
            while let Some(frame) = self.frames.next_frame().unwrap() {
                let (mut command, mut entry) = (frame.decode().unwrap(), frame.entry);
                (self.lie)(&mut command, &mut entry);
                let mut told = BytesMut::new();
                command.encode(&mut told);
                self.trace.heard(1, &RawFrame { command: told.freeze(), entry });
            }
            self.broker.transmitted(id, count, NOW);
        }
    }
}

/// A conversation that has a bit of everything; what the client saw.
fn run(lie: Lie) -> BTreeSet<String> {
    let broker = Broker::new(BrokerConfig::default());
    let (frames, trace) = (FrameDecoder::new(1 << 20), Trace::new("~run"));
    let mut line = Line { broker, frames, trace, lie, sequence: 0 };
    line.broker.connected(CLIENT, NOW);
    line.say(CommandConnect {
        client_version: "test".to_owned(),
        protocol_version: Some(PROTOCOL_VERSION),
        feature_flags: Some(FeatureFlags {
            supports_broker_entry_metadata: Some(true),
            ..FeatureFlags::default()
        }),
        ..CommandConnect::default()
    });
    line.say(CommandProducer {
        topic: TOPIC.to_owned(),
        producer_id: 1,
        request_id: 1,
        producer_name: Some("p".to_owned()),
        user_provided_producer_name: Some(true),
        ..CommandProducer::default()
    });
    let subscribe = |consumer_id, request_id, sub_type| CommandSubscribe {
        topic: TOPIC.to_owned(),
        subscription: "s".to_owned(),
        sub_type,
        consumer_id,
        request_id,
        ..CommandSubscribe::default()
    };
    line.say(subscribe(1, 2, SubType::SHARED));
    line.say(CommandFlow { consumer_id: 1, message_permits: 100 });
    line.send(b"one");
    line.send(b"two");
    line.say(CommandRedeliverUnacknowledgedMessages { consumer_id: 1, ..Default::default() });
    line.say(CommandGetLastMessageId { consumer_id: 1, request_id: 3 });
    // Of another type: refused.
    line.say(subscribe(2, 4, SubType::EXCLUSIVE));
    line.say(CommandGetSchema { request_id: 5, topic: TOPIC.to_owned(), schema_version: None });
    line.trace.facts()
}

fn nothing(_: &mut Command, _: &mut Bytes) {}

/// Entries without the number that the broker adds.
fn without_index(entry: &mut Bytes) {
    let Ok(Entry { broker: Some(added), .. }) = Entry::parse(entry) else { return };
    let (mut before, mut after) = (BytesMut::new(), BytesMut::new());
    encode_broker_metadata(&added, &mut before);
    encode_broker_metadata(&BrokerEntryMetadata { index: None, ..added }, &mut after);
    after.extend_from_slice(&entry[before.len()..]);
    *entry = after.freeze();
}

#[test]
fn a_broker_that_answers_as_the_other_has_the_same_facts() {
    let facts = run(nothing);
    assert_eq!(facts, run(nothing));
    for (wanted, why) in [
        ("CONSUMER_BUSY", "a refusal"),
        ("came again, count 1", "a message that comes again"),
        ("acknowledged up to", "a last id"),
        ("TOPIC_NOT_FOUND", "a schema that is not there"),
    ] {
        assert!(facts.iter().any(|fact| fact.contains(wanted)), "{why} is among {facts:#?}");
    }
}

#[test]
fn a_broker_that_answers_otherwise_is_told_from_it() {
    let lies: [(&str, Lie); 8] = [
        ("another error code", |command, _| {
            if let Command::Error(c) = command {
                c.error = ServerError::UNKNOWN_ERROR;
            }
        }),
        ("another error code within an answer", |command, _| {
            if let Command::GetSchemaResponse(c) = command {
                c.error_code = Some(ServerError::METADATA_ERROR);
            }
        }),
        ("no error at all", |command, _| {
            if let Command::Error(c) = command {
                *command = CommandSuccess { request_id: c.request_id, schema: None }.into();
            }
        }),
        ("a field that is missing", |command, _| {
            if let Command::GetLastMessageIdResponse(c) = command {
                c.consumer_mark_delete_position = None;
            }
        }),
        ("the limit of messages missing", |command, _| {
            if let Command::Connected(c) = command {
                c.max_message_size = None;
            }
        }),
        ("the broker's number of a message missing", |_, entry| without_index(entry)),
        ("the count of redeliveries lost", |command, _| {
            if let Command::Message(c) = command {
                c.redelivery_count = None;
            }
        }),
        ("ids without their partition", |command, _| {
            if let Command::Message(c) = command {
                c.message_id.partition = None;
            }
        }),
    ];
    let truth = run(nothing);
    for (what, lie) in lies {
        let lied = run(lie);
        assert!(truth.difference(&lied).next().is_some(), "{what}: nothing that only the true broker says");
    }
}
