//! Options of a reader.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use pulsewire_proto::{Error, Message, MessageId, ReaderConfig, TopicName};

use super::hooks::OfConsumer;
use super::{Reader, ReaderInterceptor};
use crate::client::Client;
use crate::consumer::{Consumer, ConsumerEvent, Hooks, Listeners};
use crate::runtime::MaybeSend;

/// Options of a [`Reader`]. Defaults are those of Java's `ReaderBuilder`; where it starts must be said.
#[must_use]
pub struct ReaderBuilder {
    client: Client,
    topics: Vec<String>,
    settings: Vec<Setting>,
    /// What is known to be wrong before the options are looked at.
    wrong: Option<Error>,
    hooks: Hooks,
    listeners: Listeners,
}

type Setting = Box<dyn FnOnce(&mut ReaderConfig) + Send>;

impl ReaderBuilder {
    pub(crate) fn new(client: Client, topics: Vec<String>) -> Self {
        let mut hooks = Hooks::default();
        hooks.reads = true;
        Self { client, topics, settings: Vec::new(), wrong: None, hooks, listeners: Listeners::default() }
    }

    fn set(mut self, setting: impl FnOnce(&mut ReaderConfig) + Send + 'static) -> Self {
        self.settings.push(Box::new(setting));
        self
    }

    /// Starts after this message, or at [`MessageId::EARLIEST`] or [`MessageId::LATEST`]; with several
    /// topics or partitions at one of those two. This or
    /// [`start_message_rollback`](Self::start_message_rollback) must be set, and not both. No default, as Java's
    /// `startMessageId`.
    pub fn start_message_id(self, id: MessageId) -> Self {
        self.set(move |c| c.start_message_id = Some(id))
    }

    /// Whether the start message, or the message of a [`Reader::seek`], comes too. Default: no, as
    /// Java's `startMessageIdInclusive`.
    pub fn start_message_id_inclusive(self, inclusive: bool) -> Self {
        self.set(move |c| c.start_message_id_inclusive = inclusive)
    }

    /// Starts so far back in time, in whole seconds; at least 1. As Java's `startMessageFromRollbackDuration`.
    pub fn start_message_rollback(self, duration: Duration) -> Self {
        self.set(move |c| c.start_message_rollback = duration)
    }

    /// The reader's name, which the broker's statistics show. Default: a random one. As Java's `readerName`.
    pub fn name(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(move |c| c.name = Some(name))
    }

    /// The name of its subscription. Default: a random one that begins with `reader-`, as Java's
    /// `subscriptionName`.
    pub fn subscription(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.set(move |c| c.subscription = Some(name))
    }

    /// What the random name of its subscription begins with, for brokers that grant by prefix. Default:
    /// nothing, as Java's `subscriptionRolePrefix`.
    pub fn subscription_role_prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        self.set(move |c| c.subscription_role_prefix = Some(prefix))
    }

    /// Messages that may wait to be read. Default: 1000, as Java's `receiverQueueSize`. With 0 the broker is
    /// asked for one message when one is to be read; several topics or partitions need 1 at least.
    pub fn receiver_queue_size(self, messages: u32) -> Self {
        self.set(move |c| c.receiver_queue_size = messages)
    }

    /// Whether, of the part of the topic that is compacted, only the last message of each key comes. For
    /// persistent topics. Default: no, as Java's `readCompacted`.
    pub fn read_compacted(self, compacted: bool) -> Self {
        self.set(move |c| c.read_compacted = compacted)
    }

    /// Reads only messages whose key's hash is in one of these ranges, which do not overlap. Default:
    /// all, as Java's `keyHashRange`.
    pub fn key_hash_ranges(self, ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        let ranges = ranges.into_iter().collect();
        self.set(move |c| c.key_hash_ranges = ranges)
    }

    /// Adds a property that the broker's statistics show; its name is not blank. Default: none; Java's readers
    /// have none.
    pub fn property(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let property = (name.into(), value.into());
        self.set(move |c| c.properties.push(property))
    }

    /// Hands all messages to this function, one after another. Default: none, as Java's `readerListener`; messages are
    /// read. Natively it runs on the client's tokio runtime: what takes long belongs into a task or behind
    /// [`Reader::messages`]. Calls that read are refused then. A panic in it is told by
    /// [`ConsumerEvent::Panicked`], and the next message is handed to it. Dropping the last handle of the reader ends
    /// it.
    ///
    /// ```no_run
    /// # async fn run(client: pulsewire::Client) -> Result<(), pulsewire::Error> {
    /// use pulsewire::MessageId;
    ///
    /// let reader = client.reader("news").start_message_id(MessageId::EARLIEST);
    /// let reader = reader.reader_listener(|_, message| println!("{:?}", message.payload())).create().await?;
    /// # drop(reader);
    /// # Ok(()) }
    /// ```
    pub fn reader_listener(
        mut self,
        mut listener: impl FnMut(&Reader, Message) + MaybeSend + 'static,
    ) -> Self {
        let listener = move |consumer: &Consumer, message: Message| listener(&Reader::of(consumer), message);
        self.listeners.messages = Some(Box::new(listener));
        self
    }

    /// Tells this function what happens to the reader beside its messages: that all of a terminated topic was read, as
    /// Java's `reachedEndOfTopic` of a listener, and what is wrong with listeners and interceptors. Default: none. It is
    /// called where a [`reader_listener`](Self::reader_listener) is, and never at the same time. Of events that it does
    /// not come to, the last 1000 wait; [`ConsumerEvent::Missed`] tells how many did not.
    pub fn reader_event_listener(
        mut self,
        mut listener: impl FnMut(&Reader, ConsumerEvent) + MaybeSend + 'static,
    ) -> Self {
        let listener =
            move |consumer: &Consumer, event: ConsumerEvent| listener(&Reader::of(consumer), event);
        self.listeners.events = Some(Box::new(listener));
        self
    }

    /// Adds an interceptor, after those that were added before. Default: none, as Java's `intercept`.
    pub fn intercept(mut self, interceptor: impl ReaderInterceptor) -> Self {
        self.hooks.interceptors.push(Arc::new(OfConsumer(interceptor)));
        self.set(|c| c.tells_interceptors = true)
    }

    /// Messages that may be gathered from their chunks at a time; zero means any number. One more gives up the
    /// oldest. Default: 10, as Java's `maxPendingChunkedMessage`.
    pub fn max_pending_chunked_message(self, messages: u32) -> Self {
        self.set(move |c| c.max_pending_chunked_message = messages)
    }

    /// Whether the chunks of a message that is given up for newer ones are done with at once. Otherwise they come again
    /// when the reader opens anew. Default: no, as Java's `autoAckOldestChunkedMessageOnQueueFull`.
    pub fn auto_ack_oldest_chunked_message_on_queue_full(self, acknowledge: bool) -> Self {
        self.set(move |c| c.auto_ack_oldest_chunked_message_on_queue_full = acknowledge)
    }

    /// How long the rest of a message's chunks is waited for, before those that came are done with; zero means for
    /// ever. Default: 1 minute, as Java's `expireTimeOfIncompleteChunkedMessage`.
    pub fn expire_time_of_incomplete_chunked_message(self, time: Duration) -> Self {
        self.set(move |c| c.expire_time_of_incomplete_chunked_message = time)
    }

    /// Whether partitions that a topic gets later are read too, from their beginning. Default: yes, as Java's
    /// `autoUpdatePartitions`.
    pub fn auto_update_partitions(self, enabled: bool) -> Self {
        self.set(move |c| c.auto_update_partitions = enabled)
    }

    /// How often it is asked whether a topic has more partitions, which are read then too, from their
    /// beginning. Default: 60 s, as Java's `autoUpdatePartitionsInterval`; at least 1 ms, where Java has whole
    /// seconds.
    pub fn auto_update_partitions_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.auto_update_partitions_interval = interval)
    }

    /// One error has this, too, beside all that is wrong with the options.
    pub(crate) fn wrong(mut self, wrong: Option<Error>) -> Self {
        self.wrong = wrong;
        self
    }

    /// The topics and all options, or all that is wrong with them.
    fn config(
        topics: &[String],
        settings: Vec<Setting>,
        wrong: Option<Error>,
    ) -> Result<(Vec<TopicName>, ReaderConfig), Error> {
        let mut wrong: Vec<Error> = wrong.into_iter().collect();
        let mut names = Vec::new();
        for name in topics {
            match TopicName::parse(name) {
                Ok(name) => names.push(name),
                Err(error) => wrong.push(error),
            }
        }
        let first = match names.first() {
            Some(name) => name.clone(),
            None => TopicName::parse("none")?,
        };
        let mut config = ReaderConfig::new(first);
        settings.into_iter().for_each(|set| set(&mut config));
        let options = match topics {
            [] => config.validate_topics(&[]),
            [_] => config.validate(),
            _ if names.is_empty() => config.validate_topics(std::slice::from_ref(&config.topic)),
            _ => config.validate_topics(&names),
        };
        Error::together(wrong.into_iter().chain(options.err()))?;
        Ok((names, config))
    }

    /// Opens the reader: of several topics all of them, or none.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption` with all that is wrong, what the broker says, or `Timeout`.
    pub async fn create(self) -> Result<Reader, Error> {
        let (topics, config) = Self::config(&self.topics, self.settings, self.wrong)?;
        let names = topics.iter().map(TopicName::as_str).collect::<Vec<_>>().join(",");
        let (hooks, listeners) = (self.hooks, self.listeners);
        let start = |core: &mut pulsewire_proto::Client, now| match topics[..] {
            [_] => core.create_reader(config, now),
            _ => core.create_reader_of_topics(config, &topics, now),
        };
        let opened = Consumer::open(self.client, names, String::new(), hooks, listeners, start);
        Ok(Reader { consumer: opened.await? })
    }
}
