//! Open batches by key: Java's `BatcherBuilder.KEY_BASED`.
//!
//! ```text
//! send:   a(0) b(1) b(2) a(3)  -> one open batch for each key, all counted together
//! full, timer, flush, ...      -> all of them go out: b(1 2) a(0 3), by their last sequence ids
//! ```
//!
//! As Java's, each goes by its highest sequence id, so that what the broker has seen only grows. Sends
//! get their tokens in the order in which they came and end in that of their batches: for the entries
//! that are pending, `sent` says which token stands in which place.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::batch::OpenBatch;
use super::message::{Key, Outgoing};
use crate::time::{Now, Time};

/// Emptied batches that are kept for their buffers.
const SPARE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct KeyBatches {
    open: BTreeMap<BatchKey, KeyBatch>,
    spare: Vec<KeyBatch>,
    pub(super) messages: u32,
    bytes: usize,
    since: Now,
    /// As in [`OpenBatch`].
    pub(super) repeats: bool,
    sent: VecDeque<Sent>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum BatchKey {
    None,
    Ordering(Vec<u8>),
    Text(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Default)]
pub(super) struct KeyBatch {
    pub(super) batch: OpenBatch,
    tokens: Vec<u64>,
}

/// Tokens of batches that went out together, in the order of the ring, from a place on.
#[derive(Debug)]
struct Sent {
    first: u64,
    tokens: Vec<u64>,
}

impl KeyBatches {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn due(&self, delay: Duration) -> Option<Time> {
        (self.messages > 0).then(|| self.since.time + delay)
    }

    /// Whether a message may join the batch of its key.
    pub(super) fn suits(&self, message: &Outgoing<'_>) -> bool {
        self.open.get(&BatchKey::of(message)).is_none_or(|open| open.batch.suits(message))
    }

    pub(super) fn push(&mut self, token: u64, sequence_id: u64, message: &Outgoing<'_>, now: Now) {
        if self.messages == 0 {
            self.since = now;
        }
        let spare = &mut self.spare;
        let open = self.open.entry(BatchKey::of(message)).or_insert_with(|| spare.pop().unwrap_or_default());
        let before = open.batch.bytes().len();
        open.batch.push(sequence_id, message, now);
        open.tokens.push(token);
        self.bytes += open.batch.bytes().len() - before;
        self.messages += 1;
    }

    /// Takes out all batches, in the order in which they go out from the place `first` of the ring on.
    pub(super) fn take(&mut self, first: u64) -> Vec<KeyBatch> {
        let mut batches: Vec<KeyBatch> = std::mem::take(&mut self.open).into_values().collect();
        batches.sort_by_key(|open| open.batch.last);
        let tokens = batches.iter().flat_map(|open| open.tokens.iter().copied()).collect();
        self.sent.push_back(Sent { first, tokens });
        (self.messages, self.bytes, self.repeats) = (0, 0, false);
        batches
    }

    /// A batch is out: its buffer is kept.
    pub(super) fn give_back(&mut self, mut used: KeyBatch) {
        if self.spare.len() < SPARE {
            used.batch.clear();
            used.tokens.clear();
            self.spare.push(used);
        }
    }

    /// The token of the send in a place of the ring, which begins with `head` now.
    pub(super) fn token_of(&mut self, place: u64, head: u64) -> u64 {
        let end = |sent: &Sent| sent.first + sent.tokens.len() as u64;
        while self.sent.front().is_some_and(|sent| end(sent) <= place.min(head)) {
            self.sent.pop_front();
        }
        let sent = self.sent.iter().find(|sent| (sent.first..end(sent)).contains(&place));
        sent.and_then(|sent| sent.tokens.get((place - sent.first) as usize)).copied().unwrap_or(place)
    }
}

impl BatchKey {
    fn of(message: &Outgoing<'_>) -> Self {
        match (message.ordering_key, message.key) {
            (Some(key), _) => Self::Ordering(key.to_vec()),
            (None, Some(Key::Text(key))) => Self::Text(key.to_owned()),
            (None, Some(Key::Bytes(key))) => Self::Bytes(key.to_vec()),
            (None, None) => Self::None,
        }
    }
}
