//! What namespaces and topics are told to do otherwise than the broker.

use super::Broker;
use super::admin::AdminError;
use super::config::BrokerConfig;
use super::names::{TopicName, parse_namespace};
use super::time::Now;
use super::topic::TopicKey;

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
}

impl Rules {
    /// Of the topic's own settings the one that is said, else its namespace's, else the broker's.
    pub(super) fn set(&mut self, own: Option<&Policies>, shared: Option<&Policies>, config: &BrokerConfig) {
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
        self.deduplication = first(own, shared, |p| p.deduplication).unwrap_or(config.deduplication);
        let limit = first(own, shared, |p| p.max_unacked_per_consumer);
        self.max_unacked_per_consumer = bound(limit, config.max_unacked_per_consumer);
        let limit = first(own, shared, |p| p.max_unacked_per_subscription);
        self.max_unacked_per_subscription = bound(limit, config.max_unacked_per_subscription);
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
                self.topics.namespaces.insert(name.clone(), policies);
                let (tenant, _) = parse_namespace(name).unwrap_or_default();
                self.topics.tenants.insert(tenant.to_owned());
            }
            Scope::Topic(name) => {
                self.topics.policies.insert(name.base().to_string(), policies);
            }
        }
        let touched: Vec<TopicKey> = self.topics.keys_where(|topic| match scope {
            Scope::Namespace(name) => topic.namespace_name() == *name,
            Scope::Topic(name) => topic.base() == name.base(),
        });
        for key in touched {
            self.topics.apply_policies(key, &self.config);
            let subs: Vec<_> = self.topics.get(key).iter().flat_map(|t| t.subs.keys().copied()).collect();
            for sub in subs {
                self.wake(key, sub);
            }
        }
        self.settle(now);
        Ok(())
    }
}
