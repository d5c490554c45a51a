//! A message as the user holds it.
//!
//! It shares the bytes of its entry, and the metadata stays encoded until it is asked for: a message
//! of a batch costs no allocation.

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{ConsumerId, FirstChunk, MessageId};
use crate::topic::TopicName;
use crate::wire::batch::Slot;
use crate::wire::entry::{find_all, find_bytes, find_varint};
use crate::wire::hot::Position;
use crate::wire::{BrokerEntryMetadata, KeyValue};

/// What all messages of a consumer share.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) consumer: ConsumerId,
    pub(crate) topic: TopicName,
}

/// What all messages of an entry share.
#[derive(Debug)]
pub(crate) struct EntryData {
    pub(crate) source: Arc<Source>,
    pub(crate) position: Position,
    pub(crate) redelivery_count: u32,
    pub(crate) broker: Option<BrokerEntryMetadata>,
    pub(crate) metadata: Bytes,
    pub(crate) payload: Bytes,
    /// Messages in the batch; 0 when the entry is not a batch.
    pub(crate) batch_size: i32,
    /// Of a message that came in chunks.
    pub(crate) first_chunk: Option<FirstChunk>,
}

/// A received message.
#[derive(Debug, Clone)]
pub struct Message {
    entry: Arc<EntryData>,
    /// Place in the batch; -1 when the entry is the message.
    index: i32,
    /// Where its own metadata begins in the entry's payload; of a message of a batch.
    metadata_start: u32,
    payload_start: u32,
    payload_end: u32,
    null_value: bool,
}

// Field numbers in MessageMetadata, and in SingleMessageMetadata.
const ENTRY: Numbers =
    Numbers { properties: 4, key: 6, key_base64: 17, event_time: 12, ordering_key: 18, sequence_id: 2 };
const SINGLE: Numbers =
    Numbers { properties: 1, key: 2, key_base64: 6, event_time: 5, ordering_key: 7, sequence_id: 8 };

struct Numbers {
    properties: u32,
    key: u32,
    key_base64: u32,
    event_time: u32,
    ordering_key: u32,
    sequence_id: u32,
}

impl Message {
    pub(crate) fn whole(entry: EntryData, null_value: bool) -> Self {
        let payload_end = entry.payload.len() as u32;
        let (metadata_start, payload_start) = (0, 0);
        Self { entry: Arc::new(entry), index: -1, metadata_start, payload_start, payload_end, null_value }
    }

    pub(crate) fn of_batch(entry: Arc<EntryData>, index: i32, slot: Slot) -> Self {
        let Slot { metadata_start, payload_start, payload_end, null_value, .. } = slot;
        Self { entry, index, metadata_start, payload_start, payload_end, null_value }
    }

    /// Where the message is stored.
    #[must_use]
    #[inline]
    pub fn id(&self) -> MessageId {
        let mut id = MessageId::from_position(self.entry.position, self.entry.batch_size);
        if self.index >= 0 {
            id.batch_index = self.index;
        }
        id.first_chunk = self.entry.first_chunk;
        id
    }

    /// Its place in its batch; -1 when the entry is the message.
    #[inline]
    pub(crate) fn batch_index(&self) -> i32 {
        self.index
    }

    /// Whether it is of the batch that another message of its topic is of.
    #[inline]
    pub(crate) fn is_of_batch(&self, other: &MessageId) -> bool {
        let at = &self.entry.position;
        self.index >= 0 && at.entry == other.entry_id && at.ledger == other.ledger_id
    }

    /// The consumer that it came by: of a consumer of several topics the part that has its topic.
    #[must_use]
    pub fn consumer(&self) -> ConsumerId {
        self.entry.source.consumer
    }

    /// The topic that it was received from; of one with partitions, the partition.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.entry.source.topic.as_str()
    }

    /// The payload; empty for a null value.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.entry.payload[self.payload_start as usize..self.payload_end as usize]
    }

    /// The payload as shared bytes, without a copy. They keep the whole entry alive.
    #[must_use]
    pub fn payload_bytes(&self) -> Bytes {
        self.entry.payload.slice(self.payload_start as usize..self.payload_end as usize)
    }

    /// Bytes of the payload.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        (self.payload_end - self.payload_start) as usize
    }

    /// Whether the message has no value (a tombstone).
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.null_value
    }

    /// The key as text. A key of bytes is base64 here: see [`Message::has_base64_key`].
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        let (metadata, numbers) = self.metadata();
        find_bytes(metadata, numbers.key).and_then(|key| std::str::from_utf8(key).ok())
    }

    /// Whether [`Message::key`] is the base64 form of a key of bytes.
    #[must_use]
    pub fn has_base64_key(&self) -> bool {
        let (metadata, numbers) = self.metadata();
        find_varint(metadata, numbers.key_base64) == Some(1)
    }

    /// The ordering key.
    #[must_use]
    pub fn ordering_key(&self) -> Option<&[u8]> {
        let (metadata, numbers) = self.metadata();
        find_bytes(metadata, numbers.ordering_key)
    }

    /// The named strings, in the order in which they were sent.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, String)> {
        let (metadata, numbers) = if self.index >= 0 {
            (self.entry.payload.slice(self.metadata_start as usize..self.payload_start as usize), SINGLE)
        } else {
            (self.entry.metadata.clone(), ENTRY)
        };
        find_all::<KeyValue>(&metadata, numbers.properties).into_iter().map(|p| (p.key, p.value)).collect()
    }

    /// When it happened, in milliseconds since the Unix epoch, if the producer said so.
    #[must_use]
    pub fn event_time(&self) -> Option<u64> {
        let (metadata, numbers) = self.metadata();
        find_varint(metadata, numbers.event_time).filter(|time| *time != 0)
    }

    /// When it was published, by the producer's clock, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn publish_time(&self) -> u64 {
        find_varint(&self.entry.metadata, 3).unwrap_or(0)
    }

    /// When the broker stored it, in milliseconds since the Unix epoch, where brokers tell.
    #[must_use]
    pub fn broker_publish_time(&self) -> Option<u64> {
        self.entry.broker.as_ref().and_then(|b| b.broker_timestamp)
    }

    /// Its number in the topic, from 0, where brokers tell.
    #[must_use]
    pub fn index(&self) -> Option<u64> {
        // The broker numbers a batch by its last message.
        let last = self.entry.broker.as_ref().and_then(|b| b.index)?;
        if self.index < 0 {
            return Some(last);
        }
        let after = u64::try_from(self.entry.batch_size - 1 - self.index).unwrap_or(0);
        Some(last.saturating_sub(after))
    }

    /// The producer's name.
    #[must_use]
    pub fn producer_name(&self) -> &str {
        find_bytes(&self.entry.metadata, 1).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("")
    }

    /// The producer's sequence id.
    #[must_use]
    pub fn sequence_id(&self) -> u64 {
        let (metadata, numbers) = self.metadata();
        find_varint(metadata, numbers.sequence_id)
            .or_else(|| find_varint(&self.entry.metadata, ENTRY.sequence_id))
            .unwrap_or(0)
    }

    /// The cluster that it was replicated from.
    #[must_use]
    pub fn replicated_from(&self) -> Option<&str> {
        find_bytes(&self.entry.metadata, 5).and_then(|cluster| std::str::from_utf8(cluster).ok())
    }

    /// Whether it came from another cluster.
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        self.replicated_from().is_some_and(|cluster| !cluster.is_empty())
    }

    /// The value of a property; of the last of that name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<String> {
        self.properties().into_iter().rev().find(|(property, _)| property == name).map(|(_, value)| value)
    }

    /// The clusters that it is replicated to, where its producer named them; `__local__` is none.
    #[must_use]
    pub fn replicate_to(&self) -> Vec<String> {
        find_all(&self.entry.metadata, 7)
    }

    /// The version of its schema, as the registry numbers it.
    #[must_use]
    pub fn schema_version(&self) -> Option<&[u8]> {
        find_bytes(&self.entry.metadata, 16)
    }

    /// How often it was delivered before.
    #[must_use]
    pub fn redelivery_count(&self) -> u32 {
        self.entry.redelivery_count
    }

    fn metadata(&self) -> (&[u8], Numbers) {
        if self.index >= 0 {
            (&self.entry.payload[self.metadata_start as usize..self.payload_start as usize], SINGLE)
        } else {
            (&self.entry.metadata, ENTRY)
        }
    }
}
