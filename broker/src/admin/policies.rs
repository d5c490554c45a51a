//! The routes of all settings: reading, writing and taking away.

use serde_json::{Value, json};

use super::checks;
use super::route::{Parameter, Route, Shape, route};
use super::settings::{self, Kind, Setting, Unset};
use super::{Answer, Ask, Result, bodies, error};
use crate::core::{BacklogQuota, Broker, Now, Policies, Retention, Scope};

const GROUP_OF_NAMESPACES: &str = "settings of namespaces";
const GROUP_OF_TOPICS: &str = "settings of topics";
const EVERYWHERE: Parameter =
    ("isGlobal", Shape::Boolean, "The one for all clusters, which holds where the topic's own says nothing.");
const QUOTA_TYPE: Parameter =
    ("backlogQuotaType", Shape::Text, "destination_storage (the default) or message_age.");
const APPLIED: &[Parameter] =
    &[("applied", Shape::Boolean, "What holds: of the namespace when the topic has none."), EVERYWHERE];
const OF_TOPIC: &[Parameter] = &[EVERYWHERE];
const QUOTA: &[Parameter] = &[QUOTA_TYPE];
const QUOTA_OF_TOPIC: &[Parameter] = &[QUOTA_TYPE, EVERYWHERE];
const TTL: &[Parameter] = &[("messageTTL", Shape::Number, "Seconds."), EVERYWHERE];

/// Reading, writing and taking away of every setting.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for of_topic in [false, true] {
        let (base, group) = match of_topic {
            true => ("{domain}/{tenant}/{namespace}/{topic}", GROUP_OF_TOPICS),
            false => ("namespaces/{tenant}/{namespace}", GROUP_OF_NAMESPACES),
        };
        for setting in settings::all() {
            let Some(place) = setting.place(of_topic) else { continue };
            let name = place.name;
            let get = route("GET", &format!("{base}/{name}"), group, format!("What {name} is."), read);
            routes.push(get.gives(setting.shape()).asks(if of_topic { APPLIED } else { &[] }));
            // A map of quotas is changed one by one.
            let to = if name == "backlogQuotaMap" { "backlogQuota" } else { name };
            let query = match name {
                "backlogQuotaMap" if of_topic => QUOTA_OF_TOPIC,
                "backlogQuotaMap" => QUOTA,
                "messageTTL" if of_topic => TTL,
                _ if of_topic => OF_TOPIC,
                _ => &[],
            };
            let only = if setting.has_effect() { "" } else { " It is only kept." };
            let set = route(place.method, &format!("{base}/{to}"), group, format!("Sets {to}.{only}"), write);
            routes.push(set.takes(setting.shape()).asks(query));
            if place.removable || to == "backlogQuota" {
                let unset = route("DELETE", &format!("{base}/{to}"), group, format!("Unsets {to}."), remove);
                routes.push(unset.asks(if name == "messageTTL" && of_topic { OF_TOPIC } else { query }));
            }
        }
    }
    let topic = "{domain}/{tenant}/{namespace}/{topic}/schemaCompatibilityStrategy";
    routes.push(route("DELETE", topic, GROUP_OF_TOPICS, "Unsets schemaCompatibilityStrategy.", remove));
    let offload = "namespaces/{tenant}/{namespace}/removeOffloadPolicies";
    routes.push(route("DELETE", offload, GROUP_OF_NAMESPACES, "Unsets offloadPolicies.", remove));
    routes
}

fn scope(ask: &Ask<'_>) -> Result<Scope> {
    Ok(if ask.part("topic").is_empty() {
        Scope::Namespace(ask.namespace()?)
    } else {
        let topic = ask.topic()?;
        if topic.partition().is_some() {
            return Err(error(412, "Not allowed to set/get topic policy for a partition"));
        }
        // These are a topic's own, whatever is said.
        let own = ["schemaCompatibilityStrategy", "schemaValidationEnforced", "shadowTopics"];
        let own = ask.call.path.last().is_some_and(|name| own.contains(&name.as_str()));
        if ask.call.flag("isGlobal") && !own { Scope::Everywhere(topic) } else { Scope::Topic(topic) }
    })
}

/// The setting that a path ends with.
fn setting(ask: &Ask<'_>) -> Result<(&'static Setting, bool)> {
    let of_topic = !ask.part("topic").is_empty();
    let name = ask.call.path.last().map_or("", String::as_str);
    let name = match name {
        "backlogQuota" => "backlogQuotaMap",
        "removeOffloadPolicies" => "offloadPolicies",
        name => name,
    };
    let named = |place: &settings::Place| place.name.rsplit('/').next() == Some(name);
    let found = settings::all().iter().find(|s| s.place(of_topic).is_some_and(named));
    Ok((found.ok_or_else(|| error(404, format!("There is no setting {name}")))?, of_topic))
}

fn read(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let (setting, of_topic) = setting(ask)?;
    let scope = scope(ask)?;
    let name = setting.place(of_topic).map_or("", |place| place.name);
    let policies = match broker.policies(&scope) {
        Err(_) if name == "antiAffinity" => Policies::default(),
        found => found.map_err(|missing| match of_topic {
            true => checks::no_topic(ask, broker, missing),
            false => checks::no_namespace_to_read(name),
        })?,
    };
    let mut value = setting.read(&policies);
    if value.is_null() && of_topic && ask.call.flag("applied") {
        value = setting.read(&broker.namespace(&ask.namespace()?)?);
        if value.is_null() {
            value = of_brokers(setting, broker);
        }
    }
    if value.is_null() && !of_topic && setting.field == "replication_clusters" {
        value = json!([broker.config().cluster]);
    }
    if name == BOOKIES && value.is_null() {
        return no_bookies(&ask.namespace()?, &policies, broker);
    }
    let unset = setting.place(of_topic).map_or(&Unset::Empty, |place| &place.unset);
    Ok(match (value, unset) {
        (Value::Null, Unset::Empty) => Answer::Empty,
        (Value::Null, Unset::Nothing) => Answer::Nothing,
        (Value::Null, Unset::Value(value)) => Answer::Json(value.clone()),
        (Value::String(text), _) if matches!(setting.kind, Kind::Text) => Answer::Raw(text),
        (value, _) => Answer::Json(value),
    })
}

const BOOKIES: &str = "persistence/bookieAffinity";

/// The real broker keeps them beside the bundles, once a namespace is used or something of that kind was set.
fn no_bookies(namespace: &str, policies: &Policies, broker: &Broker) -> Result<Answer> {
    let set = [BOOKIES, "antiAffinity"].iter().any(|name| policies.kept.contains_key(*name));
    match set || broker.has_topics(namespace) {
        true => Ok(Answer::Nothing),
        false => Err(error(404, "Namespace local-policies does not exist")),
    }
}

/// What holds where nobody says how fast.
pub(super) fn no_dispatch_rate() -> Value {
    json!({
        "dispatchThrottlingRateInMsg": 0,
        "dispatchThrottlingRateInByte": 0,
        "relativeToPublishRate": false,
        "ratePeriodInSecond": 1,
    })
}

/// What holds where neither a topic nor its namespace says it; null where nothing is told.
fn of_brokers(setting: &Setting, broker: &Broker) -> Value {
    let config = broker.config();
    let quota = || json!({ "limit": 10i64 << 30, "limitSize": 10i64 << 30, "limitTime": -1, "policy": "producer_request_hold" });
    match setting.of_topics.as_ref().map_or("", |place| place.name) {
        "retention" => json!({ "retentionTimeInMinutes": 0, "retentionSizeInMB": 0 }),
        "backlogQuotaMap" => json!({ "destination_storage": quota(), "message_age": quota() }),
        "deduplicationEnabled" => json!(config.deduplication),
        "messageTTL" | "maxConsumers" | "maxProducers" | "compactionThreshold" => json!(0),
        "delayedDelivery" => json!({ "tickTime": 1000, "active": true, "maxDeliveryDelayInMillis": 0 }),
        "inactiveTopicPolicies" => json!({
            "inactiveTopicDeleteMode": "delete_when_no_subscriptions",
            "maxInactiveDurationSeconds": 60,
            "deleteWhileInactive": false,
        }),
        "persistence" => json!({
            "bookkeeperEnsemble": 1,
            "bookkeeperWriteQuorum": 1,
            "bookkeeperAckQuorum": 1,
            "managedLedgerMaxMarkDeleteRate": 0.1,
        }),
        "dispatchRate" | "subscriptionDispatchRate" | "replicatorDispatchRate" => no_dispatch_rate(),
        "subscribeRate" => json!({ "subscribeThrottlingRatePerConsumer": 0, "ratePeriodInSecond": 30 }),
        "maxUnackedMessagesOnConsumer" => json!(config.max_unacked_per_consumer),
        "maxUnackedMessagesOnSubscription" => json!(config.max_unacked_per_subscription),
        "replication" => json!([config.cluster]),
        "schemaCompatibilityStrategy" => json!("FULL"),
        "autoSubscriptionCreation" => json!({ "allowAutoSubscriptionCreation": true }),
        "entryFilters" => json!({ "entryFilterNames": "" }),
        _ => Value::Null,
    }
}

const QUOTA_TYPES: &[&str] = &["destination_storage", "message_age"];

fn write(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let (setting, of_topic) = setting(ask)?;
    let kind = ask.call.one_of("backlogQuotaType", QUOTA_TYPES)?;
    let value = match setting.kind {
        // It is not JSON at the real broker.
        Kind::Text => Value::from(String::from_utf8_lossy(&ask.call.body).into_owned()),
        // A bare call switches it on.
        _ if bodies::is_bare(ask.call) => json!(true),
        _ => {
            let mut value = ask.call.json()?;
            if let Some(seconds) = ask.call.number::<i32>("messageTTL")? {
                value = json!(seconds);
            }
            if let (Value::Object(fields), Some(kind)) = (&mut value, ask.call.query("backlogQuotaType")) {
                fields.insert("backlogQuotaType".to_owned(), Value::from(kind));
            }
            value
        }
    };
    let (scope, name) = (scope(ask)?, setting.place(of_topic).map_or("", |place| place.name));
    let value = bodies::unless_primitive(value, name, of_topic, setting.shape());
    // Of a topic it is asked first whether it is there, of a namespace what it is to have.
    let known = broker.policies(&scope);
    if of_topic && let Err(missing) = known {
        return Err(checks::no_topic(ask, broker, missing));
    }
    checks::check(name, of_topic, &value, ask, broker)?;
    let mut tried = Policies::default();
    setting.write(&mut tried, &value)?;
    let most = broker.config().limits.max_partitions;
    if most > 0
        && tried.auto_topic_creation.and_then(|made| made.partitions).is_some_and(|count| count > most)
    {
        return Err(error(406, format!("Number of partitions should be less than or equal to {most}")));
    }
    let mut policies = known.map_err(|_| checks::no_namespace(name))?;
    let value = match (setting.read(&policies), value) {
        // Those that are there stay.
        (Value::Object(mut all), Value::Object(more)) if name == "properties" => {
            all.extend(more);
            Value::Object(all)
        }
        (_, value) => value,
    };
    setting.write(&mut policies, &value)?;
    match &scope {
        Scope::Namespace(_) => fits(name, &policies, kind, None)?,
        Scope::Topic(topic) | Scope::Everywhere(topic) => {
            let shared = broker.policies(&Scope::Namespace(topic.namespace_name())).unwrap_or_default();
            fits(name, &shared, kind, Some(&policies))?;
        }
    }
    broker.set_policies(&scope, |old| *old = policies, now)?;
    let empty = !of_topic && matches!(name, "replication" | "allowedClusters" | "offloadThresholdInSeconds");
    Ok(if empty { Answer::Empty } else { Answer::Nothing })
}

/// Whether as much as is retained, or more, may wait: such a quota and such a retention refuse each other.
fn exceeds(quota: Option<BacklogQuota>, retention: Retention) -> bool {
    const DEFAULT: (i64, i64) = (10 << 30, -1);
    let (bytes, seconds) = quota.map_or(DEFAULT, |quota| (quota.bytes, quota.seconds));
    let reaches = |quota: i64, kept: i64, unit: i64| kept > 0 && quota >= kept.saturating_mul(unit);
    reaches(bytes, retention.megabytes, 1 << 20) || reaches(seconds, retention.minutes, 60)
}

/// What is retained must be more than what may wait. A namespace with any quota is looked at by that of sizes, a
/// topic by that of its kind, and what has no quota by the broker's.
fn fits(name: &str, policies: &Policies, kind: Option<&str>, topic: Option<&Policies>) -> Result<()> {
    let what = if topic.is_some() { "topic" } else { "namespace" };
    let refused = |reason: String| Err(error(412, reason));
    let more = ". Please increase retention quota and retry";
    let (of_sizes, of_ages) = (policies.backlog_quota, policies.backlog_age_quota);
    match (name, topic) {
        ("retention", None) => {
            let quotas = of_sizes.is_some() || of_ages.is_some();
            if quotas && policies.retention.is_some_and(|retention| exceeds(of_sizes, retention)) {
                return refused(
                    "Retention Quota must exceed configured backlog quota for namespace.".to_owned(),
                );
            }
        }
        ("retention", Some(own)) => {
            let quotas = [own.backlog_quota.or(of_sizes), own.backlog_age_quota.or(of_ages)];
            if own.retention.is_some_and(|retention| quotas.iter().any(|quota| exceeds(*quota, retention))) {
                return refused(format!(
                    "Retention Quota must exceed configured backlog quota for {what}{more}"
                ));
            }
        }
        ("backlogQuotaMap", topic) => {
            let retention = topic.and_then(|own| own.retention).or(policies.retention);
            let (quota, any) = match (topic, kind) {
                (None, _) => (of_sizes, of_sizes.is_some() || of_ages.is_some()),
                (Some(own), Some("message_age")) => (own.backlog_age_quota, true),
                (Some(own), _) => (own.backlog_quota, true),
            };
            if any && retention.is_some_and(|retention| exceeds(quota, retention)) {
                return refused(format!("Backlog Quota exceeds configured retention quota for {what}{more}"));
            }
        }
        _ => {}
    }
    Ok(())
}

fn remove(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let (setting, of_topic) = setting(ask)?;
    let scope = scope(ask)?;
    let name = setting.place(of_topic).map_or("", |place| place.name);
    let mut policies = broker.policies(&scope).map_err(|missing| match of_topic {
        true => checks::no_topic(ask, broker, missing),
        false => checks::no_namespace(name),
    })?;
    match ask.call.one_of("backlogQuotaType", QUOTA_TYPES)? {
        Some("message_age") => policies.backlog_age_quota = None,
        Some("destination_storage") => policies.backlog_quota = None,
        // Of a namespace it is off then, not unsaid.
        _ if name == "dispatcherPauseOnAckStatePersistent" && !of_topic => {
            setting.write(&mut policies, &json!(false))?;
        }
        _ => setting.write(&mut policies, &Value::Null)?,
    }
    if name == BOOKIES {
        policies.kept.insert(name.to_owned(), Value::Null.to_string());
    }
    broker.set_policies(&scope, |old| *old = policies, now)?;
    Ok(Answer::Nothing)
}
