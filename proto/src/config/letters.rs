//! Where messages go that a consumer cannot be done with.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{ConsumerConfig, ProducerConfig};
use crate::consumer::Way;
use crate::error::{Error, ErrorKind};
use crate::topic::TopicName;

/// What changes the options of a producer of letters.
type Customize = Arc<dyn Fn(&mut ProducerConfig) + Send + Sync>;

/// Options of a producer of letters, all but its topic.
#[derive(Clone, Default)]
enum Template {
    #[default]
    Default,
    /// They are to be changed by the user's code, which is called once.
    Custom(Customize),
    /// They were.
    Made(Box<ProducerConfig>),
}

impl Template {
    fn for_topic(&self, topic: TopicName) -> ProducerConfig {
        match self {
            Self::Made(config) => ProducerConfig { topic, ..(**config).clone() },
            // They travel one by one, as Java's do.
            Self::Default | Self::Custom(_) => ProducerConfig {
                batching: false,
                chunking_enabled: cfg!(feature = "chunking"),
                ..ProducerConfig::new(topic)
            },
        }
    }

    /// Calls the user's code, if there is any that was not called yet.
    fn make(&mut self, option: &str, topic: TopicName) -> Result<(), Error> {
        let Self::Custom(customize) = self else { return Ok(()) };
        let (customize, mut config) = (customize.clone(), self.for_topic(topic));
        // Options that were left halfway are thrown away.
        catch_unwind(AssertUnwindSafe(|| customize(&mut config))).map_err(|panic| {
            let why = format!("the code of {option} panicked: {}", words(&*panic));
            Error::new(ErrorKind::InvalidOption, why)
        })?;
        *self = Self::Made(Box::new(config));
        Ok(())
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

/// When and where a consumer gives messages away: Java's `DeadLetterPolicy`.
///
/// A message that has come again [`max_redeliver_count`](Self::max_redeliver_count) times, and is
/// negatively acknowledged or runs into the ack timeout then, is published to the dead letter topic
/// with its key and properties, and acknowledged once the broker has it there. Brokers count redeliveries
/// of shared and key-shared subscriptions only. A message that was put off by `reconsume_later` more often
/// than that goes there too, on any subscription.
#[derive(Clone)]
pub struct DeadLetterPolicy {
    /// How often a message may come again, or be put off: 16; at least 1.
    pub max_redeliver_count: u32,
    /// Where such messages go: `{topic}-{subscription}-DLQ`. With `enable_retry`, `{subscription}-DLQ` in the namespace
    /// where there is such a topic, as in Java.
    pub dead_letter_topic: Option<String>,
    /// Where messages wait that are put off: `{topic}-{subscription}-RETRY`, or `{subscription}-RETRY` in the namespace
    /// where there is such a topic, as in Java.
    pub retry_letter_topic: Option<String>,
    /// A subscription that is made with the dead letter topic, so that it keeps what comes: none.
    pub initial_subscription_name: Option<String>,
    dead_letter_producer: Template,
    retry_letter_producer: Template,
}

impl Default for DeadLetterPolicy {
    fn default() -> Self {
        Self::new(16)
    }
}

impl DeadLetterPolicy {
    /// The defaults, with a limit.
    #[must_use]
    pub fn new(max_redeliver_count: u32) -> Self {
        Self {
            max_redeliver_count,
            dead_letter_topic: None,
            retry_letter_topic: None,
            initial_subscription_name: None,
            dead_letter_producer: Template::Default,
            retry_letter_producer: Template::Default,
        }
    }

    /// Where messages go that came too often. Default: `{topic}-{subscription}-DLQ`; with
    /// [`enable_retry`](ConsumerConfig::enable_retry) `{subscription}-DLQ` in the namespace where there is such a topic,
    /// which is how the first clients named it.
    #[must_use]
    pub fn dead_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.dead_letter_topic = Some(topic.into());
        self
    }

    /// Where messages wait that are put off. Default: `{topic}-{subscription}-RETRY`, or `{subscription}-RETRY` in the
    /// namespace where there is such a topic, which is how the first clients named it.
    #[must_use]
    pub fn retry_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.retry_letter_topic = Some(topic.into());
        self
    }

    /// A subscription that is made with the dead letter topic, so that it keeps what comes before anyone
    /// has subscribed. Default: none.
    #[must_use]
    pub fn initial_subscription_name(mut self, name: impl Into<String>) -> Self {
        self.initial_subscription_name = Some(name.into());
        self
    }

    /// Changes the options of the dead letter topic's producer: Java's
    /// `deadLetterProducerBuilderCustomizer`. The topic stays. It is called once, when the consumer is
    /// opened; natively, a panic in it is the error `InvalidOption` of that.
    #[must_use]
    pub fn dead_letter_producer(
        mut self,
        customize: impl Fn(&mut ProducerConfig) + Send + Sync + 'static,
    ) -> Self {
        self.dead_letter_producer = Template::Custom(Arc::new(customize));
        self
    }

    /// Changes the options of the retry letter topic's producer: Java's
    /// `retryLetterProducerBuilderCustomizer`. The topic stays. It is called once, when the consumer is
    /// opened; natively, a panic in it is the error `InvalidOption` of that.
    #[must_use]
    pub fn retry_letter_producer(
        mut self,
        customize: impl Fn(&mut ProducerConfig) + Send + Sync + 'static,
    ) -> Self {
        self.retry_letter_producer = Template::Custom(Arc::new(customize));
        self
    }
}

impl fmt::Debug for DeadLetterPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterPolicy")
            .field("max_redeliver_count", &self.max_redeliver_count)
            .field("dead_letter_topic", &self.dead_letter_topic)
            .field("retry_letter_topic", &self.retry_letter_topic)
            .field("initial_subscription_name", &self.initial_subscription_name)
            .finish_non_exhaustive()
    }
}

impl ConsumerConfig {
    pub(super) fn check_letters(&self, wrong: &mut Vec<String>) {
        if self.dead_letter_policy.as_ref().is_some_and(|policy| policy.max_redeliver_count == 0) {
            wrong.push("max_redeliver_count is at least 1".to_owned());
        }
        for producer in [self.dead_letter_producer(), self.retry_letter_producer()] {
            match producer.map(|producer| producer.validate()) {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => wrong.push(error.to_string()),
            }
        }
    }

    /// Topics of letters that nobody has named, as the first clients named them.
    pub(crate) fn older_letter_topics(&self) -> Vec<(Way, TopicName)> {
        if !cfg!(feature = "redelivery") || !self.enable_retry {
            return Vec::new();
        }
        let policy = self.dead_letter_policy.as_ref();
        let domain = if self.topic.is_persistent() { "persistent" } else { "non-persistent" };
        [
            (Way::Retry, "RETRY", policy.and_then(|policy| policy.retry_letter_topic.as_ref())),
            (Way::Dead, "DLQ", policy.and_then(|policy| policy.dead_letter_topic.as_ref())),
        ]
        .into_iter()
        .filter(|(.., named)| named.is_none())
        .filter_map(|(way, suffix, _)| {
            let name = format!("{domain}://{}/{}-{suffix}", self.topic.namespace(), self.subscription);
            // What is no name is no topic.
            Some((way, TopicName::parse(&name).ok()?))
        })
        .collect()
    }

    /// Names one of them.
    pub(crate) fn name_letter(&mut self, way: Way, topic: &TopicName) {
        let policy = self.dead_letter_policy.get_or_insert_default();
        let name = Some(topic.to_string());
        match way {
            Way::Dead => policy.dead_letter_topic = name,
            Way::Retry => policy.retry_letter_topic = name,
        }
    }

    /// Where what is put off can be read again: all topics of a consumer have one retry letter topic, and one
    /// dead letter topic, named after the first of them unless they have names.
    pub(crate) fn name_letters(&mut self) -> Option<TopicName> {
        if !cfg!(feature = "redelivery") || !self.enable_retry {
            return None;
        }
        let (dead, retry) = (self.dead_letter_topic().ok()?, self.retry_letter_topic().ok()?);
        let policy = self.dead_letter_policy.get_or_insert_default();
        policy.dead_letter_topic = Some(dead.to_string());
        policy.retry_letter_topic = Some(retry.to_string());
        Some(retry)
    }

    /// Calls the code of the user's that changes the options of the producers of letters, once: what it made is kept.
    /// [`Client::subscribe`](crate::Client::subscribe) does so too; whoever calls that under a lock does it before.
    ///
    /// # Errors
    /// `InvalidOption`: it panicked.
    pub fn make_letter_producers(&mut self) -> Result<(), Error> {
        if !cfg!(feature = "redelivery") || self.dead_letter_policy.is_none() {
            return Ok(());
        }
        // A name that is none is for `validate`, which lists all that is wrong.
        let dead = self.dead_letter_topic().unwrap_or_else(|_| self.topic.clone());
        let retry = self.retry_letter_topic().unwrap_or_else(|_| self.topic.clone());
        let Some(policy) = &mut self.dead_letter_policy else { return Ok(()) };
        policy.dead_letter_producer.make("dead_letter_producer", dead)?;
        policy.retry_letter_producer.make("retry_letter_producer", retry)
    }

    fn dead_letter_topic(&self) -> Result<TopicName, Error> {
        let policy = self.dead_letter_policy.as_ref();
        self.letter_topic(policy.and_then(|policy| policy.dead_letter_topic.as_deref()), "DLQ")
    }

    fn retry_letter_topic(&self) -> Result<TopicName, Error> {
        let policy = self.dead_letter_policy.as_ref();
        self.letter_topic(policy.and_then(|policy| policy.retry_letter_topic.as_deref()), "RETRY")
    }

    fn letter_topic(&self, named: Option<&str>, suffix: &str) -> Result<TopicName, Error> {
        match named {
            Some(topic) => TopicName::parse(topic),
            None => TopicName::parse(&format!("{}-{}-{suffix}", self.topic, self.subscription)),
        }
    }

    /// Options of the producer of dead letters.
    pub(crate) fn dead_letter_producer(&self) -> Result<ProducerConfig, Error> {
        let (topic, default) = (self.dead_letter_topic()?, Template::Default);
        let policy = self.dead_letter_policy.as_ref();
        let mut config = policy.map_or(&default, |policy| &policy.dead_letter_producer).for_topic(topic);
        if let Some(name) = policy.and_then(|policy| policy.initial_subscription_name.as_ref()) {
            config.initial_subscription_name = Some(name.clone());
        }
        Ok(config)
    }

    /// Options of the producer of retry letters.
    pub(crate) fn retry_letter_producer(&self) -> Result<ProducerConfig, Error> {
        let (topic, default) = (self.retry_letter_topic()?, Template::Default);
        let policy = self.dead_letter_policy.as_ref();
        Ok(policy.map_or(&default, |policy| &policy.retry_letter_producer).for_topic(topic))
    }
}
