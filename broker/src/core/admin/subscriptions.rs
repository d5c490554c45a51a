//! Subscriptions: made, deleted, moved.

use std::collections::BTreeMap;

use pulsewire_proto::wire::MessageIdData;

use super::properties::key_values;
use super::{AdminError, Start};
use crate::core::Broker;
use crate::core::compaction::{COMPACTION, cursor_of};
use crate::core::ids::{SubKey, TopicKey};
use crate::core::names::TopicName;
use crate::core::positions::Target;
use crate::core::storage::{Log, Place};
use crate::core::subscription::Subscription;
use crate::core::time::Now;
use crate::core::topic::Topic;

/// Orders about subscriptions.
impl Broker {
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

    /// The same, with the cursors of compactions.
    ///
    /// # Errors
    /// It is not there.
    pub fn cursors(&self, name: &TopicName) -> Result<Vec<String>, AdminError> {
        let mut names = self.subscriptions(name)?;
        let there = |key: &TopicKey| self.topics.get(*key).is_some_and(|topic| cursor_of(topic).is_some());
        // Anybody may have a subscription of that name.
        if self.parts(name)?.iter().any(there) && !names.iter().any(|name| name == COMPACTION) {
            names.push(COMPACTION.to_owned());
            names.sort_unstable();
        }
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
        if self.parts(name).is_err() {
            if !self.topics.auto_creation(name, &self.config).0 {
                return Err(AdminError::new(412, "Topic does not exist and cannot be auto-created"));
            }
            self.create_topic(name, BTreeMap::new(), now)?;
        }
        let parts = self.parts(name)?;
        // Of a partitioned topic, those that lack it get it.
        let has = |key: &TopicKey| self.topics.get(*key).is_some_and(|topic| topic.sub(sub).is_some());
        let lacking: Vec<TopicKey> = parts.iter().copied().filter(|key| !has(key)).collect();
        if lacking.is_empty() && !parts.is_empty() {
            return Err(AdminError::new(409, "Subscription already exists for topic"));
        }
        for key in lacking {
            let Some(topic) = self.topics.get_mut(key) else { continue };
            if topic.is_full_of_subs() {
                let reason =
                    format!("Exceed the maximum number of subscriptions of the topic: {}", topic.name);
                return Err(AdminError::new(409, reason));
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
            let mut new = Subscription::new(sub.to_owned(), true, start, key_values(properties));
            new.made_ms = now.wall_ms;
            new.placed();
            let made = topic.add_sub(new);
            self.note_created(key, made);
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
        let found = match self.find_subs(name, sub) {
            Err(_) if sub == COMPACTION && self.cursors(name)?.iter().any(|cursor| cursor == COMPACTION) => {
                return self.forget_compacted(name);
            }
            found => found?,
        };
        let used = |(topic, sub): &(TopicKey, SubKey)| {
            self.topics.get(*topic).and_then(|t| t.subs.get(sub)).is_some_and(|s| !s.consumers.is_empty())
        };
        if !force && found.iter().any(used) {
            return Err(AdminError::new(412, "Subscription has active connected consumers"));
        }
        for (topic, sub) in found {
            self.expel_consumers(topic, sub);
            self.delete_sub(topic, sub, false);
        }
        self.settle(now);
        Ok(())
    }

    /// What compactions left is gone, as the real broker has it when their cursor is deleted.
    fn forget_compacted(&mut self, name: &TopicName) -> Result<(), AdminError> {
        for key in self.parts(name)? {
            let Some(topic) = self.topics.get_mut(key) else { continue };
            topic.compaction.read = (0, 0);
            topic.compaction_passed = 0;
            let gone = topic.compacted.take();
            self.topics.stored -= gone.map_or(0, |gone| gone.bytes());
        }
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

    /// A subscription passes over messages that are older than so many seconds. Answers the first partition, or the
    /// topic, where that is not tried (see `expiring.rs`).
    ///
    /// # Errors
    /// It is not there.
    pub fn expire_messages(
        &mut self,
        name: &TopicName,
        sub: &str,
        seconds: u64,
        now: Now,
    ) -> Result<Option<TopicName>, AdminError> {
        let mut untried = None;
        for (key, sub) in self.find_subs(name, sub)? {
            if let Some(Topic { name, log, subs, .. }) = self.topics.get_mut(key)
                && let Some(sub) = subs.get_mut(&sub)
                && !sub.expire_older(log, seconds, now)
            {
                untried.get_or_insert_with(|| name.clone());
            }
            self.wake(key, sub);
        }
        self.settle(now);
        Ok(untried)
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

    /// Moves a subscription to a message, or with `excluded` to what follows it. An id with a batch index names
    /// a message of a batch.
    ///
    /// # Errors
    /// It is not there.
    pub fn reset_to_id(
        &mut self,
        name: &TopicName,
        sub: &str,
        id: &MessageIdData,
        excluded: bool,
        now: Now,
    ) -> Result<(), AdminError> {
        for (topic, sub) in self.find_subs(name, sub)? {
            let log = self.topics.get(topic).map(|topic| &topic.log);
            let id = log.map_or_else(|| id.clone(), |log| begin_within(log, id, excluded));
            self.reset(topic, sub, &Target::Id(id));
        }
        self.settle(now);
        Ok(())
    }

    pub(super) fn find_subs(
        &self,
        name: &TopicName,
        sub: &str,
    ) -> Result<Vec<(TopicKey, SubKey)>, AdminError> {
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

/// Producers say how many messages a batch has; nobody has made one of more.
const LARGEST_BATCH: u32 = 1 << 20;

/// Where to begin: at the entry of `id` or after it, or at one with the messages set that are left of its batch.
fn begin_within(log: &Log, id: &MessageIdData, excluded: bool) -> MessageIdData {
    let mut to = MessageIdData { batch_index: None, ..id.clone() };
    let within = id.batch_index.and_then(|index| u32::try_from(index).ok()).and_then(|index| {
        let Place::At(offset) = log.place_of(id) else { return None };
        Some((index, log.get(offset)?.messages)).filter(|(_, messages)| *messages <= LARGEST_BATCH)
    });
    let rest = match within {
        Some((index, messages)) if excluded => messages.saturating_sub(index.saturating_add(1)),
        Some((0, _)) => 0,
        Some((index, messages)) => messages.saturating_sub(index),
        None => 0,
    };
    if let Some((_, messages)) = within.filter(|_| rest > 0) {
        let gone = messages - rest;
        let word = |at: u32| {
            (u64::MAX << gone.saturating_sub(at * 64).min(63))
                & if gone >= (at + 1) * 64 { 0 } else { u64::MAX }
        };
        to.ack_set = (0..messages.div_ceil(64)).map(|at| word(at) as i64).collect();
    } else if excluded && (to.entry_id as i64) >= 0 {
        to.entry_id = to.entry_id.saturating_add(1);
    }
    to
}
