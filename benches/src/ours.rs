//! pulsewire-proto, driven as the crate `pulsewire` drives it.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command};
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    Action, Client as Core, ClientConfig, ConnId, ConsumerConfig, ConsumerId, Now, Outgoing, Payload,
    ProducerConfig, ProducerId, ServiceUrl, Time, TopicName,
};

use crate::Client;

pub(crate) struct Ours {
    core: Core,
    conn: ConnId,
    producer: ProducerId,
    consumer: ConsumerId,
    now: Now,
    out: VecDeque<Bytes>,
}

impl Ours {
    /// Answers what the client asks until both handles are open.
    fn handshake(&mut self) {
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_MESSAGE_SIZE);
        loop {
            self.core.poll_transmit(self.conn, &mut self.out);
            let mut answers = BytesMut::new();
            for bytes in self.out.drain(..) {
                decoder.push(bytes);
                while let Some(frame) = decoder.next_frame().expect("a frame") {
                    if let Some(answer) = answer(frame.decode().expect("a command")) {
                        encode_command(&answer, &mut answers);
                    }
                }
            }
            if answers.is_empty() {
                break;
            }
            self.core.received(self.conn, answers.freeze(), self.now);
        }
        while self.core.poll_event().is_some() {}
    }
}

/// A broker's answer to what precedes sending and receiving.
pub(crate) fn answer(command: Command) -> Option<Command> {
    Some(match command {
        Command::Connect(_) => CommandConnected {
            server_version: "bench".to_owned(),
            protocol_version: Some(PROTOCOL_VERSION),
            max_message_size: Some(DEFAULT_MAX_MESSAGE_SIZE as i32),
            feature_flags: Some(FeatureFlags::default()),
        }
        .into(),
        Command::PartitionedTopicMetadata(asked) => CommandPartitionedTopicMetadataResponse {
            partitions: Some(0),
            request_id: asked.request_id,
            response: Some(PartitionedMetadataResult::SUCCESS),
            ..Default::default()
        }
        .into(),
        Command::LookupTopic(asked) => CommandLookupTopicResponse {
            broker_service_url: Some("pulsar://bench:6650".to_owned()),
            response: Some(LookupResult::CONNECT),
            request_id: asked.request_id,
            ..Default::default()
        }
        .into(),
        Command::Producer(asked) => CommandProducerSuccess {
            request_id: asked.request_id,
            producer_name: "standalone-0-1".to_owned(),
            last_sequence_id: Some(-1),
            producer_ready: Some(true),
            ..Default::default()
        }
        .into(),
        Command::Subscribe(asked) => CommandSuccess { request_id: asked.request_id, schema: None }.into(),
        _ => return None,
    })
}

impl Client for Ours {
    const NAME: &'static str = "pulsewire";

    fn open() -> Self {
        let url = ServiceUrl::parse("pulsar://bench").expect("a URL");
        let mut core = Core::new(ClientConfig::new(url), 1).expect("options");
        let now = Now { time: Time::from_micros(1_000_000), wall_ms: 1_700_000_000_000 };
        let topic = TopicName::parse("bench").expect("a topic");
        let (producer, _) = core
            .create_producer(ProducerConfig { batching: false, ..ProducerConfig::new(topic.clone()) }, now)
            .expect("options");
        let (consumer, _) = core.subscribe(ConsumerConfig::new(topic, "s"), now).expect("options");
        let Some(Action::Connect { conn, .. }) = core.poll_action() else { panic!("a connection") };
        core.connected(conn, now);
        let mut ours = Self { core, conn, producer, consumer, now, out: VecDeque::new() };
        ours.handshake();
        ours
    }

    fn ids(&self) -> (u64, u64) {
        (self.producer.0, self.consumer.0)
    }

    fn send(&mut self, payload: &Bytes) {
        let message = Outgoing { payload: Some(Payload::Slice(payload)), ..Default::default() };
        self.core.send(self.producer, &message, self.now).expect("a send");
    }

    fn turn(&mut self) {
        assert_eq!(self.core.poll_action(), None);
        if self.core.wants_transmit(self.conn) {
            self.core.poll_transmit(self.conn, &mut self.out);
        }
        black_box(&self.out);
        self.out.clear();
        while let Some(event) = self.core.poll_event() {
            black_box(event);
        }
        black_box(self.core.next_deadline());
    }

    fn read(&mut self, bytes: Bytes) {
        self.now.time = self.now.time + Duration::from_micros(20);
        self.core.received(self.conn, bytes, self.now);
    }

    fn outcomes(&mut self) -> usize {
        let mut sent = 0;
        while let Some(outcome) = self.core.poll_sent() {
            black_box(outcome.result.expect("stored"));
            sent += 1;
        }
        sent
    }

    fn receive(&mut self) -> usize {
        let mut bytes = 0;
        while let Ok(Some(message)) = &self.core.receive(self.consumer) {
            let Ok(message) = message else { panic!("{message:?}") };
            bytes += message.payload().len();
            black_box(message.id());
        }
        bytes
    }
}
