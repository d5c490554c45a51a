//! Messages that are packed, and cut into chunks where they are larger than an entry may be.
//!
//! ```text
//! payload --codec--> packed --fits-------------------------> one entry
//!     |                 \--larger, chunking_enabled--------> entries with one uuid, one sequence id, one token
//!     |                 \--larger, but the payload fits----> one entry, not packed
//!     \--no codec: the same from here                 else: refused, and nothing else with it
//! ```
//!
//! The chunks go into the ring together. Each has its receipt; the send ends with the last one's, or
//! with the first failure, which takes all that are left out of the ring.

use bytes::{BufMut as _, Bytes};

use super::message::{Chunk, Metadata, Outgoing, Payload};
use super::{Part, Pending, Producer, SHARE_FROM};
use crate::error::Error;
use crate::ids::SendToken;
use crate::time::Now;
use crate::wire::CompressionType;
use crate::wire::hot::{self, SendDetails};

impl Producer {
    /// Whether single messages need more than to be written as they are.
    #[inline]
    pub(super) fn is_special(&self, message: &Outgoing<'_>) -> bool {
        self.config.compression_type != CompressionType::NONE
            || (cfg!(feature = "chunking") && self.config.chunking_enabled)
            || message.source_id.is_some()
    }

    /// Encodes a single message that is packed, perhaps cut into chunks, or stands for another.
    #[inline(never)]
    pub(super) fn write_special(
        &mut self,
        message: &Outgoing<'_>,
        encoded_key: Option<String>,
        sequence_id: u64,
        now: Now,
    ) -> Result<SendToken, Error> {
        let name_field = self.name_field.clone();
        let payload = message.payload.as_ref().map_or(&[][..], Payload::as_slice);
        let codec = self.config.compression_type;
        // There is nothing to pack in an empty one.
        let packed =
            (codec != CompressionType::NONE && !payload.is_empty()).then_some((codec, payload.len()));
        let mut metadata = Metadata {
            producer_name_field: &name_field,
            sequence_id,
            publish_time: now.wall_ms,
            message,
            encoded_key,
            packed,
            chunk: None,
        };
        let metadata_len = metadata.len();
        if i32::try_from(payload.len()).is_err() || metadata_len > crate::wire::FRAME_OVERHEAD - 1024 {
            return Err(self.too_large(payload.len(), metadata_len));
        }
        // As Java: what is known of the metadata so far has its place in each chunk.
        let cut =
            self.chunk_size(message).map(|size| size.min(self.max_message_size.saturating_sub(metadata_len)));
        if cut == Some(0) {
            return Err(self.too_large(payload.len(), metadata_len));
        }
        let room = cut.unwrap_or(self.max_message_size);
        let mut whole = None;
        if packed.is_some() {
            let send = hot::Send { producer_id: self.id.0, sequence_id };
            let buffer = self.ring.buffer();
            let before = buffer.len();
            let open = hot::open_send(send, details(message), metadata_len, buffer);
            metadata.write(buffer);
            let at = buffer.len();
            if let Err(error) = self.packer.get_or_insert_default().pack(codec, payload, buffer) {
                buffer.truncate(before);
                return Err(error);
            }
            let packed_len = buffer.len() - at;
            if packed_len <= room {
                open.close(&[], buffer);
                let frame_len = buffer.len() - before;
                return Ok(self.push(
                    &metadata,
                    now,
                    Part::Whole,
                    frame_len,
                    metadata_len + packed_len,
                    None,
                ));
            }
            if cut.is_some() {
                whole = Some(buffer.split_off(at).freeze());
            } else if payload.len() > room {
                let error = self.too_large(packed_len, metadata_len);
                self.ring.buffer().truncate(before);
                return Err(error);
            } else {
                // It does not get smaller.
                metadata.packed = None;
            }
            self.ring.buffer().truncate(before);
        }
        let whole = match (whole, message.payload) {
            (Some(packed), _) => packed,
            (None, Some(Payload::Shared(bytes))) => bytes.clone(),
            (None, _) if payload.len() <= room => {
                return Ok(self.write_piece(&metadata, now, Part::Whole, payload, None));
            }
            (None, _) => Bytes::copy_from_slice(payload),
        };
        match cut {
            _ if whole.len() <= room => {
                Ok(self.write_piece(&metadata, now, Part::Whole, &whole, Some(&whole)))
            }
            Some(size) => Ok(self.write_chunks(&mut metadata, now, &whole, size)),
            None => Err(self.too_large(whole.len(), metadata_len)),
        }
    }

    /// What a chunk may have at most, if messages are cut at all. As Java: on persistent topics only.
    fn chunk_size(&self, message: &Outgoing<'_>) -> Option<usize> {
        let cut = cfg!(feature = "chunking")
            && self.config.chunking_enabled
            && message.source_id.is_none()
            && !self.config.topic.as_str().starts_with("non-persistent:");
        let size = match self.config.chunk_max_message_size {
            0 => self.max_message_size,
            size => size as usize,
        };
        cut.then_some(size)
    }

    fn write_chunks(
        &mut self,
        metadata: &mut Metadata<'_>,
        now: Now,
        whole: &Bytes,
        size: usize,
    ) -> SendToken {
        let uuid = format!("{}-{}", self.name(), metadata.sequence_id);
        let count = whole.len().div_ceil(size);
        let mut token = SendToken(self.next_token());
        for number in 0..count {
            let piece = whole.slice(number * size..whole.len().min((number + 1) * size));
            let metadata = Metadata {
                chunk: Some(Chunk {
                    uuid: &uuid,
                    number: number as u32,
                    count: count as u32,
                    total: whole.len(),
                }),
                encoded_key: metadata.encoded_key.clone(),
                ..*metadata
            };
            let part = match number {
                0 => Part::FirstChunk,
                n if n + 1 == count => Part::LastChunk,
                _ => Part::Chunk,
            };
            token = self.write_piece(&metadata, now, part, &piece, Some(&piece));
        }
        token
    }

    /// Encodes an entry into the ring.
    fn write_piece(
        &mut self,
        metadata: &Metadata<'_>,
        now: Now,
        part: Part,
        piece: &[u8],
        shared: Option<&Bytes>,
    ) -> SendToken {
        let details = SendDetails { is_chunk: part != Part::Whole, ..details(metadata.message) };
        let send = hot::Send { producer_id: self.id.0, sequence_id: metadata.sequence_id };
        let metadata_len = metadata.len();
        let shared = shared.filter(|bytes| bytes.len() >= SHARE_FROM);
        let buffer = self.ring.buffer();
        let before = buffer.len();
        let open = hot::open_send(send, details, metadata_len, buffer);
        metadata.write(buffer);
        if shared.is_some() {
            open.close(piece, buffer);
        } else {
            buffer.put_slice(piece);
            open.close(&[], buffer);
        }
        let frame_len = buffer.len() - before + shared.map_or(0, Bytes::len);
        self.push(metadata, now, part, frame_len, metadata_len + piece.len(), shared.cloned())
    }

    fn push(
        &mut self,
        metadata: &Metadata<'_>,
        now: Now,
        part: Part,
        frame_len: usize,
        message_size: usize,
        shared: Option<Bytes>,
    ) -> SendToken {
        let pending = Pending {
            sequence_id: metadata.sequence_id,
            deadline: self.deadline(now),
            frame_len: frame_len as u32,
            message_size: message_size as u32,
            batch: 0,
            part,
            reordered: false,
        };
        self.next_sequence_id = Some(metadata.sequence_id.wrapping_add(1));
        self.ring.push(pending, shared)
    }
}

fn details(message: &Outgoing<'_>) -> SendDetails {
    let source = message.source_id.map(|id| (id.ledger_id, id.entry_id));
    SendDetails { source, ..SendDetails::default() }
}
