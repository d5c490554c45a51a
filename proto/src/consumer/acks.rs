//! Which messages of a batch are done with.
//!
//! Brokers store acknowledgements by entry. An ACK of an entry without a bit set means all of its
//! messages, whatever index it names, so an entry is acknowledged only when all of it is.
//!
//! Of each batch, by its entry:
//!
//! ```text
//!             one of it acknowledged; delivered with some bits closed        the last open bit acknowledged
//! (all open) ---------------------------------------------------> partial ---------------------------------> whole
//!     |                                                            |   ^ one more acknowledged: a bit is closed
//!     |                                                            +---+
//!     +-- a batch of one, or all of it at once -----------------------------------------------------------> whole
//!
//! whole: told to the broker, and forgotten. A cumulative acknowledgement makes all entries before it whole, closes
//! the bits up to it in its own, and while that is partial tells the broker the entry before.
//! link lost, redelivery of all: partial -> (all open), it comes again with the bits that the broker knows of
//! ```

use std::collections::BTreeMap;

use crate::ids::MessageId;
use crate::wire::MessageIdData;

/// Batches of which a part is acknowledged.
#[derive(Debug, Default)]
pub(crate) struct BatchAcks {
    partial: BTreeMap<(u64, u64), Bits>,
}

#[derive(Debug)]
struct Bits {
    /// Set bits are still to be acknowledged.
    words: Vec<u64>,
    left: u32,
}

impl Bits {
    fn all(size: usize) -> Self {
        let mut words = vec![u64::MAX; size.div_ceil(64)];
        if !size.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last = (1 << (size % 64)) - 1;
        }
        Self { words, left: size as u32 }
    }

    fn clear(&mut self, index: usize) {
        if let Some(word) = self.words.get_mut(index / 64)
            && *word >> (index % 64) & 1 == 1
        {
            *word &= !(1 << (index % 64));
            self.left -= 1;
        }
    }
}

/// Batches are at most this large: what a frame of the largest message can hold is less.
const MAX_BATCH: i32 = 16 * 1024 * 1024;

impl BatchAcks {
    /// Notes that the broker delivered a batch of which only the bits of `ack_set` are open.
    pub(crate) fn delivered(&mut self, ledger: u64, entry: u64, size: i32, ack_set: &[i64]) {
        if ack_set.is_empty() || !(2..=MAX_BATCH).contains(&size) {
            return;
        }
        let mut bits = Bits::all(size as usize);
        for index in 0..size as usize {
            if ack_set.get(index / 64).is_none_or(|word| word >> (index % 64) & 1 == 0) {
                bits.clear(index);
            }
        }
        self.partial.insert((ledger, entry), bits);
    }

    /// One message is done with: what to tell the broker, if anything yet.
    pub(crate) fn individual(&mut self, id: MessageId) -> Option<MessageIdData> {
        let Some(index) = batch_place(id) else { return Some(id.to_wire()) };
        let key = (id.ledger_id, id.entry_id);
        let bits = self.partial.entry(key).or_insert_with(|| Bits::all(id.batch_size as usize));
        bits.clear(index);
        if bits.left > 0 {
            return None;
        }
        self.partial.remove(&key);
        Some(id.to_wire())
    }

    /// All messages up to one are done with: what to tell the broker, if anything.
    pub(crate) fn cumulative(&mut self, id: MessageId) -> Option<MessageIdData> {
        let key = (id.ledger_id, id.entry_id);
        while let Some(&first) = self.partial.keys().next().filter(|first| **first < key) {
            self.partial.remove(&first);
        }
        let Some(index) = batch_place(id).filter(|index| index + 1 < id.batch_size as usize) else {
            self.partial.remove(&key);
            return Some(id.to_wire());
        };
        let bits = self.partial.entry(key).or_insert_with(|| Bits::all(id.batch_size as usize));
        (0..=index).for_each(|i| bits.clear(i));
        if bits.left == 0 {
            self.partial.remove(&key);
            return Some(id.to_wire());
        }
        // The entry before is done with for sure.
        let before = id.entry_id.checked_sub(1)?;
        Some(MessageIdData { ledger_id: id.ledger_id, entry_id: before, ..Default::default() })
    }

    /// Whether a part of an entry is acknowledged, and not all of it.
    pub(crate) fn is_partial(&self, key: (u64, u64)) -> bool {
        self.partial.contains_key(&key)
    }

    /// The bits of an entry that are still to be acknowledged; none unless a part of it is.
    pub(crate) fn open(&self, key: (u64, u64)) -> Vec<i64> {
        let words = self.partial.get(&key).map_or(&[][..], |bits| &bits.words);
        words.iter().map(|word| *word as i64).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.partial.clear();
    }
}

/// The place in a batch of several messages.
fn batch_place(id: MessageId) -> Option<usize> {
    let in_batch =
        id.batch_index >= 0 && (2..=MAX_BATCH).contains(&id.batch_size) && id.batch_index < id.batch_size;
    in_batch.then_some(id.batch_index as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(entry_id: u64, batch_index: i32, batch_size: i32) -> MessageId {
        MessageId { ledger_id: 1, entry_id, partition: -1, batch_index, batch_size, first_chunk: None }
    }

    fn entry(data: Option<MessageIdData>) -> Option<u64> {
        data.map(|d| d.entry_id)
    }

    #[test]
    fn ack_of_one_index_never_acks_the_batch() {
        let mut acks = BatchAcks::default();
        for index in [2, 0, 0, 2] {
            assert_eq!(acks.individual(id(7, index, 3)), None);
        }
        assert_eq!(entry(acks.individual(id(7, 1, 3))), Some(7));
    }

    #[test]
    fn a_batch_of_one_and_no_batch_are_acked_at_once() {
        let mut acks = BatchAcks::default();
        assert_eq!(entry(acks.individual(id(7, 0, 1))), Some(7));
        assert_eq!(entry(acks.individual(id(8, -1, 0))), Some(8));
    }

    #[test]
    fn cumulative_ack_within_a_batch_reaches_the_entry_before_and_prunes() {
        let mut acks = BatchAcks::default();
        acks.individual(id(5, 0, 100));
        assert_eq!(entry(acks.cumulative(id(7, 499, 1000))), Some(6));
        assert_eq!(acks.partial.len(), 1);
        for index in 500..999 {
            assert_eq!(acks.individual(id(7, index, 1000)), None);
        }
        assert_eq!(entry(acks.individual(id(7, 999, 1000))), Some(7));
        assert_eq!(entry(acks.cumulative(id(9, 9, 10))), Some(9));
        assert!(acks.partial.is_empty());
    }

    #[test]
    fn bits_that_the_broker_has_already_are_not_waited_for() {
        let mut acks = BatchAcks::default();
        acks.delivered(1, 7, 4, &[0b1010]);
        assert_eq!(acks.individual(id(7, 1, 4)), None);
        assert_eq!(entry(acks.individual(id(7, 3, 4))), Some(7));
    }
}
