//! The batch that a producer is filling.
//!
//! ```text
//!          first message: timer armed
//! Empty ------------------------------> Open -----+ next message that fits, of the same sort
//!   ^                                    |  ^     |
//!   |                                    |  +-----+
//!   |   full · timer · flush · close ·   |
//!   |   a message that cannot share it   |
//!   +------------------------------------+
//!        one frame in the pending ring: a batch, or a single message when it was alone
//! ```
//!
//! Messages are encoded as they enter. Compression comes last, once, over the whole batch.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::message::{Outgoing, Payload, property_len, put_bytes, put_number, put_property, sized};
use crate::time::{Now, Time};
use crate::wire::codec::varint_len;

/// The messages that wait to go out as one entry.
#[derive(Debug, Default)]
pub(super) struct OpenBatch {
    buffer: BytesMut,
    pub(super) messages: u32,
    /// Sequence ids of the first message and of the last.
    pub(super) first: u64,
    pub(super) last: u64,
    /// When its first message entered.
    pub(super) since: Now,
    /// Of the first message: brokers dispatch the entry by them.
    pub(super) key: Option<String>,
    pub(super) key_is_base64: bool,
    pub(super) ordering_key: Option<Vec<u8>>,
    /// Of all of them: others cannot join.
    pub(super) replicate_to: Vec<String>,
    /// It holds a message whose sequence id does not grow: none that does may join it.
    pub(super) repeats: bool,
}

impl OpenBatch {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// The encoded messages.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Whether a message may join those that are in it.
    #[inline]
    pub(super) fn suits(&self, message: &Outgoing<'_>) -> bool {
        self.is_empty()
            || (self.replicate_to.is_empty() && message.replicate_to.is_empty())
            || self.replicate_to == message.replicate_to
    }

    /// When it goes out at the latest.
    #[inline]
    pub(super) fn due(&self, delay: Duration) -> Option<Time> {
        (!self.is_empty()).then(|| self.since.time + delay)
    }

    /// Appends a message: `[u32 size][SingleMessageMetadata][payload]`.
    pub(super) fn push(&mut self, sequence_id: u64, message: &Outgoing<'_>, now: Now) {
        let payload = message.payload.as_ref().map_or(&[][..], Payload::as_slice);
        let base64 = message.base64_key();
        let key = base64.as_deref().or(message.text_key());
        if self.is_empty() {
            self.first = sequence_id;
            self.since = now;
            self.key = key.map(str::to_owned);
            self.key_is_base64 = base64.is_some();
            self.ordering_key = message.ordering_key.map(<[u8]>::to_vec);
            self.replicate_to.extend(message.replicate_to.iter().map(|cluster| (*cluster).to_owned()));
        }
        self.last = sequence_id;
        self.messages += 1;
        let mut len = 1 + varint_len(payload.len() as u64) + 1 + varint_len(sequence_id);
        for (name, value) in message.properties {
            len += 1 + sized(property_len(name, value));
        }
        len += key.map_or(0, |key| 1 + sized(key.len()));
        len += message.event_time.map_or(0, |time| 1 + varint_len(time));
        len += if base64.is_some() { 2 } else { 0 };
        len += message.ordering_key.map_or(0, |key| 1 + sized(key.len()));
        len += if message.payload.is_none() { 2 } else { 0 };
        let out = &mut self.buffer;
        out.reserve(4 + len + payload.len());
        out.put_u32(len as u32);
        for (name, value) in message.properties {
            put_property(1, name, value, out);
        }
        if let Some(key) = key {
            put_bytes(2, key.as_bytes(), out);
        }
        put_number(3, payload.len() as u64, out);
        if let Some(time) = message.event_time {
            put_number(5, time, out);
        }
        if base64.is_some() {
            put_number(6, 1, out);
        }
        if let Some(key) = message.ordering_key {
            put_bytes(7, key, out);
        }
        put_number(8, sequence_id, out);
        if message.payload.is_none() {
            put_number(9, 1, out);
        }
        out.put_slice(payload);
    }

    /// Empties it. Its buffer is kept.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        let buffer = std::mem::take(&mut self.buffer);
        *self = Self { buffer, ..Self::default() };
    }
}
