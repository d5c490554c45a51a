//! The host of a client under test, and the voice of the brokers that it talks to.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::entry::{Checksum, Entry, encode_broker_metadata, encode_entry};
use pulsewire_proto::wire::frame::{FrameDecoder, RawFrame, encode_command, encode_with_entry};
use pulsewire_proto::wire::{self, *};
use pulsewire_proto::{
    Action, Client, ClientConfig, ConnId, ConnectionState, ConsumerConfig, ConsumerId, Error, ErrorKind,
    Event, Message, MessageId, Now, OpId, Outgoing, Output, Payload, ProducerConfig, ProducerId, SendOutcome,
    SendToken, ServiceUrl, Time, TopicName,
};

pub(crate) const TOPIC: &str = "persistent://public/default/t";
pub(crate) const BROKER: &str = "pulsar://broker:6650";

/// What the client said next on a connection, which must be the command named.
macro_rules! hear {
    ($talk:expr, $conn:expr, $name:ident) => {
        match $talk.hear($conn) {
            (::pulsewire_proto::wire::Command::$name(command), _) => command,
            (other, _) => panic!("expected {}, heard {other:?}", stringify!($name)),
        }
    };
}

/// A SEND as the broker sees it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) command: CommandSend,
    pub(crate) metadata: MessageMetadata,
    pub(crate) payload: Bytes,
    /// The frame as it stood on the wire.
    pub(crate) frame: RawFrame,
}

struct Line {
    endpoint: String,
    decoder: FrameDecoder,
    heard: VecDeque<RawFrame>,
}

pub(crate) struct Talk {
    pub(crate) client: Client,
    pub(crate) now: Now,
    asked: VecDeque<(ConnId, String)>,
    lines: BTreeMap<ConnId, Line>,
    hung_up: VecDeque<(ConnId, String)>,
    ended: BTreeMap<OpId, Result<Output, Error>>,
    pub(crate) sent: VecDeque<SendOutcome>,
    settled: BTreeMap<(ProducerId, SendToken), Result<MessageId, Error>>,
    events: VecDeque<Event>,
    pub(crate) states: Vec<(String, ConnectionState)>,
}

pub(crate) fn topic() -> TopicName {
    TopicName::parse(TOPIC).expect("a topic")
}

/// A producer whose messages go out at once, one by one.
pub(crate) fn unbatched() -> ProducerConfig {
    ProducerConfig { batching: false, ..ProducerConfig::new(topic()) }
}

pub(crate) fn config(url: &str) -> ClientConfig {
    ClientConfig::new(ServiceUrl::parse(url).expect("a URL"))
}

/// A consumer whose acknowledgements go out one by one.
pub(crate) fn ungrouped() -> ConsumerConfig {
    ConsumerConfig {
        acknowledgment_group_time: Duration::ZERO,
        // So that little time needs to pass.
        negative_ack_redelivery_delay_precision: 3,
        ..ConsumerConfig::new(topic(), "s")
    }
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::Disconnected, "the cable was cut")
}

impl Talk {
    pub(crate) fn new() -> Self {
        Self::with(config(BROKER))
    }

    pub(crate) fn with(config: ClientConfig) -> Self {
        Self {
            client: Client::new(config, 7).expect("a client"),
            now: Now { time: Time::from_micros(5_000_000), wall_ms: 1_700_000_000_000 },
            asked: VecDeque::new(),
            lines: BTreeMap::new(),
            hung_up: VecDeque::new(),
            ended: BTreeMap::new(),
            sent: VecDeque::new(),
            settled: BTreeMap::new(),
            events: VecDeque::new(),
            states: Vec::new(),
        }
    }

    /// Does with the client what a host does, in the order that its documentation asks for.
    pub(crate) fn pump(&mut self) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Connect { conn, endpoint } => self.asked.push_back((conn, endpoint.to_string())),
                Action::Disconnect { conn, reason } => {
                    self.asked.retain(|(asked, _)| *asked != conn);
                    self.lines.remove(&conn);
                    self.hung_up.push_back((conn, reason));
                }
            }
        }
        for (&conn, line) in &mut self.lines {
            let mut out = VecDeque::new();
            let wanted = self.client.wants_transmit(conn);
            self.client.poll_transmit(conn, &mut out);
            assert!(wanted || out.is_empty(), "wants_transmit knows of all that poll_transmit gives");
            for segment in out {
                assert!(!segment.is_empty());
                line.decoder.push(segment);
                while let Some(frame) = line.decoder.next_frame().expect("frames of the client") {
                    line.heard.push_back(frame);
                }
            }
        }
        while let Some(outcome) = self.client.poll_sent() {
            let key = (outcome.producer, outcome.token);
            let before = self.settled.insert(key, outcome.result.clone());
            assert_eq!(before, None, "{key:?} ended twice");
            self.sent.push_back(outcome);
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Completed { op, result } => {
                    assert_eq!(self.ended.insert(op, result), None, "{op:?} ended twice");
                }
                Event::Connection { endpoint, state } => self.states.push((endpoint.to_string(), state)),
                event => self.events.push_back(event),
            }
        }
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.time + duration;
        let wall = self.now.wall_ms + duration.as_millis() as u64;
        for _ in 0..100_000 {
            self.pump();
            match self.client.next_deadline().filter(|at| *at <= end) {
                Some(at) => {
                    self.now.time = at.max(self.now.time);
                    self.client.timeout(self.now);
                }
                None => {
                    self.now = Now { time: end, wall_ms: wall };
                    return self.pump();
                }
            }
        }
        panic!("the deadlines never end");
    }

    // ---- connections ----

    /// A connection was asked for: where to.
    pub(crate) fn asked(&mut self) -> Option<(ConnId, String)> {
        self.pump();
        self.asked.pop_front()
    }

    /// Answers the next request for a connection, which must lead to `endpoint`; the handshake stays open.
    pub(crate) fn answer(&mut self, endpoint: &str) -> ConnId {
        let (conn, to) = self.asked().unwrap_or_else(|| panic!("no connection to {endpoint} was asked for"));
        assert_eq!(to, endpoint);
        self.line(conn, &to);
        conn
    }

    /// The socket is open.
    pub(crate) fn line(&mut self, conn: ConnId, endpoint: &str) {
        let decoder = FrameDecoder::new(usize::MAX - 4);
        let line = Line { endpoint: endpoint.to_owned(), decoder, heard: VecDeque::new() };
        self.lines.insert(conn, line);
        self.client.connected(conn, self.now);
        self.pump();
    }

    /// Answers it and goes through the handshake.
    pub(crate) fn accept(&mut self, endpoint: &str) -> ConnId {
        self.accept_with(endpoint, DEFAULT_MAX_MESSAGE_SIZE as i32)
    }

    pub(crate) fn accept_with(&mut self, endpoint: &str, max_message_size: i32) -> ConnId {
        let conn = self.answer(endpoint);
        hear!(self, conn, Connect);
        self.say(conn, connected(max_message_size));
        conn
    }

    /// The connection could not be opened.
    pub(crate) fn refuse(&mut self, endpoint: &str) {
        let (conn, to) = self.asked().unwrap_or_else(|| panic!("no connection to {endpoint} was asked for"));
        assert_eq!(to, endpoint);
        self.client.closed(conn, Error::new(ErrorKind::Connect, "connection refused"), self.now);
        self.pump();
    }

    /// The connection breaks.
    pub(crate) fn cut(&mut self, conn: ConnId) {
        self.pump();
        self.lines.remove(&conn).unwrap_or_else(|| panic!("{conn:?} is not open"));
        self.client.closed(conn, lost(), self.now);
        self.pump();
    }

    /// The client gave the connection up: the reason it names.
    pub(crate) fn hung_up(&mut self, conn: ConnId) -> String {
        self.pump();
        match self.hung_up.pop_front() {
            Some((on, reason)) if on == conn => reason,
            other => panic!("{conn:?} was not given up: {other:?}"),
        }
    }

    pub(crate) fn is_open(&self, conn: ConnId) -> bool {
        self.lines.contains_key(&conn)
    }

    pub(crate) fn lines(&self) -> Vec<(ConnId, String)> {
        self.lines.iter().map(|(conn, line)| (*conn, line.endpoint.clone())).collect()
    }

    // ---- words ----

    /// The broker says a command.
    pub(crate) fn say(&mut self, conn: ConnId, command: impl Into<Command>) {
        self.say_bytes(conn, frame(command));
    }

    pub(crate) fn say_bytes(&mut self, conn: ConnId, bytes: impl Into<Bytes>) {
        self.client.received(conn, bytes.into(), self.now);
        self.pump();
    }

    /// What the client said next.
    pub(crate) fn hear(&mut self, conn: ConnId) -> (Command, RawFrame) {
        self.heard(conn).unwrap_or_else(|| panic!("nothing was said on {conn:?}"))
    }

    pub(crate) fn heard(&mut self, conn: ConnId) -> Option<(Command, RawFrame)> {
        self.pump();
        let frame = self.lines.get_mut(&conn)?.heard.pop_front()?;
        Some((frame.decode().expect("a command of the client"), frame))
    }

    /// A SEND, whole and right.
    pub(crate) fn hear_send(&mut self, conn: ConnId) -> Heard {
        let (command, frame) = self.hear(conn);
        let Command::Send(command) = command else { panic!("expected Send, heard {command:?}") };
        let entry = Entry::parse(&frame.entry).expect("an entry");
        assert_eq!(entry.checksum, Checksum::Right);
        let metadata = MessageMetadata::decode(&entry.metadata).expect("metadata");
        assert_eq!(metadata.sequence_id, command.sequence_id);
        Heard { command, metadata, payload: entry.payload, frame }
    }

    /// Nothing more was said.
    pub(crate) fn quiet(&mut self, conn: ConnId) {
        let heard = self.heard(conn);
        assert_eq!(heard, None, "on {conn:?}");
    }

    // ---- the user ----

    /// How an operation ended, which it must have.
    pub(crate) fn ended(&mut self, op: OpId) -> Result<Output, Error> {
        self.ended_yet(op).unwrap_or_else(|| panic!("{op:?} has not ended"))
    }

    pub(crate) fn ended_yet(&mut self, op: OpId) -> Option<Result<Output, Error>> {
        self.pump();
        self.ended.get(&op).cloned()
    }

    pub(crate) fn all_ended(&self) -> &BTreeMap<OpId, Result<Output, Error>> {
        &self.ended
    }

    pub(crate) fn all_settled(&self) -> &BTreeMap<(ProducerId, SendToken), Result<MessageId, Error>> {
        &self.settled
    }

    pub(crate) fn event(&mut self) -> Option<Event> {
        self.pump();
        self.events.pop_front()
    }

    pub(crate) fn send(&mut self, producer: ProducerId, payload: &[u8]) -> SendToken {
        self.try_send(producer, payload).expect("a send")
    }

    pub(crate) fn try_send(&mut self, producer: ProducerId, payload: &[u8]) -> Result<SendToken, Error> {
        let message = Outgoing { payload: Some(Payload::Slice(payload)), ..Default::default() };
        self.client.send(producer, &message, self.now)
    }

    /// How the next send ended.
    pub(crate) fn outcome(&mut self) -> Option<(SendToken, Result<MessageId, ErrorKind>)> {
        self.pump();
        self.sent.pop_front().map(|o| (o.token, o.result.map_err(|e| e.kind())))
    }

    /// Takes all messages that wait and reports them as delivered, one by one.
    pub(crate) fn receive(&mut self, consumer: ConsumerId) -> Vec<Result<Message, Error>> {
        let mut taken = Vec::new();
        while let Some(message) = self.client.take(consumer).expect("an open consumer") {
            if message.is_ok() {
                self.client.delivered(consumer, 1);
            }
            taken.push(message);
        }
        self.pump();
        taken
    }

    /// The payloads of all messages that wait.
    pub(crate) fn payloads(&mut self, consumer: ConsumerId) -> Vec<String> {
        self.receive(consumer).into_iter().map(|m| payload(&m.expect("a message"))).collect()
    }

    // ---- whole passages ----

    /// Answers the two questions that precede the opening on the broker that serves the topic.
    pub(crate) fn locate(&mut self, conn: ConnId) {
        let asked = hear!(self, conn, PartitionedTopicMetadata);
        self.say(conn, partitions(asked.request_id, 0));
        self.locate_again(conn);
    }

    /// Answers the lookup of a later opening.
    pub(crate) fn locate_again(&mut self, conn: ConnId) {
        let asked = hear!(self, conn, LookupTopic);
        self.say(conn, serves(asked.request_id, BROKER));
    }

    /// A producer, open on the only broker.
    pub(crate) fn producer(&mut self) -> (ProducerId, ConnId) {
        self.producer_with(unbatched())
    }

    pub(crate) fn producer_with(&mut self, config: ProducerConfig) -> (ProducerId, ConnId) {
        let (id, op) = self.client.create_producer(config, self.now).expect("options");
        let conn = self.connection();
        self.locate(conn);
        let open = hear!(self, conn, Producer);
        self.say(conn, producer_success(open.request_id, "p", -1));
        self.ended(op).expect("a producer");
        (id, conn)
    }

    /// A consumer, open on the only broker; its first FLOW is heard already.
    pub(crate) fn consumer(&mut self) -> (ConsumerId, ConnId) {
        self.consumer_with(ungrouped())
    }

    pub(crate) fn consumer_with(&mut self, config: ConsumerConfig) -> (ConsumerId, ConnId) {
        let queue = config.receiver_queue_size;
        let (id, op) = self.client.subscribe(config, self.now).expect("options");
        let conn = self.connection();
        self.locate(conn);
        let open = hear!(self, conn, Subscribe);
        self.say(conn, success(open.request_id));
        self.ended(op).expect("a consumer");
        assert_eq!(hear!(self, conn, Flow).message_permits, queue);
        (id, conn)
    }

    /// The connection to the only broker, which is accepted if it is asked for.
    fn connection(&mut self) -> ConnId {
        self.pump();
        if self.asked.is_empty() {
            return *self.lines.keys().next_back().expect("a connection");
        }
        self.accept(BROKER)
    }

    /// After a loss: waits out the backoff and answers the new connection and lookup.
    pub(crate) fn come_back(&mut self) -> ConnId {
        self.pass(ms(100));
        let conn = self.connection();
        self.locate_again(conn);
        conn
    }

    pub(crate) fn receipt(&mut self, conn: ConnId, producer: ProducerId, sequence_id: u64) {
        self.say(conn, receipt(producer, sequence_id));
    }

    /// The broker delivers an entry of one message.
    pub(crate) fn deliver(&mut self, conn: ConnId, consumer: ConsumerId, entry_id: u64, payload: &str) {
        self.say_bytes(conn, delivery(consumer, entry_id, &[], &single(payload)));
    }
}

// ---- what brokers say ----

pub(crate) fn frame(command: impl Into<Command>) -> Bytes {
    let mut out = BytesMut::new();
    encode_command(&command.into(), &mut out);
    out.freeze()
}

pub(crate) fn connected(max_message_size: i32) -> CommandConnected {
    CommandConnected {
        server_version: "scripted".to_owned(),
        protocol_version: Some(PROTOCOL_VERSION),
        max_message_size: Some(max_message_size),
        feature_flags: None,
    }
}

pub(crate) fn partitions(request_id: u64, n: u32) -> CommandPartitionedTopicMetadataResponse {
    CommandPartitionedTopicMetadataResponse {
        partitions: Some(n),
        request_id,
        response: Some(PartitionedMetadataResult::SUCCESS),
        ..Default::default()
    }
}

pub(crate) fn serves(request_id: u64, url: &str) -> CommandLookupTopicResponse {
    CommandLookupTopicResponse {
        request_id,
        broker_service_url: Some(url.to_owned()),
        response: Some(LookupResult::CONNECT),
        authoritative: Some(true),
        ..Default::default()
    }
}

pub(crate) fn producer_success(request_id: u64, name: &str, last: i64) -> CommandProducerSuccess {
    CommandProducerSuccess {
        request_id,
        producer_name: name.to_owned(),
        last_sequence_id: Some(last),
        schema_version: Some(Bytes::new()),
        producer_ready: Some(true),
        ..Default::default()
    }
}

pub(crate) fn success(request_id: u64) -> CommandSuccess {
    CommandSuccess { request_id, schema: None }
}

pub(crate) fn failure(request_id: u64, error: ServerError) -> CommandError {
    CommandError { request_id, error, message: "the script says so".to_owned() }
}

pub(crate) fn receipt(producer: ProducerId, sequence_id: u64) -> CommandSendReceipt {
    let message_id =
        MessageIdData { ledger_id: 3, entry_id: sequence_id, partition: Some(-1), ..Default::default() };
    CommandSendReceipt {
        producer_id: producer.0,
        sequence_id,
        message_id: Some(message_id),
        highest_sequence_id: None,
    }
}

pub(crate) fn metadata() -> MessageMetadata {
    MessageMetadata {
        producer_name: "elsewhere".to_owned(),
        sequence_id: 0,
        publish_time: 1_700_000_000_000,
        ..Default::default()
    }
}

/// An entry of one message.
pub(crate) fn single(payload: &str) -> Bytes {
    entry_of(&metadata(), payload.as_bytes())
}

pub(crate) fn entry_of(metadata: &MessageMetadata, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    encode_entry(metadata, payload, &mut out);
    out.freeze()
}

/// The payload of a batch; those whose payload is `None` are compacted out.
pub(crate) fn batch_payload(payloads: &[Option<&str>]) -> Bytes {
    let mut out = BytesMut::new();
    for payload in payloads {
        let mut single =
            SingleMessageMetadata { compacted_out: payload.is_none().then_some(true), ..Default::default() };
        wire::batch::push(&mut out, &mut single, &Bytes::from(payload.unwrap_or("").to_owned()));
    }
    out.freeze()
}

/// An entry that is a batch, as brokers hand it out: with their own metadata in front.
pub(crate) fn batch(payloads: &[Option<&str>]) -> Bytes {
    let mut out = BytesMut::new();
    encode_broker_metadata(
        &BrokerEntryMetadata { broker_timestamp: Some(9), index: Some(100 + payloads.len() as u64 - 1) },
        &mut out,
    );
    let metadata = MessageMetadata { num_messages_in_batch: Some(payloads.len() as i32), ..metadata() };
    encode_entry(&metadata, &batch_payload(payloads), &mut out);
    out.freeze()
}

/// A MESSAGE frame.
pub(crate) fn delivery(consumer: ConsumerId, entry_id: u64, ack_set: &[i64], entry: &[u8]) -> Bytes {
    redelivery(consumer, entry_id, 0, ack_set, entry)
}

/// A MESSAGE frame of an entry that has come before.
pub(crate) fn redelivery(
    consumer: ConsumerId,
    entry_id: u64,
    count: u32,
    ack_set: &[i64],
    entry: &[u8],
) -> Bytes {
    let command = CommandMessage {
        consumer_id: consumer.0,
        message_id: MessageIdData { ledger_id: 3, entry_id, partition: Some(-1), ..Default::default() },
        redelivery_count: Some(count),
        ack_set: ack_set.to_vec(),
        consumer_epoch: None,
    };
    let mut out = BytesMut::new();
    encode_with_entry(&command.into(), entry, &mut out);
    out.freeze()
}

pub(crate) fn payload(message: &Message) -> String {
    String::from_utf8(message.payload().to_vec()).expect("text")
}

/// The kind of an error, of anything that failed.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("a failure").kind()
}
