//! A message that is being made, and one that is on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto::{Deliver, Error, ErrorKind, Key, MessageId, Outgoing, Payload, SendToken};

use super::Producer;

#[derive(Default)]
pub(super) struct OwnedMessage {
    payload: Option<Bytes>,
    key: Option<OwnedKey>,
    ordering_key: Option<Bytes>,
    properties: Vec<(String, String)>,
    event_time: Option<u64>,
    sequence_id: Option<u64>,
    /// What few messages have.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    deliver: Option<Deliver>,
    replicate_to: Vec<String>,
    source_id: Option<MessageId>,
}

enum OwnedKey {
    Text(String),
    Bytes(Bytes),
}

/// A message with more than a payload.
#[must_use]
pub struct MessageBuilder {
    pub(super) producer: Producer,
    pub(super) message: OwnedMessage,
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

    /// When consumers of shared and key-shared subscriptions get it, in milliseconds since the Unix epoch;
    /// other subscriptions deliver it at once. It travels in no batch. Java's `deliverAt`.
    pub fn deliver_at(mut self, millis: u64) -> Self {
        self.message.rare.get_or_insert_default().deliver = Some(Deliver::At(millis));
        self
    }

    /// How long after it is sent consumers of shared and key-shared subscriptions get it: see
    /// [`MessageBuilder::deliver_at`]. Java's `deliverAfter`.
    pub fn deliver_after(mut self, delay: Duration) -> Self {
        self.message.rare.get_or_insert_default().deliver = Some(Deliver::After(delay));
        self
    }

    /// The clusters that it is replicated to, in place of all that the namespace has. Java's
    /// `replicationClusters`.
    pub fn replication_clusters<C: Into<String>>(mut self, clusters: impl IntoIterator<Item = C>) -> Self {
        self.message.rare.get_or_insert_default().replicate_to =
            clusters.into_iter().map(Into::into).collect();
        self
    }

    /// It is not replicated to other clusters. Java's `disableReplication`.
    pub fn disable_replication(self) -> Self {
        self.replication_clusters([pulsewire_proto::NO_REPLICATION])
    }

    /// On a shadow topic: the id of the message in the source topic that it stands for. The broker refuses
    /// it on other topics, and messages without it on shadow topics. It travels in no batch and is not
    /// chunked; of a source id its ledger and entry count. (In Java the shadow replicator alone can do this.)
    pub fn source_message_id(mut self, id: MessageId) -> Self {
        self.message.rare.get_or_insert_default().source_id = Some(id);
        self
    }

    /// Sends it: see [`Producer::send`].
    pub fn send(self) -> Sending {
        let state = match try_send(&self.producer, &self.message) {
            Ok(token) => SendingState::Sent(token),
            Err(error) if error.kind() == ErrorKind::QueueFull => {
                SendingState::Parked(Box::new(self.message))
            }
            Err(error) => SendingState::Ended(Some(Box::new(error))),
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
    let rare = message.rare.as_deref();
    let replicate_to: Vec<&str> =
        rare.map(|rare| rare.replicate_to.iter().map(String::as_str).collect()).unwrap_or_default();
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
        deliver: rare.and_then(|rare| rare.deliver),
        replicate_to: &replicate_to,
        source_id: rare.and_then(|rare| rare.source_id.as_ref()),
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
    /// Boxed, as there are as many of these as sends in flight.
    Ended(Option<Box<Error>>),
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
                        this.state = SendingState::Ended(Some(Box::new(error)));
                        continue;
                    }
                    match try_send(&this.producer, message) {
                        Ok(token) => this.state = SendingState::Sent(token),
                        Err(error) if error.kind() == ErrorKind::QueueFull => return Poll::Pending,
                        Err(error) => this.state = SendingState::Ended(Some(Box::new(error))),
                    }
                }
                SendingState::Ended(error) => {
                    let told = || Error::new(ErrorKind::AlreadyClosed, "the send has been answered already");
                    return Poll::Ready(Err(error.take().map_or_else(told, |error| *error)));
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
