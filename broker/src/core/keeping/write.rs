//! From the broker to keys and values.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::Broker;
use super::super::ids::TopicKey;
use super::super::policies::{BacklogQuota, Policies, QuotaPolicy};
use super::super::schemas::SchemaStrategy;
use super::super::storage::Stored;
use super::super::subscription::Subscription;
use super::super::topic::Topic;
use super::super::transactions;
use super::{Kept, NO_TXN, PLAIN, codec, kind};

pub(super) fn key(kind: u8, name: &[u8]) -> Vec<u8> {
    [&[kind], name].concat()
}

pub(super) fn numbered(kind: u8, topic: TopicKey, offset: u64) -> Vec<u8> {
    [&[kind][..], &topic.0.to_be_bytes(), &offset.to_be_bytes()].concat()
}

/// Takes out all of a topic that is of that kind.
fn remove_all(kind: u8, topic: TopicKey, out: &mut Vec<Kept>) {
    let after = TopicKey(topic.0 + 1);
    out.push(Kept::Remove(key(kind, &topic.0.to_be_bytes()), key(kind, &after.0.to_be_bytes())));
}

pub(super) fn name(broker: &Broker, kind: u8, name: &str, out: &mut Vec<Kept>) {
    let mut value = BytesMut::new();
    let topics = &broker.topics;
    let there = match kind {
        kind::RUN => {
            value.put_u64(broker.run);
            true
        }
        kind::TENANT => {
            if let Some(clusters) = topics.tenant_clusters.get(name) {
                value.put_u32(clusters.len() as u32);
                clusters.iter().for_each(|name| codec::text(&mut value, name.as_bytes()));
            }
            topics.tenants.contains(name)
        }
        kind::CLUSTER => {
            topics.clusters.get(name).map(|data| codec::text(&mut value, data.as_bytes())).is_some()
        }
        kind::NOTED => topics.noted.get(name).map(|data| codec::text(&mut value, data.as_bytes())).is_some(),
        kind::NAMESPACE => {
            topics.namespaces.get(name).map(|policies| self::policies(policies, &mut value)).is_some()
        }
        kind::SETTINGS => {
            topics.policies.get(name).map(|policies| self::policies(policies, &mut value)).is_some()
        }
        kind::PARTITIONED => {
            let partitioned = topics.partitioned(name);
            if let Some(partitioned) = partitioned {
                value.put_u32(partitioned.count);
                for (name, text) in &partitioned.properties {
                    codec::text(&mut value, name.as_bytes());
                    codec::text(&mut value, text.as_bytes());
                }
            }
            partitioned.is_some()
        }
        kind::GRANTS => {
            for (role, actions) in topics.grants.get(name).into_iter().flatten() {
                codec::text(&mut value, role.as_bytes());
                let names: Vec<&str> = actions.iter().map(|action| action.name()).collect();
                codec::text(&mut value, names.join(",").as_bytes());
            }
            topics.grants.contains_key(name)
        }
        kind::ADMINS => {
            for role in topics.tenant_admins.get(name).into_iter().flatten() {
                codec::text(&mut value, role.as_bytes());
            }
            topics.tenant_admins.contains_key(name)
        }
        _ => {
            let versions = broker.schemas.versions(name);
            value.put_u32(versions.len() as u32);
            for version in versions {
                let mut bytes = BytesMut::new();
                version.schema.encode(&mut bytes);
                codec::text(&mut value, &bytes);
            }
            for version in versions {
                value.put_u64(version.timestamp);
                value.put_u8(u8::from(version.deleted));
            }
            !versions.is_empty()
        }
    };
    let key = key(kind, name.as_bytes());
    out.push(if there {
        Kept::Put(key, value.freeze())
    } else {
        Kept::Remove(key.clone(), [&key[..], &[0]].concat())
    });
}

fn policies(p: &Policies, out: &mut BytesMut) {
    let unsigned = |n: Option<u64>| n.map(|n| n as i64);
    let quota = |quota: Option<BacklogQuota>| {
        let policy = |policy| match policy {
            QuotaPolicy::ProducerRequestHold => 0,
            QuotaPolicy::ProducerException => 1,
            QuotaPolicy::ConsumerBacklogEviction => 2,
        };
        [quota.map(|q| q.bytes), quota.map(|q| q.seconds), quota.map(|q| policy(q.policy))]
    };
    let numbers = [
        p.deduplication.map(i64::from),
        unsigned(p.max_unacked_per_consumer),
        unsigned(p.max_unacked_per_subscription),
        p.retention.map(|r| r.minutes),
        p.retention.map(|r| r.megabytes),
        unsigned(p.message_ttl),
        p.delayed_delivery.map(|d| i64::from(d.active)),
        p.delayed_delivery.map(|d| d.tick_ms),
        p.delayed_delivery.map(|d| d.max_delay_ms),
        unsigned(p.max_producers),
        unsigned(p.max_consumers),
        unsigned(p.max_subscriptions),
        unsigned(p.max_message_size),
        unsigned(p.compaction_threshold),
        p.auto_topic_creation.map(|c| i64::from(c.allowed)),
        p.auto_topic_creation.and_then(|c| c.partitions).map(i64::from),
    ];
    for number in numbers.into_iter().chain(quota(p.backlog_quota)).chain(quota(p.backlog_age_quota)) {
        codec::number(out, number);
    }
    let schemas = [
        p.schema_strategy.map(SchemaStrategy::number),
        p.schema_validation_enforced.map(i64::from),
        p.allow_auto_update_schema.map(i64::from),
    ];
    for number in schemas {
        codec::number(out, number);
    }
    for (name, json) in &p.kept {
        codec::text(out, name.as_bytes());
        codec::text(out, json.as_bytes());
    }
}

fn entry(stored: &Stored) -> Bytes {
    let mut value = BytesMut::with_capacity(stored.bytes.len() + 16);
    value.put_u64(stored.timestamp | if stored.plain { PLAIN } else { 0 });
    let no_txn = !stored.txn && transactions::id_of(stored).is_some();
    value.put_u64(stored.index | if no_txn { NO_TXN } else { 0 });
    value.put_slice(&stored.bytes);
    value.freeze()
}

pub(super) fn topic(broker: &mut Broker, key: TopicKey, out: &mut Vec<Kept>) {
    let Some(topic) = broker.topics.untouched(key) else {
        let kinds =
            [kind::TOPIC, kind::ENTRY, kind::COMPACTED, kind::SEQUENCES, kind::SUBSCRIPTION, kind::PENDING];
        return kinds.into_iter().for_each(|kind| remove_all(kind, key, out));
    };
    if !topic.name.persistent {
        return;
    }
    let head = head(topic);
    let Topic { log, kept, compacted, sequences, subs, .. } = topic;
    if kept.head != head {
        kept.head = head.clone();
        out.push(Kept::Put(self::key(kind::TOPIC, &key.0.to_be_bytes()), head));
    }
    if kept.entries.0 < log.first() {
        let (from, to) =
            (numbered(kind::ENTRY, key, kept.entries.0), numbered(kind::ENTRY, key, log.first()));
        out.push(Kept::Remove(from, to));
    }
    for offset in kept.entries.1.max(log.first())..log.end() {
        if let Some(stored) = log.get(offset) {
            out.push(Kept::Put(numbered(kind::ENTRY, key, offset), entry(stored)));
        }
    }
    kept.entries = (log.first(), log.end());
    let left = compacted.as_ref().map(|compacted| compacted.generation());
    if kept.compacted != left {
        kept.compacted = left;
        remove_all(kind::COMPACTED, key, out);
        if let Some(compacted) = compacted {
            // Its end stands before its entries.
            let mut end = BytesMut::new();
            end.put_u64(compacted.horizon());
            out.push(Kept::Put(self::key(kind::COMPACTED, &key.0.to_be_bytes()), end.freeze()));
            for (offset, stored) in compacted.entries() {
                out.push(Kept::Put(numbered(kind::COMPACTED, key, offset), entry(stored)));
            }
        }
    }
    let mut value = BytesMut::new();
    for (producer, sequence) in sequences.iter() {
        codec::text(&mut value, producer.as_bytes());
        value.put_i64(*sequence);
    }
    if kept.sequences != value {
        kept.sequences = value.freeze();
        out.push(Kept::Put(self::key(kind::SEQUENCES, &key.0.to_be_bytes()), kept.sequences.clone()));
    }
    let durable = || subs.values().filter(|sub| sub.durable);
    let sub_key = |name: &str| [&[kind::SUBSCRIPTION][..], &key.0.to_be_bytes(), name.as_bytes()].concat();
    for sub in durable() {
        let value = subscription(sub);
        if kept.subs.get(&sub.name) != Some(&value) {
            out.push(Kept::Put(sub_key(&sub.name), value.clone()));
            kept.subs.insert(sub.name.clone(), value);
        }
    }
    if kept.subs.len() > durable().count() {
        kept.subs.retain(|name, _| {
            let there = durable().any(|sub| sub.name == *name);
            if !there {
                out.push(Kept::Remove(sub_key(name), [&sub_key(name)[..], &[0]].concat()));
            }
            there
        });
    }
    transactions::write_pending(key, topic, out);
}

fn head(topic: &Topic) -> Bytes {
    let mut value = BytesMut::new();
    codec::text(&mut value, topic.name.to_string().as_bytes());
    codec::list(&mut value, topic.log.runs().into_iter());
    value.put_u64(topic.log.first());
    value.put_u64(topic.log.kept_index());
    value.put_u8(u8::from(topic.log.terminated));
    codec::number(&mut value, topic.epoch().map(|epoch| epoch as i64));
    value.put_u32(topic.properties.len() as u32);
    for (name, text) in &topic.properties {
        codec::text(&mut value, name.as_bytes());
        codec::text(&mut value, text.as_bytes());
    }
    value.freeze()
}

fn subscription(sub: &Subscription) -> Bytes {
    let mut value = BytesMut::new();
    let (mark, ranges, open) = sub.cursor.parts();
    value.put_u64(mark);
    codec::list(&mut value, ranges.into_iter());
    value.put_u32(open.len() as u32);
    for (offset, bits) in open {
        value.put_u64(*offset);
        codec::list(&mut value, bits.iter().copied());
    }
    value.put_u8(u8::from(sub.replicated));
    codec::pairs(&mut value, &sub.properties);
    for property in &sub.mark_properties {
        codec::text(&mut value, property.key.as_bytes());
        value.put_u64(property.value);
    }
    value.freeze()
}
