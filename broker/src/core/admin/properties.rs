//! Properties of topics and subscriptions.

use std::collections::BTreeMap;

use pulsewire_proto::wire::KeyValue;

use super::AdminError;
use crate::core::Broker;
use crate::core::names::TopicName;
use crate::core::subscription::Subscription;

/// Questions and orders about properties.
impl Broker {
    /// The properties of a topic without partitions, or of one partition.
    ///
    /// # Errors
    /// It is not there.
    pub fn properties(&self, name: &TopicName) -> Result<BTreeMap<String, String>, AdminError> {
        let text = name.to_string();
        if let Some(partitioned) = self.topics.partitioned(&text) {
            return Ok(partitioned.properties.clone());
        }
        let key = self.topics.key(&text).ok_or_else(|| AdminError::no_topic(name))?;
        Ok(self.topics.get(key).map(|topic| topic.properties.clone()).unwrap_or_default())
    }

    /// Sets properties of a topic, with partitions or without, or of one partition; others stay.
    ///
    /// # Errors
    /// It is not there.
    pub fn set_properties(
        &mut self,
        name: &TopicName,
        properties: BTreeMap<String, String>,
    ) -> Result<(), AdminError> {
        let all = self.topics.properties_mut(name).ok_or_else(|| AdminError::no_topic(name))?;
        all.extend(properties);
        Ok(())
    }

    /// Takes a property from such a topic.
    ///
    /// # Errors
    /// It is not there.
    pub fn remove_property(&mut self, name: &TopicName, property: &str) -> Result<(), AdminError> {
        let all = self.topics.properties_mut(name).ok_or_else(|| AdminError::no_topic(name))?;
        all.remove(property);
        Ok(())
    }

    /// Properties of a subscription.
    ///
    /// # Errors
    /// It is not there.
    pub fn subscription_properties(
        &self,
        name: &TopicName,
        sub: &str,
    ) -> Result<Vec<(String, String)>, AdminError> {
        let found = self.find_subs(name, sub)?;
        let sub = found.first().and_then(|(key, sub)| self.topics.get(*key)?.subs.get(sub));
        let pairs = sub.map(|sub| sub.properties.as_slice()).unwrap_or_default();
        Ok(pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect())
    }

    /// Sets all properties of a subscription.
    ///
    /// # Errors
    /// It is not there.
    pub fn set_subscription_properties(
        &mut self,
        name: &TopicName,
        sub: &str,
        properties: &[(String, String)],
    ) -> Result<(), AdminError> {
        self.each_sub(name, sub, |sub| sub.properties = key_values(properties))
    }

    /// Whether a subscription is said to be replicated.
    ///
    /// # Errors
    /// It is not there.
    pub fn is_replicated(&self, name: &TopicName, sub: &str) -> Result<bool, AdminError> {
        let found = self.find_subs(name, sub)?;
        let mut subs = found.iter().filter_map(|(key, sub)| self.topics.get(*key)?.subs.get(sub));
        Ok(subs.any(|sub| sub.replicated))
    }

    /// Sets whether a subscription is said to be replicated.
    ///
    /// # Errors
    /// It is not there.
    pub fn set_replicated(&mut self, name: &TopicName, sub: &str, on: bool) -> Result<(), AdminError> {
        self.each_sub(name, sub, |sub| sub.replicated = on)
    }

    fn each_sub(
        &mut self,
        name: &TopicName,
        sub: &str,
        change: impl Fn(&mut Subscription),
    ) -> Result<(), AdminError> {
        for (key, sub) in self.find_subs(name, sub)? {
            if let Some(sub) = self.topics.get_mut(key).and_then(|topic| topic.subs.get_mut(&sub)) {
                change(sub);
            }
        }
        Ok(())
    }
}

/// Properties as the wire has them.
pub(super) fn key_values(pairs: &[(String, String)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}
