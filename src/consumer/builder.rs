//! Options of a consumer.

use std::time::Duration;

use pulsewire_proto::{
    ConsumerConfig, Error, InitialPosition, KeySharedPolicy, MessageId, RedeliveryBackoff,
    RegexSubscriptionMode, SubscriptionMode, SubscriptionType, TopicName, TopicsPattern,
};

use super::Consumer;
use crate::client::Client;

/// Options of a [`Consumer`]. Defaults are those of Java's `ConsumerBuilder`.
#[must_use]
pub struct ConsumerBuilder {
    client: Client,
    topics: Topics,
    mode: RegexSubscriptionMode,
    subscription: String,
    settings: Vec<Setting>,
}

/// What is consumed.
pub(crate) enum Topics {
    One(String),
    Several(Vec<String>),
    Pattern(String),
}

type Setting = Box<dyn FnOnce(&mut ConsumerConfig) + Send>;

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, topics: Topics, subscription: String) -> Self {
        Self { client, topics, mode: RegexSubscriptionMode::default(), subscription, settings: Vec::new() }
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

    /// Messages that may wait in all partitions of a topic together, so that each may hold fewer than
    /// [`receiver_queue_size`](Self::receiver_queue_size) says. Default: 50,000, as Java's
    /// `maxTotalReceiverQueueSizeAcrossPartitions`; at least 1, and each may hold one at least.
    pub fn max_total_receiver_queue_size_across_partitions(self, messages: u32) -> Self {
        self.set(move |c| c.max_total_receiver_queue_size_across_partitions = messages)
    }

    /// Whether partitions that a topic gets later are consumed too, from their first message on.
    /// Default: yes, as Java's `autoUpdatePartitions`.
    pub fn auto_update_partitions(self, enabled: bool) -> Self {
        self.set(move |c| c.auto_update_partitions = enabled)
    }

    /// How often it is asked whether there are more partitions. Default: 60 s, as Java's
    /// `autoUpdatePartitionsInterval`; at least 1 ms.
    pub fn auto_update_partitions_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.auto_update_partitions_interval = interval)
    }

    /// How often topics are listed anew for a pattern; where the broker tells of new ones by itself this
    /// is a safety net. Default: 60 s, as Java's `patternAutoDiscoveryPeriod`; at least 1 ms.
    pub fn pattern_auto_discovery_period(self, period: Duration) -> Self {
        self.set(move |c| c.pattern_auto_discovery_period = period)
    }

    /// Which topics a pattern is about. Default: persistent ones, as Java's `subscriptionTopicsMode`.
    pub fn regex_subscription_mode(mut self, mode: RegexSubscriptionMode) -> Self {
        self.mode = mode;
        self
    }

    /// Opens the consumer: of a list of topics all of them, or none; of a pattern those that there are now.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption`, what the broker says (`ConsumerBusy` on an exclusive
    /// subscription that has its consumer), or `Timeout`.
    pub async fn subscribe(self) -> Result<Consumer, Error> {
        let mut names = Vec::new();
        let mut pattern = None;
        let topic = match &self.topics {
            Topics::One(name) => {
                names.push(TopicName::parse(name)?);
                names[0].to_string()
            }
            Topics::Several(topics) => {
                for name in topics {
                    names.push(TopicName::parse(name)?);
                }
                names.iter().map(TopicName::as_str).collect::<Vec<_>>().join(",")
            }
            Topics::Pattern(text) => {
                pattern = Some(TopicsPattern::parse(text)?);
                text.clone()
            }
        };
        let first = match names.first() {
            Some(name) => name.clone(),
            None => TopicName::parse("none")?,
        };
        let mut config = ConsumerConfig::new(first, self.subscription.clone());
        self.settings.into_iter().for_each(|set| set(&mut config));
        Consumer::open(self.client, topic, self.subscription, |core, now| match (&self.topics, pattern) {
            (Topics::One(_), _) => core.subscribe(config, now),
            (_, Some(pattern)) => core.subscribe_pattern(config, pattern, self.mode, now),
            (_, None) => core.subscribe_topics(config, &names, now),
        })
        .await
    }
}
