//! The transactions among a topic's messages.
//!
//! A transaction, as one topic sees it:
//! ```text
//!           its first message              marker: commit
//!  unknown ------------------> ongoing --+----------------> unknown: its messages are like others
//!                                        | marker: abort
//!                                        +----------------> aborted: its messages are passed over
//! ```
//! Nobody reads beyond the first message of the first transaction that is ongoing, whoever sent what
//! comes after it: so order is kept. Markers are entries of the log, and all of this can be read out
//! of the log again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::MessageMetadata;
use pulsewire_proto::wire::entry::{encode_entry, find_varint};

use super::super::error::Refusal;
use super::super::storage::{Log, Stored};
use super::super::time::Now;
use super::super::topic::Topic;
use super::{Action, TxnId};

/// Marker types, as Apache Pulsar numbers them.
const COMMITTED: i32 = 21;
const ABORTED: i32 = 22;

/// The transactions of a topic.
#[derive(Debug, Default)]
pub(in crate::core) struct Buffer {
    /// Where their first messages are.
    ongoing: BTreeMap<TxnId, u64>,
    order: BTreeSet<(u64, TxnId)>,
    /// Up to where their messages may be.
    aborted: BTreeMap<TxnId, u64>,
    /// So many before those that are trimmed are looked for.
    prune_at: usize,
    /// By coordinator: transactions up to this one have ended.
    low_water: BTreeMap<u64, u64>,
    pub(in crate::core) committed_count: u64,
    pub(in crate::core) aborted_count: u64,
}

impl Buffer {
    /// Entries from here on wait.
    pub(in crate::core) fn limit(&self) -> u64 {
        self.order.first().map_or(u64::MAX, |(offset, _)| *offset)
    }

    /// The first message of a transaction that is ongoing.
    pub(super) fn start_of(&self, id: TxnId) -> Option<u64> {
        self.ongoing.get(&id).copied()
    }

    pub(super) fn is_aborted(&self, id: TxnId) -> bool {
        self.aborted.contains_key(&id)
    }

    pub(super) fn hidden_count(&self) -> u64 {
        self.aborted.len() as u64
    }

    pub(super) fn low_water(&self) -> &BTreeMap<u64, u64> {
        &self.low_water
    }

    pub(super) fn is_ongoing(&self, id: TxnId) -> bool {
        self.ongoing.contains_key(&id)
    }

    pub(in crate::core) fn ongoing_count(&self) -> u64 {
        self.ongoing.len() as u64
    }

    /// Whether an entry of the log is nothing that anybody reads.
    pub(in crate::core) fn hides(&self, stored: &Stored) -> bool {
        stored.txn && (marker(stored).is_some() || self.is_of_aborted(stored))
    }

    /// Whether an entry is of a transaction that was aborted.
    pub(in crate::core) fn is_of_aborted(&self, stored: &Stored) -> bool {
        id_of(stored).is_some_and(|id| self.is_aborted(id))
    }

    /// Whether messages of a transaction are still taken.
    pub(in crate::core) fn admits(&self, id: TxnId) -> Result<(), Refusal> {
        match self.low_water.get(&id.coordinator) {
            Some(low) if id.number <= *low => Err(Refusal::service(
                pulsewire_proto::wire::ServerError::NOT_ALLOWED_ERROR,
                "NotAllowedException",
                format!("Transaction [{id}] has been ended. Please use a new transaction to send message."),
            )),
            _ => Ok(()),
        }
    }

    /// A message of a transaction is stored.
    pub(in crate::core) fn stored(&mut self, id: TxnId, offset: u64) {
        if let Some(last) = self.aborted.get_mut(&id) {
            *last = offset;
        } else if let Entry::Vacant(new) = self.ongoing.entry(id) {
            new.insert(offset);
            self.order.insert((offset, id));
        }
    }

    fn ended(&mut self, id: TxnId, action: Action, offset: u64, first: u64) {
        if let Some(offset) = self.ongoing.remove(&id) {
            self.order.remove(&(offset, id));
        }
        match action {
            Action::Commit => self.committed_count += 1,
            Action::Abort => {
                self.aborted_count += 1;
                self.aborted.insert(id, offset);
                if self.aborted.len() > self.prune_at {
                    self.aborted.retain(|_, last| *last >= first);
                    self.prune_at = 2 * self.aborted.len() + 64;
                }
            }
        }
    }

    /// Takes up an entry as it was kept.
    pub(in crate::core) fn restore(&mut self, offset: u64, stored: &Stored) {
        let Some(id) = id_of(stored) else { return };
        match marker(stored) {
            Some(action) => {
                self.ended(id, action, offset, 0);
                (self.committed_count, self.aborted_count) = (0, 0);
            }
            None => self.stored(id, offset),
        }
    }

    /// Transactions of a coordinator up to `low` have ended. Those that are still ongoing here never
    /// heard of it.
    fn left_behind(&mut self, coordinator: u64, low: u64) -> Vec<TxnId> {
        let known = self.low_water.entry(coordinator).or_default();
        *known = low.max(*known);
        let all = TxnId { coordinator, number: 0 }..=TxnId { coordinator, number: *known };
        self.ongoing.range(all).map(|(id, _)| *id).collect()
    }
}

/// The transaction that an entry belongs to.
pub(in crate::core) fn id_of(stored: &Stored) -> Option<TxnId> {
    let metadata = stored.metadata();
    TxnId::new(find_varint(metadata, 23), find_varint(metadata, 22))
}

/// Whether an entry says how a transaction ended.
pub(in crate::core) fn is_marker(stored: &Stored) -> bool {
    stored.txn && marker(stored).is_some()
}

/// What a marker says; `None` when it is a message.
fn marker(stored: &Stored) -> Option<Action> {
    let kind = find_varint(stored.metadata(), 20)?;
    match i32::try_from(kind) {
        Ok(COMMITTED) => Some(Action::Commit),
        Ok(ABORTED) => Some(Action::Abort),
        _ => None,
    }
}

fn marker_entry(id: TxnId, action: Action, now: Now) -> Bytes {
    let metadata = MessageMetadata {
        producer_name: "pulsar.txn.marker".to_owned(),
        publish_time: now.wall_ms,
        // It is none of a producer's.
        sequence_id: u64::MAX,
        marker_type: Some(if action == Action::Commit { COMMITTED } else { ABORTED }),
        txnid_most_bits: Some(id.coordinator),
        txnid_least_bits: Some(id.number),
        ..MessageMetadata::default()
    };
    let mut entry = BytesMut::new();
    encode_entry(&metadata, &[], &mut entry);
    entry.freeze()
}

/// Offset and entry of the last one below `end` that somebody may read, not before `start`.
pub(in crate::core) fn last_readable<'a>(
    log: &'a Log,
    buffer: Option<&Buffer>,
    start: u64,
    end: u64,
) -> Option<(u64, &'a Stored)> {
    let entries = (start.max(log.first())..end).rev().map_while(|at| Some((at, log.get(at)?)));
    entries.into_iter().find(|(_, stored)| !buffer.is_some_and(|buffer| buffer.hides(stored)))
}

impl Topic {
    /// Entries from here on wait for the end of a transaction.
    pub(in crate::core) fn limit(&self) -> u64 {
        self.txns.as_deref().map_or(u64::MAX, Buffer::limit)
    }

    /// Ends a transaction here. Answers what its marker costs.
    pub(super) fn end_txn(&mut self, id: TxnId, action: Action, low: u64, now: Now) -> usize {
        // Of a topic that never had a transaction there is nothing to abort.
        if self.txns.is_none() && action == Action::Abort {
            return 0;
        }
        let mut cost = self.mark(id, action, now);
        let buffer = self.txns.get_or_insert_default();
        for id in buffer.left_behind(id.coordinator, low) {
            cost += self.mark(id, Action::Abort, now);
        }
        cost
    }

    fn mark(&mut self, id: TxnId, action: Action, now: Now) -> usize {
        let Ok(mut stored) = Stored::new(&marker_entry(id, action, now), now.wall_ms) else { return 0 };
        stored.txn = true;
        let (offset, cost) = self.log.append(stored);
        let first = self.log.first();
        self.txns.get_or_insert_default().ended(id, action, offset, first);
        cost
    }
}
