//! Options, with the Java client's defaults.

use std::time::Duration;

use bytes::Bytes;

use crate::consumer::RedeliveryBackoff;
use crate::error::{Error, ErrorKind};
use crate::ids::MessageId;
use crate::service_url::ServiceUrl;
use crate::topic::TopicName;
use crate::wire::SubType;

/// Options of a client. Defaults are those of Java's `ClientBuilder`.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where to begin.
    pub service_url: ServiceUrl,
    /// How long an operation other than a send may take: 30 s.
    pub operation_timeout: Duration,
    /// How long a connection may take to open, its handshake included: 10 s.
    pub connection_timeout: Duration,
    /// How often a quiet connection is asked whether it is alive: 30 s. After two of them without a
    /// byte it counts as lost.
    pub keep_alive_interval: Duration,
    /// The first delay before something is tried again: 100 ms.
    pub initial_backoff: Duration,
    /// The longest delay: 60 s.
    pub max_backoff: Duration,
    /// Redirects that one lookup may follow: 20.
    pub max_lookup_redirects: u32,
    /// Bytes of messages that may wait for their receipts, in all producers together: 64 MiB.
    pub memory_limit: usize,
    /// The advertised listener to ask brokers for.
    pub listener_name: Option<String>,
    /// What the broker shows as this client's version.
    pub client_version: String,
    /// What CONNECT carries to authenticate.
    pub authentication: Option<Authentication>,
}

/// Credentials that do not change: a token, for example.
#[derive(Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The method's name on the wire: `token`, `basic`, ...
    pub method: String,
    /// Its data.
    pub data: Bytes,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authentication({}, hidden)", self.method)
    }
}

impl ClientConfig {
    /// The defaults, for `service_url`.
    #[must_use]
    pub fn new(service_url: ServiceUrl) -> Self {
        Self {
            service_url,
            operation_timeout: Duration::from_secs(30),
            connection_timeout: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(30),
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(60),
            max_lookup_redirects: 20,
            memory_limit: 64 * 1024 * 1024,
            listener_name: None,
            client_version: concat!("pulsewire-", env!("CARGO_PKG_VERSION")).to_owned(),
            authentication: None,
        }
    }

    /// Checks all options together.
    ///
    /// # Errors
    /// `InvalidOption`, naming every option that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        for (name, value) in [
            ("operation_timeout", self.operation_timeout),
            ("connection_timeout", self.connection_timeout),
            ("keep_alive_interval", self.keep_alive_interval),
            ("initial_backoff", self.initial_backoff),
        ] {
            if value < Duration::from_millis(1) {
                wrong.push(format!("{name} is at least 1 ms"));
            }
        }
        if self.max_backoff < self.initial_backoff {
            wrong.push("max_backoff is at least initial_backoff".to_owned());
        }
        if self.memory_limit == 0 {
            wrong.push("memory_limit is at least 1 byte".to_owned());
        }
        refuse(wrong)
    }
}

/// Options of a producer. Defaults are those of Java's `ProducerBuilder`.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// The topic.
    pub topic: TopicName,
    /// The producer's name; the broker gives one when it is not set.
    pub name: Option<String>,
    /// How long a send may take before it fails: 30 s; zero means for ever.
    pub send_timeout: Duration,
    /// The sequence id before the first message's, in place of the broker's last one.
    pub initial_sequence_id: Option<u64>,
    /// Shown in the broker's statistics.
    pub properties: Vec<(String, String)>,
    /// Whether messages that are sent close together travel as one entry: yes, where the feature
    /// `batching` is built in.
    pub batching: bool,
    /// Messages that a batch takes: 1000; at least 1.
    pub batching_max_messages: u32,
    /// Bytes that a batch takes: 128 KiB; at least 1. A larger message travels alone.
    pub batching_max_bytes: u32,
    /// How long the first message of a batch waits for others: 1 ms, which is the least.
    pub batching_max_publish_delay: Duration,
}

impl ProducerConfig {
    /// The defaults, for `topic`.
    #[must_use]
    pub fn new(topic: TopicName) -> Self {
        Self {
            topic,
            name: None,
            send_timeout: Duration::from_secs(30),
            initial_sequence_id: None,
            properties: Vec::new(),
            batching: cfg!(feature = "batching"),
            batching_max_messages: 1000,
            batching_max_bytes: 128 * 1024,
            batching_max_publish_delay: Duration::from_millis(1),
        }
    }

    /// Checks all options together.
    ///
    /// # Errors
    /// `InvalidOption`, naming every option that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        if self.name.as_ref().is_some_and(String::is_empty) {
            wrong.push("a producer's name is not empty".to_owned());
        }
        if cfg!(feature = "batching") {
            self.validate_batching(&mut wrong);
        } else if self.batching {
            wrong.push("batching is left out of this build".to_owned());
        }
        refuse(wrong)
    }

    fn validate_batching(&self, wrong: &mut Vec<String>) {
        if self.batching_max_messages == 0 {
            wrong.push("batching_max_messages is at least 1".to_owned());
        }
        if self.batching_max_bytes == 0 {
            wrong.push("batching_max_bytes is at least 1".to_owned());
        }
        if self.batching_max_publish_delay < Duration::from_millis(1) {
            wrong.push("batching_max_publish_delay is at least 1 ms".to_owned());
        }
        let limited = self.batching && !self.send_timeout.is_zero();
        if limited && self.batching_max_publish_delay >= self.send_timeout {
            wrong.push("batching_max_publish_delay is less than send_timeout".to_owned());
        }
    }
}

/// How a subscription shares its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubscriptionType {
    /// One consumer. The default, as in Java.
    #[default]
    Exclusive,
    /// Any number, each message to one of them.
    Shared,
    /// One is active, the others wait.
    Failover,
    /// Any number, messages of one key to one of them.
    KeyShared,
}

impl SubscriptionType {
    pub(crate) fn to_wire(self) -> SubType {
        match self {
            Self::Exclusive => SubType::EXCLUSIVE,
            Self::Shared => SubType::SHARED,
            Self::Failover => SubType::FAILOVER,
            Self::KeyShared => SubType::KEY_SHARED,
        }
    }
}

/// Where a subscription begins that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitialPosition {
    /// After the last message. The default, as in Java.
    #[default]
    Latest,
    /// At the first message that is still there.
    Earliest,
}

/// Whether the broker keeps a subscription's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubscriptionMode {
    /// It does. The default, as in Java.
    #[default]
    Durable,
    /// It forgets the subscription with its last consumer.
    NonDurable,
}

/// Options of a consumer. Defaults are those of Java's `ConsumerBuilder`.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// The topic.
    pub topic: TopicName,
    /// The subscription.
    pub subscription: String,
    /// How the subscription shares its messages: exclusive.
    pub subscription_type: SubscriptionType,
    /// Where a new subscription begins: latest.
    pub initial_position: InitialPosition,
    /// Whether the broker keeps the subscription's place: durable.
    pub subscription_mode: SubscriptionMode,
    /// Where a non-durable subscription begins: after this message.
    pub start_message_id: Option<MessageId>,
    /// Whether the start message, or the message of a seek, comes too: no.
    pub start_message_id_inclusive: bool,
    /// How far back in time a new subscription begins, in whole seconds; zero: as the other options say.
    pub start_message_rollback: Duration,
    /// The consumer's name; a random one when it is not set.
    pub name: Option<String>,
    /// Messages that may wait to be received: 1000; at least 1.
    pub receiver_queue_size: u32,
    /// How long acknowledgements wait to go out together: 100 ms; zero means not at all.
    pub acknowledgment_group_time: Duration,
    /// How many of them go out before that time: 1000.
    pub max_acknowledgment_group_size: u32,
    /// Whether brokers that can are told of acknowledged parts of batches: no.
    pub batch_index_acknowledgment: bool,
    /// When a negatively acknowledged message comes again: after 60 s.
    pub negative_ack_redelivery_delay: Duration,
    /// A delay that grows with every redelivery, in place of it: none.
    pub negative_ack_redelivery_backoff: Option<RedeliveryBackoff>,
    /// Who is served first in a shared subscription; 0 is the highest.
    pub priority_level: i32,
    /// Shown in the broker's statistics.
    pub properties: Vec<(String, String)>,
}

impl ConsumerConfig {
    /// The defaults, for `subscription` of `topic`.
    #[must_use]
    pub fn new(topic: TopicName, subscription: impl Into<String>) -> Self {
        Self {
            topic,
            subscription: subscription.into(),
            subscription_type: SubscriptionType::Exclusive,
            initial_position: InitialPosition::Latest,
            subscription_mode: SubscriptionMode::Durable,
            start_message_id: None,
            start_message_id_inclusive: false,
            start_message_rollback: Duration::ZERO,
            name: None,
            receiver_queue_size: 1000,
            acknowledgment_group_time: Duration::from_millis(100),
            max_acknowledgment_group_size: 1000,
            batch_index_acknowledgment: false,
            negative_ack_redelivery_delay: Duration::from_secs(60),
            negative_ack_redelivery_backoff: None,
            priority_level: 0,
            properties: Vec::new(),
        }
    }

    /// Checks all options together.
    ///
    /// # Errors
    /// `InvalidOption`, naming every option that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        if self.subscription.is_empty() {
            wrong.push("a subscription's name is not empty".to_owned());
        }
        if self.start_message_id.is_some() {
            if self.subscription_mode == SubscriptionMode::Durable {
                wrong.push("start_message_id is for non-durable subscriptions".to_owned());
            }
            if !self.start_message_rollback.is_zero() {
                wrong.push("start_message_id and start_message_rollback exclude each other".to_owned());
            }
        }
        if !self.start_message_rollback.is_zero() && self.start_message_rollback < Duration::from_secs(1) {
            wrong.push("start_message_rollback is at least 1 s".to_owned());
        }
        if self.receiver_queue_size == 0 {
            wrong.push("receiver_queue_size is at least 1".to_owned());
        }
        if self.negative_ack_redelivery_backoff.is_some_and(|backoff| !backoff.is_sound()) {
            wrong.push(
                "negative_ack_redelivery_backoff goes from 1 ms or more up, times 1 or more".to_owned(),
            );
        }
        if self.max_acknowledgment_group_size == 0 {
            wrong.push("max_acknowledgment_group_size is at least 1".to_owned());
        }
        if self.priority_level < 0 {
            wrong.push("priority_level is 0 or more".to_owned());
        }
        refuse(wrong)
    }
}

fn refuse(wrong: Vec<String>) -> Result<(), Error> {
    if wrong.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::InvalidOption, wrong.join("; "))) }
}
