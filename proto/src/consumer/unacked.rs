//! The ack timeout: what the user has had for too long comes again.
//!
//! ```text
//! taken -> handed to the user -> waits in the bucket of its tick --acknowledged, negatively too--> (none)
//!                                     | its tick passed
//!                                     +-> asked for again
//! link lost, all asked for anew: forgotten, it comes again anyway
//! ```
//!
//! Entries are tracked, from the first of their messages on. The clock stands while nothing is tracked.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::entries::{Entries, Key};
use super::redelivery::RedeliveryBackoff;
use super::{Redelivery, redelivery};
use crate::config::ConsumerConfig;
use crate::time::Time;

#[derive(Debug)]
pub(crate) struct Unacked {
    timeout: Duration,
    tick: Duration,
    backoff: Option<RedeliveryBackoff>,
    /// Taken, but not with the user yet; and how often each came before.
    taken: VecDeque<(Key, u32)>,
    /// What is with the user, and the tick in which it is due.
    tracked: BTreeMap<Key, u64>,
    /// Buckets by tick. What was acknowledged meanwhile, or is due later, stands in them too.
    due: BTreeMap<u64, Entries>,
    ticks: u64,
    clock: Clock,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Clock {
    Stands,
    /// It is started: the time is not known for sure before its first alarm.
    Starts,
    /// Since the last tick.
    Runs(Time),
}

impl Unacked {
    pub(crate) fn new(config: &ConsumerConfig) -> Redelivery<Self> {
        let timeout = config.ack_timeout;
        if !cfg!(feature = "redelivery") || timeout.is_zero() {
            return None;
        }
        redelivery(Self {
            timeout,
            tick: config.ack_timeout_tick_time.min(timeout),
            backoff: config.ack_timeout_redelivery_backoff,
            taken: VecDeque::new(),
            tracked: BTreeMap::new(),
            due: BTreeMap::new(),
            ticks: 0,
            clock: Clock::Stands,
        })
    }

    pub(crate) fn taken(&mut self, key: Key, redelivery_count: u32) {
        self.taken.push_back((key, redelivery_count));
    }

    /// The user has the next `n` of those that were taken.
    pub(crate) fn delivered(&mut self, n: u32) {
        for (key, count) in self.taken.drain(..(n as usize).min(self.taken.len())) {
            let backoff = self.backoff.map_or(Duration::ZERO, |backoff| backoff.delay(count));
            let delay = self.timeout.saturating_add(backoff).as_micros();
            // The tick that is under way does not count: nothing comes early.
            let ticks = u64::try_from(delay.div_ceil(self.tick.as_micros())).unwrap_or(u64::MAX);
            let due = self.ticks.saturating_add(ticks).saturating_add(1);
            self.tracked.entry(key).or_insert_with(|| {
                self.due.entry(due).or_default().insert(key);
                due
            });
        }
    }

    /// Whether the clock must be set going.
    pub(crate) fn starts(&mut self) -> bool {
        let starts = self.clock == Clock::Stands && !self.tracked.is_empty();
        if starts {
            self.clock = Clock::Starts;
        }
        starts
    }

    /// An entry is done with, or is asked for already.
    pub(crate) fn done(&mut self, key: Key) {
        self.tracked.remove(&key);
    }

    /// All entries before one are done with, and perhaps that one too.
    pub(crate) fn done_until(&mut self, key: Key, whole: bool) {
        self.tracked = self.tracked.split_off(&key);
        if whole {
            self.tracked.remove(&key);
        }
    }

    /// The alarm rang: what is due, in order, and when it rings next.
    pub(crate) fn tick(&mut self, now: Time) -> (Vec<Key>, Option<Time>) {
        let mut since = now;
        if let Clock::Runs(last) = self.clock {
            let passed = (now - last).as_micros() / self.tick.as_micros();
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            self.ticks += u64::from(passed);
            since = last + self.tick * passed;
        }
        let mut keys = Vec::new();
        while let Some(mut first) = self.due.first_entry().filter(|first| *first.key() <= self.ticks) {
            let due = *first.key();
            while let Some(key) = first.get_mut().pop_first() {
                if self.tracked.get(&key) == Some(&due) {
                    self.tracked.remove(&key);
                    keys.push(key);
                }
            }
            first.remove();
        }
        keys.sort_unstable();
        let next = (!self.tracked.is_empty()).then(|| since + self.tick);
        self.clock = if next.is_some() { Clock::Runs(since) } else { Clock::Stands };
        if next.is_none() {
            self.due.clear();
        }
        (keys, next)
    }

    /// All of it comes again.
    pub(crate) fn clear(&mut self) {
        self.taken.clear();
        self.tracked.clear();
        self.due.clear();
    }
}
