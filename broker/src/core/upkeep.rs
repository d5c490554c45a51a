//! What is looked after from time to time: messages that are too old, backlogs that are too large.

use super::compaction::{Compacted, compact, mark_of};
use super::ids::TopicKey;
use super::notes::Note;
use super::policies::{BacklogQuota, QuotaPolicy};
use super::storage::Log;
use super::subscription::Subscription;
use super::time::Now;
use super::topic::Topic;
use super::{Broker, Timer};

impl Topic {
    /// The first entry that some subscription has not acknowledged, or compaction has not seen; `None` where there
    /// is neither.
    fn oldest(&self) -> Option<u64> {
        let marks = self.subs.values().filter(|sub| sub.durable).map(|sub| sub.cursor.mark());
        marks.chain(mark_of(self)).min()
    }

    /// Bytes from there on.
    pub(super) fn backlog_bytes(&self) -> u64 {
        self.oldest().map_or(0, |oldest| self.log.bytes_since(oldest))
    }

    /// The quota that is exceeded, if one is.
    pub(super) fn exceeded(&self, now: Now) -> Option<BacklogQuota> {
        let bytes = |quota: &BacklogQuota| {
            u64::try_from(quota.bytes).is_ok_and(|limit| self.backlog_bytes() >= limit)
        };
        let age = |quota: &BacklogQuota| {
            let oldest = self.oldest().and_then(|offset| self.log.get(offset.max(self.log.first())));
            let age = oldest.map_or(0, |stored| now.wall_ms.saturating_sub(stored.timestamp));
            u64::try_from(quota.seconds).is_ok_and(|limit| age > limit.saturating_mul(1000))
        };
        self.rules.quota.filter(bytes).or_else(|| self.rules.age_quota.filter(age))
    }

    /// Where what retention keeps begins: entries below may go once they are consumed.
    pub(super) fn retained(&self, wall_ms: u64) -> u64 {
        let Some(retention) = self.rules.retention else { return self.log.end() };
        let by_time = match u64::try_from(retention.minutes) {
            Ok(minutes) => self.log.first_come_since(wall_ms.saturating_sub(minutes.saturating_mul(60_000))),
            Err(_) => self.log.first(),
        };
        let by_size = match u64::try_from(retention.megabytes) {
            Ok(megabytes) => self.log.last_bytes(megabytes.saturating_mul(1 << 20)),
            Err(_) => self.log.first(),
        };
        by_time.max(by_size)
    }
}

impl Broker {
    pub(super) fn schedule_upkeep(&mut self, now: Now) {
        if !self.upkeep {
            self.upkeep = true;
            self.timers.insert((now.mono + self.config.upkeep_interval, Timer::Upkeep));
        }
    }

    pub(super) fn upkeep(&mut self, now: Now) {
        self.upkeep = false;
        let topics = self.topics.with_upkeep();
        if !topics.is_empty() {
            self.schedule_upkeep(now);
        }
        for key in topics {
            self.expire(key, now);
            self.expire_subscriptions(key, now);
            self.compact_if_due(key, now);
            if self.delete_if_idle(key, now) {
                continue;
            }
            self.hold_quota(key, now);
            let before = self.topics.stored;
            self.topics.forget_beyond_retention(key, now);
            let bytes = before.saturating_sub(self.topics.stored);
            if bytes > 0 {
                self.note_of(key, |topic| Note::Trimmed { topic, bytes });
            }
        }
    }

    /// Sees at once to all topics that are beyond their backlog quota.
    pub fn check_backlog_quotas(&mut self, now: Now) {
        for key in self.topics.with_upkeep() {
            self.hold_quota(key, now);
        }
        self.settle(now);
    }

    /// Topics that were made may be such that somebody has to look after.
    pub(super) fn look_after_new(&mut self, now: Now) {
        let made = self.topics.changes.iter().filter(|change| change.created);
        let made: Vec<TopicKey> =
            made.filter_map(|change| self.topics.key(&change.name.to_string())).collect();
        for key in made {
            let Some(topic) = self.topics.untouched(key) else { continue };
            topic.active_at = Some(now.mono);
            (topic.made_ms, topic.opened_ms) = (now.wall_ms, now.wall_ms);
            if topic.rules.need_upkeep() {
                self.schedule_upkeep(now);
            }
        }
    }

    /// Takes away durable subscriptions that nobody has used for so long.
    fn expire_subscriptions(&mut self, key: TopicKey, now: Now) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let Some(after) = topic.rules.sub_expires else { return };
        let mut gone = Vec::new();
        for (sub_key, sub) in &mut topic.subs {
            if !sub.durable || sub.replicated || !sub.consumers.is_empty() {
                sub.idle_since = None;
            } else if now.mono.saturating_sub(*sub.idle_since.get_or_insert(now.mono)) >= after {
                gone.push(*sub_key);
            }
        }
        for sub in gone {
            self.delete_sub(key, sub, true);
        }
    }

    /// Compacts a topic once so much came since it was compacted last.
    fn compact_if_due(&mut self, key: TopicKey, now: Now) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let threshold = topic.rules.compaction_threshold;
        let start = topic.compacted.as_ref().map_or(0, Compacted::horizon).max(topic.compaction_passed);
        if threshold == 0 || !topic.name.persistent || topic.log.bytes_since(start) <= threshold {
            return;
        }
        self.compact_now(key, now);
    }

    /// Compacts a topic.
    pub(super) fn compact_now(&mut self, key: TopicKey, now: Now) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let change = compact(topic, now.wall_ms);
        self.topics.stored = self.topics.stored.saturating_add_signed(change);
        self.note(|broker| {
            let compacted = broker.topics.get(key).and_then(|topic| topic.compacted.as_ref());
            let entries = compacted.map_or(0, |compacted| compacted.entries().count());
            Note::Compacted { topic: broker.name_of(key), entries }
        });
    }

    /// Deletes a topic that nobody has used for so long; true when it did.
    fn delete_if_idle(&mut self, key: TopicKey, now: Now) -> bool {
        let Some(topic) = self.topics.get_mut(key) else { return false };
        let Some(inactive) = topic.rules.inactive else { return false };
        let end = topic.log.end();
        // The cursor of compactions is a subscription as others are.
        let in_use = !topic.producers.is_empty()
            || mark_of(topic).is_some_and(|mark| !inactive.with_subscriptions || mark < end)
            || topic.subs.values().any(|sub| {
                !inactive.with_subscriptions || !sub.consumers.is_empty() || sub.cursor.backlog(end) > 0
            });
        if in_use {
            topic.active_at = Some(now.mono);
            return false;
        }
        if now.mono.saturating_sub(*topic.active_at.get_or_insert(now.mono)) < inactive.after {
            return false;
        }
        let name = topic.name.clone();
        self.note(|_| Note::Inactive(name.to_string()));
        self.delete_topic(&name, false, now).is_ok()
    }

    fn expire(&mut self, key: TopicKey, now: Now) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let ttl = topic.rules.message_ttl;
        if ttl == 0 {
            return;
        }
        let below = topic.log.first_since(now.wall_ms.saturating_sub(ttl.saturating_mul(1000)));
        let expired = |topic, subscription, entries| Note::Expired { topic, subscription, entries };
        match self.config.prompt_expiry {
            true => self.pass_over(key, |sub, log| sub.expire(log, below), expired),
            false => self.pass_over(key, |sub, log| sub.expire_older(log, ttl, now), expired),
        }
    }

    /// All durable subscriptions of a topic pass over what is said, where that says true.
    fn pass_over(
        &mut self,
        key: TopicKey,
        mut over: impl FnMut(&mut Subscription, &Log) -> bool,
        note: impl Fn(String, String, u64) -> Note,
    ) {
        let noted = self.takes_notes();
        let Some(topic) = self.topics.get_mut(key) else { return };
        let end = topic.log.end();
        let backlog = |sub: &Subscription| if noted { sub.cursor.backlog(end) } else { 0 };
        let mut passed = Vec::new();
        for (sub_key, sub) in &mut topic.subs {
            let before = backlog(sub);
            if sub.durable && over(sub, &topic.log) {
                passed.push((*sub_key, before.saturating_sub(backlog(sub))));
            }
        }
        for (sub, entries) in passed {
            if entries > 0 {
                self.note_of_sub(key, sub, |topic, subscription| note(topic, subscription, entries));
            }
            self.wake(key, sub);
        }
    }

    fn hold_quota(&mut self, key: TopicKey, now: Now) {
        let Some(topic) = self.topics.get_mut(key) else { return };
        let Some(quota) = topic.exceeded(now) else { return };
        if quota.policy == QuotaPolicy::ConsumerBacklogEviction {
            let by_size = u64::try_from(quota.bytes).map_or(0, |limit| topic.log.last_bytes(limit / 10 * 9));
            let by_age = u64::try_from(quota.seconds).map_or(0, |limit| {
                topic.log.first_come_since(now.wall_ms.saturating_sub(limit.saturating_mul(1000)))
            });
            let below = by_size.max(by_age);
            topic.compaction_passed = topic.compaction_passed.max(below.min(topic.log.end()));
            let evicted = |topic, subscription, entries| Note::Evicted { topic, subscription, entries };
            return self.pass_over(key, |sub, log| sub.expire(log, below), evicted);
        }
        let producers = topic.take_producers();
        if !producers.is_empty() {
            self.note_of(key, |topic| Note::QuotaExceeded { topic, producers: producers.len() });
        }
        for producer in producers {
            self.expel_producer(&producer);
        }
    }
}
