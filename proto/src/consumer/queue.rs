//! Messages that have arrived and were not taken yet.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::{EntryData, Message};
use crate::error::{Error, ErrorKind};
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
        index: i32,
        /// Bits of messages that are still to be delivered; all when empty.
        ack_set: Vec<i64>,
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

    pub(crate) fn push_batch(&mut self, entry: EntryData, ack_set: Vec<i64>) {
        self.entries.push_back(Queued::Batch {
            entry: Arc::new(entry),
            next: BatchReader::new(),
            index: 0,
            ack_set,
        });
    }

    pub(crate) fn push_unreadable(&mut self, error: Error, permits: u32) {
        self.entries.push_back(Queued::Unreadable(error, permits));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn take(&mut self) -> Option<Taken> {
        let Some(Queued::Batch { entry, next, index, ack_set }) = self.entries.front_mut() else {
            return match self.entries.pop_front()? {
                Queued::One(message) => Some(Taken::Message(message)),
                Queued::Unreadable(error, permits) => Some(Taken::Unreadable(error, permits)),
                Queued::Batch { .. } => None,
            };
        };
        let at = *index;
        *index += 1;
        let last = *index >= entry.batch_size;
        let taken = match next.next(&entry.payload) {
            Ok(slot) if slot.compacted_out || !is_set(ack_set, at) => Taken::Skipped(1),
            Ok(slot) => Taken::Message(Message::of_batch(entry.clone(), at, slot)),
            Err(error) => {
                let left = u32::try_from(entry.batch_size - at).unwrap_or(1);
                let error = Error::new(
                    ErrorKind::Corrupted,
                    format!(
                        "entry {}:{} is not a batch: {error}",
                        entry.position.ledger, entry.position.entry
                    ),
                );
                self.entries.pop_front();
                return Some(Taken::Unreadable(error, left));
            }
        };
        if last {
            self.entries.pop_front();
        }
        Some(taken)
    }
}

fn is_set(ack_set: &[i64], index: i32) -> bool {
    if ack_set.is_empty() {
        return true;
    }
    let index = usize::try_from(index).unwrap_or(0);
    ack_set.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
}
