//! A topic: its log, its producers, its subscriptions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use pulsewire_proto::wire::{KeyValue, ProducerAccessMode, ServerError};

use super::compaction::{COMPACTION, Compacted, CompactionStats, mark_of};
use super::error::Refusal;
use super::ids::{ConnId, SubKey};
use super::keeping::KeptTopic;
use super::names::TopicName;
use super::policies::Rules;
use super::rates::{Bucket, Comings, Rate, Throttle, Window};
use super::storage::{Log, Place};
use super::subscription::Subscription;
use super::transactions::Buffer;

/// Producers whose sequence ids a topic remembers; beyond, those that are gone are forgotten.
const MAX_SEQUENCES: usize = 10_000;

/// The property of a shadow topic that names the one that it repeats.
pub(super) const SHADOW_SOURCE: &str = "PULSAR.SHADOW_SOURCE";

/// Another cluster: where its brokers are.
#[derive(Debug, Clone)]
pub(super) struct Elsewhere {
    pub(super) url: Option<String>,
    pub(super) url_tls: Option<String>,
}

/// The topic's end of a producer.
#[derive(Debug, Clone)]
pub(super) struct Producer {
    /// It says that its messages are encrypted.
    pub(super) encrypts: bool,
    pub(super) conn: ConnId,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) epoch: u64,
    pub(super) access: ProducerAccessMode,
    pub(super) topic_epoch: Option<u64>,
    pub(super) metadata: Vec<KeyValue>,
    pub(super) connected_wall_ms: u64,
    /// Answered when a producer that waits gets its turn.
    pub(super) request_id: u64,
}

impl Producer {
    /// Whether this is the same producer, opened again over its connection.
    fn succeeds(&self, other: &Self) -> bool {
        self.conn == other.conn && self.id == other.id && self.epoch > other.epoch
    }
}

/// A place in the line of those who want exclusive access.
#[derive(Debug)]
pub(super) enum Waiting {
    Here(Producer),
    /// So many who gave up. Their turn comes all the same, and begins and ends an epoch each.
    Gone(u64),
}

impl Waiting {
    pub(super) fn here(&self) -> Option<&Producer> {
        match self {
            Self::Here(producer) => Some(producer),
            Self::Gone(_) => None,
        }
    }
}

/// What became of a producer that wants to be admitted.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// It waits for exclusive access.
    pub(super) waits: bool,
    /// The topic's epoch, for producers with exclusive access.
    pub(super) topic_epoch: Option<u64>,
    /// Producers that lose their access, without being told.
    pub(super) fenced: Vec<Producer>,
    /// Producers whose waiting has come to nothing.
    pub(super) refused: Vec<Producer>,
    /// The same producer, opened before.
    pub(super) replaced: Option<Producer>,
}

/// Why a producer is not admitted, and what became of others all the same.
#[derive(Debug)]
pub(super) struct NotAdmitted {
    pub(super) refusal: Refusal,
    /// The connection that has its name.
    pub(super) holder: Option<ConnId>,
    pub(super) fenced: Box<Admission>,
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, holder: None, fenced: Box::default() }
    }
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) log: Log,
    pub(super) producers: BTreeMap<String, Producer>,
    /// Producers that wait for exclusive access, first come first served.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) rules: Rules,
    /// It had a producer or a subscription.
    pub(super) used: bool,
    /// What comes to it is repeated in others.
    pub(super) shadowed: bool,
    /// What single subscriptions deliver, by their names, where that is set.
    pub(super) sub_rates: BTreeMap<String, Rate>,
    /// Where its cluster had moved to when it was made or unloaded last: clients are sent there.
    pub(super) moved: Option<Box<Elsewhere>>,
    exclusive: Option<String>,
    epoch: Option<u64>,
    pub(super) subs: BTreeMap<SubKey, Subscription>,
    pub(super) sub_names: BTreeMap<String, SubKey>,
    next_sub: u64,
    /// Highest sequence ids by producer, where deduplication is on.
    pub(super) sequences: BTreeMap<String, i64>,
    /// What whoever made it said of it.
    pub(super) properties: BTreeMap<String, String>,
    /// What compaction left, once there was one.
    pub(super) compacted: Option<Compacted>,
    pub(super) compaction: CompactionStats,
    /// The cursor of compactions was moved here by a backlog quota. It is forgotten when the broker ends.
    pub(super) compaction_passed: u64,
    /// When it was made, or read back, and when the ledger was opened that it writes to: milliseconds since the
    /// Unix epoch.
    pub(super) made_ms: u64,
    pub(super) opened_ms: u64,
    /// The transactions among its messages, once there was one.
    pub(super) txns: Option<Box<Buffer>>,
    /// What of the bounds on its messages is spent: on those that come, and on those that go.
    pub(super) published: Bucket,
    dispatched: Window,
    /// What consumers have spent of the bound on how often each may come.
    pub(super) subscribed: Comings,
    /// When somebody used it last, as upkeep found it; else when it was made.
    pub(super) active_at: Option<Duration>,
    pub(super) kept: KeptTopic,
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
            rules: Rules::default(),
            used: false,
            shadowed: false,
            sub_rates: BTreeMap::new(),
            moved: None,
            exclusive: None,
            epoch: None,
            subs: BTreeMap::new(),
            sub_names: BTreeMap::new(),
            next_sub: 0,
            sequences: BTreeMap::new(),
            properties: BTreeMap::new(),
            compacted: None,
            compaction: CompactionStats::default(),
            compaction_passed: 0,
            made_ms: 0,
            opened_ms: 0,
            txns: None,
            published: Bucket::default(),
            dispatched: Window::default(),
            subscribed: Comings::default(),
            active_at: None,
            kept: KeptTopic::default(),
            messages_in: 0,
            bytes_in: 0,
        }
    }

    /// A topic as it was kept.
    pub(super) fn restored(
        name: TopicName,
        log: Log,
        epoch: Option<u64>,
        properties: BTreeMap<String, String>,
    ) -> Self {
        Self { log, epoch, properties, ..Self::new(name, 0) }
    }

    /// The epoch of those who had exclusive access.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// The partition's number as message ids carry it: -1 when there is none.
    pub(super) fn partition(&self) -> i32 {
        self.name.partition().map_or(-1, |n| i32::try_from(n).unwrap_or(-1))
    }

    /// Takes a producer in, by its access mode and its name.
    pub(super) fn admit(&mut self, producer: Producer) -> Result<Admission, NotAdmitted> {
        let mut admission = Admission::default();
        self.used = true;
        if self.producers.len() as u64 >= self.rules.max_producers
            && !self.producers.contains_key(&producer.name)
        {
            let message = format!("Topic '{}' reached max producers limit", self.name);
            return Err(Refusal::new(ServerError::PRODUCER_BUSY, message).into());
        }
        let taken = self.exclusive.is_some() || !self.waiting.is_empty();
        let existing = || {
            format!(
                "Topic has an existing exclusive producer: {}",
                self.exclusive.as_deref().unwrap_or("null")
            )
        };
        match producer.access {
            ProducerAccessMode::EXCLUSIVE if taken => return Err(Refusal::producer_fenced(existing()).into()),
            ProducerAccessMode::EXCLUSIVE if !self.producers.is_empty() => {
                return Err(Refusal::producer_fenced("Topic has existing shared producers").into());
            }
            ProducerAccessMode::WAIT_FOR_EXCLUSIVE
                if self.exclusive.is_some() || !self.producers.is_empty() =>
            {
                admission.waits = true;
                self.waiting.push_back(Waiting::Here(producer));
                return Ok(admission);
            }
            ProducerAccessMode::EXCLUSIVE | ProducerAccessMode::WAIT_FOR_EXCLUSIVE => {
                admission.topic_epoch = Some(self.next_epoch(producer.topic_epoch)?);
            }
            ProducerAccessMode::EXCLUSIVE_WITH_FENCING => {
                // Those who are here lose it even if this one comes too late itself.
                admission.fenced = std::mem::take(&mut self.producers).into_values().collect();
                let waiting = std::mem::take(&mut self.waiting);
                admission.refused = waiting.iter().filter_map(Waiting::here).cloned().collect();
                self.exclusive = None;
                match self.next_epoch(producer.topic_epoch) {
                    Ok(epoch) => admission.topic_epoch = Some(epoch),
                    Err(refusal) => {
                        return Err(NotAdmitted { refusal, holder: None, fenced: Box::new(admission) });
                    }
                }
            }
            // Java reads a mode that it does not know as this one.
            _ if taken => return Err(Refusal::producer_busy(existing()).into()),
            _ => admission.topic_epoch = self.epoch,
        }
        if let Some(old) = self.producers.get(&producer.name) {
            if !producer.succeeds(old) {
                let message = format!(
                    "Producer with name '{}' is already connected to topic '{}'",
                    producer.name, self.name
                );
                let refusal = Refusal::service(ServerError::PRODUCER_BUSY, "NamingException", message);
                return Err(NotAdmitted { refusal, holder: Some(old.conn), fenced: Box::default() });
            }
            admission.replaced = Some(old.clone());
        }
        if producer.access != ProducerAccessMode::SHARED {
            self.epoch = admission.topic_epoch;
            self.exclusive = Some(producer.name.clone());
        }
        self.producers.insert(producer.name.clone(), producer);
        Ok(admission)
    }

    /// The epoch that a producer with exclusive access begins, or takes up again.
    fn next_epoch(&self, known: Option<u64>) -> Result<u64, Refusal> {
        match (known, self.epoch) {
            (Some(known), Some(current)) if known < current => Err(Refusal::producer_fenced(format!(
                "Topic epoch has already moved. Current epoch: {current}, Producer epoch: {known}"
            ))),
            (Some(known), _) => Ok(known),
            (None, current) => Ok(current.map_or(0, |epoch| epoch.saturating_add(1))),
        }
    }

    /// The next one's epoch begins without anybody in it: who comes back with the last one's is too late.
    pub(super) fn pass_epoch(&mut self) {
        self.epoch = Some(self.epoch.map_or(0, |epoch| epoch.saturating_add(1)));
    }

    /// Lets a producer go. Answers the one that gets exclusive access now, with the topic's epoch.
    pub(super) fn dismiss(&mut self, name: &str, conn: ConnId, id: u64) -> Option<(Producer, u64)> {
        let waits = |w: &Waiting| w.here().is_some_and(|p| (p.conn, p.id) == (conn, id));
        if let Some(at) = self.waiting.iter().position(waits) {
            self.gave_up(at);
            return None;
        }
        if self.producers.get(name).is_some_and(|p| (p.conn, p.id) == (conn, id)) {
            self.producers.remove(name);
            if self.exclusive.as_deref() == Some(name) {
                self.exclusive = None;
            }
        }
        if !self.producers.is_empty() {
            return None;
        }
        loop {
            let next = self.waiting.pop_front()?;
            let turns = if let Waiting::Gone(count) = &next { *count } else { 1 };
            // The first epoch is 0.
            let epoch = self.epoch.map_or(turns - 1, |epoch| epoch.saturating_add(turns));
            self.epoch = Some(epoch);
            if let Waiting::Here(next) = next {
                self.exclusive = Some(next.name.clone());
                self.producers.insert(next.name.clone(), next.clone());
                return Some((next, epoch));
            }
        }
    }

    /// The bounds on what a subscription delivers.
    pub(super) fn throttle(&self, sub: SubKey) -> Option<Throttle> {
        let sub = self.subs.get(&sub)?;
        let rate = self.sub_rates.get(&sub.name).copied().unwrap_or(self.rules.sub_dispatch);
        Some(Throttle::new((self.rules.dispatch, self.dispatched), (rate, sub.dispatched)))
    }

    /// Takes over what was spent of them.
    pub(super) fn throttled(&mut self, sub: SubKey, throttle: &Throttle) {
        let (Some(spent), Some(sub)) = (throttle.spent(), self.subs.get_mut(&sub)) else { return };
        [self.dispatched, sub.dispatched] = spent;
    }

    /// A shadow topic repeats another one: its messages come with their ids.
    pub(super) fn is_shadow(&self) -> bool {
        self.properties.contains_key(SHADOW_SOURCE)
    }

    /// Lets all producers go.
    pub(super) fn take_producers(&mut self) -> Vec<Producer> {
        self.exclusive = None;
        let waiting = std::mem::take(&mut self.waiting);
        let here = std::mem::take(&mut self.producers).into_values();
        here.chain(waiting.iter().filter_map(Waiting::here).cloned()).collect()
    }

    /// The one at that place of the line is not there any more.
    fn gave_up(&mut self, at: usize) {
        let mut count = 1;
        if let Some(Waiting::Gone(more)) = self.waiting.get(at + 1) {
            count += more;
            self.waiting.remove(at + 1);
        }
        if let Some(before) = at.checked_sub(1)
            && let Some(Waiting::Gone(more)) = self.waiting.get(before)
        {
            count += more;
            self.waiting.remove(at);
            self.waiting[before] = Waiting::Gone(count);
            return;
        }
        self.waiting[at] = Waiting::Gone(count);
    }

    /// The highest sequence id of a producer that is stored; -1 when none is known.
    pub(super) fn last_sequence(&self, producer: &str) -> i64 {
        self.sequences.get(producer).copied().unwrap_or(-1)
    }

    /// Notes a sequence id that is stored.
    pub(super) fn stored_sequence(&mut self, producer: &str, highest: i64) {
        if let Some(last) = self.sequences.get_mut(producer) {
            *last = highest;
            return;
        }
        if self.sequences.len() >= MAX_SEQUENCES
            && let Some(gone) =
                self.sequences.keys().find(|name| !self.producers.contains_key(*name)).cloned()
        {
            self.sequences.remove(&gone);
        }
        self.sequences.insert(producer.to_owned(), highest);
    }

    /// The subscription of that name.
    pub(super) fn sub(&self, name: &str) -> Option<(SubKey, &Subscription)> {
        let key = *self.sub_names.get(name)?;
        Some((key, self.subs.get(&key)?))
    }

    pub(super) fn add_sub(&mut self, sub: Subscription) -> SubKey {
        self.used = true;
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

    /// Whether it has as many subscriptions as it may, those of readers and of compaction among them.
    pub(super) fn is_full_of_subs(&self) -> bool {
        let compacts = self.compacted.is_some() || self.rules.compaction_threshold > 0;
        let compacting = compacts && !self.sub_names.contains_key(COMPACTION);
        self.name.persistent
            && (self.subs.len() + usize::from(compacting)) as u64 >= self.rules.max_subscriptions
    }

    /// Everything below this is consumed by all subscriptions: it may be forgotten when memory is
    /// short.
    pub(super) fn consumed(&self) -> u64 {
        self.subs.values().map(|sub| sub.cursor.mark()).min().unwrap_or_else(|| self.log.end())
    }

    /// Forgets the oldest of what all subscriptions have acknowledged, if the topic holds more than `keep`
    /// bytes: memory that is used again is much cheaper than new. Answers how many bytes that freed. Without
    /// subscriptions nobody has consumed anything.
    pub(super) fn forget_long_consumed(&mut self, keep: usize) -> usize {
        if self.log.bytes() <= keep || self.subs.is_empty() || self.rules.retention.is_some() {
            return 0;
        }
        self.log.trim_to(keep, self.consumed().min(self.compacted_below()))
    }

    /// Where a subscription begins that is to begin at `place`. What compaction left of entries that are gone is
    /// there for those who read `compacted`.
    pub(super) fn start_at(&self, place: Place, compacted: bool) -> u64 {
        let first =
            self.left_below(compacted).and_then(Compacted::first).unwrap_or(u64::MAX).min(self.log.first());
        match place {
            Place::Before => first,
            Place::At(offset) => offset.clamp(first, self.log.end()),
            Place::After => self.log.end(),
        }
    }

    /// The same for what is of `time` or later.
    pub(super) fn start_since(&self, time: u64, compacted: bool) -> u64 {
        let gone = self.left_below(compacted).and_then(|left| left.first_since(time, self.log.first()));
        gone.unwrap_or_else(|| self.log.first_since(time))
    }

    /// What is not there from a subscription's start on, as ranges: of entries that are gone, those that compaction
    /// did not leave.
    pub(super) fn gone_since(&self, start: u64) -> Vec<(u64, u64)> {
        let left = self.left_below(start < self.log.first());
        left.map(|left| left.gaps(start, self.log.first())).unwrap_or_default()
    }

    fn left_below(&self, compacted: bool) -> Option<&Compacted> {
        self.compacted.as_ref().filter(|_| compacted)
    }

    /// Compaction has not seen what comes after this.
    fn compacted_below(&self) -> u64 {
        mark_of(self).unwrap_or(u64::MAX)
    }

    /// Forgets ledgers that are closed and that all subscriptions have consumed, but for what is to be
    /// retained. Answers how many bytes that freed.
    pub(super) fn forget_closed(&mut self, wall_ms: u64) -> usize {
        if self.subs.is_empty() || !self.name.persistent {
            return 0;
        }
        self.log.trim(self.log.ledger_start(self.done_with(wall_ms)))
    }

    /// Everything below this all subscriptions and compaction have seen, and it need not be retained.
    pub(super) fn done_with(&self, wall_ms: u64) -> u64 {
        self.consumed().min(self.compacted_below()).min(self.retained(wall_ms))
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
