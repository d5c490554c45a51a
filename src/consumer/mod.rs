//! Consumers.

mod acknowledging;
mod attending;
mod builder;
mod hooks;
mod receiving;
mod state;
mod topics;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pulsewire_proto as proto;
use pulsewire_proto::{ConsumerId, Error, MessageId, OpId, Output, SeekTarget};

use attending::Attendant;
pub(crate) use attending::Listeners;
pub use builder::ConsumerBuilder;
pub(crate) use builder::Topics;
pub(crate) use hooks::Hooks;
pub use hooks::{ConsumerEvent, ConsumerInterceptor};
pub use receiving::{Messages, Receive};

use crate::client::Client;

/// Receives messages of a subscription.
///
/// Clones are handles to the same consumer; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Consumer {
    handle: Arc<Handle>,
    id: ConsumerId,
    topic: String,
    subscription: String,
}

struct Handle {
    client: Client,
    id: Option<ConsumerId>,
    hooks: Hooks,
    /// The driver was woken by the last message that was taken: see [`Consumer::makes_way`].
    makes_way: AtomicBool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let wakers = self.client.inner.shared.command(|core, waiters, now| {
                core.close_consumer(id, now);
                waiters.forget_consumer(id)
            });
            wakers.into_iter().for_each(std::task::Waker::wake);
        }
    }
}

impl Consumer {
    /// The topic's full name; of several topics their names with commas between, of a pattern the
    /// pattern. See [`Consumer::topics`].
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The subscription's name.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// The last message of the topic; `-1:-1` when there is none. Waits through reconnects.
    ///
    /// # Errors
    /// `NotSupported` when it has partitions, or there are several topics (see
    /// [`Consumer::last_message_ids`]), and for topics that are not persistent; what the broker says,
    /// `AlreadyClosed`, or `Timeout`.
    pub async fn last_message_id(&self) -> Result<MessageId, Error> {
        let id = self.id;
        match self.handle.client.operation(|core, now| Ok(((), core.last_message_id(id, now)))).await?.1 {
            Output::LastMessageId(id) => Ok(id),
            _ => Ok(MessageId::EARLIEST),
        }
    }

    /// Whether there is a message to receive: one that waits here, or one at the broker behind the
    /// message that was received last, else behind the place where the subscription begins. Messages
    /// that come again, or that other consumers of a shared subscription have received, do not count.
    /// Waits through reconnects and for a seek that is under way.
    ///
    /// A subscription that begins at [`MessageId::LATEST`], inclusive, is moved to the last message by
    /// this, as in Java.
    ///
    /// # Errors
    /// `NotSupported` for topics that are not persistent, what the broker says, `AlreadyClosed`, or
    /// `Timeout`.
    pub async fn has_message_available(&self) -> Result<bool, Error> {
        let id = self.id;
        let asked = self.handle.client.operation(|core, now| Ok(((), core.has_message_available(id, now))));
        Ok(matches!(asked.await?.1, Output::MessageAvailable(true)))
    }

    /// Deletes the subscription.
    ///
    /// # Errors
    /// `Disconnected` while it reconnects, what the broker says, or `Timeout`.
    pub async fn unsubscribe(&self) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.unsubscribe(id, false, now)))).await.map(drop)
    }

    /// Deletes the subscription, also when other consumers are on it: they lose it.
    ///
    /// # Errors
    /// As [`Consumer::unsubscribe`].
    pub async fn unsubscribe_forced(&self) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.unsubscribe(id, true, now)))).await.map(drop)
    }

    /// Moves the subscription to a message, [`MessageId::EARLIEST`] or [`MessageId::LATEST`]: the
    /// messages after it come next, and it itself first when `start_message_id_inclusive` is set.
    /// What was delivered before and not received is thrown away.
    ///
    /// Of a topic with partitions the message's partition moves, alone; with [`MessageId::EARLIEST`] and
    /// [`MessageId::LATEST`] all do. With several topics see [`Consumer::seek_topic`].
    ///
    /// # Errors
    /// `InvalidMessageId` when it does not say which partition or topic is meant,
    /// `NotSupported` while another seek is under way, what the broker says, `AlreadyClosed`, or `Timeout`.
    pub async fn seek(&self, id: MessageId) -> Result<(), Error> {
        self.seek_to(SeekTarget::Id(id)).await
    }

    /// Moves the subscription to the first message that was published at this time or later, in
    /// milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// As [`Consumer::seek`].
    pub async fn seek_by_publish_time(&self, time: u64) -> Result<(), Error> {
        self.seek_to(SeekTarget::PublishTime(time)).await
    }

    pub(crate) fn client(&self) -> &Client {
        &self.handle.client
    }

    /// Opens it; dropped meanwhile, what the broker may open is closed.
    pub(crate) async fn open(
        client: Client,
        topic: String,
        subscription: String,
        mut hooks: Hooks,
        listeners: Listeners,
        start: impl FnOnce(&mut proto::Client, proto::Now) -> Result<(ConsumerId, OpId), Error>,
    ) -> Result<Self, Error> {
        hooks.listening = listeners.messages.is_some();
        let attended = hooks.listening || listeners.events.is_some() || !hooks.interceptors.is_empty();
        let mut guard = Handle { client: client.clone(), id: None, hooks, makes_way: AtomicBool::new(false) };
        let slot = &mut guard.id;
        let opened = client.operation_with(|core, waiters, now| {
            let (id, op) = start(core, now)?;
            *slot = Some(id);
            if attended {
                waiters.attend(id);
            }
            Ok((id, op))
        });
        let (id, _) = opened.await?;
        let consumer = Self { handle: Arc::new(guard), id, topic, subscription };
        if attended {
            client.inner.spawner.spawn(Attendant::new(&consumer, listeners).attend());
        }
        Ok(consumer)
    }

    async fn seek_to(&self, target: SeekTarget) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.seek(id, target, now)))).await.map(drop)
    }

    /// Asks for all that was delivered and not acknowledged to come again, now. What waits to be
    /// received is thrown away and comes again with it.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn redeliver_unacknowledged(&self) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.redeliver_unacknowledged(self.id, now))
    }

    /// Closes the consumer. The subscription stays, and with it what is not acknowledged.
    ///
    /// # Errors
    /// `Timeout` when the broker does not answer in time; it is closed then too.
    pub async fn close(&self) -> Result<(), Error> {
        let id = self.id;
        self.handle.client.operation(|core, now| Ok(((), core.close_consumer(id, now)))).await.map(drop)
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("topic", &self.topic)
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}
