//! Options of a reader.

use std::ops::RangeInclusive;
use std::time::Duration;

use pulsewire_proto::{Error, ErrorKind, MessageId, ReaderConfig, TopicName};

use super::Reader;
use crate::client::Client;
use crate::consumer::Consumer;

/// Options of a [`Reader`]. Defaults are those of Java's `ReaderBuilder`; where it starts must be said.
#[must_use]
pub struct ReaderBuilder {
    client: Client,
    topics: Vec<String>,
    settings: Vec<Setting>,
}

type Setting = Box<dyn FnOnce(&mut ReaderConfig) + Send>;

impl ReaderBuilder {
    pub(crate) fn new(client: Client, topics: Vec<String>) -> Self {
        Self { client, topics, settings: Vec::new() }
    }

    fn set(mut self, setting: impl FnOnce(&mut ReaderConfig) + Send + 'static) -> Self {
        self.settings.push(Box::new(setting));
        self
    }

    /// Starts after this message, or at [`MessageId::EARLIEST`] or [`MessageId::LATEST`]; with several
    /// topics or partitions at one of those two. This or
    /// [`start_message_rollback`](Self::start_message_rollback) must be set, and not both.
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

    /// Messages that may wait to be read. Default: 1000; at least 1.
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

    /// Adds a property that the broker's statistics show.
    pub fn property(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let property = (name.into(), value.into());
        self.set(move |c| c.properties.push(property))
    }

    /// How often it is asked whether a topic has more partitions, which are read then too, from their
    /// beginning. Default: 60 s, as Java's `autoUpdatePartitionsInterval`; at least 1 s.
    pub fn auto_update_partitions_interval(self, interval: Duration) -> Self {
        self.set(move |c| c.auto_update_partitions_interval = interval)
    }

    /// Opens the reader: of several topics all of them, or none.
    ///
    /// # Errors
    /// `InvalidTopicName`, `InvalidOption` with all that is wrong, what the broker says, or `Timeout`.
    pub async fn create(self) -> Result<Reader, Error> {
        let topics: Vec<TopicName> =
            self.topics.iter().map(|name| TopicName::parse(name)).collect::<Result<_, _>>()?;
        let Some(first) = topics.first() else {
            return Err(Error::new(ErrorKind::InvalidOption, "a reader has one topic at least"));
        };
        let mut config = ReaderConfig::new(first.clone());
        self.settings.into_iter().for_each(|set| set(&mut config));
        let names = topics.iter().map(TopicName::as_str).collect::<Vec<_>>().join(",");
        let opened = Consumer::open(self.client, names, String::new(), |core, now| match topics[..] {
            [_] => core.create_reader(config, now),
            _ => core.create_reader_of_topics(config, &topics, now),
        });
        Ok(Reader { consumer: opened.await? })
    }
}
