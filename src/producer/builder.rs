//! Options of a producer.

use std::sync::Arc;
use std::time::Duration;

use pulsewire_proto::wire::CompressionType;
use pulsewire_proto::{BatcherBuilder, Error, Output, ProducerConfig, TopicName};

use super::{Handle, Producer};
use crate::client::Client;

/// Options of a [`Producer`]. Defaults are those of Java's `ProducerBuilder`.
#[must_use]
pub struct ProducerBuilder {
    client: Client,
    topic: String,
    settings: Vec<Setting>,
}

type Setting = Box<dyn FnOnce(&mut ProducerConfig) + Send>;

impl ProducerBuilder {
    pub(crate) fn new(client: Client, topic: String) -> Self {
        Self { client, topic, settings: Vec::new() }
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

    /// What a chunk has at most, in bytes. Default: 0, which means as much as the broker takes, as Java's
    /// `chunkMaxMessageSize` of -1.
    pub fn chunk_max_message_size(self, bytes: u32) -> Self {
        self.set(move |c| c.chunk_max_message_size = bytes)
    }

    /// A durable subscription that is made, at the first message, where this producer is the first that comes to
    /// the topic. Default: none, as Java's `initialSubscriptionName`.
    pub fn initial_subscription_name(self, subscription: impl Into<String>) -> Self {
        let subscription = subscription.into();
        self.set(move |c| c.initial_subscription_name = Some(subscription))
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
        let mut guard = Handle { client: self.client.clone(), id: None, topic, name: String::new() };
        let slot = &mut guard.id;
        let opened = self.client.operation(|core, now| {
            let (id, op) = core.create_producer(config, now)?;
            *slot = Some(id);
            Ok((id, op))
        });
        let (id, output) = opened.await?;
        if let Output::Producer { name } = output {
            guard.name = name;
        }
        Ok(Producer { handle: Arc::new(guard), id })
    }
}
