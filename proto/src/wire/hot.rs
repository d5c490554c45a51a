//! The five commands that come with every message, read and written without building structs.

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{Reader, Scratch, put_varint, varint_len};
use super::commands::base::locate;
use super::{DecodeError, crc32c};

/// Where a message is stored, as the hot commands carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Ledger id.
    pub ledger: u64,
    /// Entry id within the ledger.
    pub entry: u64,
    /// Partition, -1 when the topic has none.
    pub partition: i32,
    /// Place in the batch, -1 outside of batches.
    pub batch_index: i32,
}

/// A SEND_RECEIPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Which producer.
    pub producer_id: u64,
    /// Which entry: the sequence id of its SEND.
    pub sequence_id: u64,
    /// Where it is stored; brokers leave it out for messages that they drop as duplicates.
    pub position: Option<Position>,
}

/// Reads a SEND_RECEIPT from an encoded command.
///
/// # Errors
/// Cut, malformed, or without a required field.
#[inline]
pub fn read_receipt(command: &[u8]) -> Result<Receipt, DecodeError> {
    let (start, end) = body(command)?;
    let mut reader = Reader::new(command, start, end);
    let (mut producer_id, mut sequence_id, mut position) = (None, None, None);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, 0) => producer_id = Some(reader.varint()?),
            (2, 0) => sequence_id = Some(reader.varint()?),
            (3, 2) => {
                let (start, end) = reader.len_bounds()?;
                position = Some(read_position(command, start, end, None)?);
            }
            (_, wire) => reader.skip_value(wire)?,
        }
    }
    Ok(Receipt {
        producer_id: producer_id.ok_or(DecodeError::MissingField { number: 1 })?,
        sequence_id: sequence_id.ok_or(DecodeError::MissingField { number: 2 })?,
        position,
    })
}

/// A MESSAGE, without its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which consumer.
    pub consumer_id: u64,
    /// Where the entry is stored.
    pub position: Position,
    /// How often it was delivered before.
    pub redelivery_count: u32,
    /// Bits of the batch that are still to be acknowledged; empty when all are.
    pub ack_set: Vec<i64>,
    /// The consumer's epoch when it was sent.
    pub consumer_epoch: Option<u64>,
}

/// Reads a MESSAGE from an encoded command.
///
/// # Errors
/// Cut, malformed, or without a required field.
#[inline]
pub fn read_delivery(command: &[u8]) -> Result<Delivery, DecodeError> {
    let (start, end) = body(command)?;
    let mut reader = Reader::new(command, start, end);
    let (mut consumer_id, mut position, mut redelivery_count) = (None, None, 0);
    let (mut ack_set, mut consumer_epoch) = (Vec::new(), None);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, 0) => consumer_id = Some(reader.varint()?),
            (2, 2) => {
                let (start, end) = reader.len_bounds()?;
                position = Some(read_position(command, start, end, Some(&mut ack_set))?);
            }
            (3, 0) => redelivery_count = reader.varint()? as u32,
            (4, 0) => ack_set.push(reader.varint()? as i64),
            (4, 2) => read_packed(command, reader.len_bounds()?, &mut ack_set)?,
            (5, 0) => consumer_epoch = Some(reader.varint()?),
            (_, wire) => reader.skip_value(wire)?,
        }
    }
    Ok(Delivery {
        consumer_id: consumer_id.ok_or(DecodeError::MissingField { number: 1 })?,
        position: position.ok_or(DecodeError::MissingField { number: 2 })?,
        redelivery_count,
        ack_set,
        consumer_epoch,
    })
}

/// Bounds of the command within its envelope.
#[inline]
fn body(command: &[u8]) -> Result<(usize, usize), DecodeError> {
    // `08 <type> <tag> <length>`: what every broker writes.
    if let [0x08, kind @ 0..0x10, tag, len @ 0..0x80, rest @ ..] = command
        && *tag == *kind << 3 | 2
        && usize::from(*len) == rest.len()
    {
        return Ok((4, command.len()));
    }
    let (_, bounds) = locate(command)?;
    bounds.ok_or(DecodeError::FrameSizes)
}

#[inline]
fn read_position(
    buf: &[u8],
    start: usize,
    end: usize,
    mut ack_set: Option<&mut Vec<i64>>,
) -> Result<Position, DecodeError> {
    let mut reader = Reader::new(buf, start, end);
    let (mut ledger, mut entry, mut partition, mut batch_index) = (None, None, -1, -1);
    while !reader.is_empty() {
        match (reader.tag()?, &mut ack_set) {
            ((1, 0), _) => ledger = Some(reader.varint()?),
            ((2, 0), _) => entry = Some(reader.varint()?),
            ((3, 0), _) => partition = reader.varint()? as i32,
            ((4, 0), _) => batch_index = reader.varint()? as i32,
            ((5, 0), Some(set)) => set.push(reader.varint()? as i64),
            ((5, 2), Some(set)) => read_packed(buf, reader.len_bounds()?, set)?,
            ((_, wire), _) => reader.skip_value(wire)?,
        }
    }
    let ledger = ledger.ok_or(DecodeError::MissingField { number: 1 })?;
    let entry = entry.ok_or(DecodeError::MissingField { number: 2 })?;
    Ok(Position { ledger, entry, partition, batch_index })
}

fn read_packed(buf: &[u8], (start, end): (usize, usize), list: &mut Vec<i64>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(buf, start, end);
    while !reader.is_empty() {
        list.push(reader.varint()? as i64);
    }
    Ok(())
}

/// Appends a FLOW frame.
pub fn write_flow(consumer_id: u64, permits: u32, out: &mut BytesMut) {
    let body = 2 + varint_len(consumer_id) + varint_len(u64::from(permits));
    let command = 4 + body;
    out.reserve(8 + command);
    out.put_u32(command as u32 + 4);
    out.put_u32(command as u32);
    out.put_slice(&[0x08, 11, 11 << 3 | 2, body as u8, 0x08]);
    put_varint(out, consumer_id);
    out.put_u8(0x10);
    put_varint(out, u64::from(permits));
}

/// What a SEND says beyond its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// Which producer.
    pub producer_id: u64,
    /// Sequence id of the (first) message.
    pub sequence_id: u64,
}

/// Appends a SEND frame of one message: command, checksum, encoded metadata, payload.
///
/// `metadata` writes the encoded `MessageMetadata`, `metadata_len` bytes long.
pub fn write_send(
    send: Send,
    metadata_len: usize,
    metadata: impl FnOnce(&mut BytesMut),
    payload: &[u8],
    out: &mut BytesMut,
) {
    let start = begin_send(send, metadata_len, payload.len(), out);
    metadata(out);
    out.put_slice(payload);
    seal_checksum(start, &[], out);
}

/// The same for a payload that travels as a segment of its own behind `out`, without a copy.
pub fn write_send_head(
    send: Send,
    metadata_len: usize,
    metadata: impl FnOnce(&mut BytesMut),
    payload: &Bytes,
    out: &mut BytesMut,
) {
    let start = begin_send(send, metadata_len, payload.len(), out);
    metadata(out);
    seal_checksum(start, payload, out);
}

/// What a SEND says where it is more than its ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendDetails {
    /// Of a batch: how many messages it has, and the highest of their sequence ids.
    pub batch: Option<(u32, u64)>,
    /// It is one chunk of a message.
    pub is_chunk: bool,
    /// Ledger and entry of the message that it stands for, on a shadow topic.
    pub source: Option<(u64, u64)>,
}

/// A SEND frame whose metadata and payload are still to be appended.
#[derive(Debug)]
#[must_use]
pub struct OpenSend {
    frame: usize,
    magic: usize,
}

/// Begins a SEND frame with metadata of `metadata_len` bytes: they must follow, then the payload, then
/// [`OpenSend::close`].
pub fn open_send(send: Send, details: SendDetails, metadata_len: usize, out: &mut BytesMut) -> OpenSend {
    let frame = out.len();
    let mut command = Scratch::new();
    command.put(&[0x08]);
    command.put_varint(send.producer_id);
    command.put(&[2 << 3]);
    command.put_varint(send.sequence_id);
    if let Some((messages, highest)) = details.batch {
        command.put(&[3 << 3]);
        command.put_varint(u64::from(messages));
        command.put(&[6 << 3]);
        command.put_varint(highest);
    }
    if details.is_chunk {
        command.put(&[7 << 3, 1]);
    }
    let source = details.source.map_or(0, |(l, e)| 2 + 2 + varint_len(l) + varint_len(e));
    let body = command.as_slice().len() + source;
    out.put_u32(0);
    out.put_u32(body as u32 + 4);
    out.put_slice(&[0x08, 6, 6 << 3 | 2, body as u8]);
    out.put_slice(command.as_slice());
    if let Some((ledger, entry)) = details.source {
        out.put_slice(&[9 << 3 | 2, source as u8 - 2, 0x08]);
        put_varint(out, ledger);
        out.put_u8(2 << 3);
        put_varint(out, entry);
    }
    let magic = out.len();
    out.put_slice(&[0x0e, 0x01, 0, 0, 0, 0]);
    out.put_u32(metadata_len as u32);
    OpenSend { frame, magic }
}

impl OpenSend {
    /// Ends the frame; `tail` is the part of the payload that travels as a segment of its own behind `out`.
    pub fn close(self, tail: &[u8], out: &mut BytesMut) {
        let total = (out.len() - self.frame - 4 + tail.len()) as u32;
        out[self.frame..self.frame + 4].copy_from_slice(&total.to_be_bytes());
        seal_checksum(self.magic, tail, out);
    }
}

/// Writes all up to the metadata; returns where the checksum's magic stands.
fn begin_send(send: Send, metadata_len: usize, payload_len: usize, out: &mut BytesMut) -> usize {
    let body = 2 + varint_len(send.producer_id) + varint_len(send.sequence_id);
    let command = 4 + body;
    let total = 4 + command + 6 + 4 + metadata_len + payload_len;
    let mut head = Scratch::new();
    head.put(&(total as u32).to_be_bytes());
    head.put(&(command as u32).to_be_bytes());
    head.put(&[0x08, 6, 6 << 3 | 2, body as u8, 0x08]);
    head.put_varint(send.producer_id);
    head.put(&[0x10]);
    head.put_varint(send.sequence_id);
    let start = out.len() + head.as_slice().len();
    head.put(&[0x0e, 0x01, 0, 0, 0, 0]);
    head.put(&(metadata_len as u32).to_be_bytes());
    out.reserve(total + 4);
    out.put_slice(head.as_slice());
    start
}

fn seal_checksum(start: usize, tail: &[u8], out: &mut BytesMut) {
    let crc = crc32c(&[&out[start + 6..], tail]);
    out[start + 2..start + 6].copy_from_slice(&crc.to_be_bytes());
}
