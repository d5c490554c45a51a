//! Conversations with a broker: a test says what clients say and looks at what they hear.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pulsewire_broker::core::DisconnectReason;
use pulsewire_broker::{Broker, BrokerConfig, ConnId, Now};
use pulsewire_proto::wire::entry::{Entry, encode_entry};
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command, encode_with_entry};
use pulsewire_proto::wire::*;

pub const WALL: u64 = 1_700_000_000_000;

#[derive(Default)]
struct Ear {
    frames: Option<FrameDecoder>,
    heard: VecDeque<(Command, Bytes)>,
    cut: Option<DisconnectReason>,
}

/// A broker, its clients, and a clock.
pub struct World {
    pub broker: Broker,
    pub now: Now,
    ears: BTreeMap<ConnId, Ear>,
    next: u64,
    /// Clients that do not read: what is sent to them is never written.
    pub deaf: Vec<ConnId>,
}

impl World {
    pub fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    pub fn with(config: BrokerConfig) -> Self {
        let now = Now::new(Duration::ZERO, WALL);
        Self { broker: Broker::new(config), now, ears: BTreeMap::new(), next: 1, deaf: Vec::new() }
    }

    /// A client that has connected and said nothing yet.
    pub fn stranger(&mut self) -> ConnId {
        self.stranger_of(0)
    }

    /// The same, of that one of several brokers.
    pub fn stranger_of(&mut self, broker: usize) -> ConnId {
        let id = ConnId(self.next);
        self.next += 1;
        let frames = Some(FrameDecoder::new(64 << 20));
        self.ears.insert(id, Ear { frames, ..Ear::default() });
        self.broker.connected_to(id, broker, self.now);
        self.settle();
        id
    }

    /// A client that has said CONNECT and heard CONNECTED.
    pub fn client(&mut self) -> ConnId {
        let id = self.stranger();
        self.say(id, connect());
        assert!(matches!(self.hear(id), Command::Connected(_)));
        id
    }

    pub fn say(&mut self, id: ConnId, command: impl Into<Command>) {
        let mut bytes = BytesMut::new();
        encode_command(&command.into(), &mut bytes);
        self.bytes(id, bytes);
    }

    pub fn bytes(&mut self, id: ConnId, bytes: impl AsRef<[u8]>) {
        self.broker.received(id, Bytes::copy_from_slice(bytes.as_ref()), self.now);
        self.settle();
    }

    pub fn leave(&mut self, id: ConnId) {
        self.broker.closed(id, self.now);
        self.settle();
    }

    /// Lets time pass; timers go off when they are due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.broker.next_deadline().filter(|at| *at <= end) {
            self.advance(at.max(self.now.mono));
            self.broker.timeout(self.now);
            self.settle();
        }
        self.advance(end);
    }

    fn advance(&mut self, to: Duration) {
        let step = to.as_millis() - self.now.mono.as_millis();
        self.now = Now::new(to, self.now.wall_ms + step as u64);
    }

    pub fn settle(&mut self) {
        while let Some((id, segments)) = self.broker.poll_transmit() {
            if self.deaf.contains(&id) {
                continue;
            }
            let bytes: Bytes = segments.concat().into();
            let count = bytes.len();
            let ear = self.ears.get_mut(&id).unwrap();
            let frames = ear.frames.as_mut().unwrap();
            frames.push(bytes);
            while let Some(frame) = frames.next_frame().unwrap() {
                ear.heard.push_back((frame.decode().unwrap(), frame.entry));
            }
            self.broker.transmitted(id, count, self.now);
        }
        while let Some((id, reason)) = self.broker.poll_disconnect() {
            self.ears.get_mut(&id).unwrap().cut = Some(reason);
        }
    }

    /// The next thing that a client hears.
    pub fn hear(&mut self, id: ConnId) -> Command {
        self.hear_entry(id).0
    }

    pub fn hear_entry(&mut self, id: ConnId) -> (Command, Bytes) {
        self.ears.get_mut(&id).unwrap().heard.pop_front().expect("the client hears something")
    }

    /// The next thing that a client hears, if there is something.
    pub fn next_heard(&mut self, id: ConnId) -> Option<(Command, Bytes)> {
        self.ears.get_mut(&id).unwrap().heard.pop_front()
    }

    /// Whether a client has heard all that was said to it.
    pub fn silent(&self, id: ConnId) -> bool {
        self.ears[&id].heard.is_empty()
    }

    pub fn cut(&self, id: ConnId) -> Option<&DisconnectReason> {
        self.ears[&id].cut.as_ref()
    }

    /// Says something and hears one answer.
    pub fn ask(&mut self, id: ConnId, command: impl Into<Command>) -> Command {
        self.say(id, command);
        self.hear(id)
    }

    /// Opens a producer with that id.
    pub fn produce(&mut self, id: ConnId, producer: u64, topic: &str) -> CommandProducerSuccess {
        match self.ask(id, producer_on(producer, topic)) {
            Command::ProducerSuccess(success) => success,
            other => panic!("no producer: {other:?}"),
        }
    }

    /// Opens a consumer with that id, from the start of the topic, without permits.
    pub fn consume(&mut self, id: ConnId, consumer: u64, topic: &str, sub: &str, kind: SubType) {
        match self.ask(id, subscribe(consumer, topic, sub, kind)) {
            Command::Success(_) => {}
            other => panic!("no consumer: {other:?}"),
        }
    }

    /// Sends one message; the answer is still to be heard.
    pub fn send(
        &mut self,
        id: ConnId,
        producer: u64,
        sequence: u64,
        metadata: MessageMetadata,
        payload: &str,
    ) {
        self.bytes(id, send_frame(producer, sequence, metadata, payload.as_bytes()));
    }

    /// Publishes one message and hears its receipt.
    pub fn publish(&mut self, id: ConnId, producer: u64, sequence: u64, payload: &str) -> MessageIdData {
        self.send(id, producer, sequence, MessageMetadata::default(), payload);
        self.receipt(id)
    }

    pub fn receipt(&mut self, id: ConnId) -> MessageIdData {
        match self.hear(id) {
            Command::SendReceipt(receipt) => receipt.message_id.unwrap(),
            other => panic!("no receipt: {other:?}"),
        }
    }

    /// All messages that a client has heard by now, as consumer, payload and redelivery count.
    pub fn messages(&mut self, id: ConnId) -> Vec<(u64, String, u32)> {
        self.deliveries(id)
            .into_iter()
            .map(|(m, payload)| (m.consumer_id, payload, m.redelivery_count.unwrap_or(0)))
            .collect()
    }

    pub fn payloads(&mut self, id: ConnId) -> Vec<String> {
        self.deliveries(id).into_iter().map(|(_, payload)| payload).collect()
    }

    pub fn deliveries(&mut self, id: ConnId) -> Vec<(CommandMessage, String)> {
        let mut found = Vec::new();
        while let Some((command, entry)) = self.ears.get_mut(&id).unwrap().heard.pop_front() {
            let Command::Message(message) = command else { panic!("not a message: {command:?}") };
            let entry = Entry::parse(&entry).unwrap();
            found.push((message, String::from_utf8(entry.payload.to_vec()).unwrap()));
        }
        found
    }

    pub fn flow(&mut self, id: ConnId, consumer: u64, permits: u32) {
        self.say(id, CommandFlow { consumer_id: consumer, message_permits: permits });
    }

    pub fn ack(&mut self, id: ConnId, consumer: u64, kind: AckType, ids: &[MessageIdData]) {
        self.say(
            id,
            CommandAck {
                consumer_id: consumer,
                ack_type: kind,
                message_id: ids.to_vec(),
                ..CommandAck::default()
            },
        );
    }
}

pub fn connect() -> CommandConnect {
    CommandConnect {
        client_version: "test".to_owned(),
        protocol_version: Some(21),
        feature_flags: Some(FeatureFlags {
            supports_broker_entry_metadata: Some(true),
            ..FeatureFlags::default()
        }),
        ..CommandConnect::default()
    }
}

pub fn producer_on(producer: u64, topic: &str) -> CommandProducer {
    CommandProducer {
        topic: topic.to_owned(),
        producer_id: producer,
        request_id: 100 + producer,
        ..CommandProducer::default()
    }
}

pub fn subscribe(consumer: u64, topic: &str, sub: &str, kind: SubType) -> CommandSubscribe {
    CommandSubscribe {
        topic: topic.to_owned(),
        subscription: sub.to_owned(),
        sub_type: kind,
        consumer_id: consumer,
        request_id: 200 + consumer,
        consumer_name: Some(format!("c{consumer}")),
        initial_position: Some(InitialPosition::EARLIEST),
        ..CommandSubscribe::default()
    }
}

pub fn entry(sequence: u64, metadata: MessageMetadata, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let metadata = MessageMetadata {
        producer_name: "p".to_owned(),
        sequence_id: sequence,
        publish_time: if metadata.publish_time == 0 { WALL } else { metadata.publish_time },
        ..metadata
    };
    encode_entry(&metadata, payload, &mut out);
    out
}

pub fn send_frame(producer: u64, sequence: u64, metadata: MessageMetadata, payload: &[u8]) -> BytesMut {
    let command = CommandSend {
        producer_id: producer,
        sequence_id: sequence,
        num_messages: metadata.num_messages_in_batch,
        ..CommandSend::default()
    };
    let mut out = BytesMut::new();
    encode_with_entry(&command.into(), &entry(sequence, metadata, payload), &mut out);
    out
}

pub fn key(key: &str) -> MessageMetadata {
    MessageMetadata { partition_key: Some(key.to_owned()), ..MessageMetadata::default() }
}

pub fn batch_of(messages: i32) -> MessageMetadata {
    MessageMetadata { num_messages_in_batch: Some(messages), ..MessageMetadata::default() }
}

/// An id as the wire has it: earliest is -1:-1.
pub fn id(ledger: i64, entry: i64) -> MessageIdData {
    MessageIdData { ledger_id: ledger as u64, entry_id: entry as u64, ..MessageIdData::default() }
}

pub fn refusal(command: Command) -> (ServerError, String) {
    match command {
        Command::Error(error) => (error.error, error.message),
        other => panic!("not refused: {other:?}"),
    }
}

/// A batch of these messages, by key and payload: its metadata and its payload.
pub fn batch(messages: &[(Option<&str>, &str)]) -> (MessageMetadata, BytesMut) {
    let mut payload = BytesMut::new();
    for (n, (key, text)) in messages.iter().enumerate() {
        let single = SingleMessageMetadata {
            partition_key: key.map(str::to_owned),
            payload_size: text.len() as i32,
            sequence_id: Some(n as u64),
            ..SingleMessageMetadata::default()
        };
        payload.extend_from_slice(&(single.encoded_len() as u32).to_be_bytes());
        single.encode(&mut payload);
        payload.extend_from_slice(text.as_bytes());
    }
    (batch_of(messages.len() as i32), payload)
}
