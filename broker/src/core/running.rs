//! Settings of the broker that are changed while it runs, and what they do.
//!
//! ```text
//!   set_dynamic --> dynamic (what was said) --> Limits (what holds) --> rules of topics
//! ```
//! What cannot be read leaves what holds as it is; what is taken back holds as it did when the broker was made.

use std::collections::BTreeMap;

use pulsewire_proto::wire::{Command, CommandLookupTopicResponse, CommandPartitionedTopicMetadataResponse};
use pulsewire_proto::wire::{LookupResult, PartitionedMetadataResult, ServerError};

use super::Broker;
use super::error::Refusal;
use super::ids::ConnId;

/// Bounds of the whole broker, which admin calls change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Whether topics come into being when a client first uses them; `None` is as the broker was made.
    pub auto_create_topics: Option<bool>,
    /// Whether those have partitions, and how many; `None` is as the broker was made.
    pub partitioned: Option<bool>,
    /// See `partitioned`.
    pub default_partitions: Option<u32>,
    /// Whether subscriptions come into being when a client first uses them.
    pub auto_create_subscriptions: bool,
    /// Types of subscriptions, by their names; none of them allows all.
    pub subscription_types: Vec<String>,
    /// Partitions that a topic may have; 0 is no bound, as with those that follow.
    pub max_partitions: u32,
    /// Topics that a namespace may have.
    pub max_topics_per_namespace: u64,
    /// Tenants.
    pub max_tenants: u64,
    /// Namespaces that a tenant may have.
    pub max_namespaces_per_tenant: u64,
    /// Whether lookups are answered.
    pub lookups: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            auto_create_topics: None,
            partitioned: None,
            default_partitions: None,
            auto_create_subscriptions: true,
            subscription_types: Vec::new(),
            max_partitions: 0,
            max_topics_per_namespace: 0,
            max_tenants: 0,
            max_namespaces_per_tenant: 0,
            lookups: true,
        }
    }
}

impl Limits {
    /// Takes up one setting; false when its value cannot be read. `None` takes it back.
    fn set(&mut self, name: &str, value: Option<&str>) -> bool {
        fn number<T: std::str::FromStr + Default>(to: &mut T, value: Option<&str>) -> Option<()> {
            *to = value.map_or(Some(T::default()), |value| value.trim().parse().ok())?;
            Some(())
        }
        // As Java reads a truth: all else is none.
        let truth = |value: &str| value.eq_ignore_ascii_case("true");
        let mut read = || -> Option<()> {
            match name {
                "allowAutoTopicCreation" => self.auto_create_topics = value.map(truth),
                "allowAutoTopicCreationType" => {
                    self.partitioned = match value {
                        None => None,
                        Some("partitioned") => Some(true),
                        Some("non-partitioned") => Some(false),
                        Some(_) => return None,
                    }
                }
                "defaultNumPartitions" => {
                    self.default_partitions = match value {
                        None => None,
                        Some(value) => Some(value.trim().parse().ok()?),
                    }
                }
                "allowAutoSubscriptionCreation" => self.auto_create_subscriptions = value.is_none_or(truth),
                "subscriptionTypesEnabled" => {
                    let names = value.unwrap_or_default().split(',').map(str::trim);
                    self.subscription_types =
                        names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
                }
                "maxNumPartitionsPerPartitionedTopic" => number(&mut self.max_partitions, value)?,
                "maxTopicsPerNamespace" => number(&mut self.max_topics_per_namespace, value)?,
                "maxTenants" => number(&mut self.max_tenants, value)?,
                "maxNamespacesPerTenant" => number(&mut self.max_namespaces_per_tenant, value)?,
                "maxConcurrentLookupRequest" => {
                    self.lookups = match value {
                        None => true,
                        Some(value) => value.trim().parse::<i32>().ok()? > 0,
                    }
                }
                _ => {}
            }
            Some(())
        };
        read().is_some()
    }
}

impl Broker {
    /// Settings of the broker that were changed while it runs.
    #[must_use]
    pub fn dynamic_settings(&self) -> &BTreeMap<String, String> {
        &self.dynamic
    }

    /// The same, without values that could not be read: those before them hold.
    #[must_use]
    pub fn running_settings(&self) -> &BTreeMap<String, String> {
        &self.running
    }

    /// Changes one of them; `None` takes it back. It is kept until the broker ends.
    pub fn set_dynamic(&mut self, name: &str, value: Option<String>) {
        let read = self.config.limits.set(name, value.as_deref());
        match value {
            Some(value) => {
                if read {
                    self.running.insert(name.to_owned(), value.clone());
                }
                self.dynamic.insert(name.to_owned(), value);
            }
            None => {
                self.running.remove(name);
                self.dynamic.remove(name);
            }
        }
        for key in self.topics.keys_where(|_| true) {
            self.topics.apply_policies(key, &self.config);
        }
    }

    /// Answers what asks for topics where that is not allowed; true when it did.
    pub(super) fn refuses_lookups(&mut self, id: ConnId, command: &Command) -> bool {
        if self.config.limits.lookups {
            return false;
        }
        let (error, message) =
            (ServerError::TOO_MANY_REQUESTS, "Failed due to too many pending lookup requests");
        match command {
            Command::LookupTopic(c) => self.reply(
                id,
                CommandLookupTopicResponse {
                    request_id: c.request_id,
                    response: Some(LookupResult::FAILED),
                    error: Some(error),
                    message: Some(message.to_owned()),
                    ..CommandLookupTopicResponse::default()
                },
            ),
            Command::PartitionedTopicMetadata(c) => self.reply(
                id,
                CommandPartitionedTopicMetadataResponse {
                    request_id: c.request_id,
                    response: Some(PartitionedMetadataResult::FAILED),
                    error: Some(error),
                    message: Some(message.to_owned()),
                    ..CommandPartitionedTopicMetadataResponse::default()
                },
            ),
            Command::GetTopicsOfNamespace(c) => {
                self.refuse(id, c.request_id, Refusal::new(error, message));
            }
            Command::WatchTopicList(c) => self.refuse(id, c.request_id, Refusal::new(error, message)),
            _ => return false,
        }
        true
    }
}
