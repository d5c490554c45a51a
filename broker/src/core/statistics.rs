//! What whoever runs the broker is shown of a topic.

use pulsewire_proto::wire::{KeyValue, MessageIdData, ProducerAccessMode, SubType};

use super::Broker;
use super::admin::AdminError;
use super::compaction::{CompactionStats, cursor_of, mark_of};
use super::draining::DrainingHash;
use super::expiring::Expired;
use super::ids::ConnId;
use super::measuring::Rates;
use super::names::TopicName;
use super::storage::Stored;
use super::subscription::{Subscription, type_name};
use super::topic::{Producer, Topic};

/// Statistics of a topic.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct TopicStats {
    pub messages_in: u64,
    pub bytes_in: u64,
    pub storage_size: u64,
    /// Bytes that the subscription furthest behind has not acknowledged.
    pub backlog_size: u64,
    pub waiting_publishers: u64,
    /// When the first message came that a durable subscription has not acknowledged: milliseconds since the
    /// Unix epoch, 0 when there is none.
    pub earliest_ms: i64,
    pub compaction: CompactionStats,
    /// Bytes and seconds that may be unacknowledged, where that is set.
    pub quota: (Option<i64>, Option<i64>),
    pub deduplication: bool,
    /// Transactions with messages here that have not ended; and how many have, since the broker
    /// started.
    pub ongoing_txns: u64,
    pub aborted_txns: u64,
    pub committed_txns: u64,
    pub rates: Rates,
    pub publishers: Vec<PublisherStats>,
    pub subscriptions: Vec<SubscriptionStats>,
}

/// Statistics of a producer.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct PublisherStats {
    pub name: String,
    pub id: u64,
    pub access: &'static str,
    pub address: String,
    pub connected_ms: u64,
    pub client_version: String,
    pub rates: Rates,
    pub metadata: Vec<(String, String)>,
}

/// Statistics of a subscription.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct SubscriptionStats {
    pub name: String,
    pub kind: &'static str,
    /// Who divides the keys of a key-shared subscription.
    pub key_shared_mode: &'static str,
    pub durable: bool,
    pub replicated: bool,
    pub properties: Vec<(String, String)>,
    pub backlog: u64,
    /// Bytes; -1 where they were not asked for.
    pub backlog_size: i64,
    /// When the first message came that it has not acknowledged: milliseconds since the Unix epoch, -1 when
    /// there is none.
    pub earliest_ms: i64,
    pub bytes_out: u64,
    pub in_replay: u64,
    /// Ranges acknowledged beyond the first open message.
    pub ranges: u64,
    pub out_of_order: bool,
    /// Its consumers hold all that they may.
    pub blocked: bool,
    pub unacked: u64,
    pub delayed: u64,
    pub messages_out: u64,
    pub rates: Rates,
    pub expired: Expired,
    /// When somebody asked for messages last.
    pub flow_ms: u64,
    /// When an acknowledgement moved its mark last.
    pub advanced_ms: u64,
    pub active: Option<String>,
    pub consumers: Vec<ConsumerStats>,
}

/// Statistics of a consumer.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs)]
pub struct ConsumerStats {
    pub name: String,
    /// Who its client is; empty where nobody is asked.
    pub role: String,
    pub permits: i64,
    pub address: String,
    pub connected_ms: u64,
    pub client_version: String,
    /// It holds all that it may.
    pub blocked: bool,
    pub unacked: u64,
    pub messages_out: u64,
    pub bytes_out: u64,
    /// Messages in an entry, on the average of late.
    pub per_entry: u64,
    pub rates: Rates,
    /// When it asked for messages last: milliseconds since the Unix epoch.
    pub flow_ms: u64,
    /// When it got messages last, and when it acknowledged last.
    pub consumed_ms: u64,
    pub acked_ms: u64,
    pub metadata: Vec<(String, String)>,
    /// Its hashes of keys, from and to, on a key-shared subscription.
    pub hash_ranges: Option<Vec<(u32, u32)>>,
    /// Hashes of which another consumer will have the next messages once it has acknowledged its
    /// own, where the broker sees to that; and how many such there were.
    pub draining: Option<Vec<DrainingHash>>,
    pub drained: u64,
}

/// What a topic stores, and where its subscriptions are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct InternalStats {
    /// Entries that came since the topic was made here.
    pub added: u64,
    pub entries: u64,
    pub bytes: u64,
    pub terminated: bool,
    /// Ledgers, how many of their entries are stored, their bytes, and when the last one came.
    pub ledgers: Vec<(u64, u64, u64, u64)>,
    /// The ledger that what comes next goes to.
    pub open: u64,
    /// When it was opened, and when the topic was made: milliseconds since the Unix epoch.
    pub opened_ms: u64,
    pub made_ms: u64,
    /// Ledger and entry, -1 when there is none.
    pub last: (i64, i64),
    pub cursors: Vec<CursorStats>,
    /// What compaction left: which compaction it was, entries and their bytes.
    pub compacted: Option<(u64, u64, u64)>,
}

/// Where a subscription is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct CursorStats {
    pub name: String,
    pub mark: (i64, i64),
    pub read: (i64, i64),
    /// Acknowledged beyond the mark: before the first, up to the last.
    pub acknowledged: Vec<((i64, i64), (i64, i64))>,
    pub properties: Vec<(String, u64)>,
    /// When it was made: milliseconds since the Unix epoch.
    pub made_ms: u64,
    /// Something was acknowledged since the topic was loaded: there is a ledger for that.
    pub open: bool,
    /// It is gone with its consumers, and has no ledger ever.
    pub durable: bool,
    /// It has consumers.
    pub active: bool,
    /// Entries that it has acknowledged.
    pub consumed: u64,
    /// Entries from the first one that it has not acknowledged to where it reads on.
    pub read_on: u64,
    /// It has read all, and somebody waits for the next one.
    pub waits: bool,
}

impl Broker {
    /// What a topic without partitions, or one partition, stores.
    ///
    /// # Errors
    /// It is not there.
    pub fn internal_stats(&self, name: &TopicName) -> Result<InternalStats, AdminError> {
        let key = self.topics.key(&name.to_string());
        let topic = key.and_then(|key| self.topics.get(key)).ok_or_else(|| AdminError::no_topic(name))?;
        let log = &topic.log;
        let place = |id: MessageIdData| (id.ledger_id as i64, id.entry_id as i64);
        let cursor = |sub: &Subscription| CursorStats {
            name: sub.name.clone(),
            mark: place(log.id_before(sub.cursor.mark())),
            read: place(log.id_at(sub.read.max(sub.cursor.mark()))),
            acknowledged: sub
                .cursor
                .parts()
                .1
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&[start, end]| (place(log.id_before(start)), place(log.id_before(end))))
                .collect(),
            properties: sub.mark_properties.iter().map(|p| (p.key.clone(), p.value)).collect(),
            made_ms: sub.made_ms,
            open: sub.has_moved(),
            durable: sub.durable,
            active: !sub.consumers.is_empty(),
            consumed: (log.end() - log.first()).saturating_sub(sub.cursor.backlog(log.end())),
            read_on: sub.read.saturating_sub(sub.cursor.mark()),
            waits: sub.read >= log.end() && sub.reads(),
        };
        let mut ledgers: Vec<(u64, u64, u64, u64)> = Vec::new();
        for offset in log.first()..log.end() {
            let ledger = log.id_at(offset).ledger_id;
            let (size, at) = log.get(offset).map_or((0, 0), |entry| (stored_size(entry), entry.timestamp));
            match ledgers.last_mut() {
                Some((last, count, sum, time)) if *last == ledger => {
                    (*count, *sum, *time) = (*count + 1, *sum + size, at);
                }
                _ => ledgers.push((ledger, 1, size, at)),
            }
        }
        Ok(InternalStats {
            added: topic.messages_in,
            entries: log.end() - log.first(),
            bytes: ledgers.iter().map(|(_, _, size, _)| size).sum(),
            terminated: log.terminated,
            ledgers,
            open: log.id_at(log.end()).ledger_id,
            opened_ms: topic.opened_ms,
            made_ms: topic.made_ms,
            last: place(log.id_before(log.end())),
            cursors: topic.subs.values().chain(&cursor_of(topic)).map(cursor).collect(),
            compacted: topic.compacted.as_ref().map(|compacted| {
                let partition = Some(topic.name.partition().map_or(-1, |part| part as i32));
                // Their ids are kept with them, and two sizes.
                let size = |(offset, stored): (u64, &Stored)| {
                    let id = MessageIdData { partition, ..log.id_at(offset) };
                    stored_size(stored) + id.encoded_len() as u64 + 8
                };
                let sizes = compacted.entries().map(size);
                let (entries, bytes) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
                (compacted.generation(), entries, bytes)
            }),
        })
    }

    fn client_version(&self, id: ConnId) -> String {
        self.conns.get(id).map(|conn| conn.client_version.to_string()).unwrap_or_default()
    }

    /// Statistics of a topic without partitions, or of one partition.
    ///
    /// # Errors
    /// It is not there.
    pub fn stats(&self, name: &TopicName) -> Result<TopicStats, AdminError> {
        let key = self.topics.key(&name.to_string());
        let topic = key.and_then(|key| self.topics.get(key)).ok_or_else(|| AdminError::no_topic(name))?;
        let subscription = |sub: &Subscription| SubscriptionStats {
            name: sub.name.clone(),
            kind: if sub.used { type_name(sub.kind) } else { "None" },
            key_shared_mode: sub.selector.mode(),
            durable: sub.durable,
            replicated: sub.replicated,
            properties: pairs(&sub.properties),
            backlog: sub.cursor.backlog(topic.log.end()),
            backlog_size: i64::try_from(size_since(topic, sub.cursor.mark())).unwrap_or(i64::MAX),
            earliest_ms: earliest(topic, sub.cursor.mark()),
            bytes_out: sub.bytes_out(),
            rates: sub.rates(),
            expired: sub.expired,
            flow_ms: sub.flow_wall_ms,
            advanced_ms: sub.advanced_wall_ms,
            in_replay: sub.replay.ranges().map(|(start, end)| end - start).sum(),
            ranges: sub.cursor.parts().1.len() as u64 / 2,
            out_of_order: sub.out_of_order,
            blocked: sub.is_shared() && sub.unacked() >= topic.rules.max_unacked_per_subscription,
            unacked: sub.unacked(),
            delayed: sub.delayed.len() as u64,
            messages_out: sub.messages_out,
            active: sub.active.and_then(|key| sub.consumer(key)).map(|consumer| consumer.name.clone()),
            consumers: sub
                .consumers
                .iter()
                .map(|consumer| ConsumerStats {
                    name: consumer.name.clone(),
                    role: self.role_of(consumer.conn).to_owned(),
                    permits: consumer.permits,
                    address: self.address(consumer.conn),
                    connected_ms: consumer.connected_wall_ms,
                    client_version: self.client_version(consumer.conn),
                    blocked: sub.is_shared() && consumer.unacked >= topic.rules.max_unacked_per_consumer,
                    unacked: consumer.unacked,
                    messages_out: consumer.messages_out,
                    bytes_out: consumer.bytes_out,
                    per_entry: consumer.per_entry.average(),
                    rates: consumer.measured.rates(),
                    flow_ms: consumer.flow_wall_ms,
                    consumed_ms: consumer.consumed_wall_ms,
                    acked_ms: consumer.acked_wall_ms,
                    metadata: pairs(&consumer.metadata),
                    hash_ranges: (sub.kind == SubType::KEY_SHARED)
                        .then(|| sub.selector.ranges_of(consumer.key)),
                    draining: sub.drains().then(|| sub.draining_of(consumer.key)),
                    drained: consumer.drained,
                })
                .collect(),
        };
        let measured = |producer: &Producer| {
            let open = self.conns.get(producer.conn).and_then(|conn| conn.producers.get(&producer.id));
            open.map(|open| open.measured.rates()).unwrap_or_default()
        };
        let sent = topic.producers.values().map(measured);
        Ok(TopicStats {
            messages_in: topic.messages_in,
            rates: sent.chain(topic.subs.values().map(Subscription::rates)).sum(),
            bytes_in: topic.bytes_in,
            storage_size: size_since(topic, topic.log.first()),
            backlog_size: topic
                .subs
                .values()
                .map(|sub| sub.cursor.mark())
                .chain(mark_of(topic))
                .min()
                .map_or(0, |mark| size_since(topic, mark)),
            waiting_publishers: topic.waiting.len() as u64,
            earliest_ms: topic
                .subs
                .values()
                .filter(|sub| sub.durable)
                .map(|sub| sub.cursor.mark())
                .chain(mark_of(topic))
                .min()
                .map_or(0, |mark| earliest(topic, mark).max(0)),
            compaction: topic.compaction,
            quota: (
                topic.rules.quota.map(|quota| quota.bytes),
                topic.rules.age_quota.map(|quota| quota.seconds),
            ),
            deduplication: topic.rules.deduplication,
            ongoing_txns: topic.txns.as_ref().map_or(0, |txns| txns.ongoing_count()),
            aborted_txns: topic.txns.as_ref().map_or(0, |txns| txns.aborted_count),
            committed_txns: topic.txns.as_ref().map_or(0, |txns| txns.committed_count),
            publishers: topic
                .producers
                .values()
                .map(|producer| PublisherStats {
                    name: producer.name.clone(),
                    id: producer.id,
                    access: access_name(producer.access),
                    address: self.address(producer.conn),
                    connected_ms: producer.connected_wall_ms,
                    client_version: self.client_version(producer.conn),
                    rates: measured(producer),
                    metadata: pairs(&producer.metadata),
                })
                .collect(),
            subscriptions: topic.subs.values().chain(&cursor_of(topic)).map(subscription).collect(),
        })
    }
}

/// What an entry is in a ledger: the broker may write its time and its number before it.
pub(super) fn stored_size(stored: &Stored) -> u64 {
    let varint = |number: u64| u64::from((70 - (number | 1).leading_zeros()) / 7);
    let added = if stored.plain { 0 } else { 8 + varint(stored.timestamp) + varint(stored.index) };
    stored.bytes.len() as u64 + added
}

/// The time of the first entry after a mark, -1 when there is none.
fn earliest(topic: &Topic, mark: u64) -> i64 {
    let first = topic.log.get(mark.max(topic.log.first()));
    first.map_or(-1, |stored| i64::try_from(stored.time()).unwrap_or(i64::MAX))
}

pub(super) fn size_since(topic: &Topic, offset: u64) -> u64 {
    (offset.max(topic.log.first())..topic.log.end()).filter_map(|at| topic.log.get(at)).map(stored_size).sum()
}

impl Broker {
    /// Where a client is, as Java writes addresses; without one its connection.
    pub(super) fn address(&self, conn: ConnId) -> String {
        match self.conns.get(conn).and_then(|conn| conn.peer.as_deref()) {
            Some(peer) => format!("/{peer}"),
            None => format!("connection {}", conn.0),
        }
    }
}

fn pairs(of: &[KeyValue]) -> Vec<(String, String)> {
    of.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

/// An access mode's name, as statistics have it.
fn access_name(access: ProducerAccessMode) -> &'static str {
    match access {
        ProducerAccessMode::EXCLUSIVE => "Exclusive",
        ProducerAccessMode::WAIT_FOR_EXCLUSIVE => "WaitForExclusive",
        ProducerAccessMode::EXCLUSIVE_WITH_FENCING => "ExclusiveWithFencing",
        _ => "Shared",
    }
}
