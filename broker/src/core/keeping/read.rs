//! From keys and values to the broker. `None` is damage.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pulsewire_proto::wire::{KeyLongValue, Schema};

use super::super::Broker;
use super::super::access::{Action, Grants};
use super::super::ids::TopicKey;
use super::super::names::TopicName;
use super::super::policies::{
    AutoTopicCreation, BacklogQuota, DelayedDelivery, Policies, QuotaPolicy, Retention,
};
use super::super::schemas::{SchemaStrategy, Version};
use super::super::storage::{Log, Stored};
use super::super::subscription::Subscription;
use super::super::time::Now;
use super::super::topic::Topic;
use super::super::topics::Partitioned;
use super::super::transactions;
use super::codec::Reader;
use super::kind;
use super::{NO_TXN, PLAIN};

pub(super) fn read(broker: &mut Broker, key: &[u8], value: &Bytes, now: Now) -> Option<()> {
    let (&kind, rest) = key.split_first()?;
    let mut value = Reader(value.clone());
    let name = || String::from_utf8(rest.to_vec()).ok();
    match kind {
        kind::RUN => broker.run = value.u64()?,
        kind::TENANT => {
            if !value.0.is_empty() {
                let clusters = (0..value.u32()?).map(|_| value.text()).collect::<Option<_>>()?;
                broker.topics.tenant_clusters.insert(name()?, clusters);
            }
            broker.topics.tenants.insert(name()?);
        }
        kind::CLUSTER => drop(broker.topics.clusters.insert(name()?, value.text()?)),
        kind::NOTED => drop(broker.topics.noted.insert(name()?, value.text()?)),
        kind::NAMESPACE => drop(broker.topics.namespaces.insert(name()?, policies(&mut value)?)),
        kind::SETTINGS => drop(broker.topics.policies.insert(name()?, policies(&mut value)?)),
        kind::PARTITIONED => {
            let mut partitioned = Partitioned { count: value.u32()?, ..Partitioned::default() };
            while !value.0.is_empty() {
                partitioned.properties.insert(value.text()?, value.text()?);
            }
            broker.topics.restore_partitions(name()?, partitioned);
        }
        kind::SCHEMAS => {
            let count = value.u32()?;
            let schema = |_| {
                let schema = Schema::decode(&value.bytes()?).ok()?;
                Some(Version { schema, timestamp: 0, deleted: false })
            };
            let mut versions = (0..count).map(schema).collect::<Option<Vec<_>>>()?;
            // Before the registry had more, it kept no more.
            if !value.0.is_empty() {
                for version in &mut versions {
                    (version.timestamp, version.deleted) = (value.u64()?, value.u8()? != 0);
                }
            }
            broker.schemas.restore(name()?, versions);
        }
        kind::TOPIC => {
            let mut topic = topic(&mut value)?;
            (topic.made_ms, topic.opened_ms) = (now.wall_ms, now.wall_ms);
            broker.topics.restore(topic_key(rest)?, topic);
        }
        kind::ENTRY => {
            let (stored, offset) =
                (stored(&mut value)?, u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?));
            let topic = broker.topics.get_mut(topic_key(rest)?)?;
            if stored.txn {
                topic.txns.get_or_insert_default().restore(offset, &stored);
            }
            let cost = topic.log.restore(offset, stored)?;
            broker.topics.stored += cost;
        }
        kind::COMPACTED => {
            let topic = broker.topics.get_mut(topic_key(rest)?)?;
            let compacted = topic.compacted.get_or_insert_default();
            match rest.get(8..16) {
                None => compacted.restore_end(value.u64()?),
                Some(offset) => {
                    let offset = u64::from_be_bytes(offset.try_into().ok()?);
                    let cost = compacted.restore(offset, stored(&mut value)?);
                    broker.topics.stored += cost;
                }
            }
        }
        kind::SEQUENCES => {
            let topic = broker.topics.get_mut(topic_key(rest)?)?;
            while !value.0.is_empty() {
                topic.sequences.insert(value.text()?, value.u64()? as i64);
            }
        }
        kind::SUBSCRIPTION => {
            let topic = broker.topics.get_mut(topic_key(rest)?)?;
            let name = String::from_utf8(rest.get(8..)?.to_vec()).ok()?;
            let mut sub = subscription(name, &mut value)?;
            sub.made_ms = now.wall_ms;
            topic.add_sub(sub);
        }
        kind::GRANTS => {
            let mut grants = Grants::new();
            while !value.0.is_empty() {
                let role = value.text()?;
                grants.insert(role, value.text()?.split(',').filter_map(Action::named).collect());
            }
            broker.topics.grants.insert(name()?, grants);
        }
        kind::ADMINS => {
            let mut roles = BTreeSet::new();
            while !value.0.is_empty() {
                roles.insert(value.text()?);
            }
            broker.topics.tenant_admins.insert(name()?, roles);
        }
        kind::COORDINATOR | kind::TRANSACTION => {
            transactions::read(broker, kind, rest, &mut value, now)?;
        }
        kind::PENDING => {
            let topic = broker.topics.get_mut(topic_key(rest)?)?;
            transactions::read_pending(topic, rest.get(8..)?, value.0)?;
        }
        _ => return None,
    }
    Some(())
}

fn topic_key(rest: &[u8]) -> Option<TopicKey> {
    Some(TopicKey(u64::from_be_bytes(rest.get(..8)?.try_into().ok()?)))
}

fn policies(value: &mut Reader) -> Option<Policies> {
    let mut n = [None; 22];
    for number in &mut n {
        *number = value.number()?;
    }
    let unsigned = |at: usize| n[at].map(|n| n as u64);
    let quota = |at: usize| {
        Some(BacklogQuota {
            bytes: n[at]?,
            seconds: n[at + 1]?,
            policy: match n[at + 2]? {
                0 => QuotaPolicy::ProducerRequestHold,
                1 => QuotaPolicy::ProducerException,
                _ => QuotaPolicy::ConsumerBacklogEviction,
            },
        })
    };
    let (mut schemas, mut kept) = ([None; 3], BTreeMap::new());
    // Before there were more settings, no more were kept.
    if !value.0.is_empty() {
        for number in &mut schemas {
            *number = value.number()?;
        }
    }
    while !value.0.is_empty() {
        kept.insert(value.text()?, value.text()?);
    }
    let retention = || Some(Retention { minutes: n[3]?, megabytes: n[4]? });
    let delayed = || Some(DelayedDelivery { active: n[6]? != 0, tick_ms: n[7]?, max_delay_ms: n[8]? });
    Some(Policies {
        deduplication: n[0].map(|on| on != 0),
        max_unacked_per_consumer: unsigned(1),
        max_unacked_per_subscription: unsigned(2),
        retention: retention(),
        message_ttl: unsigned(5),
        delayed_delivery: delayed(),
        max_producers: unsigned(9),
        max_consumers: unsigned(10),
        max_subscriptions: unsigned(11),
        max_message_size: unsigned(12),
        compaction_threshold: unsigned(13),
        auto_topic_creation: n[14].map(|allowed| AutoTopicCreation {
            allowed: allowed != 0,
            partitions: n[15].and_then(|count| u32::try_from(count).ok()),
        }),
        schema_strategy: schemas[0].and_then(SchemaStrategy::of_number),
        schema_validation_enforced: schemas[1].map(|on| on != 0),
        allow_auto_update_schema: schemas[2].map(|on| on != 0),
        kept,
        backlog_quota: quota(16),
        backlog_age_quota: quota(19),
    })
}

fn stored(value: &mut Reader) -> Option<Stored> {
    let (timestamp, index) = (value.u64()?, value.u64()?);
    let mut stored = Stored::new(&value.0, timestamp & !PLAIN).ok()?;
    stored.index = index & !NO_TXN;
    stored.plain = timestamp & PLAIN != 0;
    stored.txn = index & NO_TXN == 0 && transactions::id_of(&stored).is_some();
    Some(stored)
}

fn topic(value: &mut Reader) -> Option<Topic> {
    let name = TopicName::parse(&value.text()?).ok()?;
    let runs = value.list()?;
    let (first, index) = (value.u64()?, value.u64()?);
    let mut log = Log::restored(&runs, first, index)?;
    log.terminated = value.u8()? != 0;
    let epoch = value.number()?.map(|epoch| epoch as u64);
    let mut properties = BTreeMap::new();
    for _ in 0..value.u32()? {
        properties.insert(value.text()?, value.text()?);
    }
    Some(Topic::restored(name, log, epoch, properties))
}

fn subscription(name: String, value: &mut Reader) -> Option<Subscription> {
    let mark = value.u64()?;
    let ranges = value.list()?;
    let mut open = BTreeMap::new();
    for _ in 0..value.u32()? {
        open.insert(value.u64()?, value.list()?);
    }
    let replicated = value.u8()? != 0;
    let mut sub = Subscription::new(name, true, mark, value.pairs()?);
    sub.cursor.restore(&ranges, open)?;
    sub.loaded();
    while !value.0.is_empty() {
        sub.mark_properties.push(KeyLongValue { key: value.text()?, value: value.u64()? });
    }
    sub.replicated = replicated;
    Some(sub)
}
