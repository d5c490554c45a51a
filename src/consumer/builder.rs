//! Options of a consumer.

use std::sync::Arc;
use std::time::Duration;

use pulsewire_proto::{
    BatchReceivePolicy, ConsumerConfig, DeadLetterPolicy, Error, InitialPosition, KeySharedPolicy, Message,
    MessageId, RedeliveryBackoff, RegexSubscriptionMode, SubscriptionMode, SubscriptionType, TopicName,
    TopicsPattern,
};
#[cfg(feature = "many")]
use pulsewire_proto::{TopicConfiguration, TopicMatcher};

use super::hooks::{ConsumerEvent, ConsumerInterceptor};
use super::{Consumer, Hooks, Listeners};
use crate::client::Client;
use crate::runtime::MaybeSend;

/// Options of a [`Consumer`]. Defaults are those of Java's `ConsumerBuilder`.
#[must_use]
pub struct ConsumerBuilder {
    client: Client,
    topics: Topics,
    mode: RegexSubscriptionMode,
    subscription: String,
    settings: Vec<Setting>,
    #[cfg(feature = "many")]
    of_topics: Vec<Result<(TopicMatcher, TopicConfiguration), Error>>,
    hooks: Hooks,
    listeners: Listeners,
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
        let (mode, settings) = (RegexSubscriptionMode::default(), Vec::new());
        let (hooks, listeners) = (Hooks::default(), Listeners::default());
        Self {
            client,
            topics,
            mode,
            subscription,
            settings,
            #[cfg(feature = "many")]
            of_topics: Vec::new(),
            hooks,
            listeners,
        }
    }

    fn set(mut self, setting: impl FnOnce(&mut ConsumerConfig) + Send + 'static) -> Self {
        self.settings.push(Box::new(setting));
        self
    }

    /// How the subscription shares its messages. Default: exclusive, as Java's `subscriptionType`.
    pub fn subscription_type(self, subscription_type: SubscriptionType) -> Self {
        self.set(move |c| c.subscription_type = subscription_type)
    }

    /// Where a subscription begins that is not there yet. Default: latest, as Java's
    /// `subscriptionInitialPosition`.
    pub fn initial_position(self, position: InitialPosition) -> Self {
        self.set(move |c| c.initial_position = position)
    }

    /// Whether the broker keeps the subscription's place. Default: durable, as Java's
    /// `subscriptionMode`.
    pub fn subscription_mode(self, mode: SubscriptionMode) -> Self {
        self.set(move |c| c.subscription_mode = mode)
    }

    /// Where a non-durable subscription begins: after this message, or at [`MessageId::EARLIEST`] or
    /// [`MessageId::LATEST`]. Default: as [`initial_position`](Self::initial_position) says; Java's
    /// `startMessageId` is an option of readers.
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

    /// The consumer's name, which is not blank. Default: a random one, as Java's `consumerName`.
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(move |c| c.name = Some(name))
    }

    /// Hands all messages to this function, one after another. Default: none, as Java's `messageListener`;
    /// messages are received. Natively it runs on the client's tokio runtime: what takes long belongs into a task or behind [`Consumer::messages`].
    /// Calls that receive are refused then. A panic in it is told by [`ConsumerEvent::Panicked`], and the next
    /// message is handed to it. Dropping the last handle of the consumer ends it.
    ///
    /// ```no_run
    /// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
    /// let consumer = client
    ///     .consumer("news", "s")
    ///     .message_listener(|consumer, message| {
    ///         println!("{:?}", message.payload());
    ///         consumer.acknowledge(&message).ok();
    ///     })
    ///     .subscribe()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn message_listener(
        mut self,
        listener: impl FnMut(&Consumer, Message) + MaybeSend + 'static,
    ) -> Self {
        self.listeners.messages = Some(Box::new(listener));
        self
    }

    /// Tells this function what happens to the consumer beside its messages. Default: none, as Java's
    /// `consumerEventListener` and its listener's `reachedEndOfTopic`. It is called where a
    /// [`message_listener`](Self::message_listener) is, and never at the same time. Of events that it does not
    /// come to, the last 1000 wait; [`ConsumerEvent::Missed`] tells how many did not.
    pub fn consumer_event_listener(
        mut self,
        listener: impl FnMut(&Consumer, ConsumerEvent) + MaybeSend + 'static,
    ) -> Self {
        self.listeners.events = Some(Box::new(listener));
        self
    }

    /// Adds an interceptor, after those that were added before. Default: none, as Java's `intercept`.
    pub fn intercept(mut self, interceptor: impl ConsumerInterceptor) -> Self {
        self.hooks.interceptors.push(Arc::new(interceptor));
        self.set(|c| c.tells_interceptors = true)
    }

    /// Messages that may wait to be received. Default: 1000, as Java's `receiverQueueSize`. With 0 the broker
    /// is asked for one message when one is to be received, and for no more; a batch then ends the consumer,
    /// as in Java.
    pub fn receiver_queue_size(self, messages: u32) -> Self {
        self.set(move |c| c.receiver_queue_size = messages)
    }

    /// Whether the receiver queue begins small and doubles, up to its size, whenever it ran empty after it had
    /// been full; and halves when the client's [memory limit](crate::ClientBuilder::memory_limit) is near.
    /// Not with a size of 0. Default: no, as Java's `autoScaledReceiverQueueSizeEnabled`.
    pub fn auto_scaled_receiver_queue_size(self, enabled: bool) -> Self {
        self.set(move |c| c.auto_scaled_receiver_queue_size = enabled)
    }

    /// Bytes of payload that may wait to be received, beside the limit on messages. The broker counts
    /// messages only, so it is asked for as many as this has room for by what the last ones took: it may be
    /// exceeded by those on their way when messages suddenly grow. Partitions and topics have equal shares of it, and
    /// each asks for one message at least. Not beside a [`receiver_queue_size`](Self::receiver_queue_size) of 0.
    /// Default: no limit. Java has none.
    pub fn receiver_queue_bytes(self, bytes: usize) -> Self {
        self.set(move |c| c.receiver_queue_bytes = Some(bytes))
    }

    /// When [`Consumer::batch_receive`] hands out what has come. Default: 10 MiB or 100 ms, as Java's
    /// `batchReceivePolicy`.
    pub fn batch_receive_policy(self, policy: BatchReceivePolicy) -> Self {
        self.set(move |c| c.batch_receive_policy = policy)
    }

    /// Whether no messages are asked for before [`Consumer::resume`]. Default: no, as Java's `startPaused`.
    pub fn start_paused(self, paused: bool) -> Self {
        self.set(move |c| c.start_paused = paused)
    }

    /// How long the consumer may get nothing before its broker is asked whether it still serves it, at least
    /// 1 s. One that is found forgotten subscribes again, and what is not acknowledged comes once more: so it
    /// is off by default. Java has no such option.
    pub fn watchdog_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.watchdog_interval = Some(interval))
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

    /// Whether each acknowledgement is confirmed by the broker, and said again until it is: brokers drop those
    /// that come while they move a topic. Default: no, as Java's `isAckReceiptEnabled`. To wait for the
    /// confirmation of one there is [`Consumer::acknowledge_confirmed`].
    pub fn ack_receipt_enabled(self, enabled: bool) -> Self {
        self.set(move |c| c.ack_receipt_enabled = enabled)
    }

    /// Whether brokers that can are told of acknowledged parts of batches, so that these do not come
    /// again. Default: no, as Java's `enableBatchIndexAcknowledgment`.
    pub fn batch_index_acknowledgment(self, enabled: bool) -> Self {
        self.set(move |c| c.batch_index_acknowledgment = enabled)
    }

    /// When a negatively acknowledged message comes again. Default: after 60 s, as Java's
    /// `negativeAckRedeliveryDelay`. On exclusive and failover subscriptions all that is not acknowledged
    /// comes again with it, in order.
    pub fn negative_ack_redelivery_delay(self, delay: Duration) -> Self {
        self.set(move |c| c.negative_ack_redelivery_delay = delay)
    }

    /// A delay that grows with every redelivery, in place of the fixed one. Default: none, as Java's
    /// `negativeAckRedeliveryBackoff`.
    pub fn negative_ack_redelivery_backoff(self, backoff: RedeliveryBackoff) -> Self {
        self.set(move |c| c.negative_ack_redelivery_backoff = Some(backoff))
    }

    /// How finely negative acknowledgements keep time: to `2^bits` ms, late and never early, where Java's come early.
    /// Default: 8, that is 256 ms, as Java's `negativeAckRedeliveryDelayPrecision`; at most 20. Here it costs no more
    /// memory to be finer, but more requests when many are due close together.
    pub fn negative_ack_redelivery_delay_precision(self, bits: u32) -> Self {
        self.set(move |c| c.negative_ack_redelivery_delay_precision = bits)
    }

    /// How long a received message may stay unacknowledged before it comes again. Default: zero, that is
    /// for ever, as Java's `ackTimeout`; else at least 1 s.
    pub fn ack_timeout(self, timeout: Duration) -> Self {
        self.set(move |c| c.ack_timeout = timeout)
    }

    /// How finely the ack timeout keeps time: messages come up to this much late, and never early.
    /// Default: 1 s, as Java's `ackTimeoutTickTime`; at least 100 ms.
    pub fn ack_timeout_tick_time(self, time: Duration) -> Self {
        self.set(move |c| c.ack_timeout_tick_time = time)
    }

    /// A delay that is added to the ack timeout, by how often the message has come. Default: none, as
    /// Java's `ackTimeoutRedeliveryBackoff`.
    pub fn ack_timeout_redelivery_backoff(self, backoff: RedeliveryBackoff) -> Self {
        self.set(move |c| c.ack_timeout_redelivery_backoff = Some(backoff))
    }

    /// Where messages go that have come too often. Default: nowhere, as Java's `deadLetterPolicy`.
    ///
    /// ```
    /// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
    /// use pulsewire::{DeadLetterPolicy, SubscriptionType};
    ///
    /// let policy = DeadLetterPolicy::new(3).initial_subscription_name("inspection");
    /// let consumer = client
    ///     .consumer("orders", "billing")
    ///     .subscription_type(SubscriptionType::Shared)
    ///     .dead_letter_policy(policy)
    ///     .subscribe()
    ///     .await?;
    /// // What is negatively acknowledged for the fourth time goes to `orders-billing-DLQ`.
    /// # let _ = consumer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn dead_letter_policy(self, policy: DeadLetterPolicy) -> Self {
        self.set(move |c| c.dead_letter_policy = Some(policy))
    }

    /// Whether messages can be put off by [`Consumer::reconsume_later`]. Default: no, as Java's
    /// `enableRetry`.
    pub fn enable_retry(self, enabled: bool) -> Self {
        self.set(move |c| c.enable_retry = enabled)
    }

    /// Who is served first in a shared subscription, or is active in a failover one; 0 is the highest, and it is
    /// not negative. Default: 0, as Java's `priorityLevel`.
    pub fn priority_level(self, level: i32) -> Self {
        self.set(move |c| c.priority_level = level)
    }

    /// Options of one of the topics, with all its partitions, in place of the consumer's own; of several that match a
    /// topic the first counts. Default: none, as Java's `topicConfiguration`.
    ///
    /// ```
    /// # fn build(client: pulsewire::Client) -> pulsewire::ConsumerBuilder {
    /// use pulsewire::TopicConfiguration;
    /// let consumer = client.consumer_of_topics(["orders", "refunds"], "books");
    /// consumer.topic_configuration("refunds", TopicConfiguration { priority_level: 1 })
    /// # }
    /// ```
    #[cfg(feature = "many")]
    pub fn topic_configuration(
        mut self,
        topic: impl Into<String>,
        configuration: TopicConfiguration,
    ) -> Self {
        let name = TopicName::parse(&topic.into());
        self.of_topics.push(name.map(|name| (TopicMatcher::Name(name), configuration)));
        self
    }

    /// The same for all topics that match a pattern: see [`TopicsPattern`] for its form. Default: none, as Java's
    /// `topicConfiguration`.
    #[cfg(feature = "many")]
    pub fn topic_configuration_of_pattern(
        mut self,
        pattern: impl Into<String>,
        configuration: TopicConfiguration,
    ) -> Self {
        let pattern = TopicsPattern::parse(&pattern.into());
        self.of_topics.push(pattern.map(|pattern| (TopicMatcher::Pattern(pattern), configuration)));
        self
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
    /// subscription sets them; those of later ones are for a subscription that has none. Default: none, as
    /// Java's `subscriptionProperties`.
    pub fn subscription_property(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let property = (name.into(), value.into());
        self.set(move |c| c.subscription_properties.push(property))
    }

    /// Adds a property that the broker's statistics show; its name is not blank. Default: none, as Java's
    /// `property`.
    pub fn property(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let property = (name.into(), value.into());
        self.set(move |c| c.properties.push(property))
    }

    /// The largest message that is unpacked or put together from chunks, in bytes, and what all chunks of
    /// messages that are not whole hold together, of all partitions and topics. A larger message is received as `Corrupted`. Default:
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

    /// Messages that may wait in all partitions and topics of the consumer together, so that each may hold fewer
    /// than [`receiver_queue_size`](Self::receiver_queue_size) says. The shares of those that are there become
    /// smaller as others come, but what they were promised before still comes. Default: 50,000, as Java's
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
    /// `autoUpdatePartitionsInterval`; at least 1 ms, where Java has whole seconds.
    pub fn auto_update_partitions_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.auto_update_partitions_interval = interval)
    }

    /// How often topics are listed anew for a pattern; where the broker tells of new ones by itself this
    /// is a safety net. Default: 60 s, as Java's `patternAutoDiscoveryPeriod`; at least 1 ms, where Java has whole seconds.
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
    /// `InvalidTopicName`, `InvalidOption` with all that is wrong, what the broker says (`ConsumerBusy` on an
    /// exclusive subscription that has its consumer), or `Timeout`.
    pub async fn subscribe(self) -> Result<Consumer, Error> {
        #[cfg_attr(
            not(feature = "many"),
            expect(unused_mut, reason = "no topic has options of its own there")
        )]
        let (mut settings, mut wrong) = (self.settings, Vec::new());
        #[cfg(feature = "many")]
        for of_topic in self.of_topics {
            match of_topic {
                Ok(of_topic) => settings.push(Box::new(move |c| c.topic_configurations.push(of_topic))),
                Err(error) => wrong.push(error),
            }
        }
        let Checked { names, pattern, config } =
            Checked::new(&self.topics, self.mode, &self.subscription, settings, wrong)?;
        let topic = match &self.topics {
            Topics::Pattern(text) => text.clone(),
            _ => names.iter().map(TopicName::as_str).collect::<Vec<_>>().join(","),
        };
        let (topics, mode) = (self.topics, self.mode);
        let (hooks, listeners) = (self.hooks, self.listeners);
        Consumer::open(self.client, topic, self.subscription, hooks, listeners, |core, now| {
            match (&topics, pattern) {
                (Topics::One(_), _) => core.subscribe(config, now),
                (_, Some(pattern)) => core.subscribe_pattern(config, pattern, mode, now),
                (_, None) => core.subscribe_topics(config, &names, now),
            }
        })
        .await
    }
}

/// What is to be opened, all of it in its range.
struct Checked {
    names: Vec<TopicName>,
    pattern: Option<TopicsPattern>,
    config: ConsumerConfig,
}

impl Checked {
    /// One error has all that is wrong, with the topics and with the options.
    fn new(
        topics: &Topics,
        mode: RegexSubscriptionMode,
        subscription: &str,
        settings: Vec<Setting>,
        mut wrong: Vec<Error>,
    ) -> Result<Self, Error> {
        let (mut names, mut pattern) = (Vec::new(), None);
        let mut parse = |name: &str| match TopicName::parse(name) {
            Ok(name) => names.push(name),
            Err(error) => wrong.push(error),
        };
        match topics {
            Topics::One(name) => parse(name),
            Topics::Several(topics) => topics.iter().for_each(|name| parse(name)),
            Topics::Pattern(text) => match TopicsPattern::parse(text) {
                Ok(parsed) => pattern = Some(parsed),
                Err(error) => wrong.push(error),
            },
        }
        let first = match names.first() {
            Some(name) => name.clone(),
            None => TopicName::parse("none")?,
        };
        let mut config = ConsumerConfig::new(first, subscription);
        settings.into_iter().for_each(|set| set(&mut config));
        // Code of the user's, which is not to be called under the lock.
        wrong.extend(config.make_letter_producers().err());
        let options = match topics {
            Topics::One(_) => config.validate(),
            Topics::Several(_) if names.is_empty() && !wrong.is_empty() => {
                config.validate_topics(std::slice::from_ref(&config.topic))
            }
            Topics::Several(_) => config.validate_topics(&names),
            Topics::Pattern(_) => config.validate_pattern(mode),
        };
        Error::together(wrong.into_iter().chain(options.err()))?;
        Ok(Self { names, pattern, config })
    }
}
