//! A message on its way out, and how its metadata is written.

use std::time::Duration;

use base64::Engine as _;
use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::MessageId;
use crate::wire::CompressionType;
use crate::wire::codec::{Scratch, put_varint, varint_len};

/// A message to send. The default is an empty one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outgoing<'a> {
    /// The payload; `None` is a null value (a tombstone on compacted topics).
    pub payload: Option<Payload<'a>>,
    /// The key.
    pub key: Option<Key<'a>>,
    /// What orders messages in key-shared subscriptions, in place of the key.
    pub ordering_key: Option<&'a [u8]>,
    /// Named strings.
    pub properties: &'a [(&'a str, &'a str)],
    /// When it happened, in milliseconds since the Unix epoch.
    pub event_time: Option<u64>,
    /// The message's sequence id, in place of the next one.
    pub sequence_id: Option<u64>,
    /// When consumers of shared subscriptions get it, if not at once. It travels alone.
    pub deliver: Option<Deliver>,
    /// The clusters that it is replicated to, in place of all that the namespace has;
    /// [`NO_REPLICATION`] alone keeps it where it is.
    pub replicate_to: &'a [&'a str],
    /// On a shadow topic: the id that the message has in the source topic. It travels alone.
    pub source_id: Option<&'a MessageId>,
}

/// The name of a cluster that is none: a message for it is not replicated.
pub const NO_REPLICATION: &str = "__local__";

/// When a message is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliver {
    /// At this time, in milliseconds since the Unix epoch.
    At(u64),
    /// So long after it is sent.
    After(Duration),
}

impl Outgoing<'_> {
    pub(crate) fn text_key(&self) -> Option<&str> {
        match self.key {
            Some(Key::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A key of bytes, as Java writes it.
    pub(crate) fn base64_key(&self) -> Option<String> {
        match self.key {
            Some(Key::Bytes(key)) => Some(base64::engine::general_purpose::STANDARD.encode(key)),
            _ => None,
        }
    }

    /// Bytes that it brings beside its payload.
    pub(super) fn details_len(&self) -> usize {
        let key = match self.key {
            Some(Key::Text(key)) => key.len(),
            Some(Key::Bytes(key)) => key.len() * 4 / 3,
            None => 0,
        };
        let properties: usize =
            self.properties.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let clusters: usize = self.replicate_to.iter().map(|cluster| cluster.len() + 2).sum();
        key + self.ordering_key.map_or(0, <[u8]>::len) + properties + clusters
    }
}

/// Where a payload's bytes are.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// Copied into the outgoing frame.
    Slice(&'a [u8]),
    /// Shared: large ones travel without a copy.
    Shared(&'a Bytes),
}

impl Payload<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Slice(slice) => slice,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// A message's key.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes, written as Java's `keyBytes` writes them: as base64.
    Bytes(&'a [u8]),
}

/// The metadata of one unbatched message, ready to be written.
pub(crate) struct Metadata<'a> {
    /// Field 1, encoded: it is the same in every message.
    pub(crate) producer_name_field: &'a [u8],
    pub(crate) sequence_id: u64,
    pub(crate) publish_time: u64,
    pub(crate) message: &'a Outgoing<'a>,
    /// The key as text, when it was bytes.
    pub(crate) encoded_key: Option<String>,
    /// The codec of the payload, and its size before.
    pub(crate) packed: Option<(CompressionType, usize)>,
    pub(crate) chunk: Option<Chunk<'a>>,
}

/// One chunk of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    pub(crate) uuid: &'a str,
    pub(crate) number: u32,
    pub(crate) count: u32,
    /// Bytes of all chunks.
    pub(crate) total: usize,
}

impl Metadata<'_> {
    fn key(&self) -> Option<&str> {
        match (self.message.key, &self.encoded_key) {
            (_, Some(encoded)) => Some(encoded),
            (Some(Key::Text(text)), _) => Some(text),
            _ => None,
        }
    }

    /// Compaction takes a message for a tombstone only if it says that it is empty.
    fn is_empty(&self) -> bool {
        self.packed.is_none() && self.message.payload.as_ref().is_none_or(|p| p.as_slice().is_empty())
    }

    fn deliver_at(&self) -> Option<u64> {
        self.message.deliver.map(|deliver| match deliver {
            Deliver::At(time) => time,
            Deliver::After(delay) => {
                self.publish_time.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
            }
        })
    }

    /// Bytes that [`Metadata::write`] appends.
    pub(crate) fn len(&self) -> usize {
        let message = self.message;
        let mut len = self.producer_name_field.len()
            + 1
            + varint_len(self.sequence_id)
            + 1
            + varint_len(self.publish_time);
        for (name, value) in message.properties {
            len += 1 + sized(property_len(name, value));
        }
        len += self.key().map_or(0, |key| 1 + sized(key.len()));
        len += message.event_time.map_or(0, |time| 1 + varint_len(time));
        len += if self.encoded_key.is_some() { 3 } else { 0 };
        len += message.ordering_key.map_or(0, |key| 2 + sized(key.len()));
        len += if message.payload.is_none() { 3 } else { 0 };
        len += message.replicate_to.iter().map(|cluster| 1 + sized(cluster.len())).sum::<usize>();
        len += self
            .packed
            .map_or(0, |(codec, size)| 2 + varint_len(i64::from(codec.0) as u64) + varint_len(size as u64));
        len += if self.is_empty() { 2 } else { 0 };
        len += self.deliver_at().map_or(0, |time| 2 + varint_len(time));
        len += self.chunk.map_or(0, |chunk| {
            8 + sized(chunk.uuid.len())
                + varint_len(chunk.count.into())
                + varint_len(chunk.total as u64)
                + varint_len(chunk.number.into())
        });
        len
    }

    /// Writes the metadata in the order of field numbers, as Java does.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        let message = self.message;
        let mut numbers = Scratch::new();
        numbers.put(&[2 << 3]);
        numbers.put_varint(self.sequence_id);
        numbers.put(&[3 << 3]);
        numbers.put_varint(self.publish_time);
        out.put_slice(self.producer_name_field);
        out.put_slice(numbers.as_slice());
        for (name, value) in message.properties {
            put_property(4, name, value, out);
        }
        if let Some(key) = self.key() {
            put_bytes(6, key.as_bytes(), out);
        }
        for cluster in message.replicate_to {
            put_bytes(7, cluster.as_bytes(), out);
        }
        if let Some((codec, size)) = self.packed {
            put_number(8, i64::from(codec.0) as u64, out);
            put_number(9, size as u64, out);
        }
        if self.is_empty() {
            put_number(9, 0, out);
        }
        if let Some(time) = message.event_time {
            put_number(12, time, out);
        }
        if self.encoded_key.is_some() {
            put_number(17, 1, out);
        }
        if let Some(key) = message.ordering_key {
            put_bytes(18, key, out);
        }
        if let Some(time) = self.deliver_at() {
            put_number(19, time, out);
        }
        if message.payload.is_none() {
            put_number(25, 1, out);
        }
        if let Some(chunk) = self.chunk {
            put_bytes(26, chunk.uuid.as_bytes(), out);
            put_number(27, chunk.count.into(), out);
            put_number(28, chunk.total as u64, out);
            put_number(29, chunk.number.into(), out);
        }
    }
}

pub(super) fn sized(len: usize) -> usize {
    varint_len(len as u64) + len
}

pub(super) fn property_len(name: &str, value: &str) -> usize {
    2 + sized(name.len()) + sized(value.len())
}

pub(super) fn put_number(field: u32, value: u64, out: &mut BytesMut) {
    put_varint(out, u64::from(field << 3));
    put_varint(out, value);
}

pub(super) fn put_property(field: u32, name: &str, value: &str, out: &mut BytesMut) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, property_len(name, value) as u64);
    put_bytes(1, name.as_bytes(), out);
    put_bytes(2, value.as_bytes(), out);
}

pub(crate) fn put_bytes(field: u32, value: &[u8], out: &mut BytesMut) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, value.len() as u64);
    out.put_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{KeyValue, MessageMetadata};

    #[test]
    fn what_is_written_by_hand_is_what_the_definition_writes() {
        let mut name = BytesMut::new();
        put_bytes(1, b"producer", &mut name);
        let message = Outgoing {
            payload: None,
            key: Some(Key::Bytes(b"\x01\x02")),
            ordering_key: Some(b"order"),
            properties: &[("a", "1"), ("", "ü")],
            event_time: Some(1 << 40),
            sequence_id: None,
            deliver: Some(Deliver::After(Duration::from_secs(5))),
            replicate_to: &["east", "west"],
            source_id: None,
        };
        let metadata = Metadata {
            producer_name_field: &name,
            sequence_id: 300,
            publish_time: 1_700_000_000_000,
            message: &message,
            encoded_key: Some("AQI=".to_owned()),
            packed: Some((CompressionType::ZSTD, 70_000)),
            chunk: Some(Chunk { uuid: "producer-300", number: 2, count: 130, total: 65_000 }),
        };
        let property = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: value.to_owned() };
        let expected = MessageMetadata {
            producer_name: "producer".to_owned(),
            sequence_id: 300,
            publish_time: 1_700_000_000_000,
            properties: vec![property("a", "1"), property("", "ü")],
            partition_key: Some("AQI=".to_owned()),
            partition_key_b64_encoded: Some(true),
            ordering_key: Some(Bytes::from_static(b"order")),
            event_time: Some(1 << 40),
            null_value: Some(true),
            replicate_to: vec!["east".to_owned(), "west".to_owned()],
            compression: Some(CompressionType::ZSTD),
            uncompressed_size: Some(70_000),
            deliver_at_time: Some(1_700_000_005_000),
            uuid: Some("producer-300".to_owned()),
            num_chunks_from_msg: Some(130),
            total_chunk_msg_size: Some(65_000),
            chunk_id: Some(2),
            ..Default::default()
        };
        let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
        metadata.write(&mut ours);
        expected.encode(&mut theirs);
        assert_eq!(ours, theirs);
        assert_eq!(metadata.len(), ours.len());
    }
}
