//! What whoever runs the broker may ask and order: the admin API without HTTP.

use std::collections::BTreeMap;

use pulsewire_proto::wire::{KeyValue, MessageIdData};

use super::Broker;
use super::compaction::compact;
use super::error::Refusal;
use super::keeping::kind;
use super::names::{TopicName, parse_namespace};
use super::positions::Target;
use super::storage::Place;
use super::subscription::Subscription;
use super::time::Now;
use super::topic::{Producer, SubKey, Topic, TopicKey, Waiting};

/// Why an order is not carried out: an HTTP status and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminError {
    /// The status that Apache Pulsar's admin API answers with.
    pub status: u16,
    /// What a person is told.
    pub reason: String,
}

impl AdminError {
    pub(super) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
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
    pub fn delete_namespace(&mut self, name: &str) -> Result<(), AdminError> {
        let occupied = |persistent| self.topics.of_namespace(name, persistent).next().is_some();
        if occupied(true) || occupied(false) {
            return Err(AdminError::new(409, "Cannot delete non empty namespace"));
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

    /// Makes a topic without partitions.
    ///
    /// # Errors
    /// It is there already.
    pub fn create_topic(
        &mut self,
        name: &TopicName,
        properties: BTreeMap<String, String>,
        now: Now,
    ) -> Result<(), AdminError> {
        if self.topics.key(&name.to_string()).is_some() || self.topics.partitions(name).is_some() {
            return Err(AdminError::new(409, "This topic already exists"));
        }
        let key = self.topics.resolve(name, true, &self.config)?;
        if let Some(topic) = self.topics.get_mut(key) {
            topic.properties = properties;
        }
        self.settle(now);
        Ok(())
    }

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

    /// Forgets all that a topic stores: its subscriptions go to its end.
    ///
    /// # Errors
    /// It is not there.
    pub fn truncate(&mut self, name: &TopicName, now: Now) -> Result<(), AdminError> {
        for sub in self.subscriptions(name)? {
            self.skip_all(name, &sub, now)?;
        }
        for key in self.parts(name)? {
            let Some(topic) = self.topics.get_mut(key) else { continue };
            let freed = topic.log.trim(topic.log.end());
            self.topics.stored -= freed;
        }
        Ok(())
    }

    /// Forgets what all subscriptions have acknowledged and what need not be retained.
    ///
    /// # Errors
    /// It is not there.
    pub fn trim(&mut self, name: &TopicName, now: Now) -> Result<(), AdminError> {
        for key in self.parts(name)? {
            let Some(topic) = self.topics.get_mut(key) else { continue };
            let consumed = topic.consumed().min(topic.retained(now.wall_ms));
            let freed = topic.log.trim(consumed);
            self.topics.stored -= freed;
        }
        Ok(())
    }

    /// Makes a partitioned topic.
    ///
    /// # Errors
    /// It is there already, or the number is not one.
    pub fn create_partitioned_topic(
        &mut self,
        name: &TopicName,
        partitions: u32,
        now: Now,
    ) -> Result<(), AdminError> {
        if partitions == 0 || name.partition().is_some() {
            return Err(AdminError::new(406, "Number of partitions should be more than 0"));
        }
        // The real broker does not see a topic that stores nothing.
        let plain = |name: TopicName| name.persistent && self.topics.key(&name.to_string()).is_some();
        if plain(name.clone()) || plain(name.with_partition(0)) || self.topics.partitions(name).is_some() {
            return Err(AdminError::new(409, "This topic already exists"));
        }
        self.topics.set_partitions(name, partitions, &self.config)?;
        self.settle(now);
        Ok(())
    }

    /// Adds partitions to a partitioned topic.
    ///
    /// # Errors
    /// It is not partitioned, or has as many already.
    pub fn update_partitions(
        &mut self,
        name: &TopicName,
        partitions: u32,
        now: Now,
    ) -> Result<(), AdminError> {
        let Some(before) = self.topics.partitions(name) else {
            return Err(AdminError::new(409, format!("Topic {name} is not the partitioned topic.")));
        };
        if partitions < before {
            let reason = format!(
                "Desired partitions {partitions} can't be less than the current partitions {before}."
            );
            return Err(AdminError::new(422, reason));
        }
        self.topics.set_partitions(name, partitions, &self.config)?;
        // New partitions have the subscriptions that the others have.
        let subs: Vec<Subscription> = self
            .topics
            .key(&name.with_partition(0).to_string())
            .and_then(|key| self.topics.get(key))
            .map(|topic| topic.subs.values().filter(|sub| sub.durable).map(same_anew).collect())
            .unwrap_or_default();
        for index in before..partitions {
            let key = self.topics.key(&name.with_partition(index).to_string());
            if let Some(topic) = key.and_then(|key| self.topics.get_mut(key)) {
                for sub in &subs {
                    topic.add_sub(same_anew(sub));
                }
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Deletes a topic, or all partitions of one.
    ///
    /// # Errors
    /// It is not there, or in use and `force` is not set.
    pub fn delete_topic(&mut self, name: &TopicName, force: bool, now: Now) -> Result<(), AdminError> {
        let names: Vec<TopicName> = match self.topics.partitions(name) {
            Some(count) => (0..count).map(|index| name.with_partition(index)).collect(),
            None => vec![name.clone()],
        };
        let keys: Vec<TopicKey> = names.iter().filter_map(|n| self.topics.key(&n.to_string())).collect();
        if keys.is_empty() && self.topics.partitions(name).is_none() {
            return Err(AdminError::no_topic(name));
        }
        for key in &keys {
            let Some(topic) = self.topics.get(*key) else { continue };
            let consumers: usize = topic.subs.values().map(|sub| sub.consumers.len()).sum();
            let users = consumers + topic.producers.len();
            if !force && users > 0 {
                let reason = match self.topics.partitions(name) {
                    Some(_) => "Topic has active producers/subscriptions".to_owned(),
                    None => format!("Topic has {users} connected producers/consumers"),
                };
                return Err(AdminError::new(412, reason));
            }
        }
        for key in keys {
            self.disconnect_topic(key);
            self.topics.remove(key);
        }
        self.topics.forget_partitioned(name);
        // Those of a partition are the whole topic's.
        if name.partition().is_none() || self.topics.partitions(&name.base()).is_none() {
            self.schemas.forget(name);
            self.topics.touch_name(kind::SCHEMAS, &name.base().to_string());
        }
        self.settle(now);
        Ok(())
    }

    /// Sends all producers and consumers of a topic away, as when its bundle moves: they look it up
    /// again and come back.
    ///
    /// # Errors
    /// It is not there.
    pub fn unload_topic(&mut self, name: &TopicName, now: Now) -> Result<(), AdminError> {
        for key in self.parts(name)? {
            self.disconnect_topic(key);
            self.topics.roll(key);
        }
        self.settle(now);
        Ok(())
    }

    /// Ends a topic: nothing can be sent to it any more. Answers the id of its last entry.
    ///
    /// # Errors
    /// It is not there, or partitioned, or stores nothing.
    pub fn terminate(&mut self, name: &TopicName, now: Now) -> Result<MessageIdData, AdminError> {
        if self.topics.partitions(name).is_some() {
            return Err(AdminError::new(405, "Termination of a partitioned topic is not allowed"));
        }
        if !name.persistent {
            return Err(AdminError::new(405, "Termination of a non-persistent topic is not allowed"));
        }
        let key = self.topics.key(&name.to_string()).ok_or_else(|| AdminError::no_topic(name))?;
        let producers = self.end_topic(key);
        for producer in &producers {
            self.expel_producer(producer);
        }
        // Of a ledger in which nothing is yet, it is -1.
        let before = |next: MessageIdData| MessageIdData { entry_id: next.entry_id.wrapping_sub(1), ..next };
        let last = self.topics.get(key).map(|topic| before(topic.log.id_at(topic.log.end())));
        self.settle(now);
        last.ok_or_else(|| AdminError::no_topic(name))
    }

    fn end_topic(&mut self, key: TopicKey) -> Vec<Producer> {
        let Some(topic) = self.topics.get_mut(key) else { return Vec::new() };
        topic.log.terminated = true;
        let end = topic.log.end();
        for (sub_key, sub) in &mut topic.subs {
            if sub.cursor.backlog(end) == 0 {
                sub.tell_end(&mut self.conns, false);
            }
            if !sub.ready && !sub.consumers.is_empty() {
                sub.ready = true;
                self.ready.push_back((key, *sub_key));
            }
        }
        topic.take_producers()
    }

    /// Compacts a topic, or all partitions of one.
    ///
    /// # Errors
    /// It is not there, or stores nothing.
    pub fn compact(&mut self, name: &TopicName) -> Result<(), AdminError> {
        if !name.persistent {
            return Err(AdminError::new(405, "Compaction of a non-persistent topic is not allowed"));
        }
        for key in self.parts(name)? {
            if let Some(topic) = self.topics.get_mut(key) {
                let change = compact(topic);
                self.topics.stored = self.topics.stored.saturating_add_signed(change);
            }
        }
        Ok(())
    }

    /// Whether a topic was compacted since it was made.
    ///
    /// # Errors
    /// It is not there.
    pub fn is_compacted(&self, name: &TopicName) -> Result<bool, AdminError> {
        let mut parts = self.parts(name)?.into_iter().filter_map(|key| self.topics.get(key));
        Ok(parts.any(|topic| topic.compacted.is_some()))
    }

    pub(super) fn disconnect_topic(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let waiting: Vec<_> = topic.waiting.drain(..).collect();
        let producers: Vec<_> = topic.producers.values().cloned().collect();
        let subs: Vec<SubKey> = topic.subs.keys().copied().collect();
        for producer in waiting.iter().filter_map(Waiting::here) {
            self.fence_out(producer, "Disconnecting producer");
        }
        for producer in &producers {
            if let Some(topic) = self.topics.get_mut(key) {
                topic.dismiss(&producer.name, producer.conn, producer.id);
            }
            self.expel_producer(producer);
        }
        for sub in subs {
            self.expel_consumers(key, sub);
            if let Some(topic) = self.topics.get_mut(key)
                && topic.subs.get(&sub).is_some_and(|sub| !sub.durable)
            {
                topic.remove_sub(sub);
            }
        }
    }

    /// Names of a topic's subscriptions; of all its partitions when it is partitioned.
    ///
    /// # Errors
    /// It is not there.
    pub fn subscriptions(&self, name: &TopicName) -> Result<Vec<String>, AdminError> {
        let mut names: Vec<String> = Vec::new();
        for key in self.parts(name)? {
            names.extend(self.topics.get(key).iter().flat_map(|topic| topic.sub_names.keys().cloned()));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Makes a durable subscription.
    ///
    /// # Errors
    /// The topic is not there, or the subscription is already.
    pub fn create_subscription(
        &mut self,
        name: &TopicName,
        sub: &str,
        start: &Start,
        properties: &[(String, String)],
        now: Now,
    ) -> Result<(), AdminError> {
        if self.parts(name).is_err() && self.topics.auto_creation(name, &self.config).0 {
            self.create_topic(name, BTreeMap::new(), now)?;
        }
        for key in self.parts(name)? {
            let Some(topic) = self.topics.get_mut(key) else { continue };
            if topic.sub(sub).is_some() {
                return Err(AdminError::new(409, "Subscription already exists for topic"));
            }
            let log = &topic.log;
            let place = match start {
                Start::End => Place::After,
                Start::At(id) => log.place_of(id),
            };
            let start = match place {
                Place::Before => log.first(),
                Place::At(offset) => offset.clamp(log.first(), log.end()),
                Place::After => log.end(),
            };
            topic.add_sub(Subscription::new(sub.to_owned(), true, start, key_values(properties)));
        }
        Ok(())
    }

    /// Deletes a subscription.
    ///
    /// # Errors
    /// It is not there, or has consumers and `force` is not set.
    pub fn delete_subscription(
        &mut self,
        name: &TopicName,
        sub: &str,
        force: bool,
        now: Now,
    ) -> Result<(), AdminError> {
        let found = self.find_subs(name, sub)?;
        let used = |(topic, sub): &(TopicKey, SubKey)| {
            self.topics.get(*topic).and_then(|t| t.subs.get(sub)).is_some_and(|s| !s.consumers.is_empty())
        };
        if !force && found.iter().any(used) {
            return Err(AdminError::new(412, "Subscription has active connected consumers"));
        }
        for (topic, sub) in found {
            self.expel_consumers(topic, sub);
            if let Some(topic) = self.topics.get_mut(topic) {
                topic.remove_sub(sub);
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Acknowledges all that a subscription has not, as it stands now.
    ///
    /// # Errors
    /// It is not there.
    pub fn skip_all(&mut self, name: &TopicName, sub: &str, now: Now) -> Result<(), AdminError> {
        for (key, sub) in self.find_subs(name, sub)? {
            if let Some(topic) = self.topics.get_mut(key) {
                let end = topic.log.end();
                if let Some(sub) = topic.subs.get_mut(&sub) {
                    sub.skip_to(end);
                }
            }
            self.wake(key, sub);
        }
        self.settle(now);
        Ok(())
    }

    /// Acknowledges the next so many messages of a subscription.
    ///
    /// # Errors
    /// It is not there.
    pub fn skip(&mut self, name: &TopicName, sub: &str, count: u64, now: Now) -> Result<(), AdminError> {
        for (key, sub) in self.find_subs(name, sub)? {
            if let Some(Topic { log, subs, .. }) = self.topics.get_mut(key)
                && let Some(sub) = subs.get_mut(&sub)
            {
                let mut offset = sub.cursor.mark();
                for _ in 0..count {
                    if offset >= log.end() {
                        break;
                    }
                    offset = sub.cursor.next_open(offset + 1);
                }
                sub.expire(log, offset);
            }
            self.wake(key, sub);
        }
        self.settle(now);
        Ok(())
    }

    /// A subscription passes over messages that are older than so many seconds. False when there
    /// was nothing to pass over.
    ///
    /// # Errors
    /// It is not there.
    pub fn expire_messages(
        &mut self,
        name: &TopicName,
        sub: &str,
        seconds: u64,
        now: Now,
    ) -> Result<bool, AdminError> {
        let mut any = false;
        for (key, sub) in self.find_subs(name, sub)? {
            if let Some(Topic { log, subs, .. }) = self.topics.get_mut(key)
                && let Some(sub) = subs.get_mut(&sub)
            {
                any |= sub.cursor.backlog(log.end()) > 0;
                let since = now.wall_ms.saturating_sub(seconds.saturating_mul(1000));
                sub.expire(log, log.first_since(since));
            }
            self.wake(key, sub);
        }
        self.settle(now);
        Ok(any)
    }

    /// A subscription passes over all messages up to one.
    ///
    /// # Errors
    /// It is not there, or the message is beyond the last one (409).
    pub fn expire_to(
        &mut self,
        name: &TopicName,
        sub: &str,
        id: MessageIdData,
        now: Now,
    ) -> Result<(), AdminError> {
        for (key, sub) in self.find_subs(name, sub)? {
            if let Some(Topic { log, subs, .. }) = self.topics.get_mut(key)
                && let Some(sub) = subs.get_mut(&sub)
            {
                let offset = match log.place_of(&id) {
                    Place::Before => log.first(),
                    Place::At(offset) if offset < log.end() => offset.saturating_add(1),
                    Place::At(_) | Place::After => {
                        return Err(AdminError::new(
                            409,
                            format!(
                                "Expire message by position not issued on topic {name} for subscription {} due to \
                                 ongoing message expiration not finished or invalid message position provided.",
                                sub.name
                            ),
                        ));
                    }
                };
                sub.expire(log, offset);
            }
            self.wake(key, sub);
        }
        self.settle(now);
        Ok(())
    }

    /// Moves a subscription to the first entry that came at that time or later.
    ///
    /// # Errors
    /// It is not there.
    pub fn reset_to_time(
        &mut self,
        name: &TopicName,
        sub: &str,
        wall_ms: u64,
        now: Now,
    ) -> Result<(), AdminError> {
        for (topic, sub) in self.find_subs(name, sub)? {
            self.reset(topic, sub, &Target::Time(wall_ms));
        }
        self.settle(now);
        Ok(())
    }

    /// Moves a subscription to a message id.
    ///
    /// # Errors
    /// It is not there.
    pub fn reset_to_id(
        &mut self,
        name: &TopicName,
        sub: &str,
        ledger: u64,
        entry: u64,
        now: Now,
    ) -> Result<(), AdminError> {
        let id = MessageIdData { ledger_id: ledger, entry_id: entry, ..MessageIdData::default() };
        for (topic, sub) in self.find_subs(name, sub)? {
            self.reset(topic, sub, &Target::Id(id.clone()));
        }
        self.settle(now);
        Ok(())
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

    fn find_subs(&self, name: &TopicName, sub: &str) -> Result<Vec<(TopicKey, SubKey)>, AdminError> {
        let found: Vec<_> = self
            .parts(name)?
            .into_iter()
            .filter_map(|key| Some((key, self.topics.get(key)?.sub(sub)?.0)))
            .collect();
        if found.is_empty() {
            return Err(AdminError::new(404, format!("Subscription {sub} not found for topic {name}")));
        }
        Ok(found)
    }
}

/// Properties as the wire has them.
fn key_values(pairs: &[(String, String)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}

/// The same subscription for another partition, at its start.
fn same_anew(sub: &Subscription) -> Subscription {
    Subscription::new(sub.name.clone(), true, 0, sub.properties.clone())
}
