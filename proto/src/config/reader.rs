//! Options of a reader.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ConsumerConfig, SubscriptionMode, check_blank, refuse};
use crate::error::Error;
use crate::ids::MessageId;
use crate::topic::TopicName;

/// Options of a reader; the defaults are those of Java's `ReaderBuilder`.
#[derive(Debug, Clone)]
pub struct ReaderConfig {
    /// The topic.
    pub topic: TopicName,
    /// Where it starts: after this message, or at [`MessageId::EARLIEST`] or [`MessageId::LATEST`].
    pub start_message_id: Option<MessageId>,
    /// Whether the start message comes too: no.
    pub start_message_id_inclusive: bool,
    /// How far back in time it starts, in whole seconds, in place of a message.
    pub start_message_rollback: Duration,
    /// The reader's name, which the broker's statistics show; a random one when it is not set.
    pub name: Option<String>,
    /// The name of its subscription, in place of one that is made up.
    pub subscription: Option<String>,
    /// What a made-up name of its subscription begins with, for brokers that grant by it.
    pub subscription_role_prefix: Option<String>,
    /// Messages that may wait to be read: 1000. With 0 one message is asked for when it is wanted.
    pub receiver_queue_size: u32,
    /// Whether only the last message of each key comes, where the topic is compacted: no.
    pub read_compacted: bool,
    /// Only messages whose key's hash is in one of these ranges come: all.
    pub key_hash_ranges: Vec<RangeInclusive<u16>>,
    /// Shown in the broker's statistics.
    pub properties: Vec<(String, String)>,
    /// Whether partitions that come later are read: yes.
    pub auto_update_partitions: bool,
    /// How often it is asked whether there are more partitions: every 60 s.
    pub auto_update_partitions_interval: Duration,
    /// Messages that may be gathered from their chunks at a time: 10; zero means any number.
    pub max_pending_chunked_message: u32,
    /// Whether the chunks of a message that is given up for newer ones are done with: no.
    pub auto_ack_oldest_chunked_message_on_queue_full: bool,
    /// How long a message's chunks are waited for: 1 minute; zero means for ever.
    pub expire_time_of_incomplete_chunked_message: Duration,
    /// Whether [`Event::PartitionsChanged`](crate::Event::PartitionsChanged) is told: no.
    pub tells_interceptors: bool,
}

impl ReaderConfig {
    /// The defaults, for `topic`.
    #[must_use]
    pub fn new(topic: TopicName) -> Self {
        Self {
            topic,
            start_message_id: None,
            start_message_id_inclusive: false,
            start_message_rollback: Duration::ZERO,
            name: None,
            subscription: None,
            subscription_role_prefix: None,
            receiver_queue_size: 1000,
            read_compacted: false,
            key_hash_ranges: Vec::new(),
            properties: Vec::new(),
            auto_update_partitions: true,
            auto_update_partitions_interval: Duration::from_secs(60),
            max_pending_chunked_message: 10,
            auto_ack_oldest_chunked_message_on_queue_full: false,
            expire_time_of_incomplete_chunked_message: Duration::from_secs(60),
            tells_interceptors: false,
        }
    }

    /// Checks all options together.
    ///
    /// # Errors
    /// `InvalidOption`, naming all that is wrong.
    pub fn validate(&self) -> Result<(), Error> {
        self.check(self.to_consumer(0).validate())
    }

    /// Checks all options together, for a reader of these topics. The topic of the options is not looked at.
    ///
    /// # Errors
    /// `InvalidOption`, naming all that is wrong, and every topic that is named twice.
    pub fn validate_topics(&self, topics: &[TopicName]) -> Result<(), Error> {
        self.check(self.to_consumer(0).validate_topics(topics))
    }

    fn check(&self, consumer: Result<(), Error>) -> Result<(), Error> {
        let mut wrong = Vec::new();
        check_blank([("subscription_role_prefix", self.subscription_role_prefix.as_ref())], &[], &mut wrong);
        if self.start_message_id.is_none() && self.start_message_rollback.is_zero() {
            wrong.push("a reader starts at start_message_id or start_message_rollback".to_owned());
        }
        if self.subscription.is_some() && self.subscription_role_prefix.is_some() {
            wrong.push("subscription and subscription_role_prefix exclude each other".to_owned());
        }
        if let Err(error) = consumer {
            wrong.push(error.to_string());
        }
        refuse(wrong)
    }

    /// The consumer that reads; `random` goes into its subscription's name.
    pub(crate) fn to_consumer(&self, random: u64) -> ConsumerConfig {
        let made_up = || {
            let name = format!("reader-{:010x}", random & 0xff_ffff_ffff);
            self.subscription_role_prefix.as_ref().map_or(name.clone(), |prefix| format!("{prefix}-{name}"))
        };
        let subscription = self.subscription.clone().unwrap_or_else(made_up);
        ConsumerConfig {
            subscription_mode: SubscriptionMode::NonDurable,
            start_message_id: self.start_message_id,
            start_message_id_inclusive: self.start_message_id_inclusive,
            start_message_rollback: self.start_message_rollback,
            name: self.name.clone(),
            receiver_queue_size: self.receiver_queue_size,
            read_compacted: self.read_compacted,
            key_hash_ranges: self.key_hash_ranges.clone(),
            properties: self.properties.clone(),
            auto_update_partitions: self.auto_update_partitions,
            auto_update_partitions_interval: self.auto_update_partitions_interval,
            max_pending_chunked_message: self.max_pending_chunked_message,
            auto_ack_oldest_chunked_message_on_queue_full: self.auto_ack_oldest_chunked_message_on_queue_full,
            expire_time_of_incomplete_chunked_message: self.expire_time_of_incomplete_chunked_message,
            tells_interceptors: self.tells_interceptors,
            ..ConsumerConfig::new(self.topic.clone(), subscription)
        }
    }
}
