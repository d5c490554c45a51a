//! Sets of entries, made for millions: 64 neighbours share a word of bits.

use std::collections::BTreeMap;

use crate::id_map::IdMap;

/// Ledger and entry.
pub(crate) type Key = (u64, u64);

#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// By ledger: words by their place, none of them zero.
    ledgers: IdMap<u64, BTreeMap<u64, u64>>,
}

impl Entries {
    pub(crate) fn insert(&mut self, (ledger, entry): Key) {
        *self.ledgers.or_default(ledger).entry(entry / 64).or_default() |= 1 << (entry % 64);
    }

    pub(crate) fn remove(&mut self, (ledger, entry): Key) {
        let Some(words) = self.ledgers.get_mut(&ledger) else { return };
        let Some(word) = words.get_mut(&(entry / 64)) else { return };
        *word &= !(1 << (entry % 64));
        if *word == 0 {
            words.remove(&(entry / 64));
        }
        if words.is_empty() {
            self.ledgers.remove(&ledger);
        }
    }

    /// Takes out the first, in order.
    pub(crate) fn pop_first(&mut self) -> Option<Key> {
        let ledger = *self.ledgers.first_key_value()?.0;
        let words = self.ledgers.get_mut(&ledger)?;
        let mut word = words.first_entry()?;
        let entry = *word.key() * 64 + u64::from(word.get().trailing_zeros());
        *word.get_mut() &= word.get() - 1;
        if *word.get() == 0 {
            word.remove();
        }
        if words.is_empty() {
            self.ledgers.remove(&ledger);
        }
        Some((ledger, entry))
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.ledgers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_out_in_order_and_once() {
        let mut entries = Entries::default();
        let keys = [(1, 0), (1, 63), (1, 64), (1, u64::MAX), (2, 5), (u64::MAX, 1)];
        for key in keys.iter().rev().chain(&keys) {
            entries.insert(*key);
        }
        let out: Vec<Key> = std::iter::from_fn(|| entries.pop_first()).collect();
        assert_eq!(out, keys);
        assert!(entries.is_empty());
    }
}
