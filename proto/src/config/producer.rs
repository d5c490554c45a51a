//! Options of a producer.

use std::time::Duration;

use super::refuse;
use crate::error::Error;
use crate::many::hash::HashingScheme;
use crate::many::router::MessageRoutingMode;
use crate::topic::TopicName;

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
            message_routing_mode: MessageRoutingMode::RoundRobinPartition,
            hashing_scheme: HashingScheme::JavaStringHash,
            round_robin_router_batching_partition_switch_frequency: 10,
            lazy_start_partitioned_producers: false,
            auto_update_partitions: true,
            auto_update_partitions_interval: Duration::from_secs(60),
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
        if cfg!(feature = "many") {
            if self.round_robin_router_batching_partition_switch_frequency == 0 {
                wrong.push("round_robin_router_batching_partition_switch_frequency is at least 1".to_owned());
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
