//! Options of a producer.

use std::sync::Arc;
use std::time::Duration;

use pulsewire_proto::{Error, HashingScheme, MessageRoutingMode, Output, ProducerConfig, TopicName};

use super::routing::{RoutedMessage, Router};
use super::{Handle, Producer};
use crate::client::Client;

/// Options of a [`Producer`]. Defaults are those of Java's `ProducerBuilder`.
#[must_use]
pub struct ProducerBuilder {
    client: Client,
    topic: String,
    router: Option<Router>,
    settings: Vec<Setting>,
}

type Setting = Box<dyn FnOnce(&mut ProducerConfig) + Send>;

impl ProducerBuilder {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        Self { client, topic, router: None, settings: Vec::new() }
    }

    fn set(mut self, setting: impl FnOnce(&mut ProducerConfig) + Send + 'static) -> Self {
        self.settings.push(Box::new(setting));
        self
    }

    /// The producer's name. Default: the broker gives one.
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(move |c| c.name = Some(name))
    }

    /// How long a send may take before it fails with `Timeout`; zero means for ever. Default: 30 s,
    /// as Java's `sendTimeout`.
    pub fn send_timeout(self, timeout: Duration) -> Self {
        self.set(move |c| c.send_timeout = timeout)
    }

    /// The sequence id before the first message's, which gets this + 1, as Java's
    /// `initialSequenceId`. Default: the broker's last one.
    pub fn initial_sequence_id(self, sequence_id: u64) -> Self {
        self.set(move |c| c.initial_sequence_id = Some(sequence_id))
    }

    /// Adds a property that the broker's statistics show.
    pub fn property(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let property = (name.into(), value.into());
        self.set(move |c| c.properties.push(property))
    }

    /// Whether messages that are sent close together travel as one entry, stored and dispatched
    /// together. A subscription of the type key-shared wants it off: all of a batch goes where
    /// the key of its first message leads. Default: yes, as Java's `enableBatching`,
    /// unless the feature `batching` is left out.
    pub fn batching(self, batching: bool) -> Self {
        self.set(move |c| c.batching = batching)
    }

    /// Messages that a batch takes, at least 1. Default: 1000, as Java's `batchingMaxMessages`.
    pub fn batching_max_messages(self, messages: u32) -> Self {
        self.set(move |c| c.batching_max_messages = messages)
    }

    /// Bytes that a batch takes, at least 1; a larger message travels alone. Default: 128 KiB, as Java's
    /// `batchingMaxBytes`.
    pub fn batching_max_bytes(self, bytes: u32) -> Self {
        self.set(move |c| c.batching_max_bytes = bytes)
    }

    /// How long the first message of a batch waits for others, at least 1 ms and less than the send
    /// timeout. Default: 1 ms, as Java's `batchingMaxPublishDelay`.
    pub fn batching_max_publish_delay(self, delay: Duration) -> Self {
        self.set(move |c| c.batching_max_publish_delay = delay)
    }

    /// How messages are spread over the partitions of a topic: in turn, or all to one; with a key, by its
    /// hash. Default: in turn, as Java's `messageRoutingMode`.
    pub fn message_routing_mode(self, mode: MessageRoutingMode) -> Self {
        self.set(move |c| c.message_routing_mode = mode)
    }

    /// Chooses the partition of each message, as Java's `messageRouter`: given the message and the number
    /// of partitions, which may grow, it names one from 0 on. What it names in vain fails the send.
    ///
    /// ```
    /// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
    /// let by_size = client.producer("sized").message_router(|message, partitions| {
    ///     message.payload().len() as u32 % partitions
    /// });
    /// by_size.create().await?.send("x").await?;
    /// # Ok(()) }
    /// ```
    pub fn message_router(
        mut self,
        router: impl Fn(&RoutedMessage<'_>, u32) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.router = Some(Arc::new(router));
        self.message_routing_mode(MessageRoutingMode::CustomPartition)
    }

    /// What keys are hashed with to choose a partition. Default: as Java's strings, as Java's
    /// `hashingScheme`.
    pub fn hashing_scheme(self, scheme: HashingScheme) -> Self {
        self.set(move |c| c.hashing_scheme = scheme)
    }

    /// For how many publish delays messages in turn stay with a partition while they are batched, so that
    /// batches fill; at least 1. Default: 10, as Java's
    /// `roundRobinRouterBatchingPartitionSwitchFrequency`.
    pub fn round_robin_router_batching_partition_switch_frequency(self, delays: u32) -> Self {
        self.set(move |c| c.round_robin_router_batching_partition_switch_frequency = delays)
    }

    /// Whether partitions are opened when they are first sent to, but for one. Default: no, as Java's
    /// `enableLazyStartPartitionedProducers`.
    pub fn lazy_start_partitioned_producers(self, enabled: bool) -> Self {
        self.set(move |c| c.lazy_start_partitioned_producers = enabled)
    }

    /// Whether partitions that the topic gets later are sent to. Default: yes, as Java's
    /// `autoUpdatePartitions`.
    pub fn auto_update_partitions(self, enabled: bool) -> Self {
        self.set(move |c| c.auto_update_partitions = enabled)
    }

    /// How often it is asked whether there are more partitions. Default: 60 s, as Java's
    /// `autoUpdatePartitionsInterval`; at least 1 ms.
    pub fn auto_update_partitions_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.auto_update_partitions_interval = interval)
    }

    /// Opens the producer.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption`, what the broker says, or `Timeout`.
    pub async fn create(self) -> Result<Producer, Error> {
        let topic = TopicName::parse(&self.topic)?;
        let mut config = ProducerConfig::new(topic.clone());
        self.settings.into_iter().for_each(|set| set(&mut config));
        // Dropped while it opens, the guard closes what the broker may open.
        let mut guard = Handle { client: self.client.clone(), id: None };
        let slot = &mut guard.id;
        let opened = self.client.operation(|core, now| {
            let (id, op) = core.create_producer(config, now)?;
            *slot = Some(id);
            Ok((id, op))
        });
        let (id, output) = opened.await?;
        let name = match output {
            Output::Producer { name } => name,
            _ => String::new(),
        };
        Ok(Producer { handle: Arc::new(guard), id, topic, name, router: self.router })
    }
}
