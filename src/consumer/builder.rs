//! Options of a consumer.

use std::time::Duration;

use pulsewire_proto::{
    ConsumerConfig, Error, InitialPosition, KeySharedPolicy, MessageId, RedeliveryBackoff, SubscriptionMode,
    SubscriptionType, TopicName,
};

use super::Consumer;
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

    /// How a key-shared subscription divides its keys. Default: the broker does, as Java's
    /// `keySharedPolicy`.
    pub fn key_shared_policy(self, policy: KeySharedPolicy) -> Self {
        self.set(move |c| c.key_shared_policy = policy)
    }

    /// Whether, of the part of the topic that is compacted, only the last message of each key comes.
    /// For exclusive and failover subscriptions of persistent topics. Default: no, as Java's
    /// `readCompacted`.
    pub fn read_compacted(self, compacted: bool) -> Self {
        self.set(move |c| c.read_compacted = compacted)
    }

    /// Whether the place of a durable subscription is replicated to the topic's other clusters. Default:
    /// no, as Java's `replicateSubscriptionState`.
    pub fn replicate_subscription_state(self, replicated: bool) -> Self {
        self.set(move |c| c.replicate_subscription_state = replicated)
    }

    /// Adds a property that is kept with a durable subscription. The consumer that creates the
    /// subscription sets them; those of later ones are for a subscription that has none. As Java's
    /// `subscriptionProperties`.
    pub fn subscription_property(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let property = (name.into(), value.into());
        self.set(move |c| c.subscription_properties.push(property))
    }

    /// Adds a property that the broker's statistics show.
    pub fn property(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let property = (name.into(), value.into());
        self.set(move |c| c.properties.push(property))
    }

    /// The largest message that is unpacked or put together from chunks, in bytes, and what all chunks of
    /// messages that are not whole hold together. A larger message is received as `Corrupted`. Default:
    /// 128 MiB, but never less than the largest message that the broker takes. (Java has no such limit.)
    pub fn max_uncompressed_size(self, bytes: usize) -> Self {
        self.set(move |c| c.max_uncompressed_size = bytes)
    }

    /// Messages that may be gathered from their chunks at a time; zero means any number. One more gives up the
    /// oldest: see [`auto_ack_oldest_chunked_message_on_queue_full`](Self::auto_ack_oldest_chunked_message_on_queue_full).
    /// Default: 10, as Java's `maxPendingChunkedMessage`.
    pub fn max_pending_chunked_message(self, messages: u32) -> Self {
        self.set(move |c| c.max_pending_chunked_message = messages)
    }

    /// Whether the chunks of a message that is given up for newer ones are acknowledged, and the message is so
    /// lost to the subscription. Otherwise they come again: on shared and key-shared subscriptions after the
    /// [delay of negative acknowledgements](Self::negative_ack_redelivery_delay), on others when the consumer
    /// opens anew. Default: no, as Java's `autoAckOldestChunkedMessageOnQueueFull`.
    pub fn auto_ack_oldest_chunked_message_on_queue_full(self, acknowledge: bool) -> Self {
        self.set(move |c| c.auto_ack_oldest_chunked_message_on_queue_full = acknowledge)
    }

    /// How long the rest of a message's chunks is waited for, before those that came are acknowledged; zero
    /// means for ever. Default: 1 minute, as Java's `expireTimeOfIncompleteChunkedMessage`.
    pub fn expire_time_of_incomplete_chunked_message(self, time: Duration) -> Self {
        self.set(move |c| c.expire_time_of_incomplete_chunked_message = time)
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
        Consumer::open(self.client, topic, self.subscription, |core, now| core.subscribe(config, now)).await
    }
}
