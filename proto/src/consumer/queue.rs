//! Messages that have arrived and were not taken yet.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::{EntryData, Message};
use crate::error::{Error, ErrorKind};
use crate::wire::DecodeError;
use crate::wire::batch::BatchReader;

/// Entries in order; batches are walked when their messages are taken.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Queued>,
}

#[derive(Debug)]
enum Queued {
    One(Message),
    Batch {
        entry: Arc<EntryData>,
        next: BatchReader,
        index: u32,
        /// Messages that the batch says it has; there may be fewer.
        declared: u32,
        /// Permits that it took and that were not handed on yet.
        permits: u32,
        /// Bits of messages that are still to be delivered; all when empty.
        ack_set: Vec<i64>,
        /// Messages below this index are not wanted.
        first: u32,
    },
    /// An entry that could not be unpacked, and how many permits it took.
    Unreadable(Error, u32),
}

/// What [`Queue::take`] found.
#[derive(Debug)]
pub(crate) enum Taken {
    Message(Message),
    /// Messages that were delivered but are not for the user: their permits go back.
    Skipped(u32),
    Unreadable(Error, u32),
}

impl Queue {
    pub(crate) fn push_one(&mut self, message: Message) {
        self.entries.push_back(Queued::One(message));
    }

    pub(crate) fn push_batch(&mut self, entry: EntryData, declared: u32, ack_set: Vec<i64>, first: u32) {
        self.entries.push_back(Queued::Batch {
            entry: Arc::new(entry),
            next: BatchReader::new(),
            index: 0,
            declared,
            permits: open_bits(&ack_set, declared),
            ack_set,
            first,
        });
    }

    pub(crate) fn push_unreadable(&mut self, error: Error, permits: u32) {
        self.entries.push_back(Queued::Unreadable(error, permits));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all of it; the permits that it took.
    pub(crate) fn clear(&mut self) -> u32 {
        let mut sum = 0_u32;
        for queued in &self.entries {
            sum = sum.saturating_add(match queued {
                Queued::One(_) => 1,
                Queued::Batch { permits, .. } | Queued::Unreadable(_, permits) => *permits,
            });
        }
        self.entries.clear();
        sum
    }

    /// Drops what is in front and not for the user; the permits that it took.
    pub(crate) fn settle(&mut self) -> u32 {
        let mut sum = 0_u32;
        while let Some(Queued::Batch { entry, next, index, declared, permits, ack_set, first }) =
            self.entries.front_mut()
        {
            let before = next.clone();
            let Ok(slot) = next.next(&entry.payload) else {
                *next = before;
                return sum;
            };
            let counted = is_set(ack_set, *index);
            if counted && !slot.compacted_out && *index >= *first {
                *next = before;
                return sum;
            }
            if counted {
                *permits = permits.saturating_sub(1);
                sum = sum.saturating_add(1);
            }
            *index += 1;
            if *index >= *declared {
                self.entries.pop_front();
            }
        }
        sum
    }

    pub(crate) fn take(&mut self) -> Option<Taken> {
        let Some(Queued::Batch { entry, next, index, declared, permits, ack_set, first }) =
            self.entries.front_mut()
        else {
            return match self.entries.pop_front()? {
                Queued::One(message) => Some(Taken::Message(message)),
                Queued::Unreadable(error, permits) => Some(Taken::Unreadable(error, permits)),
                Queued::Batch { .. } => None,
            };
        };
        let at = *index;
        *index += 1;
        let last = *index >= *declared;
        let taken = match next.next(&entry.payload) {
            // Acknowledged before: the broker did not count it.
            Ok(_) if !is_set(ack_set, at) => Taken::Skipped(0),
            Ok(slot) => {
                *permits = permits.saturating_sub(1);
                if slot.compacted_out || at < *first {
                    Taken::Skipped(1)
                } else {
                    Taken::Message(Message::of_batch(entry.clone(), at as i32, slot))
                }
            }
            Err(error) => {
                let unreadable = Taken::Unreadable(not_a_batch(entry, *declared, error), *permits);
                self.entries.pop_front();
                return Some(unreadable);
            }
        };
        if last {
            self.entries.pop_front();
        }
        Some(taken)
    }
}

#[cold]
fn not_a_batch(entry: &EntryData, declared: u32, error: DecodeError) -> Error {
    let (ledger, entry) = (entry.position.ledger, entry.position.entry);
    let why = format!("entry {ledger}:{entry} is not a batch of {declared} messages: {error}");
    Error::new(ErrorKind::Corrupted, why)
}

fn is_set(ack_set: &[i64], index: u32) -> bool {
    ack_set.is_empty() || ack_set.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
}

/// How many of the first `size` bits are set: those are the messages that the broker counted.
pub(crate) fn open_bits(ack_set: &[i64], size: u32) -> u32 {
    if ack_set.is_empty() {
        return size;
    }
    let bits = |(word, at): (&i64, usize)| match (size as usize).saturating_sub(at) {
        left @ 0..64 => (word & ((1 << left) - 1)).count_ones(),
        _ => word.count_ones(),
    };
    ack_set.iter().zip((0..).step_by(64)).map(bits).sum()
}
