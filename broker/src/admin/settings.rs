//! Settings of namespaces and topics: their names, what they may be, and what is said when they are not set.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::auto_update;
use super::reading::{kept, texts, truth, whole};
use super::route::Shape;
use super::typed::{self, Typed};
use super::{Result, error, unreadable};
use crate::core::{Broker, Now, Policies, Scope};

/// What is answered of a setting that is not set.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unset {
    /// 200 and nothing.
    Empty,
    /// 204.
    Nothing,
    Value(Value),
}

/// What a setting may be.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// One with an effect here.
    Typed(&'static Typed),
    Number(i64),
    Boolean,
    /// A text, which is not looked at: as it is in the body.
    Text,
    OneOf(&'static [&'static str]),
    Texts(&'static [&'static str]),
    /// An object of texts.
    Properties,
    /// Any object.
    Object,
    /// Its fields, and what they are when they are not said. Null is not.
    Fields(Value),
}

/// Settings without a field of their own in [`Policies`] that the core reads all the same.
const EFFECTIVE: &[&str] = &[
    "autoSubscriptionCreation",
    "dispatchRate",
    "encryptionRequired",
    "inactiveTopicPolicies",
    "maxConsumersPerSubscription",
    "maxTopicsPerNamespace",
    "publishRate",
    "shadowTopics",
    "subscribeRate",
    "subscriptionAuthMode",
    "subscriptionDispatchRate",
    "subscriptionExpirationTime",
    "subscriptionTypesEnabled",
];

/// Where a setting is found.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: &'static str,
    /// How it is set, and whether it can be unset.
    pub(super) method: &'static str,
    pub(super) removable: bool,
    pub(super) unset: Unset,
}

/// A setting.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) kind: Kind,
    pub(super) of_namespaces: Option<Place>,
    pub(super) of_topics: Option<Place>,
    /// Its field in all that is said of a namespace.
    pub(super) field: &'static str,
}

impl Setting {
    fn new(kind: Kind, namespace: &'static str, topic: &'static str, field: &'static str) -> Self {
        let place = |name: &'static str| {
            (!name.is_empty()).then_some(Place { name, method: "POST", removable: true, unset: Unset::Empty })
        };
        Self { kind, of_namespaces: place(namespace), of_topics: place(topic), field }
    }

    fn namespaces(mut self, change: impl Fn(&mut Place)) -> Self {
        self.of_namespaces.iter_mut().for_each(change);
        self
    }

    fn topics(mut self, change: impl Fn(&mut Place)) -> Self {
        self.of_topics.iter_mut().for_each(change);
        self
    }

    /// By which name it is kept.
    fn key(&self) -> &'static str {
        self.of_namespaces.as_ref().or(self.of_topics.as_ref()).map_or("", |place| place.name)
    }

    pub(super) fn place(&self, of_topic: bool) -> Option<&Place> {
        if of_topic { self.of_topics.as_ref() } else { self.of_namespaces.as_ref() }
    }

    /// Whether anything follows from it here.
    pub(super) fn has_effect(&self) -> bool {
        matches!(self.kind, Kind::Typed(_)) || EFFECTIVE.contains(&self.key())
    }

    pub(super) fn shape(&self) -> Shape {
        match &self.kind {
            Kind::Typed(typed) => typed.shape,
            Kind::Number(_) => Shape::Number,
            Kind::Boolean => Shape::Boolean,
            Kind::Text | Kind::OneOf(_) => Shape::Text,
            Kind::Texts(_) => Shape::Texts,
            Kind::Properties | Kind::Object | Kind::Fields(_) => Shape::Object,
        }
    }

    /// What it is; null when it is not set.
    pub(super) fn read(&self, policies: &Policies) -> Value {
        match &self.kind {
            Kind::Typed(typed) => (typed.read)(policies),
            _ => kept(policies, self.key(), Value::Null),
        }
    }

    /// Sets it; null unsets it.
    pub(super) fn write(&self, policies: &mut Policies, value: &Value) -> Result<()> {
        let wrong = |wanted: &str| unreadable(format!("The body must be {wanted}"));
        if let Kind::Typed(typed) = &self.kind {
            return (typed.write)(policies, value).map_err(|bad| match bad {
                typed::Bad::Shape(wanted) => wrong(wanted),
                typed::Bad::Value(reason) => error(412, reason),
                typed::Bad::Refused(reason) => error(400, reason),
            });
        }
        if value.is_null() {
            policies.kept.remove(self.key());
            return Ok(());
        }
        if let Kind::Number(least) = self.kind
            && whole(value).is_some_and(|number| number < least)
        {
            return Err(error(412, self.too_small(least)));
        }
        policies.kept.insert(self.key().to_owned(), Self::of_kind(self.kind.clone(), value)?.to_string());
        Ok(())
    }

    /// A value as it is kept.
    pub(super) fn of_kind(kind: Kind, value: &Value) -> Result<Value> {
        let wrong = |wanted: &str| unreadable(format!("The body must be {wanted}"));
        Ok(match &kind {
            Kind::Number(_) => json!(whole(value).ok_or_else(|| wrong("a number"))?),
            Kind::Boolean => json!(truth(value).ok_or_else(|| wrong("true or false"))?),
            Kind::Text => json!(value.as_str().ok_or_else(|| wrong("a text"))?),
            Kind::OneOf(names) => {
                let name = value.as_str().filter(|name| names.contains(name));
                json!(name.ok_or_else(|| wrong(&format!("one of {names:?}")))?)
            }
            Kind::Texts(names) => {
                let one = |text: &Value| {
                    text.as_str().is_some_and(|text| names.is_empty() || names.contains(&text))
                };
                let list = value.as_array().filter(|list| list.iter().all(one));
                json!(list.ok_or_else(|| wrong("a list of texts"))?)
            }
            Kind::Object => Value::Object(value.as_object().ok_or_else(|| wrong("an object"))?.clone()),
            Kind::Properties => Value::Object(texts(value).ok_or_else(|| wrong("an object of texts"))?),
            Kind::Fields(known) => fields(known, value).map_err(|what| wrong(&what))?,
            Kind::Typed(_) => value.clone(),
        })
    }
}

impl Setting {
    fn too_small(&self, least: i64) -> String {
        match self.key() {
            "subscriptionExpirationTime" => "Invalid value for subscription expiration time".to_owned(),
            key => format!("{key} must be {least} or more"),
        }
    }
}

/// An object with the fields that it has when nothing is said of them.
fn fields(known: &Value, given: &Value) -> std::result::Result<Value, String> {
    let wanted = || format!("an object like {known}");
    let (Some(known), Some(given)) = (known.as_object(), given.as_object()) else { return Err(wanted()) };
    let mut out = Map::new();
    for (name, default) in known {
        let value = match (default, given.get(name)) {
            (default, None | Some(Value::Null)) => default.clone(),
            (Value::Number(number), Some(value)) if number.is_f64() => {
                let text = || value.as_str()?.trim().parse().ok().filter(|number: &f64| number.is_finite());
                json!(value.as_f64().or_else(text).ok_or_else(wanted)?)
            }
            (Value::Number(_), Some(value)) => json!(whole(value).ok_or_else(wanted)?),
            (Value::Bool(_), Some(value)) => json!(truth(value).ok_or_else(wanted)?),
            (_, Some(Value::String(text))) => json!(text),
            _ => return Err(wanted()),
        };
        out.insert(name.clone(), value);
    }
    Ok(Value::Object(out))
}

/// How fast is delivered, where nothing is said of it.
pub(super) fn dispatch_rate() -> Value {
    json!({
        "dispatchThrottlingRateInMsg": 0,
        "dispatchThrottlingRateInByte": 0,
        "relativeToPublishRate": false,
        "ratePeriodInSecond": 0,
    })
}

/// Every setting.
pub(super) fn all() -> &'static [Setting] {
    static ALL: OnceLock<Vec<Setting>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<Setting> = typed::TYPED
            .iter()
            .map(|typed| Setting::new(Kind::Typed(typed), typed.namespace, typed.topic, typed.field))
            .collect();
        for setting in &mut all {
            let Kind::Typed(typed) = setting.kind else { continue };
            for place in setting.of_namespaces.iter_mut() {
                (place.method, place.removable) = (typed.method, typed.removable);
                if !typed.unset.is_empty() {
                    place.unset = Unset::Value(serde_json::from_str(typed.unset).unwrap_or_default());
                }
            }
            for place in setting.of_topics.iter_mut() {
                if typed.unset_is_204 {
                    place.unset = Unset::Nothing;
                }
                if typed.topic == "schemaCompatibilityStrategy" {
                    place.method = "PUT";
                }
                if typed.topic == "schemaValidationEnforced" {
                    (place.removable, place.unset) = (false, Unset::Value(json!(false)));
                }
                if typed.topic == "backlogQuotaMap" {
                    place.unset = Unset::Value(json!({}));
                }
            }
        }
        let rate = || Kind::Fields(dispatch_rate());
        let value = |value: Value| move |place: &mut Place| place.unset = Unset::Value(value.clone());
        let lasting = |value: Value| {
            move |place: &mut Place| (place.unset, place.removable) = (Unset::Value(value.clone()), false)
        };
        const TYPES: &[&str] = &["Exclusive", "Shared", "Failover", "Key_Shared"];
        all.extend([
            Setting::new(
                Kind::Fields(json!({
                    "bookkeeperEnsemble": 2,
                    "bookkeeperWriteQuorum": 2,
                    "bookkeeperAckQuorum": 2,
                    "managedLedgerMaxMarkDeleteRate": 0.0,
                })),
                "persistence",
                "persistence",
                "persistence",
            ),
            Setting::new(
                Kind::Fields(json!({ "allowAutoSubscriptionCreation": false })),
                "autoSubscriptionCreation",
                "autoSubscriptionCreation",
                "autoSubscriptionCreationOverride",
            ),
            Setting::new(
                Kind::Fields(json!({
                    "inactiveTopicDeleteMode": "delete_when_no_subscriptions",
                    "maxInactiveDurationSeconds": 0,
                    "deleteWhileInactive": false,
                })),
                "inactiveTopicPolicies",
                "inactiveTopicPolicies",
                "inactive_topic_policies",
            ),
            Setting::new(
                Kind::Number(0),
                "maxConsumersPerSubscription",
                "maxConsumersPerSubscription",
                "max_consumers_per_subscription",
            )
            .topics(|place| place.unset = Unset::Nothing),
            Setting::new(Kind::Number(0), "maxTopicsPerNamespace", "", "").namespaces(value(json!(0))),
            Setting::new(
                Kind::Number(0),
                "subscriptionExpirationTime",
                "",
                "subscription_expiration_time_minutes",
            ),
            Setting::new(rate(), "dispatchRate", "dispatchRate", ""),
            Setting::new(rate(), "subscriptionDispatchRate", "subscriptionDispatchRate", ""),
            Setting::new(rate(), "replicatorDispatchRate", "replicatorDispatchRate", ""),
            Setting::new(
                Kind::Fields(json!({ "subscribeThrottlingRatePerConsumer": -1, "ratePeriodInSecond": 30 })),
                "subscribeRate",
                "subscribeRate",
                "",
            ),
            Setting::new(
                Kind::Fields(json!({ "publishThrottlingRateInMsg": -1, "publishThrottlingRateInByte": -1 })),
                "publishRate",
                "publishRate",
                "",
            )
            .topics(|place| place.unset = Unset::Nothing),
            Setting::new(Kind::Boolean, "encryptionRequired", "", "encryption_required")
                .namespaces(lasting(json!(false))),
            Setting::new(
                Kind::OneOf(&["None", "Prefix"]),
                "subscriptionAuthMode",
                "",
                "subscription_auth_mode",
            )
            .namespaces(lasting(json!("None"))),
            Setting::new(
                Kind::Texts(TYPES),
                "subscriptionTypesEnabled",
                "subscriptionTypesEnabled",
                "subscription_types_enabled",
            )
            .namespaces(value(json!([])))
            .topics(value(json!([]))),
            Setting::new(
                Kind::Number(0),
                "deduplicationSnapshotInterval",
                "deduplicationSnapshotInterval",
                "deduplicationSnapshotIntervalSeconds",
            )
            .namespaces(|place| place.removable = false),
            Setting::new(Kind::Number(i64::MIN), "offloadThreshold", "", "offload_threshold").namespaces(
                |place| {
                    (place.method, place.removable, place.unset) = ("PUT", false, Unset::Value(json!(-1)));
                },
            ),
            Setting::new(Kind::Number(i64::MIN), "offloadDeletionLagMs", "", "")
                .namespaces(|place| place.method = "PUT"),
            Setting::new(
                Kind::Number(i64::MIN),
                "offloadThresholdInSeconds",
                "",
                "offload_threshold_in_seconds",
            )
            .namespaces(|place| {
                (place.method, place.removable, place.unset) = ("PUT", false, Unset::Value(json!(-1)));
            }),
            Setting::new(Kind::Object, "offloadPolicies", "offloadPolicies", "offload_policies")
                .namespaces(|place| place.removable = false),
            Setting::new(Kind::Object, "persistence/bookieAffinity", "", ""),
            Setting::new(Kind::Texts(&[]), "replication", "replication", "replication_clusters")
                .namespaces(|place| place.removable = false),
            Setting::new(Kind::Texts(&[]), "allowedClusters", "", "").namespaces(|place| {
                (place.removable, place.unset) = (false, Unset::Value(json!([])));
            }),
            Setting::new(Kind::Properties, "properties", "", "properties").namespaces(|place| {
                (place.method, place.unset) = ("PUT", Unset::Value(json!({})));
            }),
            Setting::new(Kind::Text, "antiAffinity", "", "").namespaces(|place| place.unset = Unset::Nothing),
            Setting::new(Kind::Fields(json!({ "entryFilterNames": "" })), "entryFilters", "entryFilters", ""),
            Setting::new(
                Kind::Boolean,
                "dispatcherPauseOnAckStatePersistent",
                "dispatcherPauseOnAckStatePersistent",
                "",
            )
            .namespaces(value(json!(false)))
            .topics(value(json!(false))),
            Setting::new(Kind::Texts(&[]), "", "shadowTopics", "").topics(|place| {
                (place.method, place.unset) = ("PUT", Unset::Nothing);
            }),
        ]);
        all
    })
}

/// Writes all settings that are set, and what the others are then, into all that is said of a namespace.
pub(super) fn describe(policies: &Policies, broker: &Broker, out: &mut Map<String, Value>) {
    let cluster = &broker.config().cluster;
    for setting in all().iter().filter(|setting| !setting.field.is_empty()) {
        let unset = match setting.of_namespaces.as_ref().map(|place| &place.unset) {
            Some(Unset::Value(value)) => value.clone(),
            _ if setting.field == "replication_clusters" => json!([cluster]),
            _ => Value::Null,
        };
        let value = match setting.read(policies) {
            Value::Null => unset,
            value => value,
        };
        if !value.is_null() {
            out.insert(setting.field.to_owned(), value);
        }
    }
    for (name, field) in [
        ("resourcegroup", "resource_group_name"),
        ("dispatcherPauseOnAckStatePersistent", "dispatcherPauseOnAckStatePersistentEnabled"),
    ] {
        if policies.kept.contains_key(name) {
            out.insert(field.to_owned(), kept(policies, name, Value::Null));
        }
    }
    auto_update::describe(policies, out);
    if policies.kept.contains_key("maxTopicsPerNamespace") {
        out.insert(
            "max_topics_per_namespace".to_owned(),
            kept(policies, "maxTopicsPerNamespace", Value::Null),
        );
    }
    for (name, field) in [
        ("dispatchRate", "topicDispatchRate"),
        ("dispatchRate", "clusterDispatchRate"),
        ("subscriptionDispatchRate", "subscriptionDispatchRate"),
        ("replicatorDispatchRate", "replicatorDispatchRate"),
        ("subscribeRate", "clusterSubscribeRate"),
        ("publishRate", "publishMaxMessageRate"),
    ] {
        if policies.kept.contains_key(name) {
            out.insert(field.to_owned(), json!({ cluster: kept(policies, name, Value::Null) }));
        }
    }
}

/// Takes over what is said of a namespace when it is made.
pub(super) fn take_over(body: &Value, scope: &Scope, broker: &mut Broker, now: Now) -> Result<()> {
    broker.set_policies(scope, |policies| auto_update::take_over(body, policies), now)?;
    for setting in all().iter().filter(|setting| !setting.field.is_empty()) {
        let Some(value) = body.get(setting.field).filter(|value| !value.is_null()) else { continue };
        // Below 0 these are not set, as in namespaces of old.
        let unset = setting.field.starts_with("max_") && whole(value).is_some_and(|number| number < 0);
        if matches!(setting.field, "backlog_quota_map" | "replication_clusters") || unset {
            continue;
        }
        let mut policies = broker.policies(scope)?;
        setting.write(&mut policies, value)?;
        broker.set_policies(scope, |old| *old = policies, now)?;
    }
    Ok(())
}
