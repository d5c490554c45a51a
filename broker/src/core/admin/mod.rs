//! What whoever runs the broker may ask and order: the admin API without HTTP.

mod properties;
mod publishing;
mod subscriptions;
mod topics;

use pulsewire_proto::wire::MessageIdData;

use super::Broker;
use super::error::Refusal;
use super::ids::TopicKey;
use super::keeping::kind;
use super::names::{TopicName, parse_namespace};
use super::time::Now;

/// Why an order is not carried out: an HTTP status and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminError {
    /// The status that Apache Pulsar's admin API answers with.
    pub status: u16,
    /// What a person is told.
    pub reason: String,
    /// How that is told.
    pub form: Form,
}

/// In which form somebody who is refused is told why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// By Pulsar: as JSON with the reason.
    #[default]
    Reason,
    /// By what reads bodies for it: as text.
    Text,
    /// By what reads numbers for it: as text that is called JSON.
    Bare,
    /// By what reads requests for it: as a page that names the status.
    Page,
    /// By the same: as a page with the reason.
    PageWithReason,
}

impl AdminError {
    pub(super) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), form: Form::Reason }
    }

    pub(super) fn no_topic(name: &TopicName) -> Self {
        Self::new(404, format!("Topic {name} not found"))
    }
}

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> Self {
        Self::new(409, refusal.message)
    }
}

/// Where a new subscription begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// At what comes next.
    End,
    /// At this message or, when it is not stored, at the next one.
    At(MessageIdData),
}

/// Orders and questions of whoever runs the broker. After an order, poll as after a fact.
impl Broker {
    /// Names of all tenants.
    #[must_use]
    pub fn tenants(&self) -> Vec<String> {
        self.topics.tenants.iter().cloned().collect()
    }

    /// Makes a tenant; false when it is there already.
    pub fn create_tenant(&mut self, name: &str) -> bool {
        self.topics.touch_name(kind::TENANT, name);
        self.topics.tenants.insert(name.to_owned())
    }

    /// Namespaces of a tenant, as `tenant/namespace`.
    #[must_use]
    pub fn namespaces(&self, tenant: &str) -> Vec<String> {
        let of = |name: &&String| parse_namespace(name).is_some_and(|(t, _)| t == tenant);
        self.topics.namespaces.keys().filter(of).cloned().collect()
    }

    /// Makes a namespace (`tenant/namespace`); false when it is there already.
    pub fn create_namespace(&mut self, name: &str) -> bool {
        let new = !self.topics.namespaces.contains_key(name);
        self.topics.ensure_namespace(name);
        new
    }

    /// Deletes a namespace without topics.
    ///
    /// # Errors
    /// It is not there, or not empty.
    pub fn delete_namespace(&mut self, name: &str, now: Now) -> Result<(), AdminError> {
        let stored = self.topics.of_namespace(name, true).next().is_some();
        let parts = self.topics.partitioned_of(name, false).next().is_some();
        let passing: Vec<String> = self.topics.of_namespace(name, false).cloned().collect();
        if stored || parts || passing.iter().any(|topic| self.topics.is_open(topic)) {
            return Err(AdminError::new(409, "Cannot delete non empty namespace"));
        }
        // What stores nothing and is not open goes with its namespace.
        for topic in passing.iter().filter_map(|name| TopicName::parse(name).ok()) {
            self.delete_topic(&topic, true, now)?;
        }
        self.topics.touch_name(kind::NAMESPACE, name);
        self.forget_grants(name);
        self.bundles.forget(name);
        let gone = self.topics.namespaces.remove(name);
        gone.map(drop).ok_or_else(|| AdminError::new(404, "Namespace does not exist"))
    }

    /// Topics of a namespace, partitions one by one.
    #[must_use]
    pub fn topics(&self, namespace: &str, persistent: bool) -> Vec<String> {
        self.topics.listed_of(namespace, persistent).cloned().collect()
    }

    /// Topics of all namespaces, partitions one by one.
    #[must_use]
    pub fn every_topic(&self) -> Vec<TopicName> {
        let mut all: Vec<TopicName> = self.topics.listed().cloned().collect();
        all.sort_unstable();
        all
    }

    /// Partitioned topics of a namespace.
    #[must_use]
    pub fn partitioned_topics(&self, namespace: &str, persistent: bool) -> Vec<String> {
        self.topics.partitioned_of(namespace, persistent).cloned().collect()
    }

    /// How many partitions a topic has; 0 when it has none.
    #[must_use]
    pub fn partitions(&self, name: &TopicName) -> u32 {
        self.topics.partitions(name).unwrap_or(0)
    }

    /// How many topics and connections there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.topics.len(), self.conns.len())
    }

    /// The topic's own key, or those of its partitions.
    pub(super) fn parts(&self, name: &TopicName) -> Result<Vec<TopicKey>, AdminError> {
        if let Some(count) = self.topics.partitions(name) {
            let part = |index| self.topics.key(&name.with_partition(index).to_string());
            return Ok((0..count).filter_map(part).collect());
        }
        let key = self.topics.key(&name.to_string()).ok_or_else(|| AdminError::no_topic(name))?;
        Ok(vec![key])
    }
}
