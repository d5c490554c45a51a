//! What whoever runs the broker is shown of a topic.

use pulsewire_proto::wire::{KeyValue, MessageIdData, ProducerAccessMode};

use super::Broker;
use super::admin::AdminError;
use super::names::TopicName;
use super::subscription::{Subscription, type_name};

/// Statistics of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct TopicStats {
    pub messages_in: u64,
    pub bytes_in: u64,
    pub storage_size: u64,
    pub deduplication: bool,
    /// Transactions with messages here that have not ended; and how many have, since the broker
    /// started.
    pub ongoing_txns: u64,
    pub aborted_txns: u64,
    pub committed_txns: u64,
    pub publishers: Vec<PublisherStats>,
    pub subscriptions: Vec<SubscriptionStats>,
}

/// Statistics of a producer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct PublisherStats {
    pub name: String,
    pub id: u64,
    pub access: &'static str,
    pub metadata: Vec<(String, String)>,
}

/// Statistics of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct SubscriptionStats {
    pub name: String,
    pub kind: &'static str,
    pub durable: bool,
    pub replicated: bool,
    pub properties: Vec<(String, String)>,
    pub backlog: u64,
    pub unacked: u64,
    pub delayed: u64,
    pub messages_out: u64,
    pub active: Option<String>,
    pub consumers: Vec<ConsumerStats>,
}

/// Statistics of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct ConsumerStats {
    pub name: String,
    pub permits: i64,
    pub unacked: u64,
    pub messages_out: u64,
    pub bytes_out: u64,
    pub metadata: Vec<(String, String)>,
}

/// What a topic stores, and where its subscriptions are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct InternalStats {
    pub entries: u64,
    pub bytes: u64,
    pub terminated: bool,
    /// Ledgers and how many of their entries are stored.
    pub ledgers: Vec<(u64, u64)>,
    /// Ledger and entry, -1 when there is none.
    pub last: (i64, i64),
    pub cursors: Vec<CursorStats>,
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
        };
        let mut ledgers: Vec<(u64, u64)> = Vec::new();
        for offset in log.first()..log.end() {
            let ledger = log.id_at(offset).ledger_id;
            match ledgers.last_mut() {
                Some((last, count)) if *last == ledger => *count += 1,
                _ => ledgers.push((ledger, 1)),
            }
        }
        Ok(InternalStats {
            entries: log.end() - log.first(),
            bytes: log.bytes() as u64,
            terminated: log.terminated,
            ledgers,
            last: place(log.id_before(log.end())),
            cursors: topic.subs.values().map(cursor).collect(),
        })
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
            kind: if sub.consumers.is_empty() { "None" } else { type_name(sub.kind) },
            durable: sub.durable,
            replicated: sub.replicated,
            properties: pairs(&sub.properties),
            backlog: sub.cursor.backlog(topic.log.end()),
            unacked: sub.unacked(),
            delayed: sub.delayed.len() as u64,
            messages_out: sub.messages_out,
            active: sub.active.and_then(|key| sub.consumer(key)).map(|consumer| consumer.name.clone()),
            consumers: sub
                .consumers
                .iter()
                .map(|consumer| ConsumerStats {
                    name: consumer.name.clone(),
                    permits: consumer.permits,
                    unacked: consumer.unacked,
                    messages_out: consumer.messages_out,
                    bytes_out: consumer.bytes_out,
                    metadata: pairs(&consumer.metadata),
                })
                .collect(),
        };
        Ok(TopicStats {
            messages_in: topic.messages_in,
            bytes_in: topic.bytes_in,
            storage_size: topic.log.bytes() as u64,
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
                    metadata: pairs(&producer.metadata),
                })
                .collect(),
            subscriptions: topic.subs.values().map(subscription).collect(),
        })
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
