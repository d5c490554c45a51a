//! A topic: its log, its producers, its subscriptions.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use pulsewire_proto::wire::{ProducerAccessMode, ServerError};

use super::connection::ConnId;
use super::error::Refusal;
use super::names::TopicName;
use super::storage::Log;
use super::subscription::{ConsumerKey, Subscription};

/// A topic's name inside the broker; never used again after it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TopicKey(pub(super) u64);

/// A subscription's name inside its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SubKey(pub(super) u64);

/// A connection's end of a producer.
#[derive(Debug)]
pub(super) struct ProducerRef {
    pub(super) topic: TopicKey,
    pub(super) name: String,
    pub(super) schema_version: Bytes,
    /// Highest sequence id stored; -1 at first. Kept only when `deduplicated`.
    pub(super) last_sequence: i64,
    pub(super) deduplicated: bool,
    /// Not waiting for exclusive access.
    pub(super) ready: bool,
}

/// A connection's end of a consumer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConsumerRef {
    pub(super) topic: TopicKey,
    pub(super) sub: SubKey,
    pub(super) key: ConsumerKey,
}

/// The topic's end of a producer.
#[derive(Debug, Clone)]
pub(super) struct Producer {
    pub(super) conn: ConnId,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) epoch: u64,
    pub(super) access: ProducerAccessMode,
    pub(super) topic_epoch: Option<u64>,
    /// Answered when a producer that waits gets its turn.
    pub(super) request_id: u64,
}

impl Producer {
    /// Whether this is the same producer, opened again over its connection.
    fn succeeds(&self, other: &Self) -> bool {
        self.conn == other.conn && self.id == other.id && self.epoch > other.epoch
    }
}

/// What became of a producer that wants to be admitted.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// It waits for exclusive access.
    pub(super) waits: bool,
    /// The topic's epoch, for producers with exclusive access.
    pub(super) topic_epoch: Option<u64>,
    /// Producers that have to go.
    pub(super) fenced: Vec<Producer>,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) log: Log,
    pub(super) producers: BTreeMap<String, Producer>,
    /// Producers that wait for exclusive access, first come first served.
    pub(super) waiting: VecDeque<Producer>,
    exclusive: Option<String>,
    epoch: Option<u64>,
    pub(super) subs: BTreeMap<SubKey, Subscription>,
    pub(super) sub_names: BTreeMap<String, SubKey>,
    next_sub: u64,
    /// Highest sequence ids of producers that are gone, where deduplication is on.
    pub(super) sequences: BTreeMap<String, i64>,
    pub(super) messages_in: u64,
    pub(super) bytes_in: u64,
}

impl Topic {
    pub(super) fn new(name: TopicName, ledger: u64) -> Self {
        Self {
            name,
            log: Log::new(ledger),
            producers: BTreeMap::new(),
            waiting: VecDeque::new(),
            exclusive: None,
            epoch: None,
            subs: BTreeMap::new(),
            sub_names: BTreeMap::new(),
            next_sub: 0,
            sequences: BTreeMap::new(),
            messages_in: 0,
            bytes_in: 0,
        }
    }

    /// The partition's number as message ids carry it: -1 when there is none.
    pub(super) fn partition(&self) -> i32 {
        self.name.partition().map_or(-1, |n| i32::try_from(n).unwrap_or(-1))
    }

    /// Takes a producer in, by its access mode and its name.
    pub(super) fn admit(&mut self, producer: Producer) -> Result<Admission, Refusal> {
        let mut admission = Admission::default();
        let taken = self.exclusive.is_some() || !self.waiting.is_empty();
        let existing = || {
            format!("Topic has an existing exclusive producer: {}", self.exclusive.as_deref().unwrap_or(""))
        };
        match producer.access {
            ProducerAccessMode::SHARED if taken => {
                return Err(Refusal::new(ServerError::PRODUCER_BUSY, existing()));
            }
            ProducerAccessMode::SHARED => {}
            ProducerAccessMode::EXCLUSIVE if taken => {
                return Err(Refusal::new(ServerError::PRODUCER_FENCED, existing()));
            }
            ProducerAccessMode::EXCLUSIVE if !self.producers.is_empty() => {
                let message = "Topic has existing shared producers";
                return Err(Refusal::new(ServerError::PRODUCER_FENCED, message));
            }
            ProducerAccessMode::EXCLUSIVE => {
                admission.topic_epoch = Some(self.next_epoch(producer.topic_epoch)?);
            }
            ProducerAccessMode::WAIT_FOR_EXCLUSIVE if taken || !self.producers.is_empty() => {
                // One that was fenced out must not wait for its next chance to write.
                self.next_epoch(producer.topic_epoch)?;
                admission.waits = true;
                self.waiting.push_back(producer);
                return Ok(admission);
            }
            ProducerAccessMode::WAIT_FOR_EXCLUSIVE => {
                admission.topic_epoch = Some(self.next_epoch(producer.topic_epoch)?);
            }
            ProducerAccessMode::EXCLUSIVE_WITH_FENCING => {
                admission.topic_epoch = Some(self.next_epoch(producer.topic_epoch)?);
                admission.fenced = std::mem::take(&mut self.producers).into_values().collect();
                admission.fenced.extend(std::mem::take(&mut self.waiting));
            }
            other => {
                let message = format!("Invalid producer access mode: {other:?}");
                return Err(Refusal::new(ServerError::UNKNOWN_ERROR, message));
            }
        }
        if let Some(old) = self.producers.get(&producer.name) {
            if !producer.succeeds(old) {
                let message = format!(
                    "Producer with name '{}' is already connected to topic '{}'",
                    producer.name, self.name
                );
                return Err(Refusal::new(ServerError::PRODUCER_BUSY, message));
            }
            admission.fenced.push(old.clone());
        }
        if admission.topic_epoch.is_some() {
            self.epoch = admission.topic_epoch;
            self.exclusive = Some(producer.name.clone());
        }
        self.producers.insert(producer.name.clone(), producer);
        Ok(admission)
    }

    /// The epoch that a producer with exclusive access begins, or takes up again.
    fn next_epoch(&self, known: Option<u64>) -> Result<u64, Refusal> {
        match (known, self.epoch) {
            (Some(known), Some(current)) if known < current => Err(Refusal::new(
                ServerError::PRODUCER_FENCED,
                format!("Topic epoch has already moved. Current epoch: {current}, Producer epoch: {known}"),
            )),
            (Some(known), _) => Ok(known),
            (None, current) => Ok(current.map_or(0, |epoch| epoch + 1)),
        }
    }

    /// Lets a producer go. Answers the one that gets exclusive access now, with the topic's epoch.
    pub(super) fn dismiss(&mut self, name: &str, conn: ConnId, id: u64) -> Option<(Producer, u64)> {
        self.waiting.retain(|waiting| (waiting.conn, waiting.id) != (conn, id));
        if self.producers.get(name).is_some_and(|p| (p.conn, p.id) == (conn, id)) {
            self.producers.remove(name);
            if self.exclusive.as_deref() == Some(name) {
                self.exclusive = None;
            }
        }
        if !self.producers.is_empty() {
            return None;
        }
        let next = self.waiting.pop_front()?;
        let epoch = self.epoch.map_or(0, |epoch| epoch + 1);
        self.epoch = Some(epoch);
        self.exclusive = Some(next.name.clone());
        self.producers.insert(next.name.clone(), next.clone());
        Some((next, epoch))
    }

    /// The subscription of that name.
    pub(super) fn sub(&self, name: &str) -> Option<(SubKey, &Subscription)> {
        let key = *self.sub_names.get(name)?;
        Some((key, self.subs.get(&key)?))
    }

    pub(super) fn add_sub(&mut self, sub: Subscription) -> SubKey {
        let key = SubKey(self.next_sub);
        self.next_sub += 1;
        self.sub_names.insert(sub.name.clone(), key);
        self.subs.insert(key, sub);
        key
    }

    pub(super) fn remove_sub(&mut self, key: SubKey) -> Option<Subscription> {
        let sub = self.subs.remove(&key)?;
        self.sub_names.remove(&sub.name);
        Some(sub)
    }

    /// Everything below this is consumed by all subscriptions: it may be forgotten when memory is
    /// short.
    pub(super) fn consumed(&self) -> u64 {
        self.subs.values().map(|sub| sub.cursor.mark()).min().unwrap_or_else(|| self.log.end())
    }

    /// What a topic that stores nothing does after its messages were handed out.
    pub(super) fn forget(&mut self) {
        let end = self.log.end();
        for sub in self.subs.values_mut() {
            sub.skip_to(end);
        }
        self.log.trim(end);
    }
}
