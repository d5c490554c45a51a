//! What becomes of an entry that arrives.
//!
//! ```text
//! entry --damaged on its way--> told to the broker (Damaged)
//!   |----before the start, of an earlier epoch--> its permits go back (Unwanted)
//!   |----a batch, where the queue is of zero--> the consumer cannot go on (Refused)
//!   |----a chunk--> gathered, see `chunks`: nothing yet (Unwanted), or whole: goes on
//!   |----cannot be read--> its error waits in its place (Queued)
//!   |----came too often--> letters, see `letters` (Overdue)
//!   v
//! queue (Queued)
//! ```

use std::fmt::Display;

use super::Consumer;
use super::chunks::Gathered;
use super::message::{EntryData, Message};
use super::queue::{self, Content, Queue, Taken, open_bits};
use super::start::Before;
use crate::compression::{Unpacker, possible};
use crate::error::{Error, ErrorKind};
use crate::time::Now;
use crate::wire::entry::{Checksum, Entry, Unpack};
use crate::wire::hot::{Delivery, Position};
use crate::wire::{AckType, CommandAck, CompressionType, MessageIdData, ValidationError};

/// What the broker must be told about an entry that arrived.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Nothing; `true` when the user is to be told that messages wait.
    Queued(bool),
    /// Nothing; it is not for the user.
    Unwanted,
    /// Nothing, but its messages came too often; and whether the user is to be told that something waits.
    Overdue(Vec<Message>, bool),
    /// That it was damaged on its way.
    Damaged(CommandAck),
    /// That this consumer cannot go on.
    Refused(Error),
}

impl Consumer {
    /// Takes in an entry.
    pub(crate) fn arrived(
        &mut self,
        delivery: Delivery,
        entry: Result<Entry, Error>,
        unpacker: &mut Option<Box<Unpacker>>,
        now: Now,
    ) -> Arrival {
        self.arrivals += 1;
        let at = delivery.position;
        let unreadable = |why: &dyn Display| queue::unreadable(ErrorKind::Corrupted, at, why);
        let parsed = entry.map_err(|e| unreadable(&e)).and_then(|entry| {
            if entry.checksum == Checksum::Wrong {
                return Ok((entry, Unpack::default()));
            }
            match Unpack::read(&entry.metadata) {
                Ok(unpack) => Ok((entry, unpack)),
                Err(e) => Err(unreadable(&e)),
            }
        });
        let (entry, unpack) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.queue.push_unreadable(error, 1);
                return Arrival::Queued(self.announce());
            }
        };
        if entry.checksum == Checksum::Wrong {
            self.flow.give_back(damaged_permits(&entry, &delivery.ack_set));
            return Arrival::Damaged(CommandAck {
                consumer_id: self.id.0,
                ack_type: AckType::INDIVIDUAL,
                message_id: vec![MessageIdData {
                    ledger_id: at.ledger,
                    entry_id: at.entry,
                    ..Default::default()
                }],
                validation_error: Some(ValidationError::CHECKSUM_MISMATCH),
                ..Default::default()
            });
        }
        // What the broker counted; it goes by the same words.
        let declared = u32::try_from(unpack.batch.unwrap_or(1)).unwrap_or(0);
        let permits = open_bits(&delivery.ack_set, declared).max(1);
        let before = self.start.before(at, unpack.batch.is_some());
        if before == Before::All || delivery.consumer_epoch.is_some_and(|epoch| epoch < self.epoch) {
            self.flow.give_back(permits);
            return Arrival::Unwanted;
        }
        if unpack.batch.is_some() && self.flow.is_zero() {
            return Arrival::Refused(batch_for_zero(at));
        }
        if let Some(why) = unsupported(&unpack) {
            self.queue.push_unreadable(queue::unreadable(ErrorKind::NotSupported, at, &why), permits);
            return Arrival::Queued(self.announce());
        }
        let (mut payload, mut first_chunk) = (entry.payload, None);
        if cfg!(feature = "chunking") && unpack.chunk {
            let limit = self.message_limit();
            let key = (at.ledger, at.entry);
            match self.chunks.take(&self.config, limit, key, &entry.metadata, &payload, now) {
                Gathered::Whole(whole, first) => (payload, first_chunk) = (whole, Some(first)),
                Gathered::Nothing => {
                    self.flow.give_back(permits);
                    return Arrival::Unwanted;
                }
                Gathered::Impossible(why) => {
                    self.queue.push_unreadable(unreadable(&why), permits);
                    return Arrival::Queued(self.announce());
                }
            }
        }
        let (codec, mut bytes) = (unpack.compression, payload.len());
        if codec != CompressionType::NONE {
            let size = unpack.uncompressed_size as usize;
            let limit = self.message_limit();
            if let Err(error) = possible(codec, bytes, size, limit) {
                self.queue.push_unreadable(queue::unreadable(error.kind(), at, &error), permits);
                return Arrival::Queued(self.announce());
            }
            bytes = size;
        }
        // A message of a batch takes at least six bytes, so the broker's word for their number is bounded.
        let batch_size = unpack.batch.unwrap_or(0).clamp(0, i32::try_from(bytes / 6).unwrap_or(i32::MAX));
        if unpack.batch.is_some() && batch_size == 0 {
            self.queue.push_unreadable(unreadable(&"an empty batch"), permits);
            return Arrival::Queued(self.announce());
        }
        let data = EntryData {
            source: self.source.clone(),
            position: at,
            redelivery_count: delivery.redelivery_count,
            broker: entry.broker,
            metadata: entry.metadata,
            payload,
            batch_size,
            first_chunk,
        };
        let overdue = self.letters().is_some_and(|letters| letters.is_overdue(delivery.redelivery_count));
        let mut apart = Queue::default();
        let queue = if overdue { &mut apart } else { &mut self.queue };
        let content = if unpack.batch.is_none() {
            Content::One { null_value: unpack.null_value }
        } else {
            self.acks.delivered(at.ledger, at.entry, batch_size, &delivery.ack_set);
            let first = if let Before::Below(first) = before { first } else { 0 };
            Content::Batch { declared, ack_set: delivery.ack_set, first }
        };
        if codec == CompressionType::NONE {
            queue.push(data, content);
        } else {
            queue.push_packed(data, content, codec, bytes);
        }
        if overdue {
            return self.overdue(apart, unpacker);
        }
        if self.flow.adapts() {
            self.flow.arrived(permits, bytes, &self.queue);
        }
        if permits > 1 {
            self.flow.drew(&self.queue);
        }
        Arrival::Queued(self.announce())
    }

    /// The largest message that is unpacked or put together, in bytes.
    pub(crate) fn message_limit(&self) -> usize {
        self.config.max_uncompressed_size.max(self.max_message_size)
    }

    /// Messages that came too often; what cannot be read of them is still for the user.
    #[cold]
    fn overdue(&mut self, mut queue: Queue, unpacker: &mut Option<Box<Unpacker>>) -> Arrival {
        let mut messages = Vec::new();
        while let Some(taken) = queue.take() {
            match taken {
                Taken::Message(message) => {
                    self.flow.give_back(1);
                    messages.push(message);
                }
                Taken::Skipped(permits) => self.flow.give_back(permits),
                Taken::Unreadable(error, permits) => self.queue.push_unreadable(error, permits),
                Taken::Packed => queue.unpack(unpacker),
            }
        }
        let announced = !self.queue.is_empty() && self.announce();
        Arrival::Overdue(messages, announced)
    }
}

#[cold]
fn batch_for_zero(at: Position) -> Error {
    let why = format!(
        "the entry {}:{} is a batch, and a consumer with a receiver queue of zero takes single messages only",
        at.ledger, at.entry
    );
    Error::new(ErrorKind::NotSupported, why)
}

/// What the broker counted for a damaged entry, if its damaged metadata can be believed.
fn damaged_permits(entry: &Entry, ack_set: &[i64]) -> u32 {
    let claimed = Unpack::read(&entry.metadata).ok().and_then(|unpack| unpack.batch);
    let claimed = claimed.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    if claimed as usize > entry.payload.len() { 1 } else { open_bits(ack_set, claimed).max(1) }
}

/// Why this version cannot unpack an entry.
fn unsupported(unpack: &Unpack) -> Option<String> {
    if unpack.encrypted {
        return Some("it is encrypted, which is not supported yet".to_owned());
    }
    let left_out = unpack.chunk && !cfg!(feature = "chunking");
    left_out.then(|| "it is a chunk of a larger message, which this build leaves out".to_owned())
}
