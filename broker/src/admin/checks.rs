//! What the values of settings must be beyond their shape, in the words of the real broker.

use serde_json::{Value, json};

use super::reading::{kept, whole};
use super::{Ask, Result, error, unexpected};
use crate::core::names::TopicName;
use crate::core::{AdminError, Broker};

/// What is said of a number below 0.
fn negative(name: &str, of_topic: bool) -> Option<&'static str> {
    Some(match (name, of_topic) {
        ("compactionThreshold", false) => "compactionThreshold must be 0 or more",
        ("compactionThreshold", true) => "Invalid value for compactionThreshold",
        ("deduplicationSnapshotInterval", false) => "interval must be greater than or equal to 0",
        ("deduplicationSnapshotInterval", true) => "interval must be 0 or more",
        ("maxConsumersPerSubscription", true) => "Invalid value for maxConsumersPerSubscription",
        ("maxConsumersPerTopic", _) => "maxConsumersPerTopic must be 0 or more",
        ("maxProducersPerTopic", _) => "maxProducersPerTopic must be 0 or more",
        ("maxSubscriptionsPerTopic", _) => "maxSubscriptionsPerTopic must be 0 or more",
        ("maxUnackedMessagesPerConsumer", _) => "maxUnackedMessagesPerConsumer must be 0 or more",
        ("maxUnackedMessagesPerSubscription", _) => "maxUnackedMessagesPerSubscription must be 0 or more",
        ("messageTTL", false) => "Invalid value for message TTL, message TTL must >= 0",
        ("maxMessageSize", true) => MESSAGE_SIZE,
        _ => return None,
    })
}

const MESSAGE_SIZE: &str = "topic-level maxMessageSize must be greater than or equal to 0 and must be smaller \
     than that in the broker-level";

/// What is said of a namespace that is not there when one of its settings is changed.
pub(super) fn no_namespace(name: &str) -> AdminError {
    error(
        404,
        match name {
            "deduplicationSnapshotInterval"
            | "delayedDelivery"
            | "inactiveTopicPolicies"
            | "maxSubscriptionsPerTopic"
            | "maxTopicsPerNamespace"
            | "resourcegroup"
            | "retention" => "Namespace policies does not exist",
            "persistence/bookieAffinity" => "Namespace not found",
            "replicatorDispatchRate" => "",
            _ => "Namespace does not exist",
        },
    )
}

/// What is said of a topic that is not there when it is about its settings.
pub(super) fn no_topic(ask: &Ask<'_>, broker: &Broker, missing: AdminError) -> AdminError {
    let namespace = ask.namespace().unwrap_or_default();
    // Names of the first version may be in none.
    let second = !ask.part("namespace").contains('/');
    match second && broker.namespace(&namespace).is_err() {
        true => error(404, "Namespace not found"),
        false => missing,
    }
}

const NOT_REPLICATED: &str = "Please do not use the global topic level policy when namespace-level replication is not \
     enabled, because the global level policy relies on namespace-level replication";

/// The same when one is read.
pub(super) fn no_namespace_to_read(name: &str) -> AdminError {
    error(
        404,
        match name {
            "dispatcherPauseOnAckStatePersistent" | "replicatorDispatchRate" => {
                "Namespace policies does not exist"
            }
            "persistence/bookieAffinity" => "Namespace not found",
            _ => "Namespace does not exist",
        },
    )
}

/// Refuses what cannot be a setting's value.
pub(super) fn check(name: &str, of_topic: bool, value: &Value, ask: &Ask<'_>, broker: &Broker) -> Result<()> {
    if let (Some(reason), Some(..0)) = (negative(name, of_topic), whole(value)) {
        return Err(error(412, reason));
    }
    match name {
        "replication" if of_topic && ask.call.flag("isGlobal") => {
            let clusters =
                broker.namespace(&ask.namespace()?).map(|policies| kept(&policies, name, json!([])));
            match clusters.is_ok_and(|clusters| clusters.as_array().is_some_and(|all| all.len() > 1)) {
                true => Ok(()),
                false => Err(error(412, NOT_REPLICATED)),
            }
        }
        "maxMessageSize" => {
            let most = i64::try_from(broker.config().max_message_size).unwrap_or(i64::MAX);
            match whole(value) {
                Some(size) if size > most => Err(error(412, MESSAGE_SIZE)),
                _ => Ok(()),
            }
        }
        "persistence" => persistence(value),
        "offloadPolicies" => offload(value),
        "entryFilters" => filters(value),
        "antiAffinity" if value.as_str().is_none_or(str::is_empty) => {
            Err(error(412, "antiAffinityGroup can't be empty"))
        }
        "backlogQuotaMap" if !of_topic && value.is_null() => {
            let what = "org.apache.pulsar.common.policies.data.BacklogQuota.validate()";
            Err(unexpected(&format!("Cannot invoke \"{what}\" because \"quota\" is null")))
        }
        // A policy that there is not is none.
        "backlogQuotaMap" if value.is_object() && !has_policy(value) => {
            let namespace = ask.namespace()?;
            Err(error(
                400,
                format!(
                    "Set namespace[{namespace}] backlog quota failed because the data validation failed. the \
                     attribute policy cannot be null"
                ),
            ))
        }
        "shadowTopics" => shadows(value, broker),
        "replication" => replication(of_topic, value, ask, broker),
        "allowedClusters" => allowed(value, ask, broker),
        _ => Ok(()),
    }
}

fn has_policy(quota: &Value) -> bool {
    const KNOWN: [&str; 3] = ["producer_request_hold", "producer_exception", "consumer_backlog_eviction"];
    quota.get("policy").and_then(Value::as_str).is_some_and(|policy| KNOWN.contains(&policy))
}

fn persistence(value: &Value) -> Result<()> {
    const MOST: i64 = 5;
    let Some(fields) = value.as_object() else {
        return Err(error(400, "persistence policies should not be null"));
    };
    let number = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Some(2),
        Some(value) => whole(value),
    };
    let (Some(ensemble), Some(write), Some(ack)) =
        (number("bookkeeperEnsemble"), number("bookkeeperWriteQuorum"), number("bookkeeperAckQuorum"))
    else {
        return Ok(());
    };
    for (name, count) in [("Ensemble", ensemble), ("WriteQuorum", write), ("AckQuorum", ack)] {
        if !(1..=MOST).contains(&count) {
            return Err(error(400, format!("Bookkeeper-{name} must be <= {MOST} and > 0.")));
        }
    }
    if ensemble < write || write < ack {
        let reason =
            format!("Bookkeeper Ensemble ({ensemble}) >= WriteQuorum ({write}) >= AckQuorum ({ack})");
        return Err(error(400, reason));
    }
    Ok(())
}

const DRIVERS: [&str; 6] = ["S3", "aws-s3", "google-cloud-storage", "filesystem", "azureblob", "aliyun-oss"];

fn offload(value: &Value) -> Result<()> {
    let Some(fields) = value.as_object() else {
        return Err(error(412, "The offloadPolicies must be specified for namespace offload."));
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let driver = text("managedLedgerOffloadDriver");
    let Some(driver) = DRIVERS.into_iter().find(|known| known.eq_ignore_ascii_case(driver)) else {
        let known = DRIVERS.join(",");
        return Err(error(412, format!("The driver is not supported, support value: {known}")));
    };
    let own = match driver {
        "filesystem" => return Ok(()),
        "S3" | "aws-s3" => text("s3ManagedLedgerOffloadBucket"),
        "google-cloud-storage" => text("gcsManagedLedgerOffloadBucket"),
        _ => "",
    };
    if own.is_empty() && text("managedLedgerOffloadBucket").is_empty() {
        return Err(error(412, "The bucket must be specified for namespace offload."));
    }
    Ok(())
}

fn filters(value: &Value) -> Result<()> {
    let Some(fields) = value.as_object() else { return Ok(()) };
    let names = fields.get("entryFilterNames").and_then(Value::as_str).unwrap_or_default();
    match names.split(',').find(|name| !name.trim().is_empty()) {
        Some(name) => Err(error(400, format!("Entry filter '{name}' not found"))),
        None => {
            Err(error(400, "entryFilterNames can't be empty. To remove entry filters use the remove method."))
        }
    }
}

fn shadows(value: &Value, broker: &Broker) -> Result<()> {
    let names = names(value);
    if names.is_empty() {
        return Err(error(412, "Cannot specify empty shadow topics, please use remove command instead."));
    }
    for name in names {
        match TopicName::parse(name) {
            Ok(topic) if !topic.persistent => {
                return Err(error(412, "Only persistent topic can be set as shadow topic"));
            }
            Ok(topic) if broker.stats(&topic).is_ok() || broker.partitions(&topic) > 0 => {}
            _ => return Err(error(412, format!("Shadow topic [{name}] not exists."))),
        }
    }
    Ok(())
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A tenant's namespaces and topics are in clusters that it may use.
fn of_tenant(names: &[&str], ask: &Ask<'_>, broker: &Broker) -> Result<()> {
    let (tenant, own) = (ask.part("tenant"), broker.config().cluster.as_str());
    let clusters = broker.tenant(tenant).and_then(|tenant| tenant.allowed_clusters);
    let may = |name: &str| clusters.as_ref().map_or(name == own, |clusters| clusters.contains(name));
    match names.iter().find(|name| !may(name)) {
        Some(name) => Err(error(
            403,
            format!("Cluster [{name}] is not in the list of allowed clusters list for tenant [{tenant}]"),
        )),
        None => Ok(()),
    }
}

fn replication(of_topic: bool, value: &Value, ask: &Ask<'_>, broker: &Broker) -> Result<()> {
    let (names, own) = (names(value), broker.config().cluster.as_str());
    if names.is_empty() {
        return Err(error(412, "ClusterIds should not be null or empty"));
    }
    if of_topic && !names.contains(&own) {
        let reason = "Can not remove local cluster from the local topic-level replication clusters policy";
        return Err(error(412, reason));
    }
    if names.contains(&"global") {
        return Err(error(412, "Cannot specify global in the list of replication clusters"));
    }
    let unknown = |name: &&&str| **name != own && !broker.clusters().contains_key(**name);
    match names.iter().find(unknown) {
        Some(name) => Err(error(403, format!("Invalid cluster id: {name}"))),
        None if broker.namespace(&ask.namespace()?).is_ok() => {
            of_tenant(&names, ask, broker)?;
            if of_topic { Ok(()) } else { of_namespace(&names, &ask.namespace()?, broker) }
        }
        None => Ok(()),
    }
}

/// A namespace goes nowhere else than it is allowed to, if it says where that is.
fn of_namespace(wanted: &[&str], namespace: &str, broker: &Broker) -> Result<()> {
    let allowed = kept(&broker.namespace(namespace)?, "allowedClusters", Value::Null);
    let allowed = names(&allowed);
    match wanted.iter().find(|name| !allowed.is_empty() && !allowed.contains(name)) {
        Some(name) => Err(error(
            400,
            format!(
                "Cluster [{name}] is not in the list of allowed clusters list for namespace [{namespace}]"
            ),
        )),
        None => Ok(()),
    }
}

fn allowed(value: &Value, ask: &Ask<'_>, broker: &Broker) -> Result<()> {
    let allowed = names(value);
    of_tenant(&allowed, ask, broker)?;
    let Ok(policies) = broker.namespace(&ask.namespace()?) else { return Ok(()) };
    let used = kept(&policies, "replication", json!([broker.config().cluster]));
    if let Some(used) = names(&used).into_iter().find(|used| !allowed.contains(used)) {
        return Err(error(
            400,
            format!(
                "Allowed clusters do not contain the replication cluster [{used}]. Please remove the replication \
                 cluster if the cluster is not allowed for this namespace"
            ),
        ));
    }
    Ok(())
}
