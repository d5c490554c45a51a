//! Settings with an effect here: where each is found, and how it is read and written.

use serde_json::{Map, Value, json};

use super::reading::{self, truth, whole};
use super::route::Shape;
use crate::core::{
    AutoTopicCreation, BacklogQuota, DelayedDelivery, Policies, QuotaPolicy, Retention, SchemaStrategy,
};

/// Why a value is not taken.
#[derive(Debug)]
pub(super) enum Bad {
    /// It must be something like that.
    Shape(&'static str),
    /// It cannot be that: 412.
    Value(String),
    /// It cannot be that: 400.
    Refused(&'static str),
}

const HALF_A_RETENTION: &str = "Invalid retention policy: Setting a single time or size limit to 0 is invalid when one of \
     the limits has a non-zero value. Use the value of -1 instead of 0 to ignore a specific limit. To disable retention \
     both limits must be set to 0.";

type Written = std::result::Result<(), Bad>;

/// A setting with an effect: where it is found, and how it is read and written. Null is unset.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) namespace: &'static str,
    pub(super) topic: &'static str,
    pub(super) field: &'static str,
    pub(super) shape: Shape,
    pub(super) method: &'static str,
    pub(super) removable: bool,
    /// What is answered when it is not set, in JSON.
    pub(super) unset: &'static str,
    pub(super) unset_is_204: bool,
    pub(super) read: fn(&Policies) -> Value,
    pub(super) write: fn(&mut Policies, &Value) -> Written,
}

const fn named(namespace: &'static str, topic: &'static str, field: &'static str, shape: Shape) -> Typed {
    Typed {
        namespace,
        topic,
        field,
        shape,
        method: "POST",
        removable: true,
        unset: "",
        unset_is_204: false,
        read: |_| Value::Null,
        write: |_, _| Ok(()),
    }
}

/// All of them.
pub(super) const TYPED: &[Typed] = &[
    Typed {
        read: |p| json!(p.deduplication),
        write: |p, value| boolean(value, &mut p.deduplication),
        ..named("deduplication", "deduplicationEnabled", "deduplicationEnabled", Shape::Boolean)
    },
    Typed {
        read: |p| json!(p.max_unacked_per_consumer),
        write: |p, value| limit(value, &mut p.max_unacked_per_consumer, "maxUnackedNum must be 0 or more"),
        ..named(
            "maxUnackedMessagesPerConsumer",
            "maxUnackedMessagesOnConsumer",
            "max_unacked_messages_per_consumer",
            Shape::Number,
        )
    },
    Typed {
        read: |p| json!(p.max_unacked_per_subscription),
        write: |p, value| {
            limit(value, &mut p.max_unacked_per_subscription, "maxUnackedNum must be 0 or more")
        },
        ..named(
            "maxUnackedMessagesPerSubscription",
            "maxUnackedMessagesOnSubscription",
            "max_unacked_messages_per_subscription",
            Shape::Number,
        )
    },
    Typed {
        read: |p| json!(p.message_ttl),
        write: |p, value| limit(value, &mut p.message_ttl, "Invalid value for message TTL"),
        ..named("messageTTL", "messageTTL", "message_ttl_in_seconds", Shape::Number)
    },
    Typed {
        read: |p| json!(p.max_producers),
        write: |p, value| limit(value, &mut p.max_producers, "maxProducers must be 0 or more"),
        ..named("maxProducersPerTopic", "maxProducers", "max_producers_per_topic", Shape::Number)
    },
    Typed {
        read: |p| json!(p.max_consumers),
        write: |p, value| limit(value, &mut p.max_consumers, "maxConsumers must be 0 or more"),
        ..named("maxConsumersPerTopic", "maxConsumers", "max_consumers_per_topic", Shape::Number)
    },
    Typed {
        read: |p| json!(p.max_subscriptions),
        write: |p, value| number(value, &mut p.max_subscriptions),
        unset_is_204: true,
        ..named(
            "maxSubscriptionsPerTopic",
            "maxSubscriptionsPerTopic",
            "max_subscriptions_per_topic",
            Shape::Number,
        )
    },
    Typed {
        read: |p| json!(p.max_message_size),
        write: |p, value| number(value, &mut p.max_message_size),
        unset_is_204: true,
        ..named("", "maxMessageSize", "", Shape::Number)
    },
    Typed {
        read: |p| json!(p.compaction_threshold),
        write: |p, value| number(value, &mut p.compaction_threshold),
        method: "PUT",
        ..named("compactionThreshold", "compactionThreshold", "compaction_threshold", Shape::Number)
    },
    Typed {
        read: |p| {
            let json = |r: Retention| json!({ "retentionTimeInMinutes": r.minutes, "retentionSizeInMB": r.megabytes });
            p.retention.map_or(Value::Null, json)
        },
        write: |p, value| {
            let retention = object(value, |field| {
                Some(Retention {
                    minutes: field("retentionTimeInMinutes").map_or(Some(0), |n| whole(&n))?,
                    megabytes: field("retentionSizeInMB").map_or(Some(0), |n| whole(&n))?,
                })
            })
            .ok_or(Bad::Shape("{\"retentionTimeInMinutes\": .., \"retentionSizeInMB\": ..}"))?;
            match retention {
                Some(r) if r.minutes < -1 => {
                    return Err(Bad::Refused("Invalid retention policy: time limit must be >= -1"));
                }
                Some(r) if r.megabytes < -1 => {
                    return Err(Bad::Refused("Invalid retention policy: size limit must be >= -1"));
                }
                Some(r) if (r.minutes == 0) != (r.megabytes == 0) => {
                    return Err(Bad::Refused(HALF_A_RETENTION));
                }
                _ => {}
            }
            p.retention = retention;
            Ok(())
        },
        ..named("retention", "retention", "retention_policies", Shape::Object)
    },
    Typed {
        read: |p| {
            let json = |d: DelayedDelivery| json!({ "active": d.active, "tickTime": d.tick_ms, "maxDeliveryDelayInMillis": d.max_delay_ms });
            p.delayed_delivery.map_or(Value::Null, json)
        },
        write: |p, value| {
            p.delayed_delivery = object(value, |field| {
                let number = |name: &str| field(name).and_then(|value| whole(&value)).unwrap_or(0);
                Some(DelayedDelivery {
                    active: field("active").map_or(Some(false), |on| truth(&on))?,
                    tick_ms: number("tickTime"),
                    max_delay_ms: number("maxDeliveryDelayInMillis"),
                })
            })
            .ok_or(Bad::Shape("{\"active\": .., \"tickTime\": ..}"))?;
            Ok(())
        },
        ..named("delayedDelivery", "delayedDelivery", "delayed_delivery_policies", Shape::Object)
    },
    Typed {
        read: |p| {
            let json = |creation: AutoTopicCreation| match (creation.allowed, creation.partitions) {
                (true, Some(count)) => json!({
                    "allowAutoTopicCreation": true,
                    "topicType": "partitioned",
                    "defaultNumPartitions": count,
                }),
                (true, None) => json!({ "allowAutoTopicCreation": true, "topicType": "non-partitioned" }),
                // What else was said, whatever it was.
                (false, _) => reading::kept(p, NOT_CREATED, json!({ "allowAutoTopicCreation": false })),
            };
            p.auto_topic_creation.map_or(Value::Null, json)
        },
        write: |p, value| {
            let wanted = object(value, |field| {
                let given = |name: &str| field(name).filter(|value| !value.is_null());
                let kind = given("topicType").map(|kind| kind.as_str().map(str::to_owned));
                let count = given("defaultNumPartitions").map(|count| whole(&count));
                let kind = match kind {
                    Some(kind) => Some(kind?),
                    None => None,
                };
                let count = match count {
                    Some(count) => Some(count?),
                    None => None,
                };
                let allowed = given("allowAutoTopicCreation").map_or(Some(false), |on| truth(&on))?;
                Some((allowed, kind, count))
            })
            .ok_or(Bad::Shape("{\"allowAutoTopicCreation\": .., \"topicType\": ..}"))?;
            let said = wanted.as_ref().filter(|(allowed, ..)| !allowed).map(|(_, kind, count)| {
                let all = [
                    ("allowAutoTopicCreation", Some(json!(false))),
                    ("topicType", kind.clone().map(Value::from)),
                    ("defaultNumPartitions", count.map(Value::from)),
                ];
                Value::Object(
                    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
                )
            });
            p.auto_topic_creation = wanted.map(auto_topic_creation).transpose()?;
            match said {
                Some(said) => drop(p.kept.insert(NOT_CREATED.to_owned(), said.to_string())),
                None => drop(p.kept.remove(NOT_CREATED)),
            }
            Ok(())
        },
        ..named("autoTopicCreation", "", "autoTopicCreationOverride", Shape::Object)
    },
    Typed {
        read: |p| quotas(p),
        write: |p, value| {
            let read = |field: &dyn Fn(&str) -> Option<Value>| {
                let policy = match field("policy")?.as_str()? {
                    "producer_request_hold" => QuotaPolicy::ProducerRequestHold,
                    "producer_exception" => QuotaPolicy::ProducerException,
                    "consumer_backlog_eviction" => QuotaPolicy::ConsumerBacklogEviction,
                    _ => return None,
                };
                let number = |name: &str| field(name).and_then(|value| whole(&value));
                let by_age = field("backlogQuotaType").is_some_and(|kind| kind == "message_age");
                Some((
                    BacklogQuota {
                        // `limit` is the older name.
                        bytes: number("limitSize").or_else(|| number("limit")).unwrap_or(0),
                        seconds: number("limitTime").unwrap_or(0),
                        policy,
                    },
                    by_age,
                ))
            };
            let quota = object(value, read)
                .ok_or(Bad::Shape("{\"limitSize\": .., \"limitTime\": .., \"policy\": ..}"))?;
            match quota {
                Some((quota, true)) => p.backlog_age_quota = Some(quota),
                Some((quota, false)) => p.backlog_quota = Some(quota),
                None => (p.backlog_quota, p.backlog_age_quota) = (None, None),
            }
            Ok(())
        },
        unset: "{}",
        removable: false,
        ..named("backlogQuotaMap", "backlogQuotaMap", "backlog_quota_map", Shape::Object)
    },
    Typed {
        read: |p| {
            json!(p.schema_strategy.filter(|s| *s != SchemaStrategy::Undefined).map(SchemaStrategy::name))
        },
        // What is none is as if none were said, as the real broker has it.
        write: |p, value| {
            p.schema_strategy = value.as_str().and_then(SchemaStrategy::parse);
            if value.is_null() || value.is_string() {
                Ok(())
            } else {
                Err(Bad::Shape("the name of a strategy"))
            }
        },
        method: "PUT",
        removable: false,
        unset: "\"UNDEFINED\"",
        ..named(
            "schemaCompatibilityStrategy",
            "schemaCompatibilityStrategy",
            "schema_compatibility_strategy",
            Shape::Text,
        )
    },
    Typed {
        read: |p| json!(p.allow_auto_update_schema),
        write: |p, value| boolean(value, &mut p.allow_auto_update_schema),
        removable: false,
        unset: "true",
        ..named("isAllowAutoUpdateSchema", "", "is_allow_auto_update_schema", Shape::Boolean)
    },
    Typed {
        read: |p| json!(p.schema_validation_enforced),
        write: |p, value| boolean(value, &mut p.schema_validation_enforced),
        removable: false,
        unset: "false",
        ..named(
            "schemaValidationEnforced",
            "schemaValidationEnforced",
            "schema_validation_enforced",
            Shape::Boolean,
        )
    },
];

/// What was said of topics that do not come into being by themselves.
const NOT_CREATED: &str = "autoTopicCreation";

/// What is not allowed need not be right.
fn auto_topic_creation(
    (allowed, kind, count): (bool, Option<String>, Option<i64>),
) -> std::result::Result<AutoTopicCreation, Bad> {
    let bad = |detail: &str| {
        Bad::Value(format!("Invalid configuration for autoTopicCreationOverride. the detail is {detail}"))
    };
    let partitioned = kind.as_deref() == Some("partitioned");
    if allowed {
        match (kind.as_deref(), count) {
            (Some("partitioned"), None) => {
                return Err(bad("[defaultNumPartitions] cannot be null when the type is partitioned."));
            }
            (Some("partitioned"), Some(..=0)) => {
                return Err(bad("[defaultNumPartitions] cannot be less than 1 for partition type."));
            }
            (Some("non-partitioned"), Some(_)) => {
                return Err(bad(
                    "[defaultNumPartitions] is not allowed to be set when the type is non-partition.",
                ));
            }
            (Some("partitioned" | "non-partitioned"), _) => {}
            (other, _) => return Err(bad(&format!("Unknown topic type [{}]", other.unwrap_or("null")))),
        }
    }
    let partitions = count.filter(|_| partitioned).and_then(|count| u32::try_from(count).ok());
    Ok(AutoTopicCreation { allowed, partitions })
}

fn quotas(p: &Policies) -> Value {
    let mut map = Map::new();
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
    if map.is_empty() { Value::Null } else { Value::Object(map) }
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

fn boolean(value: &Value, to: &mut Option<bool>) -> Written {
    *to = match value {
        Value::Null => None,
        value => Some(truth(value).ok_or(Bad::Shape("true or false"))?),
    };
    Ok(())
}

fn number(value: &Value, to: &mut Option<u64>) -> Written {
    limit(value, to, "Invalid value: it must be 0 or more")
}

/// The same, with what is said of one below 0.
fn limit(value: &Value, to: &mut Option<u64>, negative: &'static str) -> Written {
    *to = match value {
        Value::Null => None,
        value => {
            let number = whole(value).ok_or(Bad::Shape("a number"))?;
            Some(u64::try_from(number).map_err(|_| Bad::Value(negative.to_owned()))?)
        }
    };
    Ok(())
}
