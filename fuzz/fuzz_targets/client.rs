//! Anything that a broker may send, to a client with a producer and a consumer that are open. Nothing
//! panics, every operation and send ends exactly once, and a client that is closed comes to its end.
//!
//! Input: repeated `[what] [size] bytes`, where `what` picks a fact or a command of the user; a size of
//! 0 means the rest.
#![no_main]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use pulsewire_proto::wire::frame::{FrameDecoder, encode_command};
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    Action, Client, ClientConfig, ConnId, ConsumerConfig, ConsumerId, Error, ErrorKind, Event, MessageId,
    Now, OpId, Outgoing, Payload, ProducerConfig, ProducerId, SendToken, ServiceUrl, SubscriptionType, Time,
    TopicName,
};

struct Host {
    client: Client,
    now: Now,
    open: BTreeMap<ConnId, FrameDecoder>,
    ops: BTreeSet<OpId>,
    ended: BTreeSet<OpId>,
    sends: BTreeSet<(ProducerId, SendToken)>,
    producer: ProducerId,
    consumer: ConsumerId,
    ids: Vec<MessageId>,
}

fuzz_target!(|data: &[u8]| {
    let mut host = Host::new();
    let mut rest = data;
    while let [what, size, tail @ ..] = rest {
        let size = if *size == 0 { tail.len() } else { (*size as usize).min(tail.len()) };
        let (bytes, tail) = tail.split_at(size);
        rest = tail;
        host.step(*what, bytes);
    }
    host.finish();
});

impl Host {
    fn new() -> Self {
        let url = ServiceUrl::parse("pulsar://fuzz").expect("a URL");
        let config = ClientConfig { memory_limit: 20_000, ..ClientConfig::new(url) };
        let mut client = Client::new(config, 1).expect("options");
        let now = Now { time: Time::from_micros(1), wall_ms: 1 };
        let topic = TopicName::parse("t").expect("a topic");
        let (producer, created) =
            client.create_producer(ProducerConfig::new(topic.clone()), now).expect("options");
        let config = ConsumerConfig {
            subscription_type: SubscriptionType::Shared,
            receiver_queue_size: 3,
            negative_ack_redelivery_delay: Duration::from_secs(1),
            ..ConsumerConfig::new(topic, "s")
        };
        let (consumer, subscribed) = client.subscribe(config, now).expect("options");
        let mut host = Self {
            client,
            now,
            open: BTreeMap::new(),
            ops: BTreeSet::from([created, subscribed]),
            ended: BTreeSet::new(),
            sends: BTreeSet::new(),
            producer,
            consumer,
            ids: Vec::new(),
        };
        host.drive();
        assert_eq!(host.ended.len(), 2, "both are open");
        host
    }

    /// Polls until all is quiet; brokers answer what precedes sending and receiving.
    fn drive(&mut self) {
        // A hostile broker may keep the client busy, but not within one turn.
        for _ in 0..1000 {
            let mut quiet = true;
            while let Some(action) = self.client.poll_action() {
                quiet = false;
                match action {
                    Action::Connect { conn, .. } => {
                        self.open.insert(conn, FrameDecoder::new(usize::MAX - 4));
                        self.client.connected(conn, self.now);
                    }
                    Action::Disconnect { conn, .. } => {
                        self.open.remove(&conn);
                    }
                }
            }
            for conn in self.open.keys().copied().collect::<Vec<_>>() {
                let mut out = VecDeque::new();
                self.client.poll_transmit(conn, &mut out);
                let Some(decoder) = self.open.get_mut(&conn) else { continue };
                let mut answers = BytesMut::new();
                for bytes in out {
                    decoder.push(bytes);
                    while let Some(frame) = decoder.next_frame().expect("frames of the client") {
                        if let Some(answer) = answer(frame.decode().expect("a command of the client")) {
                            encode_command(&answer, &mut answers);
                        }
                    }
                }
                if !answers.is_empty() {
                    quiet = false;
                    self.client.received(conn, answers.freeze(), self.now);
                }
            }
            while let Some(outcome) = self.client.poll_sent() {
                assert!(self.sends.remove(&(outcome.producer, outcome.token)), "a send ended twice");
            }
            while let Some(event) = self.client.poll_event() {
                if let Event::Completed { op, .. } = event {
                    assert!(self.ended.insert(op), "an operation ended twice");
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the client is never quiet");
    }

    fn step(&mut self, what: u8, bytes: &[u8]) {
        let conn = self.open.keys().nth(usize::from(what >> 5) % self.open.len().max(1)).copied();
        match (what & 31, conn) {
            (0..=15, Some(conn)) => self.client.received(conn, Bytes::copy_from_slice(bytes), self.now),
            // Whole frames, so that mutations of their insides get through.
            (16..=19, Some(conn)) => {
                let command = bytes.len() - bytes.len() * usize::from(what & 3) / 4;
                let mut frame = BytesMut::new();
                frame.extend_from_slice(&(bytes.len() as u32 + 4).to_be_bytes());
                frame.extend_from_slice(&(command as u32).to_be_bytes());
                frame.extend_from_slice(bytes);
                self.client.received(conn, frame.freeze(), self.now);
            }
            (20, Some(conn)) => {
                self.open.remove(&conn);
                self.client.closed(conn, Error::new(ErrorKind::Disconnected, "cut"), self.now);
            }
            (21, _) => self.pass(Duration::from_millis(bytes.len() as u64 * 50)),
            (22, _) => self.pass(Duration::from_secs(31)),
            (23..=25, _) => {
                let message = Outgoing { payload: Some(Payload::Slice(bytes)), ..Default::default() };
                if let Ok(token) = self.client.send(self.producer, &message, self.now) {
                    assert!(self.sends.insert((self.producer, token)), "a token was given twice");
                }
            }
            (26..=28, _) => {
                for _ in 0..10_000 {
                    match self.client.take(self.consumer) {
                        Ok(Some(Ok(message))) => {
                            self.client.delivered(self.consumer, 1);
                            let _ = (message.key(), message.properties(), message.index(), message.payload());
                            let _ = (message.sequence_id(), message.event_time(), message.publish_time());
                            self.ids.push(message.id());
                        }
                        Ok(Some(Err(_))) => {}
                        Ok(None) | Err(_) => break,
                    }
                }
            }
            (29, _) => {
                for id in std::mem::take(&mut self.ids) {
                    let cumulative = bytes.first().is_some_and(|b| b & 1 == 1);
                    let _ = self.client.acknowledge(self.consumer, id, cumulative, self.now);
                    let _ = self.client.negative_acknowledge(self.consumer, id, self.now);
                }
            }
            (30, _) => {
                let op = self.client.last_message_id(self.consumer, self.now);
                assert!(self.ops.insert(op), "an id was given twice");
            }
            _ => {
                let topic = TopicName::parse("t").expect("a topic");
                let op = self.client.partitions(topic, self.now);
                assert!(self.ops.insert(op), "an id was given twice");
            }
        }
        self.drive();
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.time + duration;
        for _ in 0..1000 {
            let Some(at) = self.client.next_deadline().filter(|at| *at <= end) else { break };
            self.now.time = at.max(self.now.time);
            self.client.timeout(self.now);
            self.drive();
        }
        self.now.time = end;
    }

    fn finish(&mut self) {
        let op = self.client.close(self.now);
        self.ops.insert(op);
        self.drive();
        self.pass(Duration::from_secs(31));
        self.client.timeout(self.now);
        self.drive();
        assert!(self.client.is_done(), "a closed client comes to its end");
        assert!(self.sends.is_empty(), "a send never ended: {:?}", self.sends);
        assert!(self.ops.is_subset(&self.ended), "an operation never ended");
    }
}

fn answer(command: Command) -> Option<Command> {
    Some(match command {
        Command::Connect(_) => {
            CommandConnected { server_version: "fuzz".to_owned(), ..Default::default() }.into()
        }
        Command::PartitionedTopicMetadata(asked) => {
            CommandPartitionedTopicMetadataResponse { request_id: asked.request_id, ..Default::default() }
                .into()
        }
        Command::LookupTopic(asked) => CommandLookupTopicResponse {
            broker_service_url: Some("pulsar://fuzz:6650".to_owned()),
            response: Some(LookupResult::CONNECT),
            request_id: asked.request_id,
            ..Default::default()
        }
        .into(),
        Command::Producer(asked) => CommandProducerSuccess {
            request_id: asked.request_id,
            producer_name: "p".to_owned(),
            last_sequence_id: Some(-1),
            ..Default::default()
        }
        .into(),
        Command::Subscribe(asked) => CommandSuccess { request_id: asked.request_id, schema: None }.into(),
        _ => return None,
    })
}
