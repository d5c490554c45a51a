//! Options of a producer.

use std::time::Duration;

use super::{check_blank, refuse};
use crate::compression;
use crate::error::Error;
use crate::many::hash::HashingScheme;
use crate::many::router::MessageRoutingMode;
use crate::producer::ProducerAccessMode;
use crate::topic::TopicName;
use crate::wire::CompressionType;

/// The largest sequence id: brokers and Java have signed ones.
pub(crate) const MAX_SEQUENCE_ID: u64 = i64::MAX.unsigned_abs();

/// Options of a producer. Defaults are those of Java's `ProducerBuilder`.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// The topic.
    pub topic: TopicName,
    /// The producer's name; the broker gives one when it is not set.
    pub name: Option<String>,
    /// How long a send may take before it fails: 30 s; zero means for ever.
    pub send_timeout: Duration,
    /// Who else may publish to the topic: anyone.
    pub access_mode: ProducerAccessMode,
    /// Messages that may be pending: any number, which is 0.
    pub max_pending_messages: u32,
    /// Messages that may be pending in all partitions together: any number, which is 0; not less than
    /// `max_pending_messages`. Each partition has its equal share, which is at least 1.
    pub max_pending_messages_across_partitions: u32,
    /// The sequence id before the first message's, in place of the broker's last one; at most 2^63 - 1.
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
    /// How messages are spread over partitions: in turn.
    pub message_routing_mode: MessageRoutingMode,
    /// What keys are hashed with to choose a partition: as Java's strings.
    pub hashing_scheme: HashingScheme,
    /// For how many publish delays messages in turn stay with a partition while they are batched: 10;
    /// at least 1.
    pub round_robin_router_batching_partition_switch_frequency: u32,
    /// Whether partitions are opened when they are first sent to: no.
    pub lazy_start_partitioned_producers: bool,
    /// Whether partitions that come later are sent to: yes.
    pub auto_update_partitions: bool,
    /// How often it is asked whether there are any: 60 s.
    pub auto_update_partitions_interval: Duration,
    /// What a batch is made of: messages as they come.
    pub batcher_builder: BatcherBuilder,
    /// The codec of payloads: none. A batch is packed as a whole.
    pub compression_type: CompressionType,
    /// Whether a message that is larger than the broker takes travels in chunks: no. It excludes batching.
    pub chunking_enabled: bool,
    /// What a chunk has at most, in bytes: 0, which means what the broker takes; at most 2^31 - 1.
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
            access_mode: ProducerAccessMode::Shared,
            max_pending_messages: 0,
            max_pending_messages_across_partitions: 0,
            initial_sequence_id: None,
            properties: Vec::new(),
            batching: cfg!(feature = "batching"),
            batching_max_messages: 1000,
            batching_max_bytes: 128 * 1024,
            batching_max_publish_delay: Duration::from_millis(1),
            message_routing_mode: MessageRoutingMode::RoundRobinPartition,
            hashing_scheme: HashingScheme::JavaStringHash,
            round_robin_router_batching_partition_switch_frequency: 10,
            lazy_start_partitioned_producers: false,
            auto_update_partitions: true,
            auto_update_partitions_interval: Duration::from_secs(60),
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
        let subscription = self.initial_subscription_name.as_ref();
        let names = [("name", self.name.as_ref()), ("initial_subscription_name", subscription)];
        check_blank(names, &self.properties, &mut wrong);
        if self.initial_sequence_id.is_some_and(|id| id > MAX_SEQUENCE_ID) {
            wrong.push(format!("initial_sequence_id is at most {MAX_SEQUENCE_ID}"));
        }
        let across = self.max_pending_messages_across_partitions;
        if across > 0 && across < self.max_pending_messages {
            wrong.push(
                "max_pending_messages_across_partitions is not less than max_pending_messages".to_owned(),
            );
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
        if cfg!(feature = "chunking") && self.chunk_max_message_size > i32::MAX.unsigned_abs() {
            wrong.push(format!("chunk_max_message_size is at most {}", i32::MAX));
        }
        if cfg!(feature = "batching") {
            self.validate_batching(&mut wrong);
        } else if self.batching {
            wrong.push("batching is left out of this build".to_owned());
        }
        if cfg!(feature = "many") {
            if self.round_robin_router_batching_partition_switch_frequency == 0 {
                wrong.push("round_robin_router_batching_partition_switch_frequency is at least 1".to_owned());
            }
            if self.message_routing_mode == MessageRoutingMode::PartialRoundRobinPartition(0) {
                wrong.push(
                    "message_routing_mode PartialRoundRobinPartition goes round at least 1 partition"
                        .to_owned(),
                );
            }
            if self.auto_update_partitions_interval < Duration::from_millis(1) {
                wrong.push("auto_update_partitions_interval is at least 1 ms".to_owned());
            }
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
