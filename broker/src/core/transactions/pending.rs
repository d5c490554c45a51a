//! The transactions among a subscription's acknowledgements.
//!
//! An entry that a transaction acknowledges, whole or in part:
//! ```text
//!              ACK in a transaction             commit
//!  delivered -----------------------> pending ----------> acknowledged
//!      ^                                 |  abort
//!      +------ delivered again ----------+
//! ```
//! While it is pending, whoever asks gets only what it leaves open. Two transactions may have parts
//! of one batch, but not the same part. Besides, one transaction at a time may acknowledge all up to
//! an entry; that changes nothing for anybody until it is committed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cursor::{Cursor, open_bits};
use super::TxnId;

/// What a transaction leaves open of an entry: nothing, or the bits that are set.
pub(super) type Open = Option<Vec<u64>>;

/// Acknowledgement of all up to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UpTo {
    pub(super) txn: TxnId,
    pub(super) offset: u64,
    /// What it leaves open of the entry.
    pub(super) set: Vec<i64>,
}

/// What transactions acknowledge in a subscription.
#[derive(Debug, Default)]
pub(in crate::core) struct PendingAcks {
    entries: BTreeMap<u64, BTreeMap<TxnId, Open>>,
    by_txn: BTreeMap<TxnId, BTreeSet<u64>>,
    pub(super) up_to: Option<UpTo>,
    /// Entries of which something changed, while a host keeps it.
    pub(super) touched: Option<BTreeSet<u64>>,
    pub(super) up_to_touched: bool,
    /// A host has something of it already.
    pub(super) kept: bool,
}

impl PendingAcks {
    pub(super) fn new(kept: bool) -> Self {
        Self { touched: kept.then(BTreeSet::new), ..Self::default() }
    }

    /// How many transactions acknowledge single entries.
    pub(super) fn count(&self) -> u64 {
        self.by_txn.len() as u64
    }

    /// What is pending of an entry, by transaction.
    pub(super) fn of_entry(&self, offset: u64) -> impl Iterator<Item = (TxnId, &Open)> {
        self.entries.get(&offset).into_iter().flatten().map(|(txn, open)| (*txn, open))
    }

    pub(super) fn insert(&mut self, txn: TxnId, offset: u64, open: Open) {
        let here = self.entries.entry(offset).or_default();
        let before = here.remove(&txn);
        let open = match (before, open) {
            (None, open) => open,
            (Some(Some(before)), Some(open)) => Some(both(&before, &open)),
            (Some(_), _) => None,
        };
        here.insert(txn, open);
        self.by_txn.entry(txn).or_default().insert(offset);
        self.touch(offset);
    }

    /// An entry is acknowledged: nobody waits for it any more.
    pub(in crate::core) fn forget(&mut self, offset: u64) {
        let Some(here) = self.entries.remove(&offset) else { return };
        for txn in here.into_keys() {
            if let Some(offsets) = self.by_txn.get_mut(&txn) {
                offsets.remove(&offset);
                if offsets.is_empty() {
                    self.by_txn.remove(&txn);
                }
            }
        }
        self.touch(offset);
    }

    /// Takes out one entry of a transaction.
    pub(super) fn take_one(&mut self, txn: TxnId, offset: u64) -> Option<Open> {
        let here = self.entries.get_mut(&offset)?;
        let open = here.remove(&txn)?;
        if here.is_empty() {
            self.entries.remove(&offset);
        }
        self.touch(offset);
        Some(open)
    }

    /// Takes out the list of a transaction's entries.
    pub(super) fn offsets_of(&mut self, txn: TxnId) -> BTreeSet<u64> {
        self.by_txn.remove(&txn).unwrap_or_default()
    }

    /// Transactions of a coordinator up to that number.
    pub(super) fn up_to_number(&self, coordinator: u64, number: u64) -> Vec<TxnId> {
        let all = TxnId { coordinator, number: 0 }..=TxnId { coordinator, number };
        self.by_txn.range(all).map(|(txn, _)| *txn).collect()
    }

    pub(super) fn set_up_to(&mut self, up_to: Option<UpTo>) {
        self.up_to = up_to;
        self.up_to_touched = self.touched.is_some();
    }

    /// What all transactions together leave open of an entry; `None` when it is not pending.
    fn open(&self, offset: u64) -> Option<Open> {
        let here = self.entries.get(&offset)?;
        let mut all: Open = here.values().next()?.clone();
        for open in here.values().skip(1) {
            all = match (all, open) {
                (Some(all), Some(open)) => Some(both(&all, open)),
                _ => None,
            };
        }
        Some(all)
    }

    fn touch(&mut self, offset: u64) {
        if let Some(touched) = &mut self.touched {
            touched.insert(offset);
        }
    }
}

/// Bits that are set in both.
pub(super) fn both(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(a, b)| a & b).collect()
}

/// What is left of a subscription's entries: neither acknowledged nor about to be.
#[derive(Debug, Clone, Copy)]
pub(in crate::core) struct Left<'a> {
    pub(in crate::core) cursor: &'a Cursor,
    pub(in crate::core) pending: Option<&'a PendingAcks>,
}

impl Left<'_> {
    /// How many of an entry's messages.
    pub(in crate::core) fn messages(&self, offset: u64, messages: u32) -> u64 {
        match self.pending.and_then(|pending| pending.open(offset)) {
            None => self.cursor.open_messages(offset, messages),
            Some(None) => 0,
            Some(Some(open)) => count(&self.bits(offset, &open, messages)),
        }
    }

    /// Whether nothing is left of an entry because it is pending.
    pub(in crate::core) fn nothing(&self, offset: u64, messages: u32) -> bool {
        match self.pending.and_then(|pending| pending.open(offset)) {
            None => false,
            Some(None) => true,
            Some(Some(open)) => count(&self.bits(offset, &open, messages)) == 0,
        }
    }

    /// Which messages of an entry, as MESSAGE carries them; none when it is whole.
    pub(in crate::core) fn ack_set(&self, offset: u64, messages: u32) -> Vec<i64> {
        match self.pending.and_then(|pending| pending.open(offset)) {
            Some(Some(open)) => self.bits(offset, &open, messages).iter().map(|word| *word as i64).collect(),
            _ => self.cursor.ack_set(offset),
        }
    }

    fn bits(&self, offset: u64, open: &[u64], messages: u32) -> Vec<u64> {
        let acked = self.cursor.ack_set(offset);
        let cursor = if acked.is_empty() { vec![-1; open.len()] } else { acked };
        both(open, &open_bits(&cursor, messages))
    }
}

pub(super) fn count(bits: &[u64]) -> u64 {
    bits.iter().map(|word| u64::from(word.count_ones())).sum()
}
