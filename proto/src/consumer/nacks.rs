//! Negative acknowledgements: entries that are to come again after a delay.
//!
//! ```text
//! negatively acknowledged -> waits among those that are due in the same moment -> asked for, a frame's worth at a time
//!                                \-- link lost, all asked for anew: forgotten, it comes again anyway
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use super::entries::{Entries, Key};
use crate::time::Time;

/// Entries by the time at which they are due.
#[derive(Debug, Default)]
pub(crate) struct Nacks {
    due: BTreeMap<Time, Entries>,
}

impl Nacks {
    /// Enters an entry; the whole of it will come again. Deadlines are rounded up to `2^precision` ms, so
    /// that many share one.
    pub(crate) fn add(&mut self, key: Key, delay: Duration, precision: u32, now: Time) {
        let grain = 1000 << precision;
        let due = Time::from_micros((now + delay).as_micros().div_ceil(grain).saturating_mul(grain));
        self.due.entry(due).or_default().insert(key);
    }

    /// Takes out what is due, at most `max`, in order.
    pub(crate) fn take_due(&mut self, now: Time, max: usize) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some(mut first) = self.due.first_entry().filter(|first| *first.key() <= now) {
            while keys.len() < max
                && let Some(key) = first.get_mut().pop_first()
            {
                keys.push(key);
            }
            if !first.get().is_empty() {
                break;
            }
            first.remove();
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first_key_value().map(|(due, _)| *due)
    }

    pub(crate) fn clear(&mut self) {
        self.due.clear();
    }
}
