//! A broker inside a test: no server, no port, nothing to install (feature `testing`).
//!
//! It is pulsewire's embedded broker; clients speak Pulsar's protocol to it through memory, natively and
//! in WebAssembly.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), pulsewire::Error> {
//! use std::time::Duration;
//! use pulsewire::{ServerError, SubscriptionType, testing::TestBroker};
//!
//! let broker = TestBroker::start()?;
//! let client = broker.client()?;
//! let producer = client.producer("orders").create().await?;
//! let consumer =
//!     client.consumer("orders", "kitchen").subscription_type(SubscriptionType::Shared).subscribe().await?;
//!
//! // What is stored can be looked at.
//! let id = producer.send("one coffee").await?;
//! let stored = broker.messages("orders")?;
//! assert_eq!((stored[0].id, &stored[0].payload[..]), (id, &b"one coffee"[..]));
//! consumer.acknowledge(&consumer.receive().await?)?;
//!
//! // Sends can be made to fail, and connections to break.
//! broker.fail_next_send(ServerError::NOT_ALLOWED_ERROR)?;
//! assert_eq!(producer.send("two teas").await.unwrap_err().code(), "NotAllowed");
//! assert!(broker.disconnect(|_| true) > 0);
//! producer.send("two teas").await?;
//! assert_eq!(consumer.receive().await?.payload(), b"two teas");
//!
//! // An hour is over at once.
//! producer.new_message().payload("one cake").deliver_after(Duration::from_secs(3600)).send().await?;
//! broker.advance(Duration::from_secs(3600));
//! assert_eq!(consumer.receive().await?.payload(), b"one cake");
//! # Ok(()) }
//! ```
//!
//! # Time
//! The broker's clock is the host's, put forward by [`TestBroker::advance`]: delayed delivery, TTL,
//! retention and the delay of failover run by it. Clients keep the host's time: their own timers (send
//! and operation timeouts, ack timeouts, delays of negative acknowledgements, backoff) do not move with
//! `advance`; give them short times. Natively both sides run by tokio's clock, so that `tokio::time::pause`
//! and `tokio::time::advance` move both.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pulsewire_broker::testing::{Harness, TestError};
use pulsewire_broker::{BrokerConfig, ConnId, core};
use pulsewire_proto::{Error, ErrorKind};
use pulsewire_transport::memory::MemoryConnector;

use crate::runtime::Spawner;
use crate::{Client, ClientBuilder, CompressionType, MessageId, ServerError};

mod pump;

pub use pulsewire_broker::core::ConnectionInfo;
pub use pulsewire_broker::testing::SubscriptionInfo;
pub(crate) use pump::Network;

use pump::{Pump, Shared};

const HOST: &str = "test-broker";
const PORT: u16 = 6650;
/// Bytes under way in one direction of a connection.
const CAPACITY: usize = 1 << 20;

/// A broker of one test. It ends when it is dropped, as by [`TestBroker::stop`].
#[derive(Debug)]
pub struct TestBroker {
    shared: Arc<Shared>,
    network: MemoryConnector,
}

/// Options of a [`TestBroker`].
#[derive(Debug, Clone)]
#[must_use]
pub struct TestBrokerBuilder {
    config: BrokerConfig,
}

impl TestBrokerBuilder {
    /// Whether topics come into being when a client first uses them. Default: yes.
    pub fn auto_create_topics(mut self, allowed: bool) -> Self {
        self.config.auto_create_topics = allowed;
        self
    }

    /// With how many partitions such topics are made; 0, the default, makes them without. Up to 1000.
    pub fn default_partitions(mut self, partitions: u32) -> Self {
        self.config.default_partitions = partitions;
        self
    }

    /// Whether messages whose sequence id was stored before are dropped. Default: no.
    pub fn deduplication(mut self, on: bool) -> Self {
        self.config.deduplication = on;
        self
    }

    /// The largest message, in bytes, from 1 KiB to 64 MiB. Default: 5 MiB.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.config.max_message_size = bytes;
        self
    }

    /// Bytes of messages that it holds, at least 1 KiB. Default: 64 MiB. Beyond it, what all subscriptions
    /// have consumed goes first. Then the broker answers a send with `PersistenceError` and closes its
    /// producer, and refuses to open it again with `ProducerBlockedQuotaExceeded`, until there is room: the
    /// latter is what a send fails with.
    pub fn max_stored_bytes(mut self, bytes: usize) -> Self {
        self.config.max_stored_bytes = bytes;
        self
    }

    /// Starts it. Natively this must be called inside a tokio runtime, on which it then runs.
    ///
    /// # Errors
    /// `InvalidOption` with all that is wrong, or `NotSupported` outside of a runtime.
    pub fn start(mut self) -> Result<TestBroker, Error> {
        let mut wrong = Vec::new();
        if self.config.default_partitions > 1000 {
            wrong.push("default_partitions is at most 1000");
        }
        if !(1 << 10..=64 << 20).contains(&self.config.max_message_size) {
            wrong.push("max_message_size is from 1 KiB to 64 MiB");
        }
        if self.config.max_stored_bytes < 1 << 10 {
            wrong.push("max_stored_bytes is at least 1 KiB");
        }
        if !wrong.is_empty() {
            return Err(Error::new(ErrorKind::InvalidOption, wrong.join("; ")));
        }
        self.config.service_url = format!("pulsar://{HOST}:{PORT}");
        let network = MemoryConnector::new(CAPACITY);
        let listener = network
            .listen(HOST, PORT)
            .map_err(|error| Error::new(ErrorKind::NotSupported, error.message().to_owned()))?;
        let shared = Arc::new(Shared::new(Harness::new(self.config)));
        Spawner::new()?.spawn(Pump::new(shared.clone(), listener));
        Ok(TestBroker { shared, network })
    }
}

impl TestBroker {
    /// Starts a broker without topics; see [`TestBrokerBuilder::start`].
    ///
    /// # Errors
    /// `NotSupported` outside of a runtime.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Starts with the defaults.
    pub fn builder() -> TestBrokerBuilder {
        TestBrokerBuilder { config: Harness::config() }
    }

    /// A client of this broker.
    ///
    /// # Errors
    /// `NotSupported` outside of a runtime, `AlreadyClosed` after [`stop`](Self::stop).
    pub fn client(&self) -> Result<Client, Error> {
        self.client_builder().build()
    }

    /// Prepares a client of this broker; it cannot be built after [`stop`](Self::stop).
    pub fn client_builder(&self) -> ClientBuilder {
        let network = Network { connector: self.network.clone(), shared: self.shared.clone() };
        Client::builder(format!("pulsar://{HOST}:{PORT}")).in_memory(network)
    }

    /// The time, as the broker sees it: milliseconds since the Unix epoch.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        let now = self.shared.now();
        self.shared.lock().harness.wall_ms(now)
    }

    /// Puts the broker's clock forward. What falls due on the way happens on the way, in its order. 100
    /// years in all at most: beyond them, time stands.
    pub fn advance(&self, by: Duration) {
        self.shared.order(|harness, now| harness.advance(by, now));
    }

    /// Lets sends fail: by an error of the broker, or as a [`SendFailure`] says. What the client makes of
    /// it is what it makes of a real broker's answer: `NOT_ALLOWED_ERROR` fails that send alone,
    /// `TOPIC_TERMINATED_ERROR` ends the producer, and all others pass with time, so the client connects
    /// anew and sends again until its send timeout. Nothing of a send that fails is stored.
    ///
    /// # Errors
    /// `InvalidOption`, `InvalidTopicName`, or `NOT_ALLOWED_ERROR` when 1000 plans wait already.
    pub fn fail_next_send(&self, failure: impl Into<SendFailure>) -> Result<(), Error> {
        let SendFailure { error, message, topic, times } = failure.into();
        if times == 0 {
            return Err(Error::new(ErrorKind::InvalidOption, "times is at least 1"));
        }
        let topic = topic.as_deref().map(core::names::TopicName::parse).transpose();
        let topic = topic.map_err(|message| Error::new(ErrorKind::InvalidTopicName, message))?;
        let failure = core::SendFailure { error, message, topic, times };
        self.shared.order_running(|harness, _| harness.fail_sends(failure))
    }

    /// The connections that stand now; none after [`stop`](Self::stop).
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.shared.inquire(Harness::connections).unwrap_or_default()
    }

    /// Cuts the connections that are chosen, as a network does that breaks; answers how many. Clients
    /// connect anew.
    pub fn disconnect(&self, mut chosen: impl FnMut(&ConnectionInfo) -> bool) -> usize {
        // Not under the lock: it is the user's code.
        let connections: Vec<_> = self.connections().into_iter().filter(|info| chosen(info)).collect();
        self.shared.order(|harness, now| {
            connections.iter().filter(|info| harness.disconnect(ConnId(info.id), now)).count()
        })
    }

    /// Whether new connections are taken from now on. Together with [`disconnect`](Self::disconnect): an
    /// outage, until it is set to `true` again.
    pub fn set_reachable(&self, reachable: bool) {
        self.shared.order(|harness, _| harness.set_reachable(reachable));
    }

    /// Makes a topic, with 0 partitions one without. Its namespace has to be there, as `public/default` is.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption` above 1000 partitions, `TOPIC_NOT_FOUND` when its namespace is not
    /// there, or `NOT_ALLOWED_ERROR` when it is there already, or is named as a partition of a topic that
    /// does not have it.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), Error> {
        if partitions > 1000 {
            return Err(Error::new(ErrorKind::InvalidOption, "partitions is at most 1000"));
        }
        self.shared.order_running(|harness, now| harness.create_topic(topic, partitions, now))
    }

    /// Deletes a topic with its subscriptions; its producers and consumers are sent away.
    ///
    /// # Errors
    /// `InvalidTopicName`, `TOPIC_NOT_FOUND`.
    pub fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        self.shared.order_running(|harness, now| harness.delete_topic(topic, now))
    }

    /// Sets after what time the subscriptions of a topic pass over a message: whole seconds, rounded up;
    /// zero is never. It is looked for once in a second, so advance a second more.
    ///
    /// # Errors
    /// `InvalidTopicName`, `TOPIC_NOT_FOUND`.
    pub fn set_message_ttl(&self, topic: &str, ttl: Duration) -> Result<(), Error> {
        let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
        self.shared.order_running(|harness, now| harness.set_message_ttl(topic, seconds, now))
    }

    /// Full names of all topics, in order; one with partitions is named once. None after [`stop`](Self::stop).
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.shared.inquire(Harness::topics).unwrap_or_default()
    }

    /// How many partitions a topic has; 0 when it has none.
    ///
    /// # Errors
    /// `InvalidTopicName`, `TOPIC_NOT_FOUND`, `AlreadyClosed` after [`stop`](Self::stop).
    pub fn partitions(&self, topic: &str) -> Result<u32, Error> {
        self.shared.inquire_running(|harness| harness.partitions(topic))
    }

    /// The messages that a topic stores, in order; of a partitioned topic, those of one partition after
    /// the other. What all subscriptions have acknowledged is stored until room is needed.
    ///
    /// # Errors
    /// `InvalidTopicName`, `TOPIC_NOT_FOUND`, `AlreadyClosed` after [`stop`](Self::stop).
    pub fn messages(&self, topic: &str) -> Result<Vec<StoredMessage>, Error> {
        let found = self.shared.inquire_running(|harness| harness.messages(topic))?;
        Ok(found.into_iter().map(StoredMessage::from).collect())
    }

    /// The subscriptions of a topic, with their backlogs, by name. A client sends acknowledgements in groups,
    /// so a message may still count right after it was acknowledged: wait until the backlog is what it should
    /// be, or close the consumer, which sends what is left.
    ///
    /// # Errors
    /// `InvalidTopicName`, `TOPIC_NOT_FOUND`, `AlreadyClosed` after [`stop`](Self::stop).
    pub fn subscriptions(&self, topic: &str) -> Result<Vec<SubscriptionInfo>, Error> {
        self.shared.inquire_running(|harness| harness.subscriptions(topic))
    }

    /// Ends it: its clients are closed, so that what they are asked from now on fails with `AlreadyClosed`;
    /// what was under way may fail so, too. All of the broker's own that can fail fails with `AlreadyClosed`,
    /// and it has neither topics nor connections any more.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// How sends fail; see [`TestBroker::fail_next_send`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SendFailure {
    error: Option<ServerError>,
    message: String,
    topic: Option<String>,
    times: u32,
}

impl SendFailure {
    /// The broker answers with an error.
    pub fn new(error: ServerError) -> Self {
        Self { error: Some(error), message: "failed by the test".to_owned(), topic: None, times: 1 }
    }

    /// The broker does not answer: the send runs into its timeout.
    pub fn unanswered() -> Self {
        Self { error: None, ..Self::new(ServerError::UNKNOWN_ERROR) }
    }

    /// What the error says.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Only sends to this topic. Default: to any topic.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// How many sends fail, at least 1. Default: 1. A batch is one send.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

impl From<ServerError> for SendFailure {
    fn from(error: ServerError) -> Self {
        Self::new(error)
    }
}

/// A message that a [`TestBroker`] stores.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its id: the one that a send answers with and that consumers see.
    pub id: MessageId,
    /// The full name of the topic; of a partitioned topic, the partition.
    pub topic: String,
    /// The payload. While `compression` or `encrypted` is set: as it was sent, a batch unopened.
    pub payload: Bytes,
    /// The message has no value (a tombstone).
    pub null_value: bool,
    /// The key; base64 when `key_is_base64`.
    pub key: Option<String>,
    /// Whether the key was given as bytes.
    pub key_is_base64: bool,
    /// What chooses the consumer of a key-shared subscription in place of the key.
    pub ordering_key: Option<Bytes>,
    /// Names and values.
    pub properties: Vec<(String, String)>,
    /// The name of the producer that sent it.
    pub producer_name: String,
    /// Its number at its producer.
    pub sequence_id: u64,
    /// When it was sent, by the client's clock: milliseconds since the Unix epoch.
    pub publish_time: u64,
    /// When it was stored, by the broker's clock.
    pub stored_time: u64,
    /// The application's own time of the event.
    pub event_time: Option<u64>,
    /// It is not delivered earlier, by the broker's clock.
    pub deliver_at: Option<u64>,
    /// The codec of a payload that is packed.
    pub compression: CompressionType,
    /// Whether the payload is encrypted.
    pub encrypted: bool,
}

impl From<core::StoredMessage> for StoredMessage {
    fn from(stored: core::StoredMessage) -> Self {
        let id = MessageId {
            ledger_id: stored.ledger_id,
            entry_id: stored.entry_id,
            partition: stored.partition,
            batch_index: stored.batch_index,
            batch_size: stored.batch_size,
            first_chunk: None,
        };
        Self {
            id,
            topic: stored.topic,
            payload: stored.payload,
            null_value: stored.null_value,
            key: stored.key,
            key_is_base64: stored.key_is_base64,
            ordering_key: stored.ordering_key,
            properties: stored.properties,
            producer_name: stored.producer_name,
            sequence_id: stored.sequence_id,
            publish_time: stored.publish_time,
            stored_time: stored.stored_time,
            event_time: Some(stored.event_time).filter(|at| *at != 0),
            deliver_at: Some(stored.deliver_at).filter(|at| *at != 0),
            compression: stored.compression,
            encrypted: stored.encrypted,
        }
    }
}

fn refused(error: TestError) -> Error {
    let kind = match error.code {
        ServerError::INVALID_TOPIC_NAME => ErrorKind::InvalidTopicName,
        code => ErrorKind::Broker(code),
    };
    Error::new(kind, error.message)
}
