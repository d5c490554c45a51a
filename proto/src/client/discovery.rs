//! What comes later: partitions that a topic grows, topics that match a pattern. See `many::pattern`.

use super::Client;
use super::joining::Ask;
use super::link::Owner;
use super::lookup::Listing;
use crate::client::backoff::Backoff;
use crate::error::Error;
use crate::event::Output;
use crate::ids::{ConnId, ConsumerId};
use crate::many::consumer::{Added, State};
use crate::many::pattern::Watcher;
use crate::time::Now;
use crate::timer::Timer;
use crate::topic::TopicName;
use crate::wire::{
    CommandWatchTopicList, CommandWatchTopicListClose, CommandWatchTopicListSuccess, CommandWatchTopicUpdate,
};

impl Client {
    // ---- partitions ----

    /// Looks from now on whether there are more partitions.
    pub(super) fn watch_growth(&mut self, owner: Owner) {
        let (enabled, interval) = match owner {
            Owner::Producer(id) => {
                let Some(p) = self.partitioned.get(&id) else { return };
                (p.config.auto_update_partitions, p.config.auto_update_partitions_interval)
            }
            Owner::Consumer(id) => {
                let Some(c) = self.multi.get(&id) else { return };
                (c.config.auto_update_partitions, c.config.auto_update_partitions_interval)
            }
        };
        if enabled {
            self.timers.arm_if_idle(Timer::Grow(owner), self.now.time + interval);
        }
    }

    pub(super) fn growth_due(&mut self, owner: Owner, now: Now) {
        let topics: Vec<TopicName> = match owner {
            Owner::Producer(id) => {
                self.partitioned.get(&id).map(|p| p.config.topic.clone()).into_iter().collect()
            }
            Owner::Consumer(id) => {
                let topics = self.multi.get(&id).map_or(&[][..], |multi| &multi.topics);
                let divided = topics.iter().filter(|topic| topic.partitions.is_some_and(|n| n > 0));
                divided.map(|topic| topic.name.clone()).collect()
            }
        };
        for topic in topics {
            self.asking(Ask::Grow(owner, topic.clone()), |client| client.partitions(topic, now));
        }
    }

    pub(super) fn partitions_grown(&mut self, owner: Owner, topic: &TopicName, partitions: u32) {
        match owner {
            Owner::Producer(id) => self.producer_grown(id, partitions),
            Owner::Consumer(id) => self.consumer_grown(id, topic, partitions),
        }
        self.watch_growth(owner);
    }

    // ---- patterns ----

    /// Asks which topics match, and to be told of changes.
    pub(super) fn list_pattern(&mut self, id: ConsumerId, now: Now) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let Some(pattern) = multi.pattern.as_mut() else { return };
        let listing = Listing {
            namespace: pattern.pattern.namespace().to_owned(),
            mode: pattern.wire_mode(),
            pattern: Some(pattern.pattern.to_wire()),
            hash: Some(pattern.hash()),
        };
        if !std::mem::replace(&mut pattern.listing, true) {
            self.asking(Ask::List(id), |client| client.list_topics(listing, now));
        }
    }

    pub(super) fn pattern_listed(&mut self, id: ConsumerId, result: Result<Output, Error>) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let Some(pattern) = multi.pattern.as_mut() else { return };
        pattern.listing = false;
        let period = multi.config.pattern_auto_discovery_period;
        match (result, multi.state) {
            (Err(error), State::Opening(created)) => {
                self.forget(Owner::Consumer(id), &error);
                return self.complete(created, Err(error));
            }
            (Ok(Output::Topics(topics)), _) => pattern.listed(topics),
            // Nothing has changed, or it is asked again later.
            _ => {}
        }
        self.timers.arm(Timer::Pattern(id), self.now.time + period);
        self.reconcile(id);
        self.multi_is_open(id);
        if self
            .multi
            .get(&id)
            .and_then(|m| m.pattern.as_ref())
            .is_some_and(|pattern| pattern.can_be_watched() && pattern.watcher == Watcher::Unwatched)
        {
            self.watch_topics(id, self.now);
        }
    }

    /// Opens topics that have come, closes those that are gone.
    fn reconcile(&mut self, id: ConsumerId) {
        let now = self.now;
        let Some(multi) = self.multi.get(&id) else { return };
        let Some(pattern) = multi.pattern.as_ref() else { return };
        let added = match multi.state {
            State::Opening(_) => Added::First,
            State::Open => Added::Found,
            State::Closing(_) => return,
        };
        let wanted = pattern.topics();
        let gone: Vec<TopicName> = multi
            .topics
            .iter()
            .map(|topic| topic.name.clone())
            .filter(|name| !wanted.contains(name))
            .collect();
        let new: Vec<TopicName> =
            wanted.into_iter().filter(|name| multi.topics.iter().all(|topic| topic.name != *name)).collect();
        for name in gone {
            self.remove(id, &name, &Error::closed("topic of the consumer"), None);
        }
        for name in new {
            self.add(id, name, added, now);
        }
    }

    /// The connection to watch on is open; whether the broker can.
    pub(super) fn watch_command(
        &mut self,
        id: ConsumerId,
        conn: ConnId,
        request_id: u64,
    ) -> Option<CommandWatchTopicList> {
        let pattern = self.multi.get_mut(&id)?.pattern.as_mut()?;
        if pattern.watcher != Watcher::Unwatched || !self.pool.get(conn)?.topic_watchers {
            return None;
        }
        pattern.watcher = Watcher::Asked(conn);
        Some(CommandWatchTopicList {
            request_id,
            watcher_id: id.0,
            namespace: pattern.pattern.namespace().to_owned(),
            topics_pattern: pattern.pattern.to_wire(),
            topics_hash: Some(pattern.hash()),
        })
    }

    pub(super) fn watching(&mut self, id: ConsumerId, result: Result<CommandWatchTopicListSuccess, Error>) {
        let Some(pattern) = self.multi.get_mut(&id).and_then(|multi| multi.pattern.as_mut()) else { return };
        let Watcher::Asked(conn) = pattern.watcher else { return };
        match result {
            Ok(success) => {
                pattern.watcher = Watcher::Watching(conn);
                if success.topics_hash != pattern.hash() {
                    pattern.listed(success.topic);
                    self.reconcile(id);
                }
            }
            // Listing goes on, and asks again.
            Err(_) => pattern.watcher = Watcher::Unwatched,
        }
    }

    pub(super) fn topics_updated(&mut self, conn: ConnId, update: CommandWatchTopicUpdate, now: Now) {
        let id = ConsumerId(update.watcher_id);
        let Some(pattern) = self.multi.get_mut(&id).and_then(|multi| multi.pattern.as_mut()) else { return };
        if pattern.watcher != Watcher::Watching(conn) {
            return;
        }
        pattern.updated(update.new_topics, &update.deleted_topics);
        let missed = pattern.hash() != update.topics_hash;
        self.reconcile(id);
        if missed {
            self.list_pattern(id, now);
        }
    }

    /// Watchers on a connection that is gone: topics are listed anew, soon.
    pub(super) fn watchers_lost(&mut self, conn: ConnId, now: Now) {
        let lost: Vec<ConsumerId> = self
            .multi
            .iter()
            .filter(|(_, multi)| multi.pattern.as_ref().is_some_and(|p| p.watcher.conn() == Some(conn)))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            if let Some(pattern) = self.multi.get_mut(&id).and_then(|multi| multi.pattern.as_mut()) {
                pattern.watcher = Watcher::Unwatched;
            }
            let delay = Backoff::default().next(&self.config, &mut self.rng);
            self.timers.arm(Timer::Pattern(id), now.time + delay);
        }
    }

    pub(super) fn unwatch(&mut self, id: ConsumerId) {
        self.timers.cancel(Timer::Pattern(id));
        let pattern = self.multi.get(&id).and_then(|multi| multi.pattern.as_ref());
        if let Some(conn) = pattern.and_then(|pattern| pattern.watcher.conn()) {
            let request_id = self.next_request_id();
            self.write(conn, CommandWatchTopicListClose { request_id, watcher_id: id.0 });
        }
    }
}
