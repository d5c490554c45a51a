//! What namespaces and topics are told to do otherwise than the broker.

use std::collections::BTreeMap;
use std::time::Duration;

use pulsewire_proto::wire::SubType;
use serde_json::Value;

use super::Broker;
use super::admin::AdminError;
use super::config::BrokerConfig;
use super::ids::TopicKey;
use super::keeping::kind;
use super::names::{TopicName, parse_namespace};
use super::rates::Rate;
use super::schemas::SchemaStrategy;
use super::subscription::type_name;
use super::time::Now;

/// Pulsar's `delayedDeliveryTickTimeMillis`.
const TICK_MS: u64 = 1000;

/// Settings of a namespace or of a topic; what is not said is as the next larger one has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policies {
    /// Whether messages that were stored before are dropped.
    pub deduplication: Option<bool>,
    /// Messages that a consumer may hold unacknowledged; 0 is no bound.
    pub max_unacked_per_consumer: Option<u64>,
    /// Messages that all consumers of a subscription may hold unacknowledged; 0 is no bound.
    pub max_unacked_per_subscription: Option<u64>,
    /// How much is kept that all subscriptions have acknowledged.
    pub retention: Option<Retention>,
    /// Seconds after which a subscription passes over a message; 0 is never.
    pub message_ttl: Option<u64>,
    /// Whether messages can be delayed, and what clients are told of it.
    pub delayed_delivery: Option<DelayedDelivery>,
    /// Producers that a topic may have; 0 is no bound.
    pub max_producers: Option<u64>,
    /// Consumers that a topic may have; 0 is no bound.
    pub max_consumers: Option<u64>,
    /// Subscriptions that a topic may have; 0 is no bound.
    pub max_subscriptions: Option<u64>,
    /// The largest message of a topic in bytes; 0 is as the broker is set.
    pub max_message_size: Option<u64>,
    /// From how many bytes on that were not compacted yet a topic is compacted by itself; 0 is never.
    pub compaction_threshold: Option<u64>,
    /// Whether and how topics come into being when they are first used.
    pub auto_topic_creation: Option<AutoTopicCreation>,
    /// What a new schema must be able to do.
    pub schema_strategy: Option<SchemaStrategy>,
    /// Whether producers without a schema are refused where there is one.
    pub schema_validation_enforced: Option<bool>,
    /// Whether clients bring new schemas by using them; of namespaces.
    pub allow_auto_update_schema: Option<bool>,
    /// More settings, most of them only kept: their names, and what they are in JSON.
    pub kept: BTreeMap<String, String>,
    /// How much may be unacknowledged, in bytes.
    pub backlog_quota: Option<BacklogQuota>,
    /// How old the oldest unacknowledged message may be.
    pub backlog_age_quota: Option<BacklogQuota>,
}

impl Policies {
    /// A setting that has no field of its own here.
    pub(super) fn setting(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.kept.get(name)?).ok()
    }

    /// A setting that is a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.setting(name)?.as_str().map(str::to_owned)
    }

    /// A setting that is a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.setting(name)?.as_i64()
    }

    /// These settings, and others where these say nothing.
    pub(super) fn or(&self, other: &Self) -> Self {
        let mut kept = other.kept.clone();
        kept.extend(self.kept.clone());
        Self {
            deduplication: self.deduplication.or(other.deduplication),
            max_unacked_per_consumer: self.max_unacked_per_consumer.or(other.max_unacked_per_consumer),
            max_unacked_per_subscription: self
                .max_unacked_per_subscription
                .or(other.max_unacked_per_subscription),
            retention: self.retention.or(other.retention),
            message_ttl: self.message_ttl.or(other.message_ttl),
            delayed_delivery: self.delayed_delivery.or(other.delayed_delivery),
            max_producers: self.max_producers.or(other.max_producers),
            max_consumers: self.max_consumers.or(other.max_consumers),
            max_subscriptions: self.max_subscriptions.or(other.max_subscriptions),
            max_message_size: self.max_message_size.or(other.max_message_size),
            compaction_threshold: self.compaction_threshold.or(other.compaction_threshold),
            auto_topic_creation: self.auto_topic_creation.or(other.auto_topic_creation),
            schema_strategy: self.schema_strategy.or(other.schema_strategy),
            schema_validation_enforced: self.schema_validation_enforced.or(other.schema_validation_enforced),
            allow_auto_update_schema: self.allow_auto_update_schema.or(other.allow_auto_update_schema),
            kept,
            backlog_quota: self.backlog_quota.or(other.backlog_quota),
            backlog_age_quota: self.backlog_age_quota.or(other.backlog_age_quota),
        }
    }

    /// How fast single subscriptions of a topic deliver, by their names.
    pub(super) fn dispatch_rates_of_subscriptions(&self) -> BTreeMap<String, Rate> {
        match self.setting(OF_SUBSCRIPTIONS) {
            Some(Value::Object(rates)) => {
                let rate = |(name, value)| (name, rate_of(&value, "dispatchThrottlingRate"));
                // One that is no bound leaves it to that of all.
                rates.into_iter().map(rate).filter(|(_, rate)| !rate.is_none()).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    /// Whether the names of subscriptions must begin with the role of who uses them.
    pub(super) fn subscriptions_by_prefix(&self) -> bool {
        self.setting("subscriptionAuthMode").is_some_and(|mode| mode == "Prefix")
    }
}

/// How much is kept that all subscriptions have acknowledged. -1 is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Retention {
    pub minutes: i64,
    pub megabytes: i64,
}

/// Whether messages can be delayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DelayedDelivery {
    pub active: bool,
    pub tick_ms: i64,
    pub max_delay_ms: i64,
}

/// Whether and how topics come into being when they are first used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoTopicCreation {
    /// Whether they do.
    pub allowed: bool,
    /// How many partitions they get; `None` makes them without.
    pub partitions: Option<u32>,
}

/// How much may be unacknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogQuota {
    /// Bytes; below 0 is no bound.
    pub bytes: i64,
    /// Seconds; below 0 is no bound.
    pub seconds: i64,
    /// What is done about it.
    pub policy: QuotaPolicy,
}

/// What is done when more is unacknowledged than may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaPolicy {
    /// Producers are sent away and refused; clients hold what they send.
    ProducerRequestHold,
    /// Producers are sent away and refused; clients fail what they send.
    ProducerException,
    /// Subscriptions pass over the oldest messages.
    ConsumerBacklogEviction,
}

/// Whose settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// `tenant/namespace`.
    Namespace(String),
    /// A topic, with all its partitions.
    Topic(TopicName),
    /// The same in all clusters: what holds where the topic's own settings say nothing.
    Everywhere(TopicName),
}

/// What a topic's settings for all clusters are kept under.
pub(super) fn everywhere(base: &str) -> String {
    format!("everywhere {base}")
}

/// Types of subscriptions that a topic may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SubTypes(u8);

impl Default for SubTypes {
    fn default() -> Self {
        Self(u8::MAX)
    }
}

impl SubTypes {
    fn bit(kind: SubType) -> u8 {
        u8::try_from(kind.0).ok().and_then(|number| 1u8.checked_shl(number.into())).unwrap_or(0)
    }

    /// Those of a list of names; all when there is none in it.
    fn of(names: &[String]) -> Self {
        Self::named(&names.into())
    }

    /// The same, as a setting has it.
    fn named(names: &Value) -> Self {
        let kinds = [SubType::EXCLUSIVE, SubType::SHARED, SubType::FAILOVER, SubType::KEY_SHARED];
        let names = names.as_array().map(Vec::as_slice).unwrap_or_default();
        let named = kinds.into_iter().filter(|kind| names.iter().any(|name| name == type_name(*kind)));
        match named.fold(0, |bits, kind| bits | Self::bit(kind)) {
            0 => Self::default(),
            bits => Self(bits),
        }
    }

    pub(super) fn allow(self, kind: SubType) -> bool {
        self.0 & Self::bit(kind) != 0
    }
}

/// When a topic that nobody uses is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inactive {
    /// Also one with subscriptions, once they have acknowledged all.
    pub(super) with_subscriptions: bool,
    pub(super) after: Duration,
}

impl Inactive {
    fn read(value: &Value) -> Option<Self> {
        let seconds = value["maxInactiveDurationSeconds"].as_u64()?;
        (value["deleteWhileInactive"] == true).then(|| Self {
            with_subscriptions: value["inactiveTopicDeleteMode"] == "delete_when_subscriptions_caught_up",
            after: Duration::from_secs(seconds),
        })
    }
}

/// By which name a topic's settings have the rates of single subscriptions.
pub const OF_SUBSCRIPTIONS: &str = "dispatchRatesOfSubscriptions";

/// A rate as the admin API has it.
fn rate_of(value: &Value, field: &str) -> Rate {
    let part = |part: &str| value[part].as_i64();
    let (messages, bytes) = (part(&format!("{field}InMsg")), part(&format!("{field}InByte")));
    Rate::new(messages.unwrap_or(0), bytes.unwrap_or(0), part("ratePeriodInSecond").unwrap_or(1))
}

/// What holds for a topic.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) deduplication: bool,
    pub(super) max_unacked_per_consumer: u64,
    pub(super) max_unacked_per_subscription: u64,
    pub(super) retention: Option<Retention>,
    pub(super) message_ttl: u64,
    /// How much too early a delayed message may come, in milliseconds; nothing where none is delayed.
    pub(super) delayed: Option<u64>,
    pub(super) max_producers: u64,
    pub(super) max_consumers: u64,
    pub(super) max_subscriptions: u64,
    pub(super) max_message_size: Option<u64>,
    /// The longest that a message may be delayed.
    pub(super) max_delay_ms: Option<u64>,
    pub(super) max_consumers_per_sub: u64,
    pub(super) sub_types: SubTypes,
    /// Whether subscriptions come into being when they are first used.
    pub(super) auto_subscriptions: bool,
    pub(super) encryption_required: bool,
    /// Of what producers send, of what is delivered in all, and of what each subscription delivers.
    pub(super) publish: Rate,
    pub(super) dispatch: Rate,
    pub(super) sub_dispatch: Rate,
    /// How often each consumer may come.
    pub(super) subscribe: Rate,
    pub(super) compaction_threshold: u64,
    pub(super) inactive: Option<Inactive>,
    /// How long a subscription stays that nobody uses.
    pub(super) sub_expires: Option<Duration>,
    pub(super) quota: Option<BacklogQuota>,
    pub(super) age_quota: Option<BacklogQuota>,
}

impl Rules {
    /// Of the topic's own settings the one that is said, else its namespace's, else the broker's.
    pub(super) fn new(own: Option<&Policies>, shared: Option<&Policies>, config: &BrokerConfig) -> Self {
        fn first<T: Copy>(
            own: Option<&Policies>,
            shared: Option<&Policies>,
            of: fn(&Policies) -> Option<T>,
        ) -> Option<T> {
            own.and_then(of).or_else(|| shared.and_then(of))
        }
        let bound = |limit: Option<u64>, default| match limit.unwrap_or(default) {
            0 => u64::MAX,
            limit => limit,
        };
        let limit = |of, default| bound(first(own, shared, of), default);
        let setting = |name: &str| [own, shared].into_iter().flatten().find_map(|p| p.setting(name));
        let number = |name: &str| setting(name)?.as_i64();
        let rate = |name: &str, field: &str| rate_of(&setting(name).unwrap_or_default(), field);
        Self {
            deduplication: first(own, shared, |p| p.deduplication).unwrap_or(config.deduplication),
            max_unacked_per_consumer: limit(|p| p.max_unacked_per_consumer, config.max_unacked_per_consumer),
            max_unacked_per_subscription: limit(
                |p| p.max_unacked_per_subscription,
                config.max_unacked_per_subscription,
            ),
            retention: first(own, shared, |p| p.retention),
            message_ttl: first(own, shared, |p| p.message_ttl).unwrap_or(0),
            delayed: first(own, shared, |p| p.delayed_delivery)
                .map_or(Some(TICK_MS), |delayed| delayed.active.then_some(delayed.tick_ms.max(0) as u64)),
            max_producers: limit(|p| p.max_producers, 0),
            max_consumers: limit(|p| p.max_consumers, 0),
            max_subscriptions: limit(|p| p.max_subscriptions, 0),
            max_message_size: first(own, shared, |p| p.max_message_size).filter(|size| *size > 0),
            max_delay_ms: first(own, shared, |p| p.delayed_delivery)
                .and_then(|delayed| u64::try_from(delayed.max_delay_ms).ok())
                .filter(|most| *most > 0),
            max_consumers_per_sub: bound(
                number("maxConsumersPerSubscription").and_then(|most| u64::try_from(most).ok()),
                0,
            ),
            sub_types: setting("subscriptionTypesEnabled").map_or_else(
                || SubTypes::of(&config.limits.subscription_types),
                |names| SubTypes::named(&names),
            ),
            auto_subscriptions: setting("autoSubscriptionCreation")
                .map_or(config.limits.auto_create_subscriptions, |value| {
                    value["allowAutoSubscriptionCreation"] == true
                }),
            encryption_required: setting("encryptionRequired").is_some_and(|value| value == true),
            publish: rate("publishRate", "publishThrottlingRate"),
            dispatch: rate("dispatchRate", "dispatchThrottlingRate"),
            sub_dispatch: rate("subscriptionDispatchRate", "dispatchThrottlingRate"),
            subscribe: setting("subscribeRate").map_or_else(Rate::default, |value| {
                let part = |part: &str| value[part].as_i64().unwrap_or(0);
                Rate::new(part("subscribeThrottlingRatePerConsumer"), 0, part("ratePeriodInSecond"))
            }),
            compaction_threshold: first(own, shared, |p| p.compaction_threshold).unwrap_or(0),
            inactive: setting("inactiveTopicPolicies").and_then(|value| Inactive::read(&value)),
            sub_expires: number("subscriptionExpirationTime")
                .and_then(|minutes| u64::try_from(minutes).ok())
                .filter(|minutes| *minutes > 0)
                .map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
            quota: first(own, shared, |p| p.backlog_quota),
            age_quota: first(own, shared, |p| p.backlog_age_quota),
        }
    }

    /// Whether somebody has to look after the topic from time to time.
    pub(super) fn need_upkeep(&self) -> bool {
        self.message_ttl > 0
            || self.quota.is_some()
            || self.age_quota.is_some()
            || self.retention.is_some()
            || self.inactive.is_some()
            || self.sub_expires.is_some()
            || self.compaction_threshold > 0
    }
}

impl Broker {
    /// The settings of a namespace or a topic.
    ///
    /// # Errors
    /// It is not there.
    pub fn policies(&self, scope: &Scope) -> Result<Policies, AdminError> {
        match scope {
            Scope::Namespace(name) => {
                let found = self.topics.namespaces.get(name);
                found.cloned().ok_or_else(|| AdminError::new(404, "Namespace does not exist"))
            }
            Scope::Topic(name) | Scope::Everywhere(name) => {
                if self.topics.key(&name.to_string()).is_none() && self.topics.partitions(name).is_none() {
                    return Err(AdminError::new(404, format!("Topic {name} not found")));
                }
                let mut kept = name.base().to_string();
                if matches!(scope, Scope::Everywhere(_)) {
                    kept = everywhere(&kept);
                }
                Ok(self.topics.policies.get(&kept).cloned().unwrap_or_default())
            }
        }
    }

    /// Closes producers that do not encrypt, where that is asked for.
    fn expel_plain_producers(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get(key).filter(|topic| topic.rules.encryption_required) else {
            return;
        };
        let plain = topic.producers.values().filter(|producer| !producer.encrypts);
        for (conn, id) in plain.map(|producer| (producer.conn, producer.id)).collect::<Vec<_>>() {
            self.close_producer_of(conn, id);
        }
    }

    /// Changes the settings of a namespace or a topic; they hold at once.
    ///
    /// # Errors
    /// It is not there.
    pub fn set_policies(
        &mut self,
        scope: &Scope,
        change: impl FnOnce(&mut Policies),
        now: Now,
    ) -> Result<(), AdminError> {
        let mut policies = self.policies(scope)?;
        change(&mut policies);
        match scope {
            Scope::Namespace(name) => {
                self.topics.touch_name(kind::NAMESPACE, name);
                self.topics.namespaces.insert(name.clone(), policies);
                let (tenant, _) = parse_namespace(name).unwrap_or_default();
                self.topics.tenants.insert(tenant.to_owned());
            }
            Scope::Topic(topic) | Scope::Everywhere(topic) => {
                let mut name = topic.base().to_string();
                if matches!(scope, Scope::Everywhere(_)) {
                    name = everywhere(&name);
                }
                self.topics.touch_name(kind::SETTINGS, &name);
                self.topics.policies.insert(name, policies);
            }
        }
        let touched: Vec<TopicKey> = self.topics.keys_where(|topic| match scope {
            Scope::Namespace(name) => topic.namespace_name() == *name,
            Scope::Topic(name) | Scope::Everywhere(name) => topic.base() == name.base(),
        });
        for key in touched {
            self.topics.apply_policies(key, &self.config);
            if self.topics.get(key).is_some_and(|topic| topic.shadowed) {
                self.repeat(key);
            }
            if self.topics.get(key).is_some_and(|topic| topic.rules.need_upkeep()) {
                self.schedule_upkeep(now);
            }
            self.expel_plain_producers(key);
            let subs: Vec<_> = self.topics.get(key).iter().flat_map(|t| t.subs.keys().copied()).collect();
            for sub in subs {
                self.wake(key, sub);
            }
        }
        // Subscriptions may have to be named after roles now.
        if matches!(scope, Scope::Namespace(_)) {
            self.expel_unpermitted(now);
        }
        self.settle(now);
        Ok(())
    }
}
