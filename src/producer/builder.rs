//! Options of a producer.

use std::sync::Arc;
use std::time::Duration;

use pulsewire_proto::wire::CompressionType;
use pulsewire_proto::{
    BatcherBuilder, Error, ErrorKind, HashingScheme, MessageRoutingMode, Output, ProducerAccessMode,
    ProducerConfig, TopicName,
};

use super::routing::{RoutedMessage, Router};
use super::{Handle, Interceptors, Producer, ProducerInterceptor};
use crate::client::Client;
use crate::waiters::PendingSends;

/// Options of a [`Producer`]. Defaults are those of Java's `ProducerBuilder`.
#[must_use]
pub struct ProducerBuilder {
    client: Client,
    topic: String,
    router: Option<Router>,
    settings: Vec<Setting>,
    interceptors: Vec<Box<dyn ProducerInterceptor>>,
}

type Setting = Box<dyn FnOnce(&mut ProducerConfig) + Send>;

impl ProducerBuilder {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        Self { client, topic, router: None, settings: Vec::new(), interceptors: Vec::new() }
    }

    fn set(mut self, setting: impl FnOnce(&mut ProducerConfig) + Send + 'static) -> Self {
        self.settings.push(Box::new(setting));
        self
    }

    /// The producer's name, which is not blank. Default: the broker gives one, as Java's `producerName`.
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
    /// `initialSequenceId`. Default: the broker's last one; at most 2^63 - 1.
    pub fn initial_sequence_id(self, sequence_id: u64) -> Self {
        self.set(move |c| c.initial_sequence_id = Some(sequence_id))
    }

    /// Adds a property that the broker's statistics show; its name is not blank. Default: none, as Java's
    /// `property`.
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

    /// What batches are made of. Default: messages as they come, as Java's `batcherBuilder`; for
    /// subscriptions of the type key-shared [`BatcherBuilder::KeyBased`] makes one batch for each key.
    pub fn batcher_builder(self, batcher: BatcherBuilder) -> Self {
        self.set(move |c| c.batcher_builder = batcher)
    }

    /// The codec of payloads: [`CompressionType::LZ4`], `ZLIB`, `ZSTD` or `SNAPPY`, each unless the feature of
    /// its name is left out. A batch is packed as a whole; what brokers limit is the packed size.
    /// Default: none, as Java's `compressionType`.
    ///
    /// ```
    /// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
    /// use pulsewire::CompressionType;
    /// let producer = client.producer("news").compression_type(CompressionType::ZSTD).create().await?;
    /// producer.send("long text ".repeat(100)).await?;
    /// # Ok(()) }
    /// ```
    pub fn compression_type(self, codec: CompressionType) -> Self {
        self.set(move |c| c.compression_type = codec)
    }

    /// Whether a message that is larger than the broker takes, packed or not, travels in chunks, which consumers
    /// put together again. It excludes [batching](Self::batching), which must be switched off; on
    /// non-persistent topics it does nothing. Default: no, as Java's `enableChunking`.
    ///
    /// ```
    /// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
    /// let producer = client.producer("films").batching(false).chunking_enabled(true).create().await?;
    /// let id = producer.send(vec![0; 30 << 20]).await?;
    /// assert!(id.first_chunk.is_some());
    /// # Ok(()) }
    /// ```
    pub fn chunking_enabled(self, chunking: bool) -> Self {
        self.set(move |c| c.chunking_enabled = chunking)
    }

    /// What a chunk has at most, in bytes, and at most 2^31 - 1. Default: 0, which means as much as the broker takes, as Java's
    /// `chunkMaxMessageSize` of -1.
    pub fn chunk_max_message_size(self, bytes: u32) -> Self {
        self.set(move |c| c.chunk_max_message_size = bytes)
    }

    /// A durable subscription that is made, at the first message, where this producer is the first that comes to
    /// the topic; not blank. Default: none, as Java's `initialSubscriptionName`.
    pub fn initial_subscription_name(self, subscription: impl Into<String>) -> Self {
        let subscription = subscription.into();
        self.set(move |c| c.initial_subscription_name = Some(subscription))
    }

    /// How messages are spread over the partitions of a topic: in turn, or all to one; with a key, by its
    /// hash. Default: in turn, as Java's `messageRoutingMode`. `CustomPartition` is said by
    /// [`message_router`](Self::message_router), and means nothing without it: it is refused then.
    ///
    /// Many small producers need not be open on all partitions each:
    /// ```
    /// # use pulsewire::MessageRoutingMode;
    /// # fn build(client: pulsewire::Client) -> pulsewire::ProducerBuilder {
    /// client
    ///     .producer("of-100-partitions")
    ///     .message_routing_mode(MessageRoutingMode::PartialRoundRobinPartition(5))
    ///     .lazy_start_partitioned_producers(true)
    /// # }
    /// ```
    pub fn message_routing_mode(self, mode: MessageRoutingMode) -> Self {
        self.set(move |c| c.message_routing_mode = mode)
    }

    /// Chooses the partition of each message, as Java's `messageRouter`: given the message and the number
    /// of partitions, which may grow, it names one from 0 on. What it names in vain fails the send with
    /// `InvalidOption`, and so does, natively, a panic in it; the others go on. Default: none, the [routing
    /// mode](Self::message_routing_mode) says where messages go.
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
    /// `autoUpdatePartitionsInterval`; at least 1 ms, where Java has whole seconds.
    pub fn auto_update_partitions_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.auto_update_partitions_interval = interval)
    }

    /// Who else may publish to the topic. A producer that had it alone and finds, after a reconnect, that another had
    /// it meanwhile ends with `ProducerFenced`, and so do its pending sends. With
    /// [`WaitForExclusive`](ProducerAccessMode::WaitForExclusive) opening takes as long as it must: drop
    /// the future to give up. Default: anyone, as Java's `accessMode`.
    ///
    /// ```
    /// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
    /// use pulsewire::ProducerAccessMode;
    /// // One of several that run the program publishes, the others stand by.
    /// let leader = client.producer("plan").access_mode(ProducerAccessMode::WaitForExclusive);
    /// leader.create().await?.send("the plan").await?;
    /// # Ok(()) }
    /// ```
    pub fn access_mode(self, mode: ProducerAccessMode) -> Self {
        self.set(move |c| c.access_mode = mode)
    }

    /// Messages that may be pending; zero means any number. One more waits or is refused: see
    /// [`Producer::send`]. Default: any number, as Java's `maxPendingMessages`.
    pub fn max_pending_messages(self, messages: u32) -> Self {
        self.set(move |c| c.max_pending_messages = messages)
    }

    /// Messages that may be pending in all partitions of the topic together, not less than
    /// [`max_pending_messages`](Self::max_pending_messages); zero means any number. Each partition has an equal
    /// share. Default: any number, as Java's `maxPendingMessagesAcrossPartitions`.
    pub fn max_pending_messages_across_partitions(self, messages: u32) -> Self {
        self.set(move |c| c.max_pending_messages_across_partitions = messages)
    }

    /// Adds an interceptor behind those that are there. Default: none, as Java's `intercept`.
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor + 'static) -> Self {
        self.interceptors.push(Box::new(interceptor));
        self
    }

    /// All options, or all that is wrong with them.
    fn config(settings: Vec<Setting>, name: &str, routes: bool) -> Result<ProducerConfig, Error> {
        let topic = TopicName::parse(name);
        let mut config = match &topic {
            Ok(topic) => ProducerConfig::new(topic.clone()),
            Err(_) => ProducerConfig::new(TopicName::parse("none")?),
        };
        settings.into_iter().for_each(|set| set(&mut config));
        let custom = config.message_routing_mode == MessageRoutingMode::CustomPartition;
        let why = "message_routing_mode is CustomPartition where there is a message_router, and only there";
        let router = (custom != routes).then(|| Error::new(ErrorKind::InvalidOption, why));
        Error::together(topic.err().into_iter().chain(config.validate().err()).chain(router))?;
        Ok(config)
    }

    /// Opens the producer.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption` with all that is wrong, what the broker says, or `Timeout`.
    pub async fn create(self) -> Result<Producer, Error> {
        let config = Self::config(self.settings, &self.topic, self.router.is_some())?;
        let topic = config.topic.clone();
        let chain = self.interceptors;
        let interceptors = (!chain.is_empty()).then(|| Arc::new(Interceptors::new(topic.as_str(), chain)));
        // Dropped while it opens, the guard closes what the broker may open.
        let mut guard = Handle {
            client: self.client.clone(),
            id: None,
            topic,
            name: String::new(),
            router: self.router,
            interceptors: interceptors.clone(),
            sends: PendingSends::default(),
        };
        let sends = guard.sends.clone();
        let slot = &mut guard.id;
        let opened = self.client.operation_with(|core, waiters, now| {
            let (id, op) = core.create_producer(config, now)?;
            *slot = Some(id);
            waiters.open_sends(id, sends);
            if let Some(interceptors) = interceptors {
                waiters.install(id, interceptors);
            }
            Ok((id, op))
        });
        let (id, output) = opened.await?;
        if let Output::Producer { name } = output {
            guard.name = name;
        }
        Ok(Producer { handle: Arc::new(guard), id })
    }
}
