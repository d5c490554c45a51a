//! Messages that have arrived and were not taken yet.
//!
//! ```text
//! packed --reaches the front, is looked at--> one message · batch --message by message--> taken
//!        \--> unreadable                                         \--> unreadable
//! ```
//!
//! What is compressed stays so until it is in front: an entry is all that is unpacked at a time, however many the
//! broker sends ahead.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;

use super::entries::Key;
use super::message::{EntryData, Message};
use crate::compression::Unpacker;
use crate::error::{Error, ErrorKind};
use crate::wire::batch::BatchReader;
use crate::wire::hot::Position;
use crate::wire::{CompressionType, DecodeError};

/// Entries in order; batches are walked when their messages are taken.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Queued>,
    /// Permits that its entries took and that were not handed on yet: messages, as brokers count them.
    messages: u32,
    /// Bytes of the payloads of its entries, unpacked.
    bytes: usize,
}

#[derive(Debug)]
enum Queued {
    One(Message),
    Batch(Batch),
    Packed(Box<Packed>),
    /// An entry that could not be unpacked, and how many permits it took.
    Unreadable(Error, u32),
}

#[derive(Debug)]
struct Batch {
    entry: Arc<EntryData>,
    next: BatchReader,
    index: u32,
    /// Messages below this index are for the user, and not the last ones: nothing but to walk on.
    plain: u32,
    /// Messages that the batch says it has; there may be fewer.
    declared: u32,
    /// Bits of messages that are still to be delivered; all when empty.
    ack_set: Vec<i64>,
    /// Messages below this index are not wanted.
    first: u32,
}

impl Batch {
    fn new(entry: EntryData, declared: u32, ack_set: Vec<i64>, first: u32) -> Self {
        Self {
            entry: Arc::new(entry),
            next: BatchReader::new(),
            index: 0,
            plain: if ack_set.is_empty() && first == 0 { declared.saturating_sub(1) } else { 0 },
            declared,
            ack_set,
            first,
        }
    }

    /// Permits that it took and that were not handed on yet.
    fn permits(&self) -> u32 {
        open_bits(&self.ack_set, self.declared) - open_bits(&self.ack_set, self.index.min(self.declared))
    }
}

/// What an entry holds.
#[derive(Debug)]
pub(crate) enum Content {
    One {
        null_value: bool,
    },
    Batch {
        /// Messages that the batch says it has.
        declared: u32,
        /// Bits of messages that are still to be delivered; all when empty.
        ack_set: Vec<i64>,
        /// Messages below this index are not wanted.
        first: u32,
    },
}

impl Content {
    fn permits(&self) -> u32 {
        match self {
            Self::One { .. } => 1,
            Self::Batch { declared, ack_set, .. } => open_bits(ack_set, *declared),
        }
    }

    fn queued(self, entry: EntryData) -> Queued {
        match self {
            Self::One { null_value } => Queued::One(Message::whole(entry, null_value)),
            Self::Batch { declared, ack_set, first } => {
                Queued::Batch(Batch::new(entry, declared, ack_set, first))
            }
        }
    }
}

#[derive(Debug)]
struct Packed {
    /// Its payload is compressed.
    entry: EntryData,
    content: Content,
    codec: CompressionType,
    /// Bytes of its payload, once that is unpacked.
    size: usize,
}

/// What [`Queue::take`] found.
#[derive(Debug)]
pub(crate) enum Taken {
    Message(Message),
    /// Messages that were delivered but are not for the user: their permits go back.
    Skipped(u32),
    Unreadable(Error, u32),
    /// Nothing is taken: what is first must be [unpacked](Queue::unpack) before.
    Packed,
}

impl Queue {
    pub(crate) fn push(&mut self, entry: EntryData, content: Content) {
        self.messages = self.messages.saturating_add(content.permits());
        self.bytes += entry.payload.len();
        self.entries.push_back(content.queued(entry));
    }

    /// Enters what is compressed and declares `size` bytes, which the codec has found possible.
    pub(crate) fn push_packed(
        &mut self,
        entry: EntryData,
        content: Content,
        codec: CompressionType,
        size: usize,
    ) {
        self.messages = self.messages.saturating_add(content.permits());
        self.bytes += size;
        self.entries.push_back(Queued::Packed(Box::new(Packed { entry, content, codec, size })));
    }

    pub(crate) fn push_unreadable(&mut self, error: Error, permits: u32) {
        self.messages = self.messages.saturating_add(permits);
        self.entries.push_back(Queued::Unreadable(error, permits));
    }

    /// Unpacks what is first, if it is packed.
    pub(crate) fn unpack(&mut self, unpacker: &mut Option<Box<Unpacker>>) {
        if !matches!(self.entries.front(), Some(Queued::Packed(_))) {
            return;
        }
        let Some(Queued::Packed(packed)) = self.entries.pop_front() else { return };
        let Packed { mut entry, content, codec, size } = *packed;
        let unpacked = unpacker.get_or_insert_default().unpack(codec, &entry.payload, size);
        self.entries.push_front(match unpacked {
            Ok(payload) => {
                entry.payload = payload;
                content.queued(entry)
            }
            Err(error) => {
                self.bytes -= size;
                Queued::Unreadable(unreadable(error.kind(), entry.position, &error), content.permits())
            }
        });
    }

    /// The next message of the batch in front, where nothing but to walk on is to be done; else [`Queue::take`] finds it.
    #[inline]
    pub(crate) fn take_plain(&mut self) -> Option<Message> {
        let Some(Queued::Batch(batch)) = self.entries.front_mut() else { return None };
        let index = batch.index;
        if index >= batch.plain {
            return None;
        }
        let slot = batch.next.next_usual(&batch.entry.payload)?;
        batch.index = index + 1;
        self.messages = self.messages.saturating_sub(1);
        Some(Message::of_batch(batch.entry.clone(), index as i32, slot))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many messages wait, as brokers count them.
    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    /// Bytes of the payloads that wait, each entry's until its last message is taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes of the next message, if that can be read; of one that is [settled](Self::settle).
    pub(crate) fn next_size(&self) -> Option<usize> {
        match self.entries.front()? {
            Queued::One(message) => Some(message.size()),
            Queued::Batch(Batch { entry, next, .. }) => {
                let slot = next.clone().next(&entry.payload).ok()?;
                Some((slot.payload_end - slot.payload_start) as usize)
            }
            Queued::Packed(_) | Queued::Unreadable(..) => None,
        }
    }

    /// Forgets all of it; the permits that it took.
    pub(crate) fn clear(&mut self) -> u32 {
        self.entries.clear();
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }

    /// Ledger and entry of what is first, if it is known.
    pub(crate) fn first(&self) -> Option<Key> {
        let position = match self.entries.front()? {
            Queued::One(message) => return Some(message.id().key()),
            Queued::Batch(batch) => batch.entry.position,
            Queued::Packed(packed) => packed.entry.position,
            Queued::Unreadable(..) => return None,
        };
        Some((position.ledger, position.entry))
    }

    /// Forgets what is first; the permits that it took.
    pub(crate) fn drop_first(&mut self) -> u32 {
        let (bytes, permits) = match self.entries.pop_front() {
            None => (0, 0),
            Some(Queued::One(message)) => (message.size(), 1),
            Some(Queued::Batch(batch)) => (batch.entry.payload.len(), batch.permits()),
            Some(Queued::Packed(packed)) => (packed.size, packed.content.permits()),
            Some(Queued::Unreadable(_, permits)) => (0, permits),
        };
        self.bytes -= bytes;
        self.messages = self.messages.saturating_sub(permits);
        permits
    }

    /// Drops what is in front and not for the user; the permits that it took.
    pub(crate) fn settle(&mut self, unpacker: &mut Option<Box<Unpacker>>) -> u32 {
        let mut sum = 0_u32;
        loop {
            self.unpack(unpacker);
            let Some(Queued::Batch(batch)) = self.entries.front_mut() else { return sum };
            let before = batch.next.clone();
            let Ok(slot) = batch.next.next(&batch.entry.payload) else {
                batch.next = before;
                return sum;
            };
            let counted = is_set(&batch.ack_set, batch.index);
            if counted && !slot.compacted_out && batch.index >= batch.first {
                batch.next = before;
                return sum;
            }
            if counted {
                self.messages = self.messages.saturating_sub(1);
                sum = sum.saturating_add(1);
            }
            batch.index += 1;
            if batch.index >= batch.declared {
                self.bytes -= batch.entry.payload.len();
                self.entries.pop_front();
            }
        }
    }

    /// What is first, if it is an entry of one message.
    #[inline]
    pub(crate) fn take_one(&mut self) -> Option<Message> {
        if !matches!(self.entries.front(), Some(Queued::One(_))) {
            return None;
        }
        let Some(Queued::One(message)) = self.entries.pop_front() else { return None };
        self.messages = self.messages.saturating_sub(1);
        self.bytes -= message.size();
        Some(message)
    }

    fn take_unreadable(&mut self) -> Option<Taken> {
        let Some(Queued::Unreadable(error, permits)) = self.entries.pop_front() else { return None };
        self.messages = self.messages.saturating_sub(permits);
        Some(Taken::Unreadable(error, permits))
    }

    pub(crate) fn take(&mut self) -> Option<Taken> {
        let batch = match self.entries.front_mut()? {
            Queued::Batch(batch) => batch,
            Queued::One(_) => return self.take_one().map(Taken::Message),
            Queued::Packed(_) => return Some(Taken::Packed),
            Queued::Unreadable(..) => return self.take_unreadable(),
        };
        let at = batch.index;
        let taken = match batch.next.next(&batch.entry.payload) {
            // Acknowledged before: the broker did not count it.
            Ok(_) if !is_set(&batch.ack_set, at) => Taken::Skipped(0),
            Ok(slot) => {
                self.messages = self.messages.saturating_sub(1);
                if slot.compacted_out || at < batch.first {
                    Taken::Skipped(1)
                } else {
                    Taken::Message(Message::of_batch(batch.entry.clone(), at as i32, slot))
                }
            }
            Err(error) => {
                let error = not_a_batch(&batch.entry, batch.declared, error);
                let permits = self.drop_first();
                return Some(Taken::Unreadable(error, permits));
            }
        };
        batch.index += 1;
        if batch.index >= batch.declared {
            self.drop_first();
        }
        Some(taken)
    }
}

/// An entry that cannot be read, and why.
pub(super) fn unreadable(kind: ErrorKind, at: Position, why: &dyn Display) -> Error {
    Error::new(kind, format!("the message at {}:{} cannot be read: {why}", at.ledger, at.entry))
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

#[cfg(all(test, feature = "lz4"))]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::super::message::Source;
    use super::*;
    use crate::ids::ConsumerId;
    use crate::topic::TopicName;
    use crate::wire::{SingleMessageMetadata, batch};

    fn entry(number: u64, payload: Bytes) -> EntryData {
        let topic = TopicName::parse("t").expect("a topic");
        EntryData {
            source: Arc::new(Source { consumer: ConsumerId(0), topic }),
            position: Position { ledger: 1, entry: number, partition: -1, batch_index: -1 },
            redelivery_count: 0,
            broker: None,
            metadata: Bytes::new(),
            payload,
            batch_size: 3,
            first_chunk: None,
        }
    }

    fn content() -> Content {
        Content::Batch { declared: 3, ack_set: Vec::new(), first: 0 }
    }

    #[test]
    fn p03_what_is_compressed_is_unpacked_when_it_is_first() {
        let mut batch = BytesMut::new();
        for _ in 0..3 {
            batch::push(&mut batch, &mut SingleMessageMetadata::default(), &Bytes::from_static(&[7; 500]));
        }
        let packed = Bytes::from(lz4_flex::block::compress(&batch));
        let (mut queue, mut unpacker) = (Queue::default(), None);
        for (number, payload) in [(0, &packed), (1, &Bytes::from_static(b"no LZ4")), (2, &packed)] {
            queue.push_packed(entry(number, payload.clone()), content(), CompressionType::LZ4, batch.len());
        }
        assert_eq!((queue.messages(), queue.bytes()), (9, 3 * batch.len()));
        let held = |queue: &Queue| {
            let packed = |queued: &&Queued| matches!(queued, Queued::Packed(_));
            queue.entries.iter().filter(packed).count()
        };
        let mut ends = Vec::new();
        while let Some(taken) = queue.take() {
            match taken {
                Taken::Message(message) => ends.push((message.id().entry_id, held(&queue))),
                Taken::Unreadable(error, permits) => {
                    assert_eq!((error.kind(), permits), (ErrorKind::Corrupted, 3));
                    ends.push((1, held(&queue)));
                }
                Taken::Packed => queue.unpack(&mut unpacker),
                Taken::Skipped(_) => panic!("all of it is for the user"),
            }
        }
        assert_eq!(ends, [(0, 2), (0, 2), (0, 2), (1, 1), (2, 0), (2, 0), (2, 0)]);
        assert_eq!((queue.messages(), queue.bytes()), (0, 0));
    }
}
