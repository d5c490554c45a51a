//! Negative acknowledgements: entries that are to come again after a delay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::MessageId;
use crate::time::Time;
use crate::wire::MessageIdData;

/// Entries by the time at which they are due.
#[derive(Debug, Default)]
pub(crate) struct Nacks {
    due: BTreeMap<Time, BTreeSet<(u64, u64)>>,
}

/// Deadlines are rounded up to this, so that many share one.
const GRAIN: u64 = 10_000;

/// Ids in one redelivery request, so that no frame nears the limit.
const MAX_IDS: usize = 1000;

impl Nacks {
    /// Enters a message; returns when it is due. The whole entry will come again.
    pub(crate) fn add(&mut self, id: MessageId, delay: Duration, now: Time) -> Time {
        let due = Time::from_micros((now + delay).as_micros().div_ceil(GRAIN) * GRAIN);
        self.due.entry(due).or_default().insert((id.ledger_id, id.entry_id));
        due
    }

    /// Takes out what is due, as lists that fit in a frame each.
    pub(crate) fn take_due(&mut self, now: Time) -> Vec<Vec<MessageIdData>> {
        let mut ids = BTreeSet::new();
        while let Some(first) = self.due.first_entry() {
            if *first.key() > now {
                break;
            }
            for id in first.remove() {
                ids.insert(id);
            }
        }
        let ids: Vec<MessageIdData> = ids
            .into_iter()
            .map(|(ledger_id, entry_id)| MessageIdData { ledger_id, entry_id, ..Default::default() })
            .collect();
        ids.chunks(MAX_IDS).map(<[_]>::to_vec).collect()
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first_key_value().map(|(due, _)| *due)
    }

    pub(crate) fn clear(&mut self) {
        self.due.clear();
    }
}
