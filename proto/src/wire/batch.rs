//! Batches: repeated `[u32 size][SingleMessageMetadata][payload]`, in one entry.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::Reader;
use super::{DecodeError, SingleMessageMetadata};

/// One message of a batch: where its parts stand in the (decompressed) payload of the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Start of the encoded [`SingleMessageMetadata`].
    pub metadata_start: u32,
    /// Its end, where the payload starts.
    pub payload_start: u32,
    /// End of the payload.
    pub payload_end: u32,
    /// Taken away by compaction: there is no message in this place any more.
    pub compacted_out: bool,
    /// The message has no value (a tombstone).
    pub null_value: bool,
}

/// Tags of [`SingleMessageMetadata`].
const PAYLOAD_SIZE: u8 = 3 << 3;
const SEQUENCE_ID: u8 = 8 << 3;
/// The bit of each byte of a number that says that the number goes on.
const CONTINUED: u64 = 0x8080_8080_8080_8080;
/// Bytes of a usual message's head: its metadata's size, a payload's size of two bytes, a sequence id of eight.
const USUAL: usize = 4 + 3 + 1 + 8;

/// Walks a batch, message by message.
#[derive(Debug, Clone)]
pub struct BatchReader {
    pos: usize,
}

impl BatchReader {
    /// Starts at the beginning of a batch.
    #[must_use]
    pub fn new() -> Self {
        Self { pos: 0 }
    }

    /// Starts at a place where an earlier walk stopped ([`Slot::payload_end`]).
    #[must_use]
    pub fn at(pos: u32) -> Self {
        Self { pos: pos as usize }
    }

    /// The next message of `batch`.
    ///
    /// # Errors
    /// Sizes that reach beyond the batch, or malformed metadata.
    #[inline]
    pub fn next(&mut self, batch: &[u8]) -> Result<Slot, DecodeError> {
        match self.next_usual(batch) {
            Some(slot) => Ok(slot),
            None => self.next_unusual(batch),
        }
    }

    /// The next message, where it has metadata as most have: its payload's size, and perhaps a sequence id.
    #[inline]
    pub(crate) fn next_usual(&mut self, batch: &[u8]) -> Option<Slot> {
        let head = batch.get(self.pos..)?.first_chunk::<USUAL>()?;
        let head = u128::from_le_bytes(*head);
        let size = (head as u32).swap_bytes();
        let (tag, low, high) = ((head >> 32) as u8, (head >> 40) as u32 & 0xff, (head >> 48) as u32 & 0xff);
        if tag != PAYLOAD_SIZE || low & high >= 0x80 {
            return None;
        }
        let (payload_size, rest_size, tag, number) = if low < 0x80 {
            (low, size.wrapping_sub(2), (head >> 48) as u8, (head >> 56) as u64)
        } else {
            (low & 0x7f | high << 7, size.wrapping_sub(3), (head >> 56) as u8, (head >> 64) as u64)
        };
        if rest_size != 0 {
            // One number, and not several fields: all bytes but its last say that it goes on.
            if tag != SEQUENCE_ID || !(2..=9).contains(&rest_size) {
                return None;
            }
            let beyond = 72 - 8 * rest_size;
            if (number & CONTINUED) << beyond != (CONTINUED << beyond) & (u64::MAX >> 1) {
                return None;
            }
        }
        let metadata_start = self.pos + 4;
        let payload_start = metadata_start + size as usize;
        let payload_end = payload_start + payload_size as usize;
        if payload_end > batch.len() {
            return None;
        }
        self.pos = payload_end;
        Some(Slot {
            metadata_start: metadata_start as u32,
            payload_start: payload_start as u32,
            payload_end: payload_end as u32,
            compacted_out: false,
            null_value: false,
        })
    }

    #[inline(never)]
    fn next_unusual(&mut self, batch: &[u8]) -> Result<Slot, DecodeError> {
        let rest = batch.get(self.pos..).ok_or(DecodeError::BatchSizes)?;
        let (prefix, rest) = rest.split_first_chunk::<4>().ok_or(DecodeError::BatchSizes)?;
        let size = u32::from_be_bytes(*prefix) as usize;
        let metadata = rest.get(..size).ok_or(DecodeError::BatchSizes)?;
        let start = self.pos + 4;
        let end = start + size;
        let single = Single::read(metadata)?;
        let payload_size = single.payload_size.ok_or(DecodeError::MissingField { number: 3 })?;
        // A null value is written with payload size 0 by Java and -1 by others.
        let payload_size = payload_size.max(0) as usize;
        if payload_size > batch.len() - end {
            return Err(DecodeError::BatchSizes);
        }
        self.pos = end + payload_size;
        Ok(Slot {
            metadata_start: start as u32,
            payload_start: end as u32,
            payload_end: self.pos as u32,
            compacted_out: single.compacted_out,
            null_value: single.null_value,
        })
    }
}

/// What of [`SingleMessageMetadata`] is read while walking.
#[derive(Default)]
struct Single {
    payload_size: Option<i32>,
    compacted_out: bool,
    null_value: bool,
}

impl Single {
    /// Reads any fields.
    fn read(metadata: &[u8]) -> Result<Self, DecodeError> {
        let mut single = Self::default();
        let mut reader = Reader::new(metadata, 0, metadata.len());
        while !reader.is_empty() {
            match reader.tag()? {
                (3, 0) => single.payload_size = Some(reader.varint()? as i32),
                (4, 0) => single.compacted_out = reader.varint()? != 0,
                (9, 0) => single.null_value = reader.varint()? != 0,
                (_, wire) => reader.skip_value(wire)?,
            }
        }
        Ok(single)
    }
}

impl Default for BatchReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends one message to a batch. `metadata.payload_size` is set from `payload`.
pub fn push(batch: &mut BytesMut, metadata: &mut SingleMessageMetadata, payload: &Bytes) {
    metadata.payload_size = payload.len() as i32;
    batch.put_u32(metadata.encoded_len() as u32);
    metadata.encode(batch);
    batch.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots as read message by message, or the first error, by one way of reading.
    fn walk(
        batch: &[u8],
        next: impl Fn(&mut BatchReader, &[u8]) -> Result<Slot, DecodeError>,
    ) -> Result<Vec<Slot>, DecodeError> {
        let (mut reader, mut slots) = (BatchReader::new(), Vec::new());
        while reader.pos < batch.len() {
            slots.push(next(&mut reader, batch)?);
        }
        Ok(slots)
    }

    #[test]
    fn usual_metadata_is_read_as_any_other() {
        let mut random = fastrand::Rng::with_seed(8);
        for round in 0..20_000 {
            let mut batch = BytesMut::new();
            for _ in 0..random.usize(1..4) {
                let sequence_id = random.bool().then(|| random.u64(..) >> random.u32(..64));
                let mut metadata = SingleMessageMetadata { sequence_id, ..Default::default() };
                match random.u8(..12) {
                    0 => metadata.null_value = Some(true),
                    1 => metadata.compacted_out = Some(true),
                    2 => metadata.partition_key = Some("k".to_owned()),
                    3 => metadata.event_time = Some(random.u64(..)),
                    _ => {}
                }
                let size = [0, 1, 0x7f, 0x80, 300, 0x3fff, 0x4000][random.usize(..7)];
                push(&mut batch, &mut metadata, &Bytes::from(vec![0x40; size]));
            }
            if round % 2 == 1 {
                // As nobody writes it.
                let at = random.usize(..batch.len().min(20));
                batch[at] = random.u8(..);
            }
            assert_eq!(walk(&batch, BatchReader::next), walk(&batch, BatchReader::next_unusual), "{batch:?}");
        }
    }
}
