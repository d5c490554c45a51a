//! Settings of namespaces and topics: which path is which field.

use serde_json::{Value, json};

use super::routes::ask;
use super::{Answer, Call};
use crate::core::{
    AdminError, AutoTopicCreation, BacklogQuota, DelayedDelivery, Policies, QuotaPolicy, Retention, Scope,
};
use crate::server::engine::Handle;

type Result<T> = std::result::Result<T, AdminError>;
type Read = fn(&Policies) -> Value;
type Write = fn(&mut Policies, &Value) -> std::result::Result<(), &'static str>;

/// A setting: its path at a namespace and at a topic, and how it is read and written. Null is unset.
struct Setting {
    namespace: &'static str,
    topic: &'static str,
    read: Read,
    write: Write,
}

const fn named(namespace: &'static str, topic: &'static str) -> Setting {
    Setting { namespace, topic, read: |_| Value::Null, write: |_, _| Ok(()) }
}

const SETTINGS: &[Setting] = &[
    Setting {
        read: |p| json!(p.deduplication),
        write: |p, value| boolean(value, &mut p.deduplication),
        ..named("deduplication", "deduplicationEnabled")
    },
    Setting {
        read: |p| json!(p.max_unacked_per_consumer),
        write: |p, value| number(value, &mut p.max_unacked_per_consumer),
        ..named("maxUnackedMessagesPerConsumer", "maxUnackedMessagesOnConsumer")
    },
    Setting {
        read: |p| json!(p.max_unacked_per_subscription),
        write: |p, value| number(value, &mut p.max_unacked_per_subscription),
        ..named("maxUnackedMessagesPerSubscription", "maxUnackedMessagesOnSubscription")
    },
    Setting {
        read: |p| json!(p.message_ttl),
        write: |p, value| number(value, &mut p.message_ttl),
        ..named("messageTTL", "messageTTL")
    },
    Setting {
        read: |p| json!(p.max_producers),
        write: |p, value| number(value, &mut p.max_producers),
        ..named("maxProducersPerTopic", "maxProducers")
    },
    Setting {
        read: |p| json!(p.max_consumers),
        write: |p, value| number(value, &mut p.max_consumers),
        ..named("maxConsumersPerTopic", "maxConsumers")
    },
    Setting {
        read: |p| json!(p.max_subscriptions),
        write: |p, value| number(value, &mut p.max_subscriptions),
        ..named("maxSubscriptionsPerTopic", "maxSubscriptionsPerTopic")
    },
    Setting {
        read: |p| json!(p.max_message_size),
        write: |p, value| number(value, &mut p.max_message_size),
        ..named("maxMessageSize", "maxMessageSize")
    },
    Setting {
        read: |p| json!(p.compaction_threshold),
        write: |p, value| number(value, &mut p.compaction_threshold),
        ..named("compactionThreshold", "compactionThreshold")
    },
    Setting {
        read: |p| {
            let json = |r: Retention| json!({ "retentionTimeInMinutes": r.minutes, "retentionSizeInMB": r.megabytes });
            p.retention.map_or(Value::Null, json)
        },
        write: |p, value| {
            p.retention = object(value, |field| {
                Some(Retention {
                    minutes: field("retentionTimeInMinutes")?.as_i64()?,
                    megabytes: field("retentionSizeInMB")?.as_i64()?,
                })
            })
            .ok_or("{\"retentionTimeInMinutes\": .., \"retentionSizeInMB\": ..}")?;
            Ok(())
        },
        ..named("retention", "retention")
    },
    Setting {
        read: |p| {
            let json = |d: DelayedDelivery| json!({ "active": d.active, "tickTime": d.tick_ms, "maxDeliveryDelayInMillis": d.max_delay_ms });
            p.delayed_delivery.map_or(Value::Null, json)
        },
        write: |p, value| {
            p.delayed_delivery = object(value, |field| {
                Some(DelayedDelivery {
                    active: field("active")?.as_bool()?,
                    tick_ms: field("tickTime").and_then(|value| value.as_u64()).unwrap_or(1000),
                    max_delay_ms: field("maxDeliveryDelayInMillis")
                        .and_then(|value| value.as_u64())
                        .unwrap_or(0),
                })
            })
            .ok_or("{\"active\": .., \"tickTime\": ..}")?;
            Ok(())
        },
        ..named("delayedDelivery", "delayedDelivery")
    },
    Setting {
        read: |p| {
            let json = |creation: AutoTopicCreation| {
                json!({
                    "allowAutoTopicCreation": creation.allowed,
                    "topicType": if creation.partitions.is_some() { "partitioned" } else { "non-partitioned" },
                    "defaultNumPartitions": creation.partitions,
                })
            };
            p.auto_topic_creation.map_or(Value::Null, json)
        },
        write: |p, value| {
            p.auto_topic_creation = object(value, |field| {
                let partitioned = field("topicType").is_some_and(|kind| kind == "partitioned");
                let count = field("defaultNumPartitions").and_then(|value| value.as_u64()).unwrap_or(1);
                Some(AutoTopicCreation {
                    allowed: field("allowAutoTopicCreation")?.as_bool()?,
                    partitions: if partitioned { Some(u32::try_from(count).ok()?) } else { None },
                })
            })
            .ok_or("{\"allowAutoTopicCreation\": .., \"topicType\": ..}")?;
            Ok(())
        },
        ..named("autoTopicCreation", "")
    },
    Setting {
        read: |p| quotas(p),
        write: |p, value| {
            let read = |field: &dyn Fn(&str) -> Option<Value>| {
                let policy = match field("policy")?.as_str()? {
                    "producer_request_hold" => QuotaPolicy::ProducerRequestHold,
                    "producer_exception" => QuotaPolicy::ProducerException,
                    "consumer_backlog_eviction" => QuotaPolicy::ConsumerBacklogEviction,
                    _ => return None,
                };
                let number = |name: &str| field(name).and_then(|value| value.as_i64()).unwrap_or(-1);
                let by_age = field("backlogQuotaType").is_some_and(|kind| kind == "message_age");
                Some((
                    BacklogQuota { bytes: number("limitSize"), seconds: number("limitTime"), policy },
                    by_age,
                ))
            };
            let quota =
                object(value, read).ok_or("{\"limitSize\": .., \"limitTime\": .., \"policy\": ..}")?;
            match quota {
                Some((quota, true)) => p.backlog_age_quota = Some(quota),
                Some((quota, false)) => p.backlog_quota = Some(quota),
                None => (p.backlog_quota, p.backlog_age_quota) = (None, None),
            }
            Ok(())
        },
        ..named("backlogQuota", "backlogQuota")
    },
    Setting { read: |p| quotas(p), ..named("backlogQuotaMap", "backlogQuotaMap") },
];

fn quotas(p: &Policies) -> Value {
    let mut map = serde_json::Map::new();
    for (kind, quota) in [("destination_storage", p.backlog_quota), ("message_age", p.backlog_age_quota)] {
        let Some(quota) = quota else { continue };
        let policy = match quota.policy {
            QuotaPolicy::ProducerRequestHold => "producer_request_hold",
            QuotaPolicy::ProducerException => "producer_exception",
            QuotaPolicy::ConsumerBacklogEviction => "consumer_backlog_eviction",
        };
        let (size, time) = (quota.bytes, quota.seconds);
        map.insert(
            kind.to_owned(),
            json!({ "limit": size, "limitSize": size, "limitTime": time, "policy": policy }),
        );
    }
    Value::Object(map)
}

/// Reads an object by its fields. Null is none; `None` when it is not what it should be.
#[allow(clippy::option_option)]
fn object<T>(
    value: &Value,
    read: impl FnOnce(&dyn Fn(&str) -> Option<Value>) -> Option<T>,
) -> Option<Option<T>> {
    match value {
        Value::Null => Some(None),
        Value::Object(fields) => read(&|name| fields.get(name).cloned()).map(Some),
        _ => None,
    }
}

fn boolean(value: &Value, to: &mut Option<bool>) -> std::result::Result<(), &'static str> {
    *to = match value {
        Value::Null => None,
        Value::Bool(on) => Some(*on),
        _ => return Err("true or false"),
    };
    Ok(())
}

fn number(value: &Value, to: &mut Option<u64>) -> std::result::Result<(), &'static str> {
    *to = match value {
        Value::Null => None,
        _ => Some(value.as_u64().ok_or("a number that is not below 0")?),
    };
    Ok(())
}

/// Reads or writes a setting; `None` when the path is none.
pub(super) async fn route(call: &Call, scope: Scope, name: &str, handle: &Handle) -> Option<Result<Answer>> {
    let of_topic = matches!(scope, Scope::Topic(_));
    let setting = SETTINGS.iter().find(|s| name == if of_topic { s.topic } else { s.namespace })?;
    // Where the real broker answers otherwise than by an empty 200 what is not set.
    let unset_is_204 = of_topic && ["maxSubscriptionsPerTopic", "maxMessageSize"].contains(&name);
    Some(match call.method.as_str() {
        "GET" => read(scope, setting.read, unset_is_204, handle).await,
        "POST" | "PUT" => match body(call, name) {
            Ok(value) => write(scope, setting.write, value, handle).await,
            Err(error) => Err(error),
        },
        "DELETE" => write(scope, setting.write, Value::Null, handle).await,
        _ => return None,
    })
}

/// What is to be written: the body, with what only the query says.
fn body(call: &Call, name: &str) -> Result<Value> {
    let mut value = call.json()?;
    if let (Value::Null, Some(number)) = (&value, call.query(name)) {
        value = number.parse::<u64>().map_or(Value::Null, Value::from);
    }
    if let (Value::Object(fields), Some(kind)) = (&mut value, call.query("backlogQuotaType")) {
        fields.insert("backlogQuotaType".to_owned(), Value::from(kind));
    }
    Ok(value)
}

async fn read(scope: Scope, read: Read, unset_is_204: bool, handle: &Handle) -> Result<Answer> {
    let value =
        ask(handle, move |broker, _| broker.policies(&scope).map(|policies| read(&policies))).await??;
    Ok(match value {
        Value::Null if unset_is_204 => Answer::Nothing,
        Value::Null => Answer::Empty,
        value => Answer::Json(value),
    })
}

async fn write(scope: Scope, write: Write, value: Value, handle: &Handle) -> Result<Answer> {
    let mut tried = Policies::default();
    write(&mut tried, &value)
        .map_err(|wanted| AdminError { status: 400, reason: format!("The body must be {wanted}") })?;
    ask(handle, move |broker, now| {
        // It was tried above.
        broker.set_policies(&scope, |policies| write(policies, &value).unwrap_or_default(), now)
    })
    .await??;
    Ok(Answer::Nothing)
}
