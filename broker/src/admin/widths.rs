//! How wide a number may be: what the real broker keeps in 32 bits and what in 64. A Java client could not read
//! back what is wider.

use serde_json::Value;

use super::reading::whole;
use super::route::Route;
use super::{AdminError, Form, Result, error, unreadable};

const NAMESPACE: &str = "/admin/v2/namespaces/{tenant}/{namespace}";
const TOPIC: &str = "/admin/v2/{domain}/{tenant}/{namespace}/{topic}/";

/// Bodies that are one number of 64 bits; others have 32.
const WIDE: &[&str] =
    &["compactionThreshold", "offloadThreshold", "offloadDeletionLagMs", "offloadThresholdInSeconds"];

/// Fields of 64 bits.
const WIDE_FIELDS: &[&str] = &[
    "compaction_threshold",
    "dispatchRateInBytes",
    "dispatchThrottlingRateInByte",
    "limit",
    "limitSize",
    "managedLedgerOffloadDeletionLagInMillis",
    "managedLedgerOffloadThresholdInBytes",
    "managedLedgerOffloadThresholdInSeconds",
    "maxDeliveryDelayInMillis",
    "offload_deletion_lag_ms",
    "offload_threshold",
    "offload_threshold_in_seconds",
    "publishRateInBytes",
    "publishThrottlingRateInByte",
    "retentionSizeInMB",
    "tickTime",
];

/// Fields of 32 bits.
const FIELDS: &[&str] = &[
    "bookkeeperAckQuorum",
    "bookkeeperEnsemble",
    "bookkeeperWriteQuorum",
    "deduplicationSnapshotIntervalSeconds",
    "defaultNumPartitions",
    "dispatchRateInMsgs",
    "dispatchThrottlingRateInMsg",
    "gcsManagedLedgerOffloadMaxBlockSizeInBytes",
    "gcsManagedLedgerOffloadReadBufferSizeInBytes",
    "limitTime",
    "managedLedgerOffloadMaxBlockSizeInBytes",
    "managedLedgerOffloadMaxThreads",
    "managedLedgerOffloadPrefetchRounds",
    "managedLedgerOffloadReadBufferSizeInBytes",
    "managedLedgerOffloadReadThreads",
    "maxInactiveDurationSeconds",
    "max_consumers_per_subscription",
    "max_consumers_per_topic",
    "max_producers_per_topic",
    "max_subscriptions_per_topic",
    "max_topics_per_namespace",
    "max_unacked_messages_per_consumer",
    "max_unacked_messages_per_subscription",
    "message_ttl_in_seconds",
    "numBundles",
    "publishRateInMsgs",
    "publishThrottlingRateInMsg",
    "ratePeriodInSecond",
    "retentionTimeInMinutes",
    "s3ManagedLedgerOffloadMaxBlockSizeInBytes",
    "s3ManagedLedgerOffloadReadBufferSizeInBytes",
    "subscribeThrottlingRatePerConsumer",
    "subscription_expiration_time_minutes",
];

fn fits(value: &Value, wide: bool) -> bool {
    whole(value).is_some_and(|number| wide || i32::try_from(number).is_ok())
}

/// Refuses a body that is a number too wide: where it is one in JSON, the real broker did not expect that.
pub(super) fn of_body(route: &Route, value: &Value) -> Result<()> {
    let wide = WIDE.iter().any(|name| route.path.rsplit('/').next() == Some(name));
    match value {
        Value::Number(_) if !fits(value, wide) => {
            Err(AdminError { form: Form::Page, ..error(500, format!("{value} is out of range")) })
        }
        Value::String(text) if !text.is_empty() && !fits(value, wide) => {
            Err(unreadable(format!("{value} is no number, or out of range")))
        }
        _ => Ok(()),
    }
}

/// Refuses numbers in a body that are too wide, or none.
pub(super) fn of_fields(route: &Route, value: &Value) -> Result<()> {
    let of_topic = route.path.strip_prefix(TOPIC).is_some_and(|rest| !rest.contains('/'));
    let known = of_topic || route.path.starts_with(NAMESPACE) || route.path.contains("/resourcegroups/");
    if known && !route.path.ends_with("/properties") {
        each(value)?;
    }
    // An id says where in a batch it is only where that is looked at.
    let of_id: &[&str] = match () {
        () if route.path.contains("/subscription/{subscription}") => &["partitionIndex", "batchIndex"],
        () if route.path.ends_with("/backlogSize") => &["partitionIndex"],
        () => &[],
    };
    let wide =
        |name: &&&str| value.get(**name).is_some_and(|number| !is_unset(number) && !fits(number, false));
    match of_id.iter().find(wide) {
        Some(name) => Err(unreadable(format!("{name} is no number, or out of range"))),
        None => Ok(()),
    }
}

fn is_unset(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

fn each(value: &Value) -> Result<()> {
    for (name, value) in value.as_object().into_iter().flatten() {
        let wide = WIDE_FIELDS.contains(&name.as_str());
        if is_unset(value) || name == "properties" {
            continue;
        }
        if wide || FIELDS.contains(&name.as_str()) {
            if !fits(value, wide) {
                return Err(unreadable(format!(
                    "{name} cannot be {value}: it is no number, or out of range"
                )));
            }
        } else {
            each(value)?;
        }
    }
    Ok(())
}
