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
        let rest = batch.get(self.pos..).ok_or(DecodeError::BatchSizes)?;
        let (prefix, rest) = rest.split_first_chunk::<4>().ok_or(DecodeError::BatchSizes)?;
        let size = u32::from_be_bytes(*prefix) as usize;
        let metadata = rest.get(..size).ok_or(DecodeError::BatchSizes)?;
        let start = self.pos + 4;
        let end = start + size;
        let single = match usual(metadata) {
            Some(size) => Single { payload_size: Some(size), ..Single::default() },
            None => Single::read(metadata)?,
        };
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

/// The payload size, where metadata is as that of most messages: this field, and perhaps a sequence id.
#[inline]
fn usual(metadata: &[u8]) -> Option<i32> {
    let (size, rest) = match metadata {
        [PAYLOAD_SIZE, size @ 0..0x80, rest @ ..] => (i32::from(*size), rest),
        [PAYLOAD_SIZE, low, high @ 0..0x80, rest @ ..] => {
            (i32::from(low & 0x7f) | i32::from(*high) << 7, rest)
        }
        _ => return None,
    };
    let [SEQUENCE_ID, high @ .., 0..0x80] = rest else { return rest.is_empty().then_some(size) };
    // One number of several bytes, and not several fields.
    (high.len() < 10 && high.iter().all(|byte| *byte >= 0x80)).then_some(size)
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
