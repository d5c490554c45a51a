//! Producers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto::{
    Error, ErrorKind, Key, MessageId, Outgoing, Output, Payload, ProducerConfig, ProducerId, SendToken,
    TopicName,
};

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
        Ok(Producer { handle: Arc::new(guard), id, topic, name })
    }
}

/// Publishes messages to a topic.
///
/// Clones are handles to the same producer; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
    id: ProducerId,
    topic: TopicName,
    name: String,
}

struct Handle {
    client: Client,
    id: Option<ProducerId>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.client.inner.shared.command(|core, waiters, now| {
                core.close_producer(id, now);
                waiters.forget_producer(id);
            });
        }
    }
}

impl Producer {
    /// The topic's full name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.topic.as_str()
    }

    /// The producer's name, given or by the broker.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a payload. The message is on its way when this returns, in order with other sends, or in a
    /// batch that goes out soon; the future is for its receipt, and may be dropped. When the memory limit is reached the message
    /// waits in the future, which must then be polled.
    ///
    /// ```
    /// # async fn run(producer: pulsewire::Producer) -> Result<(), pulsewire::Error> {
    /// let first = producer.send("one");
    /// let second = producer.send("two");
    /// println!("{} {}", first.await?, second.await?);
    /// # Ok(()) }
    /// ```
    pub fn send(&self, payload: impl Into<Bytes>) -> Sending {
        self.new_message().payload(payload).send()
    }

    /// Prepares a message with more than a payload, as Java's `newMessage`.
    pub fn new_message(&self) -> MessageBuilder {
        MessageBuilder { producer: self.clone(), message: OwnedMessage::default() }
    }

    /// Sends now what waits in a batch, and waits until all that was sent before has its receipt.
    ///
    /// # Errors
    /// The first failure among those sends; or `AlreadyClosed`.
    pub async fn flush(&self) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.flush(id, now)))).await.map(drop)
    }

    /// Closes the producer: what is pending goes out first and gets its receipts.
    ///
    /// # Errors
    /// `Timeout` when the broker does not answer in time; it is closed then too.
    pub async fn close(&self) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.close_producer(id, now)))).await.map(drop)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("topic", &self.topic)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct OwnedMessage {
    payload: Option<Bytes>,
    key: Option<OwnedKey>,
    ordering_key: Option<Bytes>,
    properties: Vec<(String, String)>,
    event_time: Option<u64>,
    sequence_id: Option<u64>,
}

enum OwnedKey {
    Text(String),
    Bytes(Bytes),
}

/// A message with more than a payload.
#[must_use]
pub struct MessageBuilder {
    producer: Producer,
    message: OwnedMessage,
}

impl MessageBuilder {
    /// The payload. Default: none, a null value (a tombstone on compacted topics).
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.message.payload = Some(payload.into());
        self
    }

    /// The key, which routes and compacts.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.message.key = Some(OwnedKey::Text(key.into()));
        self
    }

    /// The key, as bytes.
    pub fn key_bytes(mut self, key: impl Into<Bytes>) -> Self {
        self.message.key = Some(OwnedKey::Bytes(key.into()));
        self
    }

    /// What orders messages in key-shared subscriptions, in place of the key.
    pub fn ordering_key(mut self, key: impl Into<Bytes>) -> Self {
        self.message.ordering_key = Some(key.into());
        self
    }

    /// Adds a named string.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.message.properties.push((name.into(), value.into()));
        self
    }

    /// When it happened, in milliseconds since the Unix epoch.
    pub fn event_time(mut self, millis: u64) -> Self {
        self.message.event_time = Some(millis);
        self
    }

    /// The message's own sequence id, for deduplication; it must grow from message to message.
    pub fn sequence_id(mut self, sequence_id: u64) -> Self {
        self.message.sequence_id = Some(sequence_id);
        self
    }

    /// Sends it: see [`Producer::send`].
    pub fn send(self) -> Sending {
        let state = match try_send(&self.producer, &self.message) {
            Ok(token) => SendingState::Sent(token),
            Err(error) if error.kind() == ErrorKind::QueueFull => {
                SendingState::Parked(Box::new(self.message))
            }
            Err(error) => SendingState::Ended(Some(error)),
        };
        Sending { producer: self.producer, state }
    }

    /// Sends it if there is memory for it now.
    ///
    /// # Errors
    /// `QueueFull`, and what [`Producer::send`] would tell at once.
    pub fn try_send(self) -> Result<Sending, Error> {
        let token = try_send(&self.producer, &self.message)?;
        Ok(Sending { producer: self.producer, state: SendingState::Sent(token) })
    }
}

fn try_send(producer: &Producer, message: &OwnedMessage) -> Result<SendToken, Error> {
    let properties: Vec<(&str, &str)> =
        message.properties.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let outgoing = Outgoing {
        payload: message.payload.as_ref().map(Payload::Shared),
        key: message.key.as_ref().map(|key| match key {
            OwnedKey::Text(key) => Key::Text(key),
            OwnedKey::Bytes(key) => Key::Bytes(key),
        }),
        ordering_key: message.ordering_key.as_deref(),
        properties: &properties,
        event_time: message.event_time,
        sequence_id: message.sequence_id,
    };
    producer.handle.client.inner.shared.command(|core, waiters, now| {
        let token = core.send(producer.id, &outgoing, now)?;
        waiters.expect_send(producer.id);
        Ok(token)
    })
}

/// A message on its way: resolves to the id under which it is stored.
///
/// # Errors
/// `Timeout`, `MessageTooLarge`, `AlreadyClosed`, or what the broker says: once, whatever happens.
#[must_use = "a send may fail; and one that waits for memory goes out only when polled"]
pub struct Sending {
    producer: Producer,
    state: SendingState,
}

enum SendingState {
    Sent(SendToken),
    /// Waits for memory.
    Parked(Box<OwnedMessage>),
    Ended(Option<Error>),
}

impl Future for Sending {
    type Output = Result<MessageId, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let shared = &this.producer.handle.client.inner.shared;
        loop {
            match &mut this.state {
                SendingState::Sent(token) => {
                    let polled = shared.lock().sink.poll_send(this.producer.id, *token, cx);
                    if polled.is_ready() {
                        this.state = SendingState::Ended(None);
                    }
                    return polled;
                }
                SendingState::Parked(message) => {
                    // Enrol first: memory may come free between the refusal and the wait.
                    if let Poll::Ready(Err(error)) = shared.lock().sink.wait_writable(cx) {
                        this.state = SendingState::Ended(Some(error));
                        continue;
                    }
                    match try_send(&this.producer, message) {
                        Ok(token) => this.state = SendingState::Sent(token),
                        Err(error) if error.kind() == ErrorKind::QueueFull => return Poll::Pending,
                        Err(error) => this.state = SendingState::Ended(Some(error)),
                    }
                }
                SendingState::Ended(error) => {
                    let polled = error.take();
                    return Poll::Ready(Err(polled.unwrap_or_else(|| {
                        Error::new(ErrorKind::AlreadyClosed, "the send has been answered already")
                    })));
                }
            }
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let SendingState::Sent(token) = self.state {
            self.producer.handle.client.inner.shared.lock().sink.forget_send(self.producer.id, token);
        }
    }
}
