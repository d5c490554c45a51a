//! What namespaces and topics are told to do otherwise than the broker.

use std::collections::BTreeMap;

use super::Broker;
use super::admin::AdminError;
use super::config::BrokerConfig;
use super::keeping::kind;
use super::names::{TopicName, parse_namespace};
use super::schemas::SchemaStrategy;
use super::time::Now;
use super::topic::TopicKey;

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
    /// Only kept: compaction is done on request.
    pub compaction_threshold: Option<u64>,
    /// Whether and how topics come into being when they are first used.
    pub auto_topic_creation: Option<AutoTopicCreation>,
    /// What a new schema must be able to do.
    pub schema_strategy: Option<SchemaStrategy>,
    /// Whether producers without a schema are refused where there is one.
    pub schema_validation_enforced: Option<bool>,
    /// Whether clients bring new schemas by using them; of namespaces.
    pub allow_auto_update_schema: Option<bool>,
    /// Settings that are only kept: their names, and what they are in JSON.
    pub kept: BTreeMap<String, String>,
    /// How much may be unacknowledged, in bytes.
    pub backlog_quota: Option<BacklogQuota>,
    /// How old the oldest unacknowledged message may be.
    pub backlog_age_quota: Option<BacklogQuota>,
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
    pub tick_ms: u64,
    pub max_delay_ms: u64,
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
                .map_or(Some(TICK_MS), |delayed| delayed.active.then_some(delayed.tick_ms)),
            max_producers: limit(|p| p.max_producers, 0),
            max_consumers: limit(|p| p.max_consumers, 0),
            max_subscriptions: limit(|p| p.max_subscriptions, 0),
            max_message_size: first(own, shared, |p| p.max_message_size).filter(|size| *size > 0),
            quota: first(own, shared, |p| p.backlog_quota),
            age_quota: first(own, shared, |p| p.backlog_age_quota),
        }
    }

    /// Whether somebody has to look after the topic from time to time.
    pub(super) fn need_upkeep(&self) -> bool {
        self.message_ttl > 0 || self.quota.is_some() || self.age_quota.is_some() || self.retention.is_some()
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
            Scope::Topic(name) => {
                if self.topics.key(&name.to_string()).is_none() && self.topics.partitions(name).is_none() {
                    return Err(AdminError::new(404, format!("Topic {name} not found")));
                }
                Ok(self.topics.policies.get(&name.base().to_string()).cloned().unwrap_or_default())
            }
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
            Scope::Topic(name) => {
                let name = name.base().to_string();
                self.topics.touch_name(kind::SETTINGS, &name);
                self.topics.policies.insert(name, policies);
            }
        }
        let touched: Vec<TopicKey> = self.topics.keys_where(|topic| match scope {
            Scope::Namespace(name) => topic.namespace_name() == *name,
            Scope::Topic(name) => topic.base() == name.base(),
        });
        for key in touched {
            self.topics.apply_policies(key, &self.config);
            if self.topics.get(key).is_some_and(|topic| topic.rules.need_upkeep()) {
                self.schedule_upkeep(now);
            }
            let subs: Vec<_> = self.topics.get(key).iter().flat_map(|t| t.subs.keys().copied()).collect();
            for sub in subs {
                self.wake(key, sub);
            }
        }
        self.settle(now);
        Ok(())
    }
}
