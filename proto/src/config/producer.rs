//! Options of a producer.

use std::time::Duration;

use super::refuse;
use crate::compression;
use crate::error::Error;
use crate::topic::TopicName;
use crate::wire::CompressionType;

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
    /// What a batch is made of: messages as they come.
    pub batcher_builder: BatcherBuilder,
    /// The codec of payloads: none. A batch is packed as a whole.
    pub compression_type: CompressionType,
    /// Whether a message that is larger than the broker takes travels in chunks: no. It excludes batching.
    pub chunking_enabled: bool,
    /// What a chunk has at most, in bytes: 0, which means what the broker takes.
    pub chunk_max_message_size: u32,
    /// A subscription that is made with the topic, where the producer is the first that comes: none.
    pub initial_subscription_name: Option<String>,
}

/// What the batches of a producer are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatcherBuilder {
    /// Messages as they come. Subscriptions dispatch all of a batch by the key of its first message.
    #[default]
    Default,
    /// Messages of one key, or ordering key: what subscriptions of the type key-shared want.
    KeyBased,
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
            batcher_builder: BatcherBuilder::Default,
            compression_type: CompressionType::NONE,
            chunking_enabled: false,
            chunk_max_message_size: 0,
            initial_subscription_name: None,
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
        if self.initial_subscription_name.as_ref().is_some_and(String::is_empty) {
            wrong.push("initial_subscription_name is not empty".to_owned());
        }
        if self.compression_type != CompressionType::NONE && !compression::is_built_in(self.compression_type)
        {
            let codec = compression::name(self.compression_type);
            wrong.push(format!("compression_type {codec} is left out of this build"));
        }
        if self.chunking_enabled {
            if !cfg!(feature = "chunking") {
                wrong.push("chunking is left out of this build".to_owned());
            }
            if self.batching {
                wrong.push("chunking_enabled and batching exclude each other".to_owned());
            }
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
