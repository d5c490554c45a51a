//! A subscription: its cursor, its consumers, what is to be delivered again.
//!
//! Two kinds of life. *Single* (exclusive, failover): one active consumer reads in order; whatever
//! takes messages back moves the read position back to the cursor's mark. *Shared* (shared,
//! key-shared): every consumer has its pending entries; what is taken back goes into `replay`.
//!
//! An entry of a shared subscription, once read:
//! ```text
//!          deliver_at in the future            delivered                 acknowledged
//!   read ---------------------------> delayed     +----> pending -----------------------> done
//!     |                                  | due    |         |
//!     |                                  v        |         | nack, consumer gone
//!     +--------------------------------> replay --+<--------+
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulsewire_proto::wire::{KeyLongValue, KeySharedMeta, KeyValue, ServerError, SubType};

use super::cursor::Cursor;
use super::draining::Draining;
use super::ending::LastRead;
use super::error::Refusal;
use super::expiring::Expired;
use super::ids::{ConnId, ConsumerKey};
use super::measuring::{Measured, PerEntry};
use super::ranges::RangeSet;
use super::rates::Window;
use super::sticky::{Selector, Unassigned, hash31};
use super::storage::Log;
use super::time::Now;
use super::transactions::{Left, PendingAcks};

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) key: ConsumerKey,
    pub(super) conn: ConnId,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) priority: i32,
    /// Messages that it can still take; below 0 after a batch larger than what was left.
    pub(super) permits: i64,
    pub(super) epoch: Option<u64>,
    /// Entries delivered and not acknowledged; in shared subscriptions only.
    pub(super) pending: RangeSet,
    /// Hashes of pending entries; in key-shared subscriptions only.
    pub(super) hashes: BTreeMap<u64, u32>,
    /// Hashes of its that drained.
    pub(super) drained: u64,
    /// Messages delivered and not acknowledged.
    pub(super) unacked: u64,
    pub(super) messages_out: u64,
    pub(super) bytes_out: u64,
    pub(super) per_entry: PerEntry,
    pub(super) chunks_out: u64,
    /// Messages that it wanted to have again.
    pub(super) redelivered: u64,
    /// Messages that it acknowledged.
    pub(super) acknowledged: u64,
    pub(super) measured: Measured<5>,
    pub(super) connected_wall_ms: u64,
    /// When it gave permits last.
    pub(super) flow_wall_ms: u64,
    /// When it got an entry last, and when it acknowledged last.
    pub(super) consumed_wall_ms: u64,
    pub(super) acked_wall_ms: u64,
    pub(super) metadata: Vec<KeyValue>,
    /// Takes of a compacted topic only what compaction left.
    pub(super) read_compacted: bool,
    /// Came with the schema AUTO_CONSUME.
    pub(super) takes_any_schema: bool,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) name: String,
    pub(super) durable: bool,
    /// The type of the consumers that are here, or were here last.
    pub(super) kind: SubType,
    pub(super) properties: Vec<KeyValue>,
    pub(super) cursor: Cursor,
    /// What came with the last cumulative acknowledgement.
    pub(super) mark_properties: Vec<KeyLongValue>,
    /// The next entry to read.
    pub(super) read: u64,
    /// In the order in which they came, which is that of their keys.
    pub(super) consumers: Vec<Consumer>,
    pub(super) active: Option<ConsumerKey>,
    /// Where the round robin of a shared subscription goes on.
    pub(super) turn: usize,
    pub(super) replay: RangeSet,
    pub(super) redelivered: BTreeMap<u64, u32>,
    /// What transactions acknowledge, once one did.
    pub(super) txns: Option<Box<PendingAcks>>,
    /// Due time and offset.
    pub(super) delayed: BTreeSet<(u64, u64)>,
    /// When the timer for the first of `delayed` goes off.
    pub(super) timer: Option<Duration>,
    pub(super) selector: Selector,
    pub(super) out_of_order: bool,
    /// Exclusive: the consumer wants some keys only; others are not delivered at all.
    pub(super) filters: bool,
    /// Hash -> who has entries with it pending, and how many; in key-shared subscriptions only.
    pub(super) holders: BTreeMap<u32, (ConsumerKey, u64)>,
    pub(super) draining: Draining,
    /// Whether its state is meant to follow to other clusters; only remembered.
    pub(super) replicated: bool,
    /// Failover: the active consumer is another now, and is told and served at this time.
    pub(super) settles: Option<Duration>,
    /// Being looked at by the dispatcher soon.
    pub(super) ready: bool,
    /// A non-durable subscription whose consumer was sent away by a seek: it waits for its return.
    pub(super) keep: bool,
    /// What of the bound on what it delivers is spent.
    pub(super) dispatched: Window,
    /// Since when it has had no consumer, as upkeep found it.
    pub(super) idle_since: Option<Duration>,
    /// What its read at the end of a terminated topic does.
    pub(super) last_read: LastRead,
    next_consumer: u64,
    pub(super) messages_out: u64,
    /// Of consumers that are gone.
    pub(super) bytes_out: u64,
    pub(super) expired: Expired,
    /// When it was made, or read back: milliseconds since the Unix epoch.
    pub(super) made_ms: u64,
    /// When somebody asked for messages last.
    pub(super) flow_wall_ms: u64,
    /// When an acknowledgement moved its mark last.
    pub(super) advanced_wall_ms: u64,
    /// What was acknowledged when its topic was loaded; `None` once it was moved since.
    began: Option<(u64, u64)>,
    /// Somebody has consumed by it since its topic was loaded: it is of a type.
    pub(super) used: bool,
}

impl Subscription {
    /// A subscription that starts at the entry `start`.
    pub(super) fn new(name: String, durable: bool, start: u64, properties: Vec<KeyValue>) -> Self {
        Self {
            name,
            durable,
            kind: SubType::EXCLUSIVE,
            properties,
            cursor: Cursor::new(start),
            mark_properties: Vec::new(),
            read: start,
            consumers: Vec::new(),
            active: None,
            turn: 0,
            replay: RangeSet::default(),
            redelivered: BTreeMap::new(),
            txns: None,
            delayed: BTreeSet::new(),
            timer: None,
            selector: Selector::new(None, false),
            out_of_order: false,
            filters: false,
            holders: BTreeMap::new(),
            draining: Draining::new(),
            replicated: false,
            settles: None,
            ready: false,
            keep: false,
            dispatched: Window::default(),
            idle_since: None,
            last_read: LastRead::Free,
            next_consumer: 0,
            messages_out: 0,
            bytes_out: 0,
            expired: Expired::default(),
            made_ms: 0,
            flow_wall_ms: 0,
            advanced_wall_ms: 0,
            began: Some((start, 0)),
            used: false,
        }
    }

    /// Its topic is loaded: nothing has been acknowledged since, and nobody has been here.
    pub(super) fn loaded(&mut self) {
        self.used = false;
        self.began = Some(self.cursor.settled());
    }

    /// It was put where it is.
    pub(super) fn placed(&mut self) {
        self.began = None;
    }

    /// Whether something was acknowledged, or it was moved, since its topic was loaded.
    pub(super) fn has_moved(&self) -> bool {
        self.began != Some(self.cursor.settled())
    }

    /// Whether messages are acknowledged one by one, and pending entries are known by consumer.
    pub(super) fn is_shared(&self) -> bool {
        self.kind == SubType::SHARED || self.kind == SubType::KEY_SHARED
    }

    pub(super) fn consumer(&self, key: ConsumerKey) -> Option<&Consumer> {
        let at = self.consumers.binary_search_by_key(&key, |c| c.key).ok()?;
        self.consumers.get(at)
    }

    pub(super) fn consumer_mut(&mut self, key: ConsumerKey) -> Option<&mut Consumer> {
        let at = self.consumers.binary_search_by_key(&key, |c| c.key).ok()?;
        self.consumers.get_mut(at)
    }

    /// Takes a consumer in, if its type and the others allow it, and there are fewer than `most`. `describe` names
    /// one that is there in a refusal.
    pub(super) fn add(
        &mut self,
        kind: SubType,
        key_shared: Option<&KeySharedMeta>,
        consumer: NewConsumer,
        most: u64,
        describe: impl Fn(&Consumer) -> String,
    ) -> Result<ConsumerKey, Refusal> {
        let out_of_order = key_shared.is_some_and(|m| m.allow_out_of_order_delivery == Some(true));
        if self.consumers.is_empty() {
            self.kind = kind;
            self.selector = Selector::new(key_shared, consumer.halves);
            self.out_of_order = out_of_order;
            self.filters =
                kind == SubType::EXCLUSIVE && key_shared.is_some_and(|m| !m.hash_ranges.is_empty());
            self.rewind();
        } else if kind != self.kind {
            return Err(different("type", type_name(self.kind), type_name(kind)));
        } else if kind == SubType::KEY_SHARED
            && self.selector.mode() != Selector::new(key_shared, false).mode()
        {
            let (here, theirs) = (self.selector.mode(), Selector::new(key_shared, false).mode());
            return Err(different("key_shared mode", here, theirs));
        } else if kind == SubType::KEY_SHARED && self.out_of_order != out_of_order {
            let message = if self.out_of_order {
                "Subscription is of different type. Active subscription allows out of order delivery while the \
                 connecting consumer does not allow it."
            } else {
                "Subscription is of different type. Active subscription does not allow out of order delivery \
                 while the connecting consumer allows it."
            };
            return Err(Refusal::new(ServerError::CONSUMER_BUSY, message));
        } else if kind == SubType::EXCLUSIVE {
            let message = "Exclusive consumer is already connected";
            return Err(Refusal::new(ServerError::CONSUMER_BUSY, message));
        }
        if self.consumers.len() as u64 >= most {
            let message = "Subscription reached max consumers limit";
            return Err(Refusal::new(ServerError::CONSUMER_BUSY, message));
        }
        let key = ConsumerKey(self.next_consumer);
        if kind == SubType::KEY_SHARED || self.filters {
            self.selector.add(key, &consumer.name, key_shared).map_err(|why| {
                let message = match why {
                    Unassigned::Refused(message) => message,
                    Unassigned::Taken(by) => {
                        let holder = self.consumer(by).map(describe).unwrap_or_default();
                        format!("Range conflict with consumer {holder}")
                    }
                };
                Refusal::new(ServerError::CONSUMER_ASSIGN_ERROR, message)
            })?;
        }
        self.next_consumer += 1;
        self.used = true;
        self.consumers.push(Consumer {
            key,
            conn: consumer.conn,
            id: consumer.id,
            name: consumer.name,
            priority: consumer.priority,
            permits: 0,
            epoch: consumer.epoch,
            pending: RangeSet::default(),
            hashes: BTreeMap::new(),
            drained: 0,
            unacked: 0,
            messages_out: 0,
            bytes_out: 0,
            per_entry: PerEntry::default(),
            chunks_out: 0,
            redelivered: 0,
            acknowledged: 0,
            measured: Measured::since(consumer.now),
            connected_wall_ms: consumer.now.wall_ms,
            flow_wall_ms: 0,
            consumed_wall_ms: 0,
            acked_wall_ms: 0,
            metadata: consumer.metadata,
            read_compacted: consumer.read_compacted,
            takes_any_schema: consumer.takes_any_schema,
        });
        if kind == SubType::KEY_SHARED {
            self.redivide();
        }
        Ok(key)
    }

    /// Lets a consumer go; what it held is delivered to others.
    pub(super) fn remove(&mut self, key: ConsumerKey) {
        let Ok(at) = self.consumers.binary_search_by_key(&key, |c| c.key) else { return };
        let gone = self.consumers.remove(at);
        self.bytes_out += gone.bytes_out;
        if self.turn > at {
            self.turn -= 1;
        }
        if self.kind == SubType::KEY_SHARED || self.filters {
            self.selector.remove(key);
            self.holders.retain(|_, (holder, _)| *holder != key);
            self.redivide();
        }
        for offset in gone.pending.iter() {
            self.replay.insert(offset);
        }
        if self.consumers.is_empty() {
            self.active = None;
            self.stop_waiting();
            self.rewind();
        }
    }

    /// Chooses the active consumer of a single kind of subscription; true when it is another now.
    /// As Apache Pulsar does: of the highest priority, by partition, else by a hash ring.
    pub(super) fn choose_active(&mut self, topic: &str, partition: i32) -> bool {
        let mut order = self.by_priority();
        if let Some(first) = order.first().map(|c| c.priority) {
            order.retain(|c| c.priority == first);
        }
        let chosen = match usize::try_from(partition) {
            _ if order.is_empty() => None,
            Ok(partition) => order.get(partition % order.len()),
            Err(_) => order.get(hash_ring(&order, topic)),
        };
        let chosen = chosen.map(|c| c.key);
        let changed = chosen != self.active;
        self.active = chosen;
        changed
    }

    /// Its consumers, the best first.
    pub(super) fn by_priority(&self) -> Vec<&Consumer> {
        let mut order: Vec<&Consumer> = self.consumers.iter().collect();
        order.sort_by(|a, b| a.priority.cmp(&b.priority).then_with(|| a.name.cmp(&b.name)));
        order
    }

    /// Reads again all that is not acknowledged.
    pub(super) fn rewind(&mut self) {
        self.read = self.cursor.mark();
        self.replay.clear();
        self.delayed.clear();
        self.redelivered.clear();
        self.holders.clear();
        self.draining.clear();
        for consumer in &mut self.consumers {
            consumer.pending.clear();
            consumer.hashes.clear();
            consumer.unacked = 0;
        }
    }

    /// Moves the subscription to `offset`; the consumers must be gone.
    pub(super) fn seek(&mut self, offset: u64) {
        self.cursor.reset(offset);
        self.placed();
        self.mark_properties.clear();
        self.rewind();
    }

    /// Passes over all below `offset`, for topics that store nothing.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.cursor.ack_below(offset);
        self.rewind();
    }

    /// Acknowledges one entry, or with a set some messages of it. Answers how many messages that were; on shared
    /// subscriptions, it may let the dispatcher go on.
    pub(super) fn ack(&mut self, log: &Log, by: ConsumerKey, offset: u64, set: &[i64]) -> u64 {
        let messages = log.get(offset).map_or(1, |stored| stored.messages);
        let (count, whole) = if set.is_empty() {
            let open = self.left().messages(offset, messages);
            let newly = self.cursor.ack(offset);
            (if newly { open } else { 0 }, true)
        } else {
            self.cursor.ack_bits(offset, set, messages)
        };
        if whole && let Some(pending) = &mut self.txns {
            pending.forget(offset);
        }
        if !self.is_shared() {
            return count;
        }
        if let Some(owner) = self.settle_unacked(by, offset, count)
            && whole
        {
            self.release(owner, offset);
        }
        if whole {
            self.replay.remove(offset);
            if !self.redelivered.is_empty() {
                self.redelivered.remove(&offset);
            }
        }
        count
    }

    /// So many messages of an entry are not waited for any more. Answers who holds it.
    pub(super) fn settle_unacked(&mut self, by: ConsumerKey, offset: u64, count: u64) -> Option<ConsumerKey> {
        let owns = |c: &Consumer| c.pending.contains(offset);
        let owner = match self.consumer(by) {
            Some(consumer) if owns(consumer) => by,
            _ => self.consumers.iter().find(|c| owns(c))?.key,
        };
        let consumer = self.consumer_mut(owner)?;
        consumer.unacked = consumer.unacked.saturating_sub(count);
        Some(owner)
    }

    /// A consumer does not hold an entry any more, whatever is left of it.
    pub(super) fn let_go(&mut self, key: ConsumerKey, offset: u64, messages: u32) {
        if self.release(key, offset) {
            let open = self.left().messages(offset, messages);
            if let Some(consumer) = self.consumer_mut(key) {
                consumer.unacked = consumer.unacked.saturating_sub(open);
            }
        }
    }

    /// An entry may be acknowledged whole now: then nobody holds it.
    pub(super) fn after_ack(&mut self, offset: u64) {
        if !self.cursor.is_acked(offset) {
            return;
        }
        if let Some(pending) = &mut self.txns {
            pending.forget(offset);
        }
        let holders: Vec<ConsumerKey> =
            self.consumers.iter().filter(|c| c.pending.contains(offset)).map(|c| c.key).collect();
        for holder in holders {
            self.release(holder, offset);
        }
        self.replay.remove(offset);
        self.redelivered.remove(&offset);
    }

    /// What is left of its entries.
    pub(super) fn left(&self) -> Left<'_> {
        Left { cursor: &self.cursor, pending: self.txns.as_deref() }
    }

    /// A consumer does not hold an entry any more.
    fn release(&mut self, key: ConsumerKey, offset: u64) -> bool {
        let Some(consumer) = self.consumer_mut(key) else { return false };
        if !consumer.pending.remove(offset) {
            return false;
        }
        if let Some(hash) = consumer.hashes.remove(&offset)
            && let Some((_, count)) = self.holders.get_mut(&hash)
        {
            *count -= 1;
            if *count == 0 {
                self.holders.remove(&hash);
                self.drained(key, hash);
            }
        }
        true
    }

    /// Takes one pending entry of a consumer back, to be delivered again.
    pub(super) fn take_back(&mut self, log: &Log, key: ConsumerKey, offset: u64) {
        if !self.release(key, offset) {
            return;
        }
        let open = self.left().messages(offset, log.get(offset).map_or(1, |s| s.messages));
        if let Some(consumer) = self.consumer_mut(key) {
            consumer.unacked = consumer.unacked.saturating_sub(open);
            consumer.redelivered += open;
        }
        if !self.cursor.is_acked(offset) {
            self.replay.insert(offset);
            *self.redelivered.entry(offset).or_default() += 1;
        }
    }

    /// Whether somebody waits for an entry.
    pub(super) fn reads(&self) -> bool {
        match self.active {
            Some(active) if !self.is_shared() => self.consumer(active).is_some_and(|c| c.permits > 0),
            _ => self.consumers.iter().any(|c| c.permits > 0),
        }
    }

    /// Bytes delivered, over all consumers that were here.
    pub(super) fn bytes_out(&self) -> u64 {
        self.bytes_out + self.consumers.iter().map(|consumer| consumer.bytes_out).sum::<u64>()
    }

    /// Messages delivered and not acknowledged, over all consumers.
    pub(super) fn unacked(&self) -> u64 {
        self.consumers.iter().map(|c| c.unacked).sum()
    }
}

/// A consumer that is of another kind than those that are there.
fn different(what: &str, here: &str, theirs: &str) -> Refusal {
    let message = format!(
        "Subscription is of different type. Active subscription {what} of '{here}' is different than the \
         connecting consumer's {what} '{theirs}'."
    );
    Refusal::new(ServerError::CONSUMER_BUSY, message)
}

/// A subscription type's name, as statistics and errors have it.
pub(super) fn type_name(kind: SubType) -> &'static str {
    match kind {
        SubType::EXCLUSIVE => "Exclusive",
        SubType::SHARED => "Shared",
        SubType::FAILOVER => "Failover",
        SubType::KEY_SHARED => "Key_Shared",
        _ => "None",
    }
}

/// A consumer that wants to be taken in.
#[derive(Debug)]
pub(super) struct NewConsumer {
    pub(super) conn: ConnId,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) priority: i32,
    pub(super) epoch: Option<u64>,
    pub(super) now: Now,
    pub(super) metadata: Vec<KeyValue>,
    pub(super) read_compacted: bool,
    pub(super) takes_any_schema: bool,
    /// Hashes of keys are divided by halves.
    pub(super) halves: bool,
}

/// Which of `order` the topic's name falls to, on a ring with a hundred points for each consumer.
fn hash_ring(order: &[&Consumer], topic: &str) -> usize {
    let mut ring = BTreeMap::new();
    for (index, consumer) in order.iter().enumerate() {
        for point in 0..100 {
            ring.insert(hash31(format!("{}{point}", consumer.name).as_bytes()), index);
        }
    }
    let hash = hash31(topic.as_bytes());
    ring.range(hash..).next().or_else(|| ring.first_key_value()).map_or(0, |(_, index)| *index)
}
