//! Topics: made, given partitions, emptied, compacted, ended, deleted.

use std::collections::BTreeMap;

use pulsewire_proto::wire::MessageIdData;

use super::AdminError;
use crate::core::Broker;
use crate::core::error::Refusal;
use crate::core::ids::{SubKey, TopicKey};
use crate::core::keeping::kind;
use crate::core::names::TopicName;
use crate::core::notes::Note;
use crate::core::subscription::Subscription;
use crate::core::time::Now;
use crate::core::topic::{Producer, Waiting};

/// Orders about topics.
impl Broker {
    /// How many partitions a topic has for somebody who is about to use it: one that is not there gets those
    /// that its namespace gives to new ones.
    ///
    /// # Errors
    /// It is not there, and may not be made by using it.
    pub fn partitions_for_use(&mut self, name: &TopicName, now: Now) -> Result<u32, AdminError> {
        let found = self.find_partitions(&name.to_string(), true);
        self.settle(now);
        found.map_err(|refusal| match refusal.message.is_empty() {
            true => AdminError::new(404, format!("Topic {name} not found")),
            false => refusal.into(),
        })
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
        self.begin_shadow(key);
        self.settle(now);
        Ok(())
    }

    /// Whether a topic may be made by that name: one of a partition only where its partitioned topic has it, and
    /// none of what the broker keeps of transactions.
    ///
    /// # Errors
    /// It may not (412, 400).
    pub(crate) fn is_name_of_topic(&self, name: &TopicName) -> Result<(), AdminError> {
        if name.is_of_transactions() {
            return Err(AdminError::new(400, "Cannot create topic in system topic format!"));
        }
        let Some(index) = name.partition() else { return Ok(()) };
        let whole = name.base();
        let why = match self.topics.partitions(&whole) {
            None => format!("numeric value if there isn't a partitioned topic {} created.", whole.local),
            Some(count) if index >= count => {
                format!("a number smaller than number of partition of partitioned topic {}", whole.local)
            }
            Some(_) => return Ok(()),
        };
        let reason = format!("Can't create topic {} with \"-partition-\" followed by {why}", name.local);
        Err(AdminError::new(412, reason))
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
            let freed = topic.log.trim(topic.done_with(now.wall_ms));
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
        if name.local.contains("-partition-") {
            return Err(AdminError::new(412, "Partitioned Topic Name should not contain '-partition-'"));
        }
        if partitions == 0 {
            return Err(AdminError::new(406, "Number of partitions should be more than 0"));
        }
        let most = self.config.limits.max_partitions;
        if most > 0 && partitions > most {
            let reason = format!("Number of partitions should be less than or equal to {most}");
            return Err(AdminError::new(406, reason));
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
        let most = self.config.limits.max_partitions;
        if most > 0 && partitions > most {
            let reason = format!(
                "Desired partitions {partitions} can't be greater than the maximum partitions per topic {most}."
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
            if let Some((key, topic)) = key.and_then(|key| Some((key, self.topics.get_mut(key)?))) {
                let made: Vec<_> = subs.iter().map(|sub| topic.add_sub(same_anew(sub))).collect();
                made.into_iter().for_each(|sub| self.note_created(key, sub));
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
            self.topics.touch_name(kind::SCHEMAS, &name.schema_key());
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
            self.note_of(key, |what| Note::Unloaded { what, to: None });
            self.disconnect_topic(key);
            self.topics.roll(key, &self.config.cluster, now);
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
        if self.topics.get(key).is_some_and(|topic| !topic.log.terminated) {
            self.note(|_| Note::Terminated(name.to_string()));
        }
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
        let newly = !std::mem::replace(&mut topic.log.terminated, true);
        let end = topic.log.end();
        for (sub_key, sub) in &mut topic.subs {
            sub.terminated(&mut self.conns, end, newly);
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
    pub fn compact(&mut self, name: &TopicName, now: Now) -> Result<(), AdminError> {
        if !name.persistent {
            return Err(AdminError::new(405, "Compaction of a non-persistent topic is not allowed"));
        }
        for key in self.parts(name)? {
            self.compact_now(key, now);
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

    pub(in crate::core) fn disconnect_topic(&mut self, key: TopicKey) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let waiting: Vec<_> = topic.waiting.drain(..).collect();
        // The first of those who wait gets the place as the others go, and then the topic is gone.
        if waiting.iter().any(|waiting| waiting.here().is_some()) {
            topic.pass_epoch();
        }
        let producers: Vec<_> = topic.producers.values().cloned().collect();
        let subs: Vec<SubKey> = topic.subs.keys().copied().collect();
        for producer in waiting.iter().filter_map(Waiting::here) {
            self.send_off(producer, Refusal::fenced_topic());
        }
        for producer in &producers {
            if let Some(topic) = self.topics.get_mut(key) {
                topic.dismiss(&producer.name, producer.conn, producer.id);
            }
            self.expel_producer(producer);
        }
        for sub in subs {
            self.expel_consumers(key, sub);
            let topic = self.topics.get(key);
            if topic.and_then(|topic| topic.subs.get(&sub)).is_some_and(|sub| !sub.durable) {
                self.delete_sub(key, sub, false);
            }
        }
    }
}

/// The same subscription for another partition, at its start.
fn same_anew(sub: &Subscription) -> Subscription {
    let mut anew = Subscription::new(sub.name.clone(), true, 0, sub.properties.clone());
    anew.made_ms = sub.made_ms;
    anew
}
