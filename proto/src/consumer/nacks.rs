//! Negative acknowledgements: entries that are to come again after a delay.
//!
//! ```text
//! negatively acknowledged -> waits among those that are due in the same moment -> asked for, a frame's worth at a time
//!                                |-- link lost, all asked for anew: forgotten, it comes again anyway
//!                                \-- the ack timeout made dead letters of it first: forgotten
//! ```

use std::time::Duration;

use super::entries::{Entries, Key};
use crate::id_map::IdMap;
use crate::time::Time;

/// Entries by the time at which they are due.
#[derive(Debug, Default)]
pub(crate) struct Nacks {
    due: IdMap<Time, Entries>,
}

impl Nacks {
    /// Enters an entry; the whole of it will come again. Deadlines are rounded up to `2^precision` ms, so
    /// that many share one.
    pub(crate) fn add(&mut self, key: Key, delay: Duration, precision: u32, now: Time) {
        let grain = 1000 << precision;
        let due = Time::from_micros((now + delay).as_micros().div_ceil(grain).saturating_mul(grain));
        self.due.or_default(due).insert(key);
    }

    /// Takes out what is due, at most `max`, in order.
    pub(crate) fn take_due(&mut self, now: Time, max: usize) -> Vec<Key> {
        let mut due = Entries::default();
        let mut n = 0;
        while n < max
            && let Some(first) = self.next().filter(|first| *first <= now)
            && let Some(entries) = self.due.get_mut(&first)
        {
            match entries.pop_first() {
                Some(key) => {
                    due.insert(key);
                    n += 1;
                }
                None => drop(self.due.remove(&first)),
            }
        }
        if self.due.is_empty() {
            // Its memory too.
            self.clear();
        }
        std::iter::from_fn(|| due.pop_first()).collect()
    }

    /// An entry is not to come again.
    pub(crate) fn forget(&mut self, key: Key) {
        self.due.values_mut().for_each(|entries| entries.remove(key));
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first_key_value().map(|(due, _)| *due)
    }

    pub(crate) fn clear(&mut self) {
        self.due = IdMap::default();
    }
}
