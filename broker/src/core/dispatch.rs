//! Delivery: entries go to consumers that have permits, as far as connections take them.

use std::collections::BTreeSet;

use pulsewire_proto::wire::{Command, CommandMessage, SubType};

use super::compaction::Compacted;
use super::config::BrokerConfig;
use super::connections::Connections;
use super::draining::waits;
use super::ids::{ConnId, SubKey, TopicKey};
use super::policies::Rules;
use super::rates::Throttle;
use super::statistics::stored_size;
use super::sticky::entry_hash;
use super::storage::{Log, Stored};
use super::subscription::{Consumer, Subscription};
use super::time::Now;
use super::topic::Topic;
use super::transactions::{Buffer, Left};

/// Messages that one consumer of a shared subscription gets before it is the next one's turn.
const TURN: u64 = 20;

/// Windows that may be unwritten on a connection whose consumers still take their turns on shared subscriptions: those
/// beyond the first one by one, as Pulsar has it. Others would be given all while somebody is busy with a large message.
pub(super) const WINDOWS_BY_ONES: usize = 8;

/// Entries that a key-shared subscription reads past those that have to wait, for each consumer.
const LOOK_AHEAD: u64 = 2000;

/// What a delivery needs besides the subscription.
pub(super) struct Lane<'a> {
    pub(super) conns: &'a mut Connections,
    pub(super) config: &'a BrokerConfig,
    pub(super) now: Now,
    pub(super) here: (TopicKey, SubKey),
    pub(super) rules: Rules,
    pub(super) throttle: Throttle,
}

/// Delivers what can be delivered.
pub(super) fn dispatch(topic: &mut Topic, lane: &mut Lane<'_>) {
    let partition = topic.partition();
    // What is not stored is not kept for later either.
    lane.rules.delayed = lane.rules.delayed.filter(|_| topic.name.persistent);
    let Some(sub) = topic.subs.get_mut(&lane.here.1) else { return };
    if sub.consumers.is_empty() {
        return;
    }
    let (log, compacted) = (&topic.log, topic.compacted.as_ref());
    let txns = topic.txns.as_deref();
    let end = txns.map_or(u64::MAX, Buffer::limit);
    let ground = Ground { log, compacted, partition, persistent: topic.name.persistent, txns, end };
    if sub.is_shared() {
        bring_due(sub, lane.now, lane.rules.delayed);
    }
    match sub.kind {
        SubType::SHARED => shared(sub, &ground, lane),
        SubType::KEY_SHARED => key_shared(sub, &ground, lane),
        _ => single(sub, &ground, lane),
    }
    sub.consumers.iter_mut().for_each(|consumer| consumer.per_entry.settle());
    if log.terminated {
        sub.reach_end(lane.conns, log.end());
    }
}

struct Ground<'a> {
    log: &'a Log,
    compacted: Option<&'a Compacted>,
    partition: i32,
    persistent: bool,
    txns: Option<&'a Buffer>,
    /// Entries from here on wait for the end of a transaction.
    end: u64,
}

impl Ground<'_> {
    /// Whether an entry is of a transaction that was aborted, or a transaction's marker, or cannot be
    /// read.
    fn hides(&self, stored: &Stored) -> bool {
        stored.unreadable || stored.txn && self.txns.is_some_and(|txns| txns.hides(stored))
    }
}

/// Exclusive and failover: all to the active consumer, in order.
fn single(sub: &mut Subscription, ground: &Ground<'_>, lane: &mut Lane<'_>) {
    let Some(active) = sub.active.filter(|_| sub.settles.is_none()) else { return };
    let Ok(at) = sub.consumers.binary_search_by_key(&active, |c| c.key) else { return };
    let Subscription { consumers, cursor, read, messages_out, txns, selector, filters, .. } = sub;
    let Some(consumer) = consumers.get_mut(at) else { return };
    let unwanted =
        |stored: &Stored| *filters && selector.pick(selector.fold(entry_hash(stored.metadata()))).is_none();
    while consumer.permits > 0 && lane.throttle.passes(lane.now) {
        let offset = cursor.next_open(*read);
        let found = match ground.compacted.filter(|_| consumer.read_compacted) {
            Some(compacted) => compacted.next(ground.log, offset),
            None => {
                let offset = cursor.next_open(offset.max(ground.log.first()));
                ground.log.get(offset).map(|stored| (offset, stored))
            }
        };
        let Some((offset, stored)) = found.filter(|(offset, _)| *offset < ground.end) else { break };
        if ground.hides(stored) {
            cursor.ack(offset);
        }
        let left = Left { cursor, pending: txns.as_deref() };
        if cursor.is_acked(offset) || left.nothing(offset, stored.messages) || unwanted(stored) {
            *read = offset + 1;
            continue;
        }
        if !lane.open(consumer.conn) {
            break;
        }
        // Pulsar reads neither of these by epochs.
        let epoch = consumer.epoch.filter(|_| ground.persistent && !consumer.read_compacted);
        *messages_out += lane.deliver(consumer, left, ground, offset, stored, 0, epoch);
        *read = offset + 1;
    }
}

/// Entries whose time has come are to be delivered.
fn bring_due(sub: &mut Subscription, now: Now, tick: Option<u64>) {
    while let Some(&(due, offset)) = sub.delayed.first() {
        if !is_due(due, now, tick) {
            break;
        }
        sub.delayed.pop_first();
        sub.replay.insert(offset);
    }
}

/// Whether a message may come now. Pulsar lets it come up to a tick early.
fn is_due(deliver_at: u64, now: Now, tick: Option<u64>) -> bool {
    tick.is_none_or(|tick| deliver_at <= now.wall_ms.saturating_add(tick))
}

/// The next entry for whoever has his turn: one to be delivered again, else a new one.
fn next_entry<'a>(
    sub: &mut Subscription,
    ground: &Ground<'a>,
    now: Now,
    tick: Option<u64>,
) -> Option<(u64, &'a Stored)> {
    while let Some(offset) = sub.replay.first() {
        sub.replay.remove(offset);
        if !sub.cursor.is_acked(offset)
            && let Some(stored) = ground.log.get(offset)
            && !sub.left().nothing(offset, stored.messages)
        {
            return Some((offset, stored));
        }
    }
    next_unread(sub, ground, now, tick)
}

fn next_unread<'a>(
    sub: &mut Subscription,
    ground: &Ground<'a>,
    now: Now,
    tick: Option<u64>,
) -> Option<(u64, &'a Stored)> {
    loop {
        let offset = sub.cursor.next_open(sub.read.max(ground.log.first()));
        let stored = ground.log.get(offset).filter(|_| offset < ground.end)?;
        sub.read = offset + 1;
        if ground.hides(stored) {
            sub.cursor.ack(offset);
            continue;
        }
        if sub.left().nothing(offset, stored.messages) {
            continue;
        }
        if is_due(stored.deliver_at, now, tick) {
            return Some((offset, stored));
        }
        sub.delayed.insert((stored.deliver_at, offset));
    }
}

/// Shared: consumers take turns.
fn shared(sub: &mut Subscription, ground: &Ground<'_>, lane: &mut Lane<'_>) {
    let mut unacked = sub.unacked();
    let by_ones = ground.persistent && sub.consumers.len() > 1;
    'turns: while let Some((at, mut left)) = next_turn(sub, unacked, lane, by_ones) {
        while left > 0 {
            let Some((offset, stored)) = next_entry(sub, ground, lane.now, lane.rules.delayed) else {
                return;
            };
            let redelivered = sub.redelivered.get(&offset).copied().unwrap_or(0);
            let Subscription { consumers, cursor, messages_out, txns, .. } = sub;
            let Some(consumer) = consumers.get_mut(at) else { break 'turns };
            let left_of_it = Left { cursor, pending: txns.as_deref() };
            let count = lane.deliver(consumer, left_of_it, ground, offset, stored, redelivered, None);
            *messages_out += count;
            if ground.persistent {
                consumer.pending.insert(offset);
                consumer.unacked += count;
                unacked += count;
            }
            sub.turn = at + 1;
            left = left.saturating_sub(count.max(1));
            if !may_take(consumer, unacked, lane) {
                break;
            }
        }
    }
}

/// Whose turn it is, and of how many messages: of those that can take something the next one, of the best priority.
fn next_turn(sub: &Subscription, unacked: u64, lane: &mut Lane<'_>, by_ones: bool) -> Option<(usize, u64)> {
    let count = sub.consumers.len();
    let mut best: Option<(i32, usize, u64)> = None;
    for step in 0..count {
        let at = (sub.turn + step) % count;
        let Some(consumer) = sub.consumers.get(at) else { continue };
        if best.is_some_and(|(priority, ..)| priority <= consumer.priority) || !may(consumer, unacked, lane) {
            continue;
        }
        if lane.open(consumer.conn) {
            best = Some((consumer.priority, at, TURN));
        } else if by_ones && lane.takes_one(consumer.conn) {
            best = Some((consumer.priority, at, 1));
        }
    }
    best.map(|(_, at, turn)| (at, turn))
}

fn may_take(consumer: &Consumer, unacked: u64, lane: &mut Lane<'_>) -> bool {
    may(consumer, unacked, lane) && lane.open(consumer.conn)
}

/// Whether a consumer may be given more, wherever it is.
fn may(consumer: &Consumer, unacked: u64, lane: &mut Lane<'_>) -> bool {
    consumer.permits > 0
        && consumer.unacked < lane.rules.max_unacked_per_consumer
        && unacked < lane.rules.max_unacked_per_subscription
        && lane.throttle.passes(lane.now)
}

/// Key-shared: every key to its consumer, the entries of a key in order.
fn key_shared(sub: &mut Subscription, ground: &Ground<'_>, lane: &mut Lane<'_>) {
    let mut unacked = sub.unacked();
    // Hashes of which an earlier entry has to wait: later ones must not overtake it.
    let mut waiting = BTreeSet::new();
    let mut at = 0;
    while let Some(offset) = sub.replay.next_from(at) {
        at = offset + 1;
        if !any_may_take(sub, unacked, lane) {
            return;
        }
        let stored = if sub.cursor.is_acked(offset) { None } else { ground.log.get(offset) };
        let stored = stored.filter(|stored| !sub.left().nothing(offset, stored.messages));
        let Some(stored) = stored else {
            sub.replay.remove(offset);
            continue;
        };
        if by_key(sub, ground, lane, offset, stored, &mut unacked, &mut waiting) {
            sub.replay.remove(offset);
        }
    }
    let look_ahead = LOOK_AHEAD * sub.consumers.len() as u64;
    while sub.replay.len() < look_ahead && any_may_take(sub, unacked, lane) {
        let Some((offset, stored)) = next_unread(sub, ground, lane.now, lane.rules.delayed) else {
            break;
        };
        if !by_key(sub, ground, lane, offset, stored, &mut unacked, &mut waiting) {
            sub.replay.insert(offset);
        }
    }
}

fn any_may_take(sub: &Subscription, unacked: u64, lane: &mut Lane<'_>) -> bool {
    sub.consumers.iter().any(|consumer| may_take(consumer, unacked, lane))
}

/// Delivers an entry to the consumer that has its key; false when it has to wait.
fn by_key(
    sub: &mut Subscription,
    ground: &Ground<'_>,
    lane: &mut Lane<'_>,
    offset: u64,
    stored: &Stored,
    unacked: &mut u64,
    waiting: &mut BTreeSet<u32>,
) -> bool {
    let hash = sub.selector.fold(entry_hash(stored.metadata()));
    let redelivered = sub.redelivered.get(&offset).copied().unwrap_or(0);
    let chosen = sub.selector.pick(hash).filter(|_| !waiting.contains(&hash));
    let Subscription { consumers, cursor, messages_out, holders, draining, out_of_order, txns, .. } = sub;
    let consumer = chosen
        .and_then(|key| consumers.binary_search_by_key(&key, |c| c.key).ok())
        .and_then(|at| consumers.get_mut(at))
        .filter(|consumer| may_take(consumer, *unacked, lane))
        .filter(|_| !waits(draining, hash));
    let Some(consumer) = consumer else {
        waiting.insert(hash);
        return false;
    };
    let left = Left { cursor, pending: txns.as_deref() };
    let count = lane.deliver(consumer, left, ground, offset, stored, redelivered, None);
    *messages_out += count;
    if ground.persistent {
        consumer.pending.insert(offset);
        consumer.unacked += count;
        *unacked += count;
        if !*out_of_order {
            consumer.hashes.insert(offset, hash);
            holders.entry(hash).or_insert((consumer.key, 0)).1 += 1;
        }
    }
    true
}

impl Lane<'_> {
    /// Whether a connection takes deliveries. One that does not is remembered: the subscription is
    /// looked at again when it does.
    fn open(&mut self, conn: ConnId) -> bool {
        let here = self.here;
        let Some(conn) = self.conns.get_mut(conn) else { return false };
        if conn.outbox.unwritten() < self.config.connection_window {
            return true;
        }
        conn.blocked.insert(here);
        false
    }

    /// Whether a connection that is not open takes one entry more all the same.
    fn takes_one(&self, conn: ConnId) -> bool {
        let limit = self.config.connection_window.saturating_mul(WINDOWS_BY_ONES);
        self.conns.get(conn).is_some_and(|conn| conn.outbox.unwritten() < limit)
    }

    /// Writes an entry to a consumer's connection; answers how many messages that were.
    #[allow(clippy::too_many_arguments)]
    fn deliver(
        &mut self,
        consumer: &mut Consumer,
        left: Left<'_>,
        ground: &Ground<'_>,
        offset: u64,
        stored: &Stored,
        redelivered: u32,
        epoch: Option<u64>,
    ) -> u64 {
        let count = left.messages(offset, stored.messages);
        consumer.permits -= i64::try_from(count).unwrap_or(i64::MAX).min(1 << 32);
        consumer.messages_out += count;
        consumer.per_entry.sent(count);
        consumer.consumed_wall_ms = self.now.wall_ms;
        // What the broker writes before an entry that it stores counts, too.
        let bytes = if ground.persistent { stored_size(stored) } else { stored.bytes.len() as u64 };
        consumer.bytes_out += bytes;
        consumer.chunks_out += u64::from(stored.chunk);
        self.throttle.spend(bytes);
        let Some(conn) = self.conns.out(consumer.conn) else { return count };
        let mut message_id = ground.log.id_at(offset);
        if !ground.persistent {
            (message_id.ledger_id, message_id.entry_id) = (0, 0);
        }
        message_id.partition = Some(ground.partition);
        let command = Command::Message(CommandMessage {
            consumer_id: consumer.id,
            message_id,
            redelivery_count: (redelivered > 0).then_some(redelivered),
            ack_set: left.ack_set(offset, stored.messages),
            consumer_epoch: epoch,
        });
        let with_metadata = conn.can.broker_entry_metadata && ground.persistent;
        conn.outbox.frame(&stored.bytes, |out| {
            let start = out.len();
            out.extend_from_slice(&[0; 8]);
            command.encode(out);
            let command_len = (out.len() - start - 8) as u32;
            if with_metadata {
                stored.write_broker_metadata(out);
            }
            let total = (out.len() - start - 4 + stored.bytes.len()) as u32;
            out[start..start + 4].copy_from_slice(&total.to_be_bytes());
            out[start + 4..start + 8].copy_from_slice(&command_len.to_be_bytes());
        });
        count
    }
}
