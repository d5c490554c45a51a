//! What cannot be asked of a topic, whatever it holds: of one without storage, of one with partitions, of a
//! partition, of one in a namespace that is not there. In the words of the real broker.

use super::{Ask, Call, error};
use crate::core::names::TopicName;
use crate::core::{AdminError, Broker};

const BASE: &str = "/admin/v2/{domain}/{tenant}/{namespace}/{topic}/";
const ONE_BY_ONE: &str = "please try do it on specific topic partition";

/// Why a call of that route is refused.
pub(super) fn refused(path: &str, ask: &Ask<'_>, broker: &Broker) -> Option<AdminError> {
    let rest = path.strip_prefix(BASE)?;
    let name = ask.topic().ok()?;
    let method = ask.call.method.as_str();
    let (status, reason) = of_any(method, rest, &name, ask)
        .or_else(|| missing(method, rest, &name, broker))
        .or_else(|| of_partitioned(method, rest, &name, broker))
        .or_else(|| of_what_is_not_stored(rest, &name, broker))?;
    Some(error(status, reason))
}

type Reason = Option<(u16, String)>;

fn some(status: u16, reason: impl Into<String>) -> Reason {
    Some((status, reason.into()))
}

/// What is seen by the name alone.
fn of_any(method: &str, rest: &str, name: &TopicName, ask: &Ask<'_>) -> Reason {
    if rest == "subscription/{subscription}/expireMessages" && !is_of_this_partition(ask.call, name) {
        return some(
            412,
            "Invalid parameter for expire message by position, partition index of passed in message position \
             doesn't match partition index for the topic",
        );
    }
    if name.partition().is_some() {
        let whole = match rest {
            "createMissedPartitions" | "partitioned-stats" => true,
            "partitions" => method != "GET",
            _ => false,
        };
        if whole {
            return some(412, "Partitioned Topic Name should not contain '-partition-'");
        }
    }
    if name.persistent {
        return None;
    }
    match rest {
        "properties" => some(406, "Need to provide a persistent topic name"),
        "trim" => some(405, "Trim on a non-persistent topic is not allowed"),
        "truncate" => some(412, "unsupport truncate"),
        "subscription/{subscription}/replicatedSubscriptionStatus" => some(
            405,
            match method {
                "GET" => "Cannot get replicated subscriptions on non-persistent topics",
                _ => "Cannot enable/disable replicated subscriptions on non-persistent topics",
            },
        ),
        _ => None,
    }
}

/// Whether an id of a body is of this partition, or of a topic without any.
fn is_of_this_partition(call: &Call, name: &TopicName) -> bool {
    let Ok(body) = call.json() else { return true };
    let said = body.get("partitionIndex").and_then(serde_json::Value::as_i64).unwrap_or(-1);
    !body.is_object() || said == name.partition().map_or(-1, i64::from)
}

/// What is not there.
fn missing(method: &str, rest: &str, name: &TopicName, broker: &Broker) -> Reason {
    // Coordinators of transactions are asked for as if they were partitions.
    if broker.coordinators_of(&name.base()).is_some() {
        return None;
    }
    let is_there = || broker.stats(name).is_ok() || broker.partitions(name) > 0;
    let not_found = || some(404, format!("Topic {name} not found"));
    if rest == "permissions" || rest == "permissions/{role}" {
        if broker.tenant(&name.tenant).is_none() {
            return some(404, "Tenant does not exist");
        }
        return if is_there() { None } else { not_found() };
    }
    if !is_of_content(method, rest) {
        return None;
    }
    // Names of the first version may be in none.
    if name.namespace.contains('/') {
        return None;
    }
    if broker.namespace(&name.namespace_name()).is_err() {
        let by_name = matches!(rest, "lastMessageId" | "trim") || (rest == "compaction" && method == "GET");
        return if by_name { not_found() } else { some(404, "Namespace not found") };
    }
    if matches!(rest, "shadowTopics" | "replication" | "schemaValidationEnforced" | "terminate/partitions") {
        return None;
    }
    let of_partitioned = name.partition().is_some() && broker.partitions(&name.base()) > 0;
    if of_partitioned && method == "PUT" && rest == "subscription/{subscription}" {
        let beyond = name.partition().is_some_and(|index| index >= broker.partitions(&name.base()));
        return if beyond { some(412, "Topic does not exist and cannot be auto-created") } else { None };
    }
    if name.partition().is_some() && !of_partitioned && rest != "partitions" && !is_there() {
        return some(404, format!("Partitioned Topic not found: {name} has zero partitions"));
    }
    if of_partitioned && rest == "partitions" {
        return if is_there() { None } else { not_found() };
    }
    if of_partitioned && name.persistent && !is_there() {
        return some(404, "Topic partitions were not yet created");
    }
    None
}

/// Whether a route is about what a topic holds, and not about its settings.
fn is_of_content(method: &str, rest: &str) -> bool {
    match rest {
        "partitions" => method == "GET",
        "backlogSize"
        | "internalStats"
        | "partitioned-internalStats"
        | "stats"
        | "partitioned-stats"
        | "subscriptions"
        | "examinemessage"
        | "terminate"
        | "terminate/partitions"
        | "truncate"
        | "unload"
        | "createMissedPartitions"
        | "lastMessageId"
        | "compaction"
        | "trim" => true,
        // These settings ask for the topic as if it were for what it holds.
        "shadowTopics" | "replication" | "schemaValidationEnforced" => true,
        _ => ["messageid/", "ledger/", "subscription/", "all_subscription/"]
            .into_iter()
            .any(|prefix| rest.starts_with(prefix)),
    }
}

fn of_partitioned(method: &str, rest: &str, name: &TopicName, broker: &Broker) -> Reason {
    if broker.partitions(name) == 0 {
        return None;
    }
    match rest {
        "backlogSize" => some(405, "calculate backlog size is not allowed for partitioned-topic"),
        "messageid/{timestamp}" => some(
            405,
            format!("Get message ID by timestamp on a partitioned topic is not allowed, {ONE_BY_ONE}"),
        ),
        "ledger/{ledger}/entry/{entry}" => some(405, "GetMessageById is not allowed on partitioned-topic"),
        "subscription/{subscription}/analyzeBacklog" => {
            some(405, format!("Analyze backlog on a partitioned topic is not allowed, {ONE_BY_ONE}"))
        }
        "examinemessage" => some(
            405,
            "Examine messages on a partitioned topic is not allowed, please try examine message on specific topic \
             partition",
        ),
        "subscription/{subscription}/expireMessages" => {
            some(405, "Expire message at position is not supported for partitioned-topic")
        }
        "subscription/{subscription}/position/{position}" => {
            some(405, "Peek messages on a partitioned topic is not allowed")
        }
        "lastMessageId" if !name.persistent => some(404, format!("Topic {name} not found")),
        "compaction" if method == "GET" => some(404, format!("Topic {name} not found")),
        _ => None,
    }
}

fn of_what_is_not_stored(rest: &str, name: &TopicName, broker: &Broker) -> Reason {
    let is_there = || broker.stats(name).is_ok() || broker.partitions(name) > 0;
    if name.persistent {
        return None;
    }
    match rest {
        "lastMessageId" | "compaction" if !is_there() => some(404, format!("Topic {name} not found")),
        _ if !is_there() => None,
        "messageid/{timestamp}" => {
            some(405, "Get message ID by timestamp on a non-persistent topic is not allowed")
        }
        "examinemessage" => some(405, "Examine messages on a non-persistent topic is not allowed"),
        "subscription/{subscription}/expireMessages/{seconds}" => {
            some(405, "Expire messages on a non-persistent topic is not allowed")
        }
        "all_subscription/expireMessages/{seconds}" => {
            some(405, "Expire messages for all subscriptions on a non-persistent topic is not allowed")
        }
        "subscription/{subscription}/position/{position}" => {
            some(405, "Peek messages on a non-persistent topic is not allowed")
        }
        _ => None,
    }
}
