//! How far a subscription is: what of a topic is acknowledged.
//!
//! Everything below `mark` is acknowledged; beyond it, whole entries as ranges, and of some batches
//! the bits of the messages that are still open. In order, that is one number.

use std::collections::BTreeMap;

use super::ranges::RangeSet;

/// What is acknowledged of a topic.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    mark: u64,
    acked: RangeSet,
    /// Batches that are acknowledged in part: a set bit is a message still open.
    open: BTreeMap<u64, Vec<u64>>,
}

impl Cursor {
    pub(super) fn new(mark: u64) -> Self {
        Self { mark, ..Self::default() }
    }

    /// The first entry that is not acknowledged.
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    pub(super) fn is_acked(&self, offset: u64) -> bool {
        offset < self.mark || self.acked.contains(offset)
    }

    /// The first entry from `offset` on that is not acknowledged whole.
    pub(super) fn next_open(&self, offset: u64) -> u64 {
        let offset = offset.max(self.mark);
        self.acked.range_of(offset).map_or(offset, |(_, end)| end)
    }

    /// Acknowledges an entry; false when it was already.
    pub(super) fn ack(&mut self, offset: u64) -> bool {
        if self.is_acked(offset) {
            return false;
        }
        if !self.open.is_empty() {
            self.open.remove(&offset);
        }
        if offset == self.mark && self.acked.is_empty() {
            self.mark += 1;
        } else {
            self.acked.insert(offset);
            self.advance();
        }
        true
    }

    /// Acknowledges the messages of a batch whose bits are not set in `set`. Answers how many
    /// messages that were, and whether the whole entry is acknowledged now.
    pub(super) fn ack_bits(&mut self, offset: u64, set: &[i64], messages: u32) -> (u64, bool) {
        if self.is_acked(offset) {
            return (0, false);
        }
        let before = self.open_messages(offset, messages);
        let mut bits = open_bits(set, messages);
        if let Some(open) = self.open.get(&offset) {
            bits.truncate(open.len());
            bits.iter_mut().zip(open).for_each(|(bit, open)| *bit &= open);
        }
        let after: u64 = bits.iter().map(|word| u64::from(word.count_ones())).sum();
        if after == 0 {
            self.ack(offset);
        } else {
            self.open.insert(offset, bits);
        }
        (before.saturating_sub(after), after == 0)
    }

    /// Acknowledges everything below `offset`.
    pub(super) fn ack_below(&mut self, offset: u64) {
        if offset <= self.mark {
            return;
        }
        self.mark = offset;
        self.acked.remove_below(offset);
        self.open = self.open.split_off(&offset);
        self.advance();
    }

    /// Its mark, and how many entries beyond it are acknowledged whole.
    pub(super) fn settled(&self) -> (u64, u64) {
        (self.mark, self.acked.count_within(self.mark, u64::MAX))
    }

    /// All that it knows: its mark, ranges beyond it as pairs of numbers, and open bits.
    pub(super) fn parts(&self) -> (u64, Vec<u64>, &BTreeMap<u64, Vec<u64>>) {
        (self.mark, self.acked.ranges().flat_map(|(start, end)| [start, end]).collect(), &self.open)
    }

    /// Takes up what was kept beyond its mark.
    pub(super) fn restore(&mut self, ranges: &[u64], open: BTreeMap<u64, Vec<u64>>) -> Option<()> {
        let (pairs, rest) = ranges.as_chunks::<2>();
        for &[start, end] in pairs {
            self.acked.insert_range(start, end)?;
        }
        self.open = open;
        rest.is_empty().then_some(())
    }

    /// Starts anew at `offset`.
    pub(super) fn reset(&mut self, offset: u64) {
        *self = Self::new(offset);
    }

    /// Nothing is there to be acknowledged in these ranges, which are in order and beyond what is acknowledged.
    pub(super) fn pass_over(&mut self, ranges: &[(u64, u64)]) {
        for &(start, end) in ranges {
            self.acked.insert_range(start, end);
        }
        self.advance();
    }

    /// The open messages of an entry that is acknowledged in part, as MESSAGE carries them.
    pub(super) fn ack_set(&self, offset: u64) -> Vec<i64> {
        if self.open.is_empty() {
            return Vec::new();
        }
        self.open.get(&offset).map(|set| set.iter().map(|word| *word as i64).collect()).unwrap_or_default()
    }

    /// How many of an entry's messages are not acknowledged.
    pub(super) fn open_messages(&self, offset: u64, messages: u32) -> u64 {
        if self.open.is_empty() {
            return u64::from(messages);
        }
        match self.open.get(&offset) {
            Some(set) => set.iter().map(|word| u64::from(word.count_ones())).sum(),
            None => u64::from(messages),
        }
    }

    /// Entries below `end` that are not acknowledged.
    pub(super) fn backlog(&self, end: u64) -> u64 {
        end.saturating_sub(self.mark).saturating_sub(self.acked.count_within(self.mark, end))
    }

    fn advance(&mut self) {
        if let Some((_, end)) = self.acked.range_of(self.mark) {
            self.mark = end;
            self.acked.remove_below(end);
        }
    }
}

/// The bits of an acknowledgement for a batch of so many messages; beyond it, they mean nothing.
pub(super) fn open_bits(set: &[i64], messages: u32) -> Vec<u64> {
    let messages = messages as usize;
    let mut bits: Vec<u64> = set.iter().map(|word| *word as u64).take(messages.div_ceil(64)).collect();
    if !messages.is_multiple_of(64)
        && bits.len() == messages.div_ceil(64)
        && let Some(last) = bits.last_mut()
    {
        *last &= (1 << (messages % 64)) - 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn acks_in_any_order_leave_one_mark() {
        let mut cursor = Cursor::new(0);
        for offset in [3, 1, 2, 5] {
            assert!(cursor.ack(offset));
        }
        assert_eq!((cursor.mark(), cursor.next_open(1), cursor.backlog(6)), (0, 4, 2));
        assert!(cursor.ack(0) && !cursor.ack(0));
        assert_eq!((cursor.mark(), cursor.backlog(6)), (4, 1));
        cursor.ack_below(5);
        assert_eq!((cursor.mark(), cursor.backlog(6)), (6, 0));
    }

    #[test]
    fn a_batch_is_acknowledged_when_its_last_bit_is() {
        let mut cursor = Cursor::new(0);
        assert_eq!(cursor.ack_bits(0, &[0b1110], 4), (1, false));
        assert_eq!(cursor.ack_set(0), [0b1110]);
        assert_eq!(cursor.ack_bits(0, &[0b0111], 4), (1, false));
        assert_eq!(cursor.ack_set(0), [0b0110]);
        assert_eq!(cursor.ack_bits(0, &[-1], 4), (0, false));
        assert_eq!(cursor.ack_bits(0, &[], 4), (2, true));
        assert_eq!(cursor.mark(), 1);
    }

    #[test]
    fn bits_beyond_the_batch_mean_nothing() {
        let mut cursor = Cursor::new(0);
        assert_eq!(cursor.ack_bits(0, &[-1, -1, -1], 4), (0, false));
        assert_eq!(cursor.ack_set(0), [0b1111]);
    }
}
