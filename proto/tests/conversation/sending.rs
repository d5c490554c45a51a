//! Whatever users, brokers and networks do in whatever order: each send ends exactly once, all go out in order, again
//! as the same bytes, and no memory is kept.
//!
//! The sequences are the same each time. `PULSEWIRE_SEED` tries others; a failure names the shortest that fails.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    BatcherBuilder, ClientConfig, ConnId, ErrorKind, Key, Outgoing, Payload, ProducerConfig, ProducerId,
    SendToken,
};

use crate::talk::*;

/// Of all that waits.
const MEMORY: usize = 20_000;
/// The largest message that the broker takes.
const MAX_MESSAGE: i32 = 700;

#[derive(Debug, Clone)]
enum Step {
    Send {
        size: usize,
        key: Option<u8>,
    },
    Flush,
    /// The broker hears so many frames and confirms them.
    Receipts(usize),
    /// Again what was confirmed last.
    OldReceipt,
    /// One that is not its turn.
    EarlyReceipt(u64),
    Refuse(ServerError),
    Pass(u64),
    Cut,
    /// The broker closes the producer on a socket that lives.
    CloseByBroker,
}

fn step() -> impl Strategy<Value = Step> {
    let errors = [
        ServerError::CHECKSUM_ERROR,
        ServerError::PERSISTENCE_ERROR,
        ServerError::NOT_ALLOWED_ERROR,
        ServerError::UNKNOWN_ERROR,
    ];
    prop_oneof![
        12 => (0..1_500usize, proptest::option::of(0..3u8)).prop_map(|(size, key)| Step::Send { size, key }),
        1 => Just(Step::Flush),
        5 => (1..6usize).prop_map(Step::Receipts),
        1 => Just(Step::OldReceipt),
        1 => (1..9u64).prop_map(Step::EarlyReceipt),
        1 => proptest::sample::select(errors.to_vec()).prop_map(Step::Refuse),
        4 => (0..900u64).prop_map(Step::Pass),
        1 => Just(Step::Cut),
        1 => Just(Step::CloseByBroker),
    ]
}

fn producers() -> impl Strategy<Value = ProducerConfig> {
    let codecs = proptest::sample::select(vec![CompressionType::NONE, CompressionType::LZ4]);
    (0..4u8, codecs, 3..20u32, any::<bool>()).prop_map(|(sort, compression_type, pending, timeout)| {
        ProducerConfig {
            batching: sort == 1 || sort == 2,
            batching_max_messages: 4,
            batcher_builder: if sort == 2 { BatcherBuilder::KeyBased } else { BatcherBuilder::Default },
            chunking_enabled: sort == 3,
            compression_type,
            max_pending_messages: pending,
            send_timeout: if timeout { secs(3) } else { secs(0) },
            ..ProducerConfig::new(topic())
        }
    })
}

/// The broker's side of it, and what must hold.
struct World {
    talk: Talk,
    producer: ProducerId,
    tokens: Vec<SendToken>,
    /// Frames that were heard on this connection and have no receipt, by their sequence ids.
    unconfirmed: Vec<u64>,
    last_receipt: Option<u64>,
    /// Each frame as it was first heard: by sequence id and chunk.
    frames: BTreeMap<(u64, Option<i32>), Bytes>,
    /// What was heard last on a connection since the producer was opened there.
    last_heard: Option<(u64, Option<i32>)>,
}

impl World {
    fn new(config: ProducerConfig) -> Self {
        let client = ClientConfig { memory_limit: MEMORY, operation_timeout: secs(60), ..config_of_client() };
        let mut talk = Talk::with(client);
        let (producer, _) = talk.client.create_producer(config, talk.now).expect("options");
        let mut world = Self {
            talk,
            producer,
            tokens: Vec::new(),
            unconfirmed: Vec::new(),
            last_receipt: None,
            frames: BTreeMap::new(),
            last_heard: None,
        };
        world.hear();
        world
    }

    fn line(&self) -> Option<ConnId> {
        self.talk.lines().first().map(|(conn, _)| *conn)
    }

    /// The broker answers everything but sends, which it only takes down.
    fn hear(&mut self) {
        loop {
            while let Some((conn, endpoint)) = self.talk.asked() {
                self.talk.line(conn, &endpoint);
            }
            let Some(conn) = self.line() else { return };
            let Some((command, frame)) = self.talk.heard(conn) else { return };
            match command {
                Command::Connect(_) => self.talk.say(conn, connected(MAX_MESSAGE)),
                Command::PartitionedTopicMetadata(c) => self.talk.say(conn, partitions(c.request_id, 0)),
                Command::LookupTopic(c) => self.talk.say(conn, serves(c.request_id, BROKER)),
                Command::Producer(c) => {
                    self.unconfirmed.clear();
                    self.last_heard = None;
                    self.talk.say(conn, producer_success(c.request_id, "p", -1));
                }
                Command::CloseProducer(c) => self.talk.say(conn, success(c.request_id)),
                Command::Ping(_) => self.talk.say(conn, CommandPong::default()),
                Command::Send(send) => self.heard(&send, frame.entry),
                _ => {}
            }
        }
    }

    fn heard(&mut self, send: &CommandSend, entry: Bytes) {
        let parsed = entry::Entry::parse(&entry).expect("an entry");
        let chunk = MessageMetadata::decode(&parsed.metadata).expect("metadata").chunk_id;
        let at = (send.highest_sequence_id.unwrap_or(send.sequence_id).max(send.sequence_id), chunk);
        assert!(self.last_heard < Some(at), "{at:?} went out after {:?}", self.last_heard);
        self.last_heard = Some(at);
        let first = self.frames.entry(at).or_insert_with(|| entry.clone());
        assert!(*first == entry, "{at:?} went out as other bytes");
        self.unconfirmed.push(send.sequence_id);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Send { size, key } => {
                let payload = vec![*size as u8; *size];
                let key = key.map(|key| format!("k{key}"));
                let message = Outgoing {
                    payload: Some(Payload::Slice(&payload)),
                    key: key.as_deref().map(Key::Text),
                    ..Default::default()
                };
                match self.talk.client.send(self.producer, &message, self.talk.now) {
                    Ok(token) => self.tokens.push(token),
                    Err(error) => {
                        let full = [
                            ErrorKind::QueueFull,
                            ErrorKind::MemoryLimitExceeded,
                            ErrorKind::MessageTooLarge,
                        ];
                        assert!(full.contains(&error.kind()), "{error}");
                    }
                }
            }
            Step::Flush => drop(self.talk.client.flush(self.producer, self.talk.now)),
            Step::Pass(time) => self.talk.pass(ms(*time)),
            Step::Cut => {
                if let Some(conn) = self.line() {
                    self.talk.cut(conn);
                }
            }
            Step::CloseByBroker => {
                let close = CommandCloseProducer { producer_id: self.producer.0, ..Default::default() };
                self.say(close);
            }
            Step::Receipts(most) => {
                self.hear();
                for sequence_id in
                    self.unconfirmed.drain(..(*most).min(self.unconfirmed.len())).collect::<Vec<_>>()
                {
                    self.last_receipt = Some(sequence_id);
                    self.say(receipt(self.producer, sequence_id));
                }
            }
            Step::OldReceipt => {
                if let Some(last) = self.last_receipt.filter(|last| !self.unconfirmed.contains(last)) {
                    self.say(receipt(self.producer, last));
                }
            }
            Step::EarlyReceipt(ahead) => {
                if let Some(last) = self.last_heard {
                    self.say(receipt(self.producer, last.0 + ahead));
                }
            }
            Step::Refuse(error) => {
                self.hear();
                if !self.unconfirmed.is_empty() {
                    let sequence_id = self.unconfirmed.remove(0);
                    // What was damaged on its way, or may pass, goes out again from there.
                    self.last_heard = None;
                    let (producer_id, error, message) = (self.producer.0, *error, "no".to_owned());
                    self.say(CommandSendError { producer_id, sequence_id, error, message });
                }
            }
        }
        self.hear();
    }

    fn say(&mut self, command: impl Into<Command>) {
        if let Some(conn) = self.line() {
            self.talk.say(conn, command);
        }
    }

    /// The broker is well again and confirms all; then the producer is closed.
    fn end(mut self, close: bool) {
        let op = close.then(|| self.talk.client.close_producer(self.producer, self.talk.now));
        for _ in 0..200 {
            self.step(&Step::Receipts(usize::MAX));
            self.talk.pass(ms(100));
        }
        let ended = self.talk.all_settled().len();
        assert_eq!(ended, self.tokens.len(), "each send ends");
        // Confirmed in the order of sending.
        let stored =
            self.talk.all_settled().iter().filter_map(|((_, token), end)| Some((*token, end.as_ref().ok()?)));
        let stored: Vec<_> = stored.collect();
        assert!(stored.windows(2).all(|two| two[0].0 < two[1].0));
        match op {
            Some(op) => drop(self.talk.ended(op).expect("closed")),
            None => drop(self.talk.client.close_producer(self.producer, self.talk.now)),
        }
        self.hear();
        // While anything waits, a message as large as the limit is refused.
        let config =
            ProducerConfig { chunking_enabled: true, batching: false, ..ProducerConfig::new(topic()) };
        let (last, _) = self.talk.client.create_producer(config, self.talk.now).expect("options");
        self.hear();
        self.talk.try_send(last, &[0; MEMORY]).expect("no memory is kept");
    }
}

fn config_of_client() -> ClientConfig {
    config(BROKER)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "whoever runs the test names the seed")]
fn p07_whatever_happens_each_send_ends_once_and_goes_out_in_order_as_it_was() {
    let seed = std::env::var("PULSEWIRE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let steps = (producers(), vec(step(), 0..120), any::<bool>());
    let ran = runner.run(&steps, |(producer, steps, close)| {
        let mut world = World::new(producer);
        for step in &steps {
            world.step(step);
        }
        world.end(close);
        Ok(())
    });
    if let Err(failed) = ran {
        panic!("with the seed {seed}: {failed}");
    }
}
