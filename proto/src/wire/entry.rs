//! Entries: what follows SEND and MESSAGE, and what a broker stores.
//!
//! `0x0e02 [u32 size] BrokerEntryMetadata`, optional; `0x0e01 [u32 CRC32-C of what follows]`,
//! optional; `[u32 metadata size] MessageMetadata`; payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::codec::{Reader, Type};
use super::{BrokerEntryMetadata, CompressionType, DecodeError, MessageMetadata, crc32c};

const MAGIC_CHECKSUM: u16 = 0x0e01;
const MAGIC_BROKER_ENTRY: u16 = 0x0e02;

/// An entry, cut into its parts; the metadata is still encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What the broker added, if it did.
    pub broker: Option<BrokerEntryMetadata>,
    /// Whether the checksum was right.
    pub checksum: Checksum,
    /// The encoded [`MessageMetadata`].
    pub metadata: Bytes,
    /// The payload, as stored: perhaps encrypted, compressed, a batch.
    pub payload: Bytes,
}

/// What the checksum of an entry said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// There was none.
    Absent,
    /// It was right.
    Right,
    /// It was wrong: the entry was changed on its way.
    Wrong,
}

impl Entry {
    /// Cuts an entry into its parts and checks its checksum.
    ///
    /// # Errors
    /// Sizes that contradict each other, or malformed broker metadata. A wrong checksum is not an
    /// error here: it is in [`Entry::checksum`].
    pub fn parse(entry: &Bytes) -> Result<Self, DecodeError> {
        Self::take(entry.clone())
    }

    /// The same for an entry that is not needed any more.
    pub(crate) fn take(mut entry: Bytes) -> Result<Self, DecodeError> {
        let mut at = 0;
        let mut broker = None;
        if magic(&entry, at) == Some(MAGIC_BROKER_ENTRY) {
            let (start, end) = sized(&entry, at + 2)?;
            let mut metadata = BrokerEntryMetadata::default();
            super::codec::merge(&mut metadata, &entry, start, end, 0)?;
            broker = Some(metadata);
            at = end;
        }
        let mut checksum = Checksum::Absent;
        if magic(&entry, at) == Some(MAGIC_CHECKSUM) {
            let declared = u32_at(&entry, at + 2)?;
            at += 6;
            let right = crc32c(&[&entry[at..]]) == declared;
            checksum = if right { Checksum::Right } else { Checksum::Wrong };
        }
        let (start, end) = sized(&entry, at)?;
        let metadata = entry.slice(start..end);
        entry.advance(end);
        Ok(Self { broker, checksum, metadata, payload: entry })
    }
}

fn magic(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, DecodeError> {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or(DecodeError::FrameSizes)?;
    Ok(u32::from_be_bytes(*bytes))
}

/// Bounds of what follows a u32 size at `at`.
fn sized(bytes: &[u8], at: usize) -> Result<(usize, usize), DecodeError> {
    let size = u32_at(bytes, at)? as usize;
    let start = at + 4;
    if size > bytes.len() - start {
        return Err(DecodeError::FrameSizes);
    }
    Ok((start, start + size))
}

/// Appends `0x0e01`, the checksum, the metadata and the payload.
pub fn encode_entry(metadata: &MessageMetadata, payload: &[u8], out: &mut BytesMut) {
    let start = out.len();
    out.put_u16(MAGIC_CHECKSUM);
    out.put_u32(0);
    out.put_u32(metadata.encoded_len() as u32);
    metadata.encode(out);
    out.put_slice(payload);
    let crc = crc32c(&[&out[start + 6..]]);
    out[start + 2..start + 6].copy_from_slice(&crc.to_be_bytes());
}

/// Appends the broker's own metadata, to stand before a stored entry.
pub fn encode_broker_metadata(metadata: &BrokerEntryMetadata, out: &mut BytesMut) {
    out.put_u16(MAGIC_BROKER_ENTRY);
    out.put_u32(metadata.encoded_len() as u32);
    metadata.encode(out);
}

/// The few fields of [`MessageMetadata`] that decide how a payload is unpacked, read without
/// decoding the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpack {
    /// Set when the payload is a batch, also a batch of one.
    pub batch: Option<i32>,
    /// The codec.
    pub compression: CompressionType,
    /// Bytes of the payload before compression.
    pub uncompressed_size: u32,
    /// Whether the payload is encrypted.
    pub encrypted: bool,
    /// Set when the payload is one chunk of a message.
    pub chunk: bool,
    /// Set on entries that brokers write for themselves.
    pub marker: bool,
    /// The message has no value (a tombstone).
    pub null_value: bool,
}

impl Unpack {
    /// Reads them from encoded metadata, and checks that its fields are well-formed.
    ///
    /// # Errors
    /// Cut or malformed metadata.
    pub fn read(metadata: &[u8]) -> Result<Self, DecodeError> {
        let mut unpack = Self::default();
        let mut reader = Reader::new(metadata, 0, metadata.len());
        while !reader.is_empty() {
            match reader.tag()? {
                (8, 0) => unpack.compression = CompressionType(reader.varint()? as i32),
                (9, 0) => unpack.uncompressed_size = reader.varint()? as u32,
                (11, 0) => unpack.batch = Some(reader.varint()? as i32),
                (13, 2) => {
                    reader.len_bounds()?;
                    unpack.encrypted = true;
                }
                (20, 0) => {
                    reader.varint()?;
                    unpack.marker = true;
                }
                (25, 0) => unpack.null_value = reader.varint()? != 0,
                (27, 0) => unpack.chunk = reader.varint()? > 1,
                (_, wire) => reader.skip_value(wire)?,
            }
        }
        Ok(unpack)
    }
}

/// Whether encoded [`MessageMetadata`] has all that must be in it: the producer's name, a number, a time, and
/// of properties and encryption keys both halves.
#[must_use]
pub fn is_complete(metadata: &[u8]) -> bool {
    has_required(metadata, &[(1, 2), (2, 0), (3, 0)], &|field, pair| match field {
        4 => is_pair(pair),
        13 => has_required(pair, PAIR, &|field, pair| field != 3 || is_pair(pair)),
        _ => true,
    })
}

/// Fields of a key and its value, with their wire types.
const PAIR: &[(u32, u8)] = &[(1, 2), (2, 2)];

fn is_pair(message: &[u8]) -> bool {
    has_required(message, PAIR, &|_, _| true)
}

/// Whether an encoded message has these fields, each of that wire type, and `holds` of all that it has of the
/// length-delimited ones.
fn has_required(message: &[u8], required: &[(u32, u8)], holds: &dyn Fn(u32, &[u8]) -> bool) -> bool {
    let mut missing = required.len();
    let mut seen = 0_u32;
    let mut reader = Reader::new(message, 0, message.len());
    while !reader.is_empty() {
        let Ok((field, wire)) = reader.tag() else { return false };
        if field < 8 && seen & 1 << field == 0 && required.contains(&(field, wire)) {
            seen |= 1 << field;
            missing -= 1;
        }
        if wire == 2 {
            let Ok((start, end)) = reader.len_bounds() else { return false };
            if !message.get(start..end).is_some_and(|part| holds(field, part)) {
                return false;
            }
        } else if reader.skip_value(wire).is_err() {
            return false;
        }
    }
    missing == 0
}

/// The first value of a length-delimited field in an encoded message.
#[must_use]
pub fn find_bytes(message: &[u8], number: u32) -> Option<&[u8]> {
    let mut reader = Reader::new(message, 0, message.len());
    while !reader.is_empty() {
        let (field, wire) = reader.tag().ok()?;
        if field == number && wire == 2 {
            let (start, end) = reader.len_bounds().ok()?;
            return message.get(start..end);
        }
        reader.skip_value(wire).ok()?;
    }
    None
}

/// The value of a varint field in an encoded message.
#[must_use]
pub fn find_varint(message: &[u8], number: u32) -> Option<u64> {
    let mut reader = Reader::new(message, 0, message.len());
    while !reader.is_empty() {
        let (field, wire) = reader.tag().ok()?;
        if field == number && wire == 0 {
            return reader.varint().ok();
        }
        reader.skip_value(wire).ok()?;
    }
    None
}

/// All values of a repeated message field in an encoded message; those that are malformed are left out.
pub(crate) fn find_all<T: Type>(message: &Bytes, number: u32) -> Vec<T> {
    let mut found = Vec::new();
    let mut reader = Reader::new(message, 0, message.len());
    while !reader.is_empty() {
        let Ok((field, wire)) = reader.tag() else { break };
        if field == number && wire == 2 {
            let Ok((start, end)) = reader.len_bounds() else { break };
            let value = super::codec::Value::Len { buf: message, start, end, depth: 1 };
            found.extend(T::from_value(value));
        } else if reader.skip_value(wire).is_err() {
            break;
        }
    }
    found
}
