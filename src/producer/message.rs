//! A message that is being made, and one that is on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto as proto;
use pulsewire_proto::{Deliver, Error, ErrorKind, Key, MessageId, Outgoing, Payload, ProducerId, SendToken};

use super::Producer;
use super::routing::RoutedMessage;
use crate::guarded::typed;
use crate::waiters::Turn;

/// A message on its way to a producer.
#[derive(Debug, Clone, Default)]
pub struct OwnedMessage {
    payload: Option<Bytes>,
    key: Option<OwnedKey>,
    ordering_key: Option<Bytes>,
    properties: Vec<(String, String)>,
    event_time: Option<u64>,
    sequence_id: Option<u64>,
    /// What few messages have.
    rare: Option<Box<Rare>>,
    /// What the user's router chose.
    partition: Option<u32>,
}

#[derive(Debug, Clone, Default)]
struct Rare {
    deliver: Option<Deliver>,
    replicate_to: Vec<String>,
    source_id: Option<MessageId>,
}

#[derive(Debug, Clone)]
enum OwnedKey {
    Text(String),
    Bytes(Bytes),
}

impl OwnedMessage {
    /// The payload; empty for a null value.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    /// Whether it is a null value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.payload.is_none()
    }

    /// The key, if it is text.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.key {
            Some(OwnedKey::Text(key)) => Some(key),
            _ => None,
        }
    }

    /// The properties, in their order.
    #[must_use]
    pub fn properties(&self) -> &[(String, String)] {
        &self.properties
    }

    /// When it happened, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn event_time(&self) -> Option<u64> {
        self.event_time
    }

    /// Its own sequence id, if it was given one.
    #[must_use]
    pub fn sequence_id(&self) -> Option<u64> {
        self.sequence_id
    }

    /// Another payload.
    pub fn set_payload(&mut self, payload: impl Into<Bytes>) {
        self.payload = Some(payload.into());
    }

    /// Another key.
    pub fn set_key(&mut self, key: impl Into<String>) {
        self.key = Some(OwnedKey::Text(key.into()));
    }

    /// A property, in place of one of the same name.
    pub fn set_property(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        self.properties.retain(|(other, _)| *other != name);
        self.properties.push((name, value));
    }

    /// Another time.
    pub fn set_event_time(&mut self, millis: u64) {
        self.event_time = Some(millis);
    }

    /// Gives it to a producer.
    pub(crate) fn send_on(
        &self,
        core: &mut proto::Client,
        producer: ProducerId,
        now: proto::Now,
    ) -> Result<SendToken, Error> {
        self.with(|outgoing| match self.partition {
            Some(partition) => core.send_to(producer, partition, outgoing, now),
            None => core.send(producer, outgoing, now),
        })
    }

    fn with<T>(&self, then: impl FnOnce(&Outgoing<'_>) -> T) -> T {
        let properties: Vec<(&str, &str)> =
            self.properties.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let rare = self.rare.as_deref();
        let replicate_to: Vec<&str> =
            rare.map(|rare| rare.replicate_to.iter().map(String::as_str).collect()).unwrap_or_default();
        then(&Outgoing {
            payload: self.payload.as_ref().map(Payload::Shared),
            key: self.key.as_ref().map(|key| match key {
                OwnedKey::Text(key) => Key::Text(key),
                OwnedKey::Bytes(key) => Key::Bytes(key),
            }),
            ordering_key: self.ordering_key.as_deref(),
            properties: &properties,
            event_time: self.event_time,
            sequence_id: self.sequence_id,
            deliver: rare.and_then(|rare| rare.deliver),
            replicate_to: &replicate_to,
            source_id: rare.and_then(|rare| rare.source_id.as_ref()),
        })
    }
}

/// A message with more than a payload.
#[derive(Debug)]
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

    /// The message's own sequence id, for deduplication; it must grow from message to message, and is at most
    /// 2^63 - 1: a larger one is refused. Default: the one before it + 1, as Java's `sequenceId`.
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
        let Self { producer, message } = self;
        let state = producer
            .start(message, true)
            .unwrap_or_else(|failed| SendingState::Ended(Some(Box::new(failed.0))));
        Sending { producer, state }
    }

    /// Sends it if there is room for it now, and no other send of the producer waits for room: Java's
    /// `blockIfQueueFull(false)`. Otherwise the message comes back with the error.
    ///
    /// # Errors
    /// `QueueFull`, and what [`Producer::send`] would tell at once.
    pub fn try_send(self) -> Result<Sending, TrySendError> {
        let Self { producer, message } = self;
        match producer.start(message, false) {
            Ok(state) => Ok(Sending { producer, state }),
            Err(failed) => {
                let (error, message) = *failed;
                Err(TrySendError { error, message: Box::new(Self { producer, message }) })
            }
        }
    }
}

impl Producer {
    /// Sends a message, or parks it when there is no room and it may `wait`; a failure brings it back.
    fn start(&self, message: OwnedMessage, wait: bool) -> Result<SendingState, Box<(Error, OwnedMessage)>> {
        let Some(interceptors) = &self.handle.interceptors else {
            return self.give(message, wait);
        };
        let changed = interceptors.before_send(message.clone());
        self.give(changed, wait).map_err(|failed| {
            let (error, changed) = *failed;
            interceptors.acknowledged(&changed, &Err(error.clone()));
            Box::new((error, message))
        })
    }

    fn give(
        &self,
        mut message: OwnedMessage,
        wait: bool,
    ) -> Result<SendingState, Box<(Error, OwnedMessage)>> {
        let id = self.id;
        // The user's code is called with no lock held.
        if let Some(router) = &self.handle.router {
            let partitions = self.handle.client.inner.shared.lock().core.producer_partitions(id);
            let route = |message: &Outgoing<'_>| router(&RoutedMessage { message }, partitions);
            if partitions > 0 {
                match typed("the message_router", || message.with(route)) {
                    Ok(partition) => message.partition = Some(partition),
                    Err(error) => return Err(Box::new((error, message))),
                }
            }
        }
        self.handle.client.inner.shared.command(|core, waiters, now| {
            let full = || Error::new(ErrorKind::QueueFull, "other sends wait for room");
            let sent = if waiters.is_parked(id) { Err(full()) } else { message.send_on(core, id, now) };
            match sent {
                Ok(token) => {
                    self.handle.sends.expect();
                    if let Some(interceptors) = &self.handle.interceptors {
                        waiters.intercept(id, token, interceptors.clone(), message);
                    }
                    Ok(SendingState::Sent(token))
                }
                Err(error) if wait && error.kind() == ErrorKind::QueueFull => {
                    Ok(SendingState::Parked(waiters.park(id, message, self.handle.interceptors.clone())))
                }
                Err(error) => Err(Box::new((error, message))),
            }
        })
    }
}

/// Why a message was not taken, and the message.
#[derive(Debug)]
pub struct TrySendError {
    error: Error,
    message: Box<MessageBuilder>,
}

impl TrySendError {
    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The error.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The message, to send it later.
    pub fn into_message(self) -> MessageBuilder {
        *self.message
    }
}

impl std::fmt::Display for TrySendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for TrySendError {}

impl From<TrySendError> for Error {
    fn from(failed: TrySendError) -> Self {
        failed.error
    }
}

/// A message on its way: resolves to the id under which it is stored. It is on its way whether it is polled or
/// not; dropped while it waits for room, it is not sent.
///
/// # Errors
/// `Timeout`, `MessageTooLarge`, `AlreadyClosed`, or what the broker says: once, whatever happens.
#[must_use = "a send may fail; and one that waits for room is taken back when this is dropped"]
pub struct Sending {
    producer: Producer,
    state: SendingState,
}

enum SendingState {
    Sent(SendToken),
    /// Waits for room, in its turn.
    Parked(Turn),
    /// Boxed, as there are as many of these as sends in flight.
    Ended(Option<Box<Error>>),
}

impl Future for Sending {
    type Output = Result<MessageId, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let handle = &this.producer.handle;
        loop {
            match &mut this.state {
                SendingState::Sent(token) => {
                    let polled = handle.sends.poll(*token, cx);
                    if polled.is_ready() {
                        this.state = SendingState::Ended(None);
                    }
                    return polled;
                }
                SendingState::Parked(turn) => {
                    let polled = handle.client.inner.shared.lock().sink.poll_turn(*turn, cx);
                    this.state = match std::task::ready!(polled) {
                        Ok(token) => SendingState::Sent(token),
                        Err(error) => SendingState::Ended(Some(Box::new(error))),
                    };
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
        let Producer { handle, id } = &self.producer;
        // What is dropped may be of the user: never under the lock.
        match self.state {
            SendingState::Sent(token) => handle.sends.forget(token),
            SendingState::Parked(turn) => {
                let message = handle.client.inner.shared.lock().sink.forget_turn(*id, turn);
                drop(message);
            }
            SendingState::Ended(_) => {}
        }
    }
}
