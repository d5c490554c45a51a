//! Options of a consumer.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{KeySharedPolicy, key_shared, refuse};
use crate::consumer::RedeliveryBackoff;
use crate::error::Error;
use crate::ids::MessageId;
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
    /// The largest message that is unpacked or put together from chunks, in bytes, and what all chunks
    /// of messages that are not whole may hold together: 128 MiB, but never less than the largest
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
            max_uncompressed_size: 128 * 1024 * 1024,
            max_pending_chunked_message: 10,
            auto_ack_oldest_chunked_message_on_queue_full: false,
            expire_time_of_incomplete_chunked_message: Duration::from_secs(60),
            subscription_properties: Vec::new(),
            replicate_subscription_state: false,
            key_shared_policy: KeySharedPolicy::default(),
            key_hash_ranges: Vec::new(),
            read_compacted: false,
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
        self.check_subscription(&mut wrong);
        refuse(wrong)
    }

    /// What goes with some types of subscription only.
    fn check_subscription(&self, wrong: &mut Vec<String>) {
        use SubscriptionType::{Exclusive, Failover, KeyShared};
        let mut only = |holds: bool, why: &str| {
            if !holds {
                wrong.push(why.to_owned());
            }
        };
        let (kind, durable) = (self.subscription_type, self.subscription_mode == SubscriptionMode::Durable);
        if self.read_compacted {
            only(matches!(kind, Exclusive | Failover), "read_compacted is for exclusive and failover");
            only(self.topic.is_persistent(), "read_compacted is for persistent topics");
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
