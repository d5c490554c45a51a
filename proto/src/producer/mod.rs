//! Producers: numbering, encoding, the pending ring, receipts.
//!
//! The life of a producer's link to its broker is in `client::link`; here is what it sends.
//!
//! ```text
//! send: check size and memory -> sequence id -> encode into the ring -> connection marked dirty
//! receipt for the oldest: done · for an earlier one: ignored · for a later one: connection closed
//! reopened: the ring is rewound, the same bytes go out again in the same order
//! ```

mod message;
mod pending;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};

pub use message::{Key, Outgoing, Payload};
use message::{Metadata, put_bytes};
pub(crate) use pending::{Pending, PendingRing};

use crate::client::link::Link;
use crate::config::ProducerConfig;
use crate::error::{Error, ErrorKind};
use crate::ids::{MessageId, ProducerId, SendToken};
use crate::time::Now;
use crate::wire::hot::{self, Receipt};
use crate::wire::{CommandProducer, CommandProducerSuccess, KeyValue};

/// Payloads from this size on travel as segments of their own, without a copy.
const SHARE_FROM: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    pub(crate) config: ProducerConfig,
    pub(crate) link: Link,
    pub(crate) ring: PendingRing,
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
    /// The oldest send is stored.
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
            ring: PendingRing::default(),
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

    /// Encodes a message into the ring. The caller has checked that there is memory for it.
    pub(crate) fn enqueue(&mut self, message: &Outgoing<'_>, now: Now) -> Result<(SendToken, usize), Error> {
        let payload = message.payload.as_ref().map_or(&[][..], Payload::as_slice);
        // Before PRODUCER_SUCCESS neither its name nor its last sequence id is known.
        let next = self.next_sequence_id.filter(|_| !self.name_field.is_empty());
        let next = next.ok_or_else(|| Error::new(ErrorKind::Disconnected, "the producer is not open yet"))?;
        let sequence_id = message.sequence_id.unwrap_or(next);
        let metadata = Metadata {
            producer_name_field: &self.name_field,
            sequence_id,
            publish_time: now.wall_ms,
            message,
            encoded_key: match message.key {
                Some(Key::Bytes(key)) => Some(base64::engine::general_purpose::STANDARD.encode(key)),
                _ => None,
            },
        };
        let metadata_len = metadata.len();
        let message_size = metadata_len + payload.len();
        // As Java: the limit is about the payload; the frame has room for 10 KiB of the rest.
        if payload.len() > self.max_message_size || metadata_len > crate::wire::FRAME_OVERHEAD - 1024 {
            return Err(self.too_large(payload.len(), metadata_len));
        }
        let send = hot::Send { producer_id: self.id.0, sequence_id };
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
        let timeout = self.config.send_timeout;
        let pending = Pending {
            sequence_id,
            deadline: (!timeout.is_zero()).then(|| now.time + timeout),
            frame_len: frame_len as u32,
            message_size: message_size as u32,
        };
        self.next_sequence_id = Some(sequence_id.wrapping_add(1));
        Ok((self.ring.push(pending, shared), frame_len))
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
