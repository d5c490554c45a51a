//! Acknowledgements on their way to the broker, many in one frame.
//!
//! ```text
//! acknowledged -> pending --group time, group size, close, unsubscribe, seek--> ACK is out
//!                    ^                                        asked for: receipt -> done, failed
//!                    |                                        ack_receipt_enabled: receipt -> done
//!                    +-- link lost, or no receipt came: whole entries wait for the next link, and go out before its FLOW
//! ```

use std::collections::BTreeSet;

use super::acks::BatchAcks;
use super::entries::Key;
use crate::client::requests::ConsumerReplied;
use crate::error::{Error, Fault};
use crate::ids::OpId;
use crate::wire::{AckType, CommandAck, KeyLongValue, MessageIdData};

/// A flush whose receipts someone waits for, by its number, and what handles them.
pub(crate) type Flush = (u64, ConsumerReplied);

/// Ids in one ACK, and words of bit sets: no frame nears the limit.
const MAX_IDS: usize = 1000;
const MAX_WORDS: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Grouping {
    /// Entries that are done with; of those that are so in part, the open bits are told.
    individual: BTreeSet<Key>,
    /// The last entry, and whether all of it is meant.
    cumulative: Option<(Key, bool)>,
    /// Who waits for the receipt of what is pending.
    waiting: Vec<OpId>,
    /// What handles receipts; linked only into programs that ask for them.
    replied: Option<ConsumerReplied>,
    /// Who waits for receipts that are on their way.
    receipts: Vec<Receipt>,
    flushes: u64,
    /// What handles all receipts, where each acknowledgement is confirmed.
    always: Option<ConsumerReplied>,
    /// What goes with the next ACKs.
    properties: Vec<KeyLongValue>,
}

#[derive(Debug)]
struct Receipt {
    flush: u64,
    ops: Vec<OpId>,
    /// ACKs that are not answered yet.
    left: usize,
    error: Option<Error>,
    /// What is said again if no receipt comes.
    individual: Vec<Key>,
    cumulative: Option<(Key, bool)>,
}

impl Grouping {
    /// Each acknowledgement is confirmed, and said again until it is.
    pub(crate) fn always_confirmed(&mut self, replied: ConsumerReplied) {
        self.always = Some(replied);
    }

    /// What goes with the next ACKs.
    pub(crate) fn carry(&mut self, properties: &[(String, u64)]) {
        let pair = |(key, value): &(String, u64)| KeyLongValue { key: key.clone(), value: *value };
        self.properties = properties.iter().map(pair).collect();
    }

    pub(crate) fn individual(&mut self, key: Key) {
        self.individual.insert(key);
    }

    pub(crate) fn cumulative(&mut self, key: Key, whole: bool) {
        if self.cumulative.is_none_or(|pending| pending <= (key, whole)) {
            self.cumulative = Some((key, whole));
        }
    }

    pub(crate) fn wait(&mut self, op: OpId, replied: ConsumerReplied) {
        self.replied = Some(replied);
        self.waiting.push(op);
    }

    /// Entries that are pending.
    pub(crate) fn len(&self) -> usize {
        self.individual.len() + usize::from(self.cumulative.is_some())
    }

    /// Bits are forgotten with the link; what is known of whole entries stays.
    pub(crate) fn lost(&mut self, acks: &BatchAcks) {
        for key in std::mem::take(&mut self.individual) {
            if !acks.is_partial(key) {
                self.individual.insert(key);
            }
        }
        self.cumulative = self.cumulative.and_then(|(key, whole)| Some((before(key, whole)?, true)));
    }

    /// Nothing that is pending or not confirmed counts any more.
    pub(crate) fn clear(&mut self) {
        self.individual.clear();
        self.cumulative = None;
        for receipt in &mut self.receipts {
            receipt.individual.clear();
            receipt.cumulative = None;
        }
    }

    /// All that is pending, as ACKs; and if someone waits for receipts the number of the flush.
    pub(crate) fn flush(&mut self, consumer_id: u64, acks: &BatchAcks) -> (Vec<CommandAck>, Option<Flush>) {
        let properties = std::mem::take(&mut self.properties);
        let ack = |ack_type, message_id| CommandAck {
            consumer_id,
            ack_type,
            message_id,
            properties: properties.clone(),
            ..Default::default()
        };
        let mut commands = Vec::new();
        let cumulative = self.cumulative.take();
        if let Some((key, whole)) = cumulative {
            let bits = if whole { Vec::new() } else { acks.open(key) };
            let key = if bits.is_empty() { before(key, whole) } else { Some(key) };
            commands.extend(key.map(|key| ack(AckType::CUMULATIVE, vec![data(key, bits)])));
        }
        let (mut ids, mut words) = (Vec::new(), 0);
        let mut kept = Vec::new();
        for key in std::mem::take(&mut self.individual) {
            if cumulative.is_some_and(|(covered, _)| key < covered) {
                continue;
            }
            if self.always.is_some() {
                kept.push(key);
            }
            let id = data(key, acks.open(key));
            words += id.ack_set.len();
            ids.push(id);
            if ids.len() >= MAX_IDS || words >= MAX_WORDS {
                commands.push(ack(AckType::INDIVIDUAL, std::mem::take(&mut ids)));
                words = 0;
            }
        }
        if !ids.is_empty() {
            commands.push(ack(AckType::INDIVIDUAL, ids));
        }
        let replied = self.replied.filter(|_| !self.waiting.is_empty());
        let always = self.always.filter(|_| !commands.is_empty());
        let Some(replied) = replied.or(always) else {
            return (commands, None);
        };
        self.flushes += 1;
        self.receipts.push(Receipt {
            flush: self.flushes,
            ops: std::mem::take(&mut self.waiting),
            left: commands.len(),
            error: None,
            individual: kept,
            cumulative: cumulative.filter(|_| self.always.is_some()),
        });
        (commands, Some((self.flushes, replied)))
    }

    /// An ACK of a flush was answered, or there was none: who is done with it, and how.
    pub(crate) fn answered(&mut self, flush: u64, error: Option<Error>) -> (Vec<OpId>, Option<Error>) {
        let Some(at) = self.receipts.iter().position(|receipt| receipt.flush == flush) else {
            return Default::default();
        };
        let receipt = &mut self.receipts[at];
        receipt.left = receipt.left.saturating_sub(1);
        receipt.error = receipt.error.take().or(error);
        if receipt.left > 0 {
            return Default::default();
        }
        let receipt = self.receipts.swap_remove(at);
        if receipt.error.as_ref().is_some_and(|error| error.fault() == Fault::Io) {
            self.individual.extend(receipt.individual);
            if let Some((key, whole)) = receipt.cumulative {
                self.cumulative(key, whole);
            }
        }
        (receipt.ops, receipt.error)
    }

    /// Those that wait for a receipt.
    pub(crate) fn waiting(&mut self) -> Vec<OpId> {
        let mut ops = std::mem::take(&mut self.waiting);
        self.receipts.drain(..).for_each(|receipt| ops.extend(receipt.ops));
        ops
    }
}

/// What is done with for sure: of an entry that is not whole, the one before it.
fn before((ledger, entry): Key, whole: bool) -> Option<Key> {
    if whole { Some((ledger, entry)) } else { Some((ledger, entry.checked_sub(1)?)) }
}

fn data((ledger_id, entry_id): Key, ack_set: Vec<i64>) -> MessageIdData {
    MessageIdData { ledger_id, entry_id, ack_set, ..Default::default() }
}
