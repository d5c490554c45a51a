//! Options of a consumer.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::letters::DeadLetterPolicy;
use super::{KeySharedPolicy, check_blank, key_shared, refuse};
use crate::consumer::{BatchReceivePolicy, RedeliveryBackoff};
use crate::error::Error;
use crate::ids::MessageId;
use crate::many::pattern::RegexSubscriptionMode;
use crate::topic::TopicName;
use crate::wire::{KeySharedMeta, KeySharedMode, SubType};

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
    /// Whether single messages can come again, out of order.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::KeyShared)
    }

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
    /// Messages that may wait to be received: 1000. With 0 one message is asked for when it is wanted.
    pub receiver_queue_size: u32,
    /// Whether the queue begins small and grows to that size as it is used: no.
    pub auto_scaled_receiver_queue_size: bool,
    /// Bytes of payload that may wait to be received: no limit.
    pub receiver_queue_bytes: Option<usize>,
    /// When a batch is handed out.
    pub batch_receive_policy: BatchReceivePolicy,
    /// Whether no messages are asked for until the consumer is resumed: no.
    pub start_paused: bool,
    /// Whether [`Event::Redelivering`](crate::Event::Redelivering) and
    /// [`Event::PartitionsChanged`](crate::Event::PartitionsChanged) are told: no.
    pub tells_interceptors: bool,
    /// How long a consumer may be silent before its broker is asked whether it still serves it: never asked.
    pub watchdog_interval: Option<Duration>,
    /// How long acknowledgements wait to go out together: 100 ms; zero means not at all.
    pub acknowledgment_group_time: Duration,
    /// How many of them go out before that time: 1000.
    pub max_acknowledgment_group_size: u32,
    /// Whether each acknowledgement is confirmed by the broker, and said again until it is: no.
    pub ack_receipt_enabled: bool,
    /// Whether brokers that can are told of acknowledged parts of batches: no.
    pub batch_index_acknowledgment: bool,
    /// When a negatively acknowledged message comes again: after 60 s.
    pub negative_ack_redelivery_delay: Duration,
    /// A delay that grows with every redelivery, in place of it: none.
    pub negative_ack_redelivery_backoff: Option<RedeliveryBackoff>,
    /// How finely negative acknowledgements keep time: to `2^n` ms, late and never early. 8, that is 256 ms; at
    /// most 20. Java's are as fine, and early.
    pub negative_ack_redelivery_delay_precision: u32,
    /// How long the user may have a message before it comes again: zero, that is for ever; at least 1 s.
    pub ack_timeout: Duration,
    /// How finely the ack timeout keeps time: 1 s; at least 100 ms.
    pub ack_timeout_tick_time: Duration,
    /// What is added to the ack timeout, by how often the message has come: nothing.
    pub ack_timeout_redelivery_backoff: Option<RedeliveryBackoff>,
    /// Where messages go that have come too often: nowhere.
    pub dead_letter_policy: Option<DeadLetterPolicy>,
    /// Whether messages can be put off by [`reconsume_later`](crate::Client::reconsume_later): no.
    pub enable_retry: bool,
    /// Who is served first in a shared subscription; 0 is the highest.
    pub priority_level: i32,
    /// What some of the topics have in place of the consumer's own options: nothing. The first that matches counts.
    #[cfg(feature = "many")]
    pub topic_configurations: Vec<(super::TopicMatcher, super::TopicConfiguration)>,
    /// Shown in the broker's statistics.
    pub properties: Vec<(String, String)>,
    /// Messages that may wait in all partitions and topics together: 50,000; each may hold one at least. The shares
    /// of those that are there become smaller as others come, but what they were promised before still comes.
    pub max_total_receiver_queue_size_across_partitions: u32,
    /// Whether partitions that come later are consumed: yes.
    pub auto_update_partitions: bool,
    /// How often it is asked whether there are any: 60 s.
    pub auto_update_partitions_interval: Duration,
    /// How often topics are listed anew for a pattern: 60 s.
    pub pattern_auto_discovery_period: Duration,
    /// Kept with a durable subscription by the consumer that creates it.
    pub subscription_properties: Vec<(String, String)>,
    /// Whether the subscription's place is replicated to other clusters: no.
    pub replicate_subscription_state: bool,
    /// How a key-shared subscription divides its keys: the broker does.
    pub key_shared_policy: KeySharedPolicy,
    /// Of an exclusive subscription, the ranges of keys' hashes that are wanted: all.
    pub key_hash_ranges: Vec<RangeInclusive<u16>>,
    /// Whether only the last message of each key comes, where the topic is compacted: no.
    pub read_compacted: bool,
    /// The largest message that is unpacked or put together from chunks, in bytes, and what all chunks
    /// of messages that are not whole may hold together, of all partitions and topics: 128 MiB, but never less than the largest
    /// message that the broker takes. (Java has no such limit.)
    pub max_uncompressed_size: usize,
    /// Messages that may be gathered from their chunks at a time: 10; zero means any number. One more
    /// gives up the oldest.
    pub max_pending_chunked_message: u32,
    /// Whether the chunks of a message that is given up so are acknowledged: no; they come again.
    pub auto_ack_oldest_chunked_message_on_queue_full: bool,
    /// How long a message's chunks are waited for: 1 minute, then those that came are acknowledged; zero
    /// means for ever.
    pub expire_time_of_incomplete_chunked_message: Duration,
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
            auto_scaled_receiver_queue_size: false,
            receiver_queue_bytes: None,
            batch_receive_policy: BatchReceivePolicy::default(),
            start_paused: false,
            tells_interceptors: false,
            watchdog_interval: None,
            acknowledgment_group_time: Duration::from_millis(100),
            max_acknowledgment_group_size: 1000,
            ack_receipt_enabled: false,
            batch_index_acknowledgment: false,
            negative_ack_redelivery_delay: Duration::from_secs(60),
            negative_ack_redelivery_backoff: None,
            negative_ack_redelivery_delay_precision: 8,
            ack_timeout: Duration::ZERO,
            ack_timeout_tick_time: Duration::from_secs(1),
            ack_timeout_redelivery_backoff: None,
            dead_letter_policy: None,
            enable_retry: false,
            priority_level: 0,
            #[cfg(feature = "many")]
            topic_configurations: Vec::new(),
            properties: Vec::new(),
            max_total_receiver_queue_size_across_partitions: 50_000,
            auto_update_partitions: true,
            auto_update_partitions_interval: Duration::from_secs(60),
            pattern_auto_discovery_period: Duration::from_secs(60),
            subscription_properties: Vec::new(),
            replicate_subscription_state: false,
            key_shared_policy: KeySharedPolicy::default(),
            key_hash_ranges: Vec::new(),
            read_compacted: false,
            max_uncompressed_size: 128 * 1024 * 1024,
            max_pending_chunked_message: 10,
            auto_ack_oldest_chunked_message_on_queue_full: false,
            expire_time_of_incomplete_chunked_message: Duration::from_secs(60),
        }
    }

    /// As Java: the receiver queue holds a batch that is wanted, however small it was meant to be.
    pub(crate) fn make_room_for_batches(&mut self) {
        let batch = self.batch_receive_policy.max_num_messages.unwrap_or(0);
        self.receiver_queue_size = self.receiver_queue_size.max(batch);
    }

    /// Checks all options together.
    ///
    /// # Errors
    /// `InvalidOption`, naming every option that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        self.check(self.topic.is_persistent(), &mut wrong);
        if cfg!(feature = "redelivery") && self.enable_retry {
            self.check_several(&mut wrong);
        }
        refuse(wrong)
    }

    /// Checks all options together, for a consumer of these topics. The topic of the options is not looked at.
    ///
    /// # Errors
    /// `InvalidOption`, naming every option that is out of its range, and every topic that is named twice.
    pub fn validate_topics(&self, topics: &[TopicName]) -> Result<(), Error> {
        let mut wrong = Vec::new();
        if topics.is_empty() {
            wrong.push("a consumer has at least one topic".to_owned());
        }
        for (at, topic) in topics.iter().enumerate() {
            if topics[..at].contains(topic) {
                wrong.push(format!("{topic} is named twice"));
            }
        }
        self.check(topics.iter().all(TopicName::is_persistent), &mut wrong);
        self.check_several(&mut wrong);
        refuse(wrong)
    }

    /// Checks all options together, for a consumer of a pattern. The topic of the options is not looked at.
    ///
    /// # Errors
    /// `InvalidOption`, naming every option that is out of its range.
    pub fn validate_pattern(&self, mode: RegexSubscriptionMode) -> Result<(), Error> {
        let mut wrong = Vec::new();
        if self.enable_retry {
            wrong.push(
                "enable_retry is for topics that are named: a pattern has no retry letter topic".to_owned(),
            );
        }
        self.check(mode != RegexSubscriptionMode::NonPersistentOnly, &mut wrong);
        self.check_several(&mut wrong);
        refuse(wrong)
    }

    /// What topics or partitions that are several do not allow, as in Java: a message is of one of them alone.
    pub(crate) fn check_several(&self, wrong: &mut Vec<String>) {
        if self.receiver_queue_size == 0 {
            wrong.push("receiver_queue_size of several topics or partitions is at least 1".to_owned());
        }
        if self.start_message_id.is_some_and(|id| id != MessageId::EARLIEST && id != MessageId::LATEST) {
            wrong.push("start_message_id of several topics or partitions is EARLIEST or LATEST".to_owned());
        }
    }

    /// Names every option that is out of its range.
    fn check(&self, persistent: bool, wrong: &mut Vec<String>) {
        let names = [("a subscription's name", Some(&self.subscription)), ("name", self.name.as_ref())];
        check_blank(names, &self.properties, wrong);
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
        if self.receiver_queue_size > i32::MAX.unsigned_abs() {
            wrong.push(format!("receiver_queue_size is at most {}", i32::MAX));
        }
        let adapts = self.auto_scaled_receiver_queue_size || self.receiver_queue_bytes.is_some();
        if !cfg!(feature = "notices") && (adapts || self.watchdog_interval.is_some()) {
            wrong.push("queues that adapt and the watchdog are not built in".to_owned());
        }
        if adapts && self.receiver_queue_size == 0 {
            wrong.push(
                "receiver_queue_bytes and auto_scaled_receiver_queue_size need a receiver_queue_size"
                    .to_owned(),
            );
        }
        if self.receiver_queue_bytes == Some(0) {
            wrong.push("receiver_queue_bytes is at least 1".to_owned());
        }
        wrong.extend(self.batch_receive_policy.wrong().map(str::to_owned));
        if self.watchdog_interval.is_some_and(|interval| interval < Duration::from_secs(1)) {
            wrong.push("watchdog_interval is at least 1 s".to_owned());
        }
        if self.negative_ack_redelivery_backoff.is_some_and(|backoff| !backoff.is_sound()) {
            wrong.push(
                "negative_ack_redelivery_backoff goes from 1 ms or more up, times 1 or more".to_owned(),
            );
        }
        if self.negative_ack_redelivery_delay_precision > 20 {
            wrong.push("negative_ack_redelivery_delay_precision is at most 20".to_owned());
        }
        self.check_redelivery(wrong);
        if self.max_acknowledgment_group_size == 0 {
            wrong.push("max_acknowledgment_group_size is at least 1".to_owned());
        }
        if self.priority_level < 0 {
            wrong.push("priority_level is 0 or more".to_owned());
        }
        #[cfg(feature = "many")]
        if self.topic_configurations.iter().any(|(_, configuration)| configuration.priority_level < 0) {
            wrong.push("priority_level of a topic_configuration is 0 or more".to_owned());
        }
        if cfg!(feature = "many") {
            if self.max_total_receiver_queue_size_across_partitions == 0 {
                wrong.push("max_total_receiver_queue_size_across_partitions is at least 1".to_owned());
            }
            for (name, value) in [
                ("auto_update_partitions_interval", self.auto_update_partitions_interval),
                ("pattern_auto_discovery_period", self.pattern_auto_discovery_period),
            ] {
                if value < Duration::from_millis(1) {
                    wrong.push(format!("{name} is at least 1 ms"));
                }
            }
        }
        self.check_subscription(persistent, wrong);
    }

    /// What the feature `redelivery` does.
    fn check_redelivery(&self, wrong: &mut Vec<String>) {
        if !cfg!(feature = "redelivery") {
            let wanted = self.ack_receipt_enabled || self.dead_letter_policy.is_some() || self.enable_retry;
            if wanted || !self.ack_timeout.is_zero() {
                let options = "ack_timeout, ack_receipt_enabled, dead_letter_policy and enable_retry";
                wrong.push(format!("{options} are not built in"));
            }
            return;
        }
        if !self.ack_timeout.is_zero() && self.ack_timeout < Duration::from_secs(1) {
            wrong.push("ack_timeout is at least 1 s".to_owned());
        }
        if self.ack_timeout_tick_time < Duration::from_millis(100) {
            wrong.push("ack_timeout_tick_time is at least 100 ms".to_owned());
        }
        if self.ack_timeout_redelivery_backoff.is_some_and(|backoff| !backoff.is_sound()) {
            wrong
                .push("ack_timeout_redelivery_backoff goes from 1 ms or more up, times 1 or more".to_owned());
        }
        if self.enable_retry && !cfg!(feature = "many") {
            wrong.push("enable_retry needs consumers of several topics, which are not built in".to_owned());
        }
        if self.dead_letter_policy.is_some() || self.enable_retry {
            self.check_letters(wrong);
        }
    }

    /// What goes with some types of subscription only.
    fn check_subscription(&self, persistent: bool, wrong: &mut Vec<String>) {
        use SubscriptionType::{Exclusive, Failover, KeyShared};
        let mut only = |holds: bool, why: &str| {
            if !holds {
                wrong.push(why.to_owned());
            }
        };
        let (kind, durable) = (self.subscription_type, self.subscription_mode == SubscriptionMode::Durable);
        if self.read_compacted {
            only(matches!(kind, Exclusive | Failover), "read_compacted is for exclusive and failover");
            only(persistent, "read_compacted is for persistent topics");
        }
        if self.replicate_subscription_state {
            only(durable, "replicate_subscription_state is for durable subscriptions");
        }
        if self.key_shared_policy != KeySharedPolicy::default() {
            only(kind == KeyShared, "key_shared_policy is for key-shared subscriptions");
        }
        if !self.key_hash_ranges.is_empty() {
            only(kind == Exclusive, "key_hash_ranges are for exclusive subscriptions");
        }
        self.key_shared_policy.check(wrong);
        key_shared::check_ranges("key_hash_ranges", &self.key_hash_ranges, wrong);
    }

    pub(crate) fn key_shared_meta(&self) -> Option<KeySharedMeta> {
        if self.key_shared_policy != KeySharedPolicy::default() {
            return Some(self.key_shared_policy.to_wire());
        }
        (!self.key_hash_ranges.is_empty()).then(|| KeySharedMeta {
            key_shared_mode: KeySharedMode::STICKY,
            hash_ranges: key_shared::hash_ranges(&self.key_hash_ranges),
            allow_out_of_order_delivery: None,
        })
    }
}
