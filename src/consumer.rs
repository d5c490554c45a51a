//! Consumers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pulsewire_proto::{
    ConsumerConfig, ConsumerId, Error, InitialPosition, Message, MessageId, Output, RedeliveryBackoff,
    SeekTarget, SubscriptionMode, SubscriptionType, TopicName,
};

use crate::client::Client;

/// Options of a [`Consumer`]. Defaults are those of Java's `ConsumerBuilder`.
#[must_use]
pub struct ConsumerBuilder {
    client: Client,
    topic: String,
    subscription: String,
    settings: Vec<Setting>,
}

type Setting = Box<dyn FnOnce(&mut ConsumerConfig) + Send>;

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, topic: String, subscription: String) -> Self {
        Self { client, topic, subscription, settings: Vec::new() }
    }

    fn set(mut self, setting: impl FnOnce(&mut ConsumerConfig) + Send + 'static) -> Self {
        self.settings.push(Box::new(setting));
        self
    }

    /// How the subscription shares its messages. Default: exclusive.
    pub fn subscription_type(self, subscription_type: SubscriptionType) -> Self {
        self.set(move |c| c.subscription_type = subscription_type)
    }

    /// Where a subscription begins that is not there yet. Default: latest.
    pub fn initial_position(self, position: InitialPosition) -> Self {
        self.set(move |c| c.initial_position = position)
    }

    /// Whether the broker keeps the subscription's place. Default: durable, as Java's
    /// `subscriptionMode`.
    pub fn subscription_mode(self, mode: SubscriptionMode) -> Self {
        self.set(move |c| c.subscription_mode = mode)
    }

    /// Where a non-durable subscription begins: after this message, or at [`MessageId::EARLIEST`] or
    /// [`MessageId::LATEST`].
    pub fn start_message_id(self, id: MessageId) -> Self {
        self.set(move |c| c.start_message_id = Some(id))
    }

    /// Whether the start message, or the message of a [`Consumer::seek`], comes too. Default: no, as
    /// Java's `startMessageIdInclusive`.
    pub fn start_message_id_inclusive(self, inclusive: bool) -> Self {
        self.set(move |c| c.start_message_id_inclusive = inclusive)
    }

    /// How far back in time a new subscription begins, in whole seconds. Default: not at all, as
    /// Java's `startMessageFromRollbackDuration`.
    pub fn start_message_rollback(self, duration: Duration) -> Self {
        self.set(move |c| c.start_message_rollback = duration)
    }

    /// The consumer's name. Default: a random one.
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(move |c| c.name = Some(name))
    }

    /// Messages that may wait to be received. Default: 1000; at least 1.
    pub fn receiver_queue_size(self, messages: u32) -> Self {
        self.set(move |c| c.receiver_queue_size = messages)
    }

    /// How long acknowledgements wait to go out together. Default: 100 ms, as Java's
    /// `acknowledgmentGroupTime`; zero means not at all.
    pub fn acknowledgment_group_time(self, time: Duration) -> Self {
        self.set(move |c| c.acknowledgment_group_time = time)
    }

    /// How many acknowledgements go out together at the latest. Default: 1000, as Java's
    /// `maxAcknowledgmentGroupSize`.
    pub fn max_acknowledgment_group_size(self, entries: u32) -> Self {
        self.set(move |c| c.max_acknowledgment_group_size = entries)
    }

    /// Whether brokers that can are told of acknowledged parts of batches, so that these do not come
    /// again. Default: no, as Java's `enableBatchIndexAcknowledgment`.
    pub fn batch_index_acknowledgment(self, enabled: bool) -> Self {
        self.set(move |c| c.batch_index_acknowledgment = enabled)
    }

    /// When a negatively acknowledged message comes again. Default: after 60 s.
    pub fn negative_ack_redelivery_delay(self, delay: Duration) -> Self {
        self.set(move |c| c.negative_ack_redelivery_delay = delay)
    }

    /// A delay that grows with every redelivery, in place of the fixed one. Default: none, as Java's
    /// `negativeAckRedeliveryBackoff`.
    pub fn negative_ack_redelivery_backoff(self, backoff: RedeliveryBackoff) -> Self {
        self.set(move |c| c.negative_ack_redelivery_backoff = Some(backoff))
    }

    /// Who is served first in a shared subscription; 0 is the highest. Default: 0.
    pub fn priority_level(self, level: i32) -> Self {
        self.set(move |c| c.priority_level = level)
    }

    /// Adds a property that the broker's statistics show.
    pub fn property(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let property = (name.into(), value.into());
        self.set(move |c| c.properties.push(property))
    }

    /// Opens the consumer.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption`, what the broker says (`ConsumerBusy` on an exclusive
    /// subscription that has its consumer), or `Timeout`.
    pub async fn subscribe(self) -> Result<Consumer, Error> {
        let topic = TopicName::parse(&self.topic)?;
        let mut config = ConsumerConfig::new(topic.clone(), self.subscription.clone());
        self.settings.into_iter().for_each(|set| set(&mut config));
        // Dropped while it opens, the guard closes what the broker may open.
        let mut guard = Handle { client: self.client.clone(), id: None };
        let slot = &mut guard.id;
        let opened = self.client.operation(|core, now| {
            let (id, op) = core.subscribe(config, now)?;
            *slot = Some(id);
            Ok((id, op))
        });
        let (id, _) = opened.await?;
        Ok(Consumer { handle: Arc::new(guard), id, topic, subscription: self.subscription })
    }
}

/// Receives messages of a subscription.
///
/// Clones are handles to the same consumer; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Consumer {
    handle: Arc<Handle>,
    id: ConsumerId,
    topic: TopicName,
    subscription: String,
}

struct Handle {
    client: Client,
    id: Option<ConsumerId>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.client.inner.shared.command(|core, waiters, now| {
                core.close_consumer(id, now);
                waiters.forget_consumer(id);
            });
        }
    }
}

impl Consumer {
    /// The topic's full name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.topic.as_str()
    }

    /// The subscription's name.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// The next message. Waits through reconnects; dropping the future loses nothing.
    ///
    /// # Errors
    /// `AlreadyClosed`; `Corrupted` or `NotSupported` for one message that cannot be read (the next
    /// call goes on after it); what ended the consumer.
    pub fn receive(&self) -> Receive<'_> {
        Receive { consumer: self }
    }

    /// The next message if one has arrived.
    ///
    /// # Errors
    /// As [`Consumer::receive`].
    pub fn try_receive(&self) -> Result<Option<Message>, Error> {
        let id = self.id;
        self.handle.client.inner.shared.command(|core, waiters, _| match core.take(id) {
            Ok(Some(Ok(message))) => {
                core.delivered(id, 1);
                Ok(Some(message))
            }
            Ok(Some(Err(error))) => Err(error),
            Ok(None) => Ok(None),
            Err(error) => Err(waiters.consumer_error(id).unwrap_or(error)),
        })
    }

    /// The messages as a stream, which ends when the consumer is closed.
    pub fn messages(&self) -> Messages<'_> {
        Messages { receive: self.receive() }
    }

    /// Acknowledges a message: it will not come again. It goes out with others, after the
    /// [group time](ConsumerBuilder::acknowledgment_group_time) at the latest; [`Consumer::close`] and
    /// the drop of the last handle send what is left.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge(&self, message: &Message) -> Result<(), Error> {
        self.acknowledge_id(message.id())
    }

    /// Acknowledges by id.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge_id(&self, id: MessageId) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.acknowledge(self.id, id, false, now))
    }

    /// Acknowledges several messages.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge_ids(&self, ids: &[MessageId]) -> Result<(), Error> {
        let shared = &self.handle.client.inner.shared;
        shared.command(|core, _, now| core.acknowledge_all(self.id, ids, false, now)).map(drop)
    }

    /// Acknowledges messages, and waits until the broker has confirmed it. Java has this as
    /// `isAckReceiptEnabled` of the consumer; here each call chooses. A part of a batch is confirmed
    /// at once unless [`batch_index_acknowledgment`](ConsumerBuilder::batch_index_acknowledgment) is on.
    ///
    /// # Errors
    /// What the broker says, `Disconnected` when the link was lost meanwhile, `AlreadyClosed`, or
    /// `Timeout`. The messages may come again then.
    pub async fn acknowledge_confirmed(&self, ids: &[MessageId]) -> Result<(), Error> {
        self.confirmed(ids, false).await
    }

    /// Acknowledges all messages up to this one, and waits until the broker has confirmed it.
    ///
    /// # Errors
    /// As [`Consumer::acknowledge_confirmed`].
    pub async fn acknowledge_cumulative_confirmed(&self, id: MessageId) -> Result<(), Error> {
        self.confirmed(&[id], true).await
    }

    async fn confirmed(&self, ids: &[MessageId], cumulative: bool) -> Result<(), Error> {
        let consumer = self.id;
        let confirmed = self
            .handle
            .client
            .operation(|core, now| Ok(((), core.acknowledge_confirmed(consumer, ids, cumulative, now))));
        confirmed.await.map(drop)
    }

    /// Acknowledges all messages up to this one. Not for shared subscriptions.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge_cumulative(&self, id: MessageId) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.acknowledge(self.id, id, true, now))
    }

    /// Asks for a message to come again, after the consumer's delay (with a backoff, its first). Of a batch all messages that
    /// are not acknowledged come again.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn negative_acknowledge(&self, id: MessageId) -> Result<(), Error> {
        self.handle.client.inner.shared.command(|core, _, now| core.negative_acknowledge(self.id, id, now))
    }

    /// Asks for messages to come again, each after the consumer's delay: with a
    /// [backoff](ConsumerBuilder::negative_ack_redelivery_backoff) the one that its redelivery count gives.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn negative_acknowledge_messages(&self, messages: &[Message]) -> Result<(), Error> {
        let messages = messages.iter().map(|message| (message.id(), message.redelivery_count()));
        let shared = &self.handle.client.inner.shared;
        shared.command(|core, _, now| core.negative_acknowledge_all(self.id, messages, now))
    }

    /// The last message of the topic; `-1:-1` when there is none.
    ///
    /// # Errors
    /// `Disconnected` while it reconnects, what the broker says, or `Timeout`.
    pub async fn last_message_id(&self) -> Result<MessageId, Error> {
        let id = self.id;
        match self.handle.client.operation(|core, now| Ok(((), core.last_message_id(id, now)))).await?.1 {
            Output::LastMessageId(id) => Ok(id),
            _ => Ok(MessageId::EARLIEST),
        }
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
    /// # Errors
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

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        match self.try_receive() {
            Ok(Some(message)) => return Poll::Ready(Ok(message)),
            Ok(None) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        // Enrol and look once more under one lock: a message may have come between the two.
        let mut state = self.handle.client.inner.shared.lock();
        if let Poll::Ready(error) = state.sink.wait_message(self.id, cx) {
            return Poll::Ready(Err(error));
        }
        if state.core.has_messages(self.id) {
            drop(state);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
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

/// The next message: see [`Consumer::receive`].
#[must_use = "futures do nothing unless polled"]
pub struct Receive<'a> {
    consumer: &'a Consumer,
}

impl Future for Receive<'_> {
    type Output = Result<Message, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.consumer.poll_receive(cx)
    }
}

/// Messages as a stream: see [`Consumer::messages`].
#[must_use = "streams do nothing unless polled"]
pub struct Messages<'a> {
    receive: Receive<'a>,
}

impl Stream for Messages<'_> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receive.consumer.poll_receive(cx).map(|received| match received {
            Err(error) if error.kind() == pulsewire_proto::ErrorKind::AlreadyClosed => None,
            other => Some(other),
        })
    }
}
