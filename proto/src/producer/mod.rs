//! Producers: numbering, encoding, the pending ring, receipts.
//!
//! The life of a producer's link to its broker is in `client::link`; here is what it sends.
//!
//! ```text
//! send: check size and memory -> sequence id -> into the open batch (`batch.rs`), or encoded into the ring
//! batch closed: encoded into the ring -> connection marked dirty
//! receipt for the oldest: done · for an earlier one: ignored · for a later one: connection closed
//! reopened: the ring is rewound, the same bytes go out again in the same order
//! ```

mod batch;
mod message;
mod pending;

use std::collections::VecDeque;

use batch::OpenBatch;
use bytes::{Bytes, BytesMut};

pub use message::{Key, Outgoing, Payload};
use message::{Metadata, put_bytes};
pub(crate) use pending::{Pending, PendingRing};

use crate::client::inner::Listener;
use crate::client::link::Link;
use crate::config::ProducerConfig;
use crate::error::{Error, ErrorKind};
use crate::ids::{MessageId, OpId, ProducerId, SendToken};
use crate::time::{Now, Time};
use crate::wire::batch::BatchReader;
use crate::wire::hot::{self, Receipt};
use crate::wire::{
    CommandProducer, CommandProducerSuccess, KeyValue, MessageMetadata, SingleMessageMetadata,
};

/// Payloads from this size on travel as segments of their own, without a copy.
const SHARE_FROM: usize = 16 * 1024;

/// Keys and properties from this size on keep a message out of batches.
const MAX_DETAILS: usize = 4 * 1024;

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    pub(crate) config: ProducerConfig,
    pub(crate) link: Link,
    /// Set when it is not the user's own.
    pub(crate) listener: Option<Listener>,
    /// Whether it is one of a partitioned producer.
    pub(crate) is_part: bool,
    pub(crate) ring: PendingRing,
    batch: OpenBatch,
    /// Flushes that wait, each for all sends before a token, and the first failure among those.
    pub(crate) flushes: VecDeque<(OpId, u64, Option<Error>)>,
    /// Largest metadata and payload that the broker takes.
    pub(crate) max_message_size: usize,
    /// The partition that its topic is; -1 when it is none.
    partition: i32,
    name: Option<String>,
    name_field: Bytes,
    next_sequence_id: Option<u64>,
    topic_epoch: Option<u64>,
    /// Counts openings, so that the broker can tell a late one from a newer.
    epoch: u64,
}

/// What a receipt means.
#[derive(Debug)]
pub(crate) enum Received {
    /// The oldest send is stored, or the oldest batch of them.
    Sent(SendToken, Pending, MessageId),
    /// Of a send that has ended already.
    Ignored,
    /// Of a send that was never made, or not yet: something was lost.
    Ahead,
}

impl Producer {
    pub(crate) fn new(id: ProducerId, config: ProducerConfig, link: Link) -> Self {
        Self {
            id,
            link,
            listener: None,
            is_part: false,
            ring: PendingRing::default(),
            batch: OpenBatch::default(),
            flushes: VecDeque::new(),
            max_message_size: crate::wire::DEFAULT_MAX_MESSAGE_SIZE,
            partition: config.topic.partition().and_then(|p| i32::try_from(p).ok()).unwrap_or(-1),
            name: config.name.clone(),
            name_field: Bytes::new(),
            next_sequence_id: config.initial_sequence_id.map(|id| id.wrapping_add(1)),
            topic_epoch: None,
            epoch: 0,
            config,
        }
    }

    /// Makes it a part of another, with that one's name.
    pub(crate) fn part(self, name: Option<String>) -> Self {
        Self { is_part: true, name, ..self }
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("")
    }

    /// PRODUCER, for this opening.
    pub(crate) fn open_command(&mut self, request_id: u64) -> CommandProducer {
        let command = CommandProducer {
            topic: self.config.topic.as_str().to_owned(),
            producer_id: self.id.0,
            request_id,
            producer_name: self.name.clone(),
            epoch: Some(self.epoch),
            user_provided_producer_name: Some(self.config.name.is_some()),
            metadata: key_values(&self.config.properties),
            topic_epoch: self.topic_epoch,
            ..Default::default()
        };
        self.epoch += 1;
        command
    }

    /// PRODUCER_SUCCESS came: all that is pending must go out on this connection.
    pub(crate) fn opened(&mut self, success: &CommandProducerSuccess) {
        let mut name_field = BytesMut::new();
        put_bytes(1, success.producer_name.as_bytes(), &mut name_field);
        self.name_field = name_field.freeze();
        self.name = Some(success.producer_name.clone());
        self.topic_epoch = success.topic_epoch.or(self.topic_epoch);
        if self.next_sequence_id.is_none() {
            let last = success.last_sequence_id.unwrap_or(-1);
            self.next_sequence_id = Some(u64::try_from(last.saturating_add(1)).unwrap_or(0));
        }
        self.ring.rewind();
    }

    /// Bytes that its pending messages hold.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        self.ring.bytes() + self.batch.bytes().len()
    }

    /// Token of the next message.
    pub(crate) fn next_token(&self) -> u64 {
        self.ring.next_token() + u64::from(self.batch.messages)
    }

    /// When the open batch goes out at the latest.
    #[inline]
    pub(crate) fn batch_due(&self) -> Option<Time> {
        self.batch.due(self.config.batching_max_publish_delay)
    }

    /// Takes a message into the open batch, or into the ring. The caller has checked that there is
    /// memory for it.
    #[inline]
    pub(crate) fn enqueue(&mut self, message: &Outgoing<'_>, now: Now) -> Result<SendToken, Error> {
        // Before PRODUCER_SUCCESS neither its name nor its last sequence id is known.
        let next = self.next_sequence_id.filter(|_| !self.name_field.is_empty());
        let next = next.ok_or_else(|| Error::new(ErrorKind::Disconnected, "the producer is not open yet"))?;
        let sequence_id = message.sequence_id.unwrap_or(next);
        if cfg!(feature = "batching") && self.config.batching {
            self.enqueue_batched(message, sequence_id, next, now)
        } else {
            self.write(message, message.base64_key(), sequence_id, now)
        }
    }

    fn enqueue_batched(
        &mut self,
        message: &Outgoing<'_>,
        sequence_id: u64,
        next: u64,
        now: Now,
    ) -> Result<SendToken, Error> {
        let limit = (self.config.batching_max_bytes as usize).min(self.max_message_size);
        let details = message.details_len();
        let len = message.payload.as_ref().map_or(0, |p| p.as_slice().len()) + details;
        // What fills a batch by itself goes by itself, and without a copy; so does what brokers may refuse.
        if len >= limit || details > MAX_DETAILS {
            self.close_batch();
            return self.write(message, message.base64_key(), sequence_id, now);
        }
        // As Java: what the broker may drop as a duplicate shares no batch with what it may not.
        let repeats = sequence_id < next;
        if repeats || self.batch.repeats || self.batch.bytes().len() + len > limit {
            self.close_batch();
        }
        let token = SendToken(self.next_token());
        self.batch.push(sequence_id, message, now);
        self.batch.repeats = repeats;
        self.next_sequence_id = Some(sequence_id.wrapping_add(1));
        if self.batch.messages >= self.config.batching_max_messages || self.batch.bytes().len() >= limit {
            self.close_batch();
        }
        Ok(token)
    }

    /// Moves the open batch to the ring.
    pub(crate) fn close_batch(&mut self) {
        if !cfg!(feature = "batching") || self.batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        if batch.messages != 1 || !self.push_lone(&batch) {
            self.push_batch(&mut batch);
        }
        batch.clear();
        self.batch = batch;
    }

    fn push_batch(&mut self, batch: &mut OpenBatch) {
        let metadata = MessageMetadata {
            producer_name: self.name().to_owned(),
            sequence_id: batch.first,
            publish_time: batch.since.wall_ms,
            partition_key: batch.key.take(),
            partition_key_b64_encoded: batch.key_is_base64.then_some(true),
            ordering_key: batch.ordering_key.take().map(Bytes::from),
            num_messages_in_batch: i32::try_from(batch.messages).ok(),
            highest_sequence_id: Some(batch.last),
            ..Default::default()
        };
        let send = hot::Send { producer_id: self.id.0, sequence_id: batch.first };
        let deadline = self.deadline(batch.since);
        let buffer = self.ring.buffer();
        let before = buffer.len();
        hot::write_batch(send, batch.messages, batch.last, &metadata, batch.bytes(), buffer);
        let pending = Pending {
            sequence_id: batch.first,
            deadline,
            frame_len: (buffer.len() - before) as u32,
            message_size: batch.bytes().len() as u32,
            batch: batch.messages,
        };
        self.ring.push(pending, None);
    }

    /// A batch of one goes out as a single message, as Java's does.
    fn push_lone(&mut self, batch: &OpenBatch) -> bool {
        let bytes = batch.bytes();
        let Ok(slot) = BatchReader::new().next(bytes) else { return false };
        let metadata = &bytes[slot.metadata_start as usize..slot.payload_start as usize];
        let Ok(single) = SingleMessageMetadata::decode(&Bytes::copy_from_slice(metadata)) else {
            return false;
        };
        let properties: Vec<(&str, &str)> =
            single.properties.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect();
        let payload = &bytes[slot.payload_start as usize..slot.payload_end as usize];
        let message = Outgoing {
            payload: (!slot.null_value).then_some(Payload::Slice(payload)),
            key: batch.key.as_deref().map(Key::Text),
            ordering_key: single.ordering_key.as_deref(),
            properties: &properties,
            event_time: single.event_time,
            sequence_id: None,
        };
        let base64 = batch.key.clone().filter(|_| batch.key_is_base64);
        self.write(&message, base64, batch.first, batch.since).is_ok()
    }

    fn deadline(&self, now: Now) -> Time {
        let timeout = self.config.send_timeout;
        if timeout.is_zero() { Time::NEVER } else { now.time + timeout }
    }

    /// Encodes a single message into the ring.
    fn write(
        &mut self,
        message: &Outgoing<'_>,
        encoded_key: Option<String>,
        sequence_id: u64,
        now: Now,
    ) -> Result<SendToken, Error> {
        let payload = message.payload.as_ref().map_or(&[][..], Payload::as_slice);
        let metadata = Metadata {
            producer_name_field: &self.name_field,
            sequence_id,
            publish_time: now.wall_ms,
            message,
            encoded_key,
        };
        let metadata_len = metadata.len();
        let message_size = metadata_len + payload.len();
        // As Java: the limit is about the payload; the frame has room for 10 KiB of the rest.
        if payload.len() > self.max_message_size || metadata_len > crate::wire::FRAME_OVERHEAD - 1024 {
            return Err(self.too_large(payload.len(), metadata_len));
        }
        let send = hot::Send { producer_id: self.id.0, sequence_id };
        let deadline = self.deadline(now);
        let buffer = self.ring.buffer();
        let before = buffer.len();
        let shared = match message.payload {
            Some(Payload::Shared(bytes)) if bytes.len() >= SHARE_FROM => {
                hot::write_send_head(send, metadata_len, |out| metadata.write(out), bytes, buffer);
                Some(bytes.clone())
            }
            _ => {
                hot::write_send(send, metadata_len, |out| metadata.write(out), payload, buffer);
                None
            }
        };
        let frame_len = buffer.len() - before + shared.as_ref().map_or(0, Bytes::len);
        let pending = Pending {
            sequence_id,
            deadline,
            frame_len: frame_len as u32,
            message_size: message_size as u32,
            batch: 0,
        };
        self.next_sequence_id = Some(sequence_id.wrapping_add(1));
        Ok(self.ring.push(pending, shared))
    }

    /// Matches a receipt with the oldest send.
    #[inline]
    pub(crate) fn receipt(&mut self, receipt: &Receipt) -> Received {
        let Some(oldest) = self.ring.front() else { return Received::Ignored };
        if receipt.sequence_id < oldest.sequence_id {
            return Received::Ignored;
        }
        if receipt.sequence_id > oldest.sequence_id {
            return Received::Ahead;
        }
        let Some((token, pending)) = self.ring.pop() else { return Received::Ignored };
        // Duplicates that the broker dropped have no position: Java gives them the id -1:-1.
        let mut id = MessageId { partition: self.partition, ..MessageId::EARLIEST };
        if let Some(at) = receipt.position {
            (id.ledger_id, id.entry_id) = (at.ledger, at.entry);
        }
        Received::Sent(token, pending, id)
    }

    pub(crate) fn too_large(&self, payload: usize, metadata: usize) -> Error {
        Error::new(
            ErrorKind::MessageTooLarge,
            format!(
                "a message of {payload} bytes with {metadata} bytes of metadata is larger than the broker takes: \
                 {} bytes, and {} of metadata",
                self.max_message_size,
                crate::wire::FRAME_OVERHEAD - 1024,
            ),
        )
    }
}

pub(crate) fn key_values(properties: &[(String, String)]) -> Vec<KeyValue> {
    properties.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}
