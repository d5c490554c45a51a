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

mod access;
mod batch;
mod chunking;
mod key_batches;
mod limits;
mod message;
mod pending;
mod stats;
mod status;

use std::collections::VecDeque;

pub use access::ProducerAccessMode;
use batch::OpenBatch;
use bytes::{BufMut as _, Bytes, BytesMut};

use key_batches::KeyBatches;
use limits::PendingLimit;
pub use message::{Deliver, Key, NO_REPLICATION, Outgoing, Payload};
use message::{Metadata, put_bytes};
use pending::Part;
pub(crate) use pending::{Pending, PendingRing};
pub use stats::ProducerStats;
pub(crate) use stats::Recorder;
pub use status::ProducerStatus;

use crate::client::inner::Listener;
use crate::client::link::Link;
use crate::compression::Packer;
use crate::config::{BatcherBuilder, MAX_SEQUENCE_ID, ProducerConfig};
use crate::error::{Error, ErrorKind};
use crate::ids::{FirstChunk, MessageId, OpId, ProducerId, SendToken};
use crate::time::{Now, Time};
use crate::wire::batch::BatchReader;
use crate::wire::entry::{Checksum, Entry};
use crate::wire::frame::FrameDecoder;
use crate::wire::hot::{self, Receipt, SendDetails};
use crate::wire::{
    CommandProducer, CommandProducerSuccess, CompressionType, KeyValue, MessageMetadata,
    SingleMessageMetadata,
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
    /// In its place, where batches go by key.
    keyed: Option<Box<KeyBatches>>,
    /// The client's, while it is lent.
    packer: Option<Box<Packer>>,
    /// Of the message whose chunks get their receipts.
    first_chunk: Option<FirstChunk>,
    /// Flushes that wait, each for all sends before a token, and the first failure among those.
    pub(crate) flushes: VecDeque<(OpId, u64, Option<Error>)>,
    /// Largest metadata and payload that the broker takes.
    pub(crate) max_message_size: usize,
    /// The partition that its topic is; -1 when it is none.
    partition: i32,
    name: Option<String>,
    name_field: Bytes,
    next_sequence_id: Option<u64>,
    /// The highest sequence id that is stored, or the initial one.
    published: Option<u64>,
    pub(crate) limit: PendingLimit,
    pub(crate) stats: Recorder,
    topic_epoch: Option<u64>,
    /// Counts openings, so that the broker can tell a late one from a newer.
    epoch: u64,
}

/// What a receipt means.
#[derive(Debug)]
pub(crate) enum Received {
    /// The oldest send is stored, or the oldest batch of them.
    Sent(SendToken, Pending, MessageId),
    /// The oldest chunk is stored, and others of its message follow.
    Part(Pending),
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
            keyed: by_key(&config).then(Box::default),
            packer: None,
            first_chunk: None,
            flushes: VecDeque::new(),
            max_message_size: crate::wire::DEFAULT_MAX_MESSAGE_SIZE,
            partition: config.topic.partition().and_then(|p| i32::try_from(p).ok()).unwrap_or(-1),
            name: config.name.clone(),
            name_field: Bytes::new(),
            next_sequence_id: config.initial_sequence_id.map(|id| id.wrapping_add(1)),
            published: config.initial_sequence_id,
            limit: PendingLimit::new(&config, 1),
            stats: Recorder::default(),
            topic_epoch: None,
            epoch: 0,
            config,
        }
    }

    /// Makes it a part of another, with that one's name.
    pub(crate) fn part(self, name: Option<String>, partitions: u32) -> Self {
        let limit = PendingLimit::new(&self.config, partitions);
        Self { is_part: true, name, limit, ..self }
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
            producer_access_mode: self.config.access_mode.to_wire(),
            topic_epoch: self.topic_epoch,
            initial_subscription_name: self.config.initial_subscription_name.clone(),
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
            self.published = u64::try_from(last).ok();
        }
        self.ring.rewind();
    }

    /// Bytes that its pending messages hold.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        self.ring.bytes() + self.batch.bytes().len() + self.keyed.as_ref().map_or(0, |keyed| keyed.bytes())
    }

    /// Token of the next message.
    pub(crate) fn next_token(&self) -> u64 {
        let keyed = self.keyed.as_ref().map_or(0, |keyed| keyed.messages);
        self.ring.next_token() + u64::from(self.batch.messages + keyed)
    }

    /// Takes what payloads are packed with, or gives it back: it is large, and one does for all producers.
    #[inline]
    pub(crate) fn lend(&mut self, packer: &mut Option<Box<Packer>>) {
        if self.config.compression_type != CompressionType::NONE {
            std::mem::swap(&mut self.packer, packer);
        }
    }

    /// Messages that are pending.
    #[inline]
    pub(crate) fn pending(&self) -> u64 {
        self.next_token() - self.ring.head_token()
    }

    /// When a pending send fails.
    #[inline]
    pub(crate) fn deadline(&self, pending: &Pending) -> Time {
        let timeout = self.config.send_timeout;
        if timeout.is_zero() { Time::NEVER } else { pending.since + timeout }
    }

    /// When the oldest pending send fails, if it ever does.
    #[inline]
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.ring.front().map(|oldest| self.deadline(oldest)).filter(|at| *at != Time::NEVER)
    }

    /// When the open batch goes out at the latest.
    #[inline]
    pub(crate) fn batch_due(&self) -> Option<Time> {
        let delay = self.config.batching_max_publish_delay;
        match &self.keyed {
            Some(keyed) => keyed.due(delay),
            None => self.batch.due(delay),
        }
    }

    /// Takes a message into the open batch, or into the ring. The caller has checked that there is
    /// memory for it.
    #[inline]
    pub(crate) fn enqueue(&mut self, message: &Outgoing<'_>, now: Now) -> Result<SendToken, Error> {
        // Before PRODUCER_SUCCESS neither its name nor its last sequence id is known.
        let next = self.next_sequence_id.filter(|_| !self.name_field.is_empty());
        let next = next.ok_or_else(|| Error::new(ErrorKind::Disconnected, "the producer is not open yet"))?;
        let sequence_id = message.sequence_id.unwrap_or(next);
        if sequence_id > MAX_SEQUENCE_ID {
            return Err(no_sequence_id());
        }
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
        // What fills a batch by itself goes by itself, and without a copy; so does what brokers may refuse,
        // and what belongs to its entry alone.
        let alone = message.deliver.is_some() || message.source_id.is_some();
        if alone || len >= limit || details > MAX_DETAILS {
            self.close_batch();
            return self.write(message, message.base64_key(), sequence_id, now);
        }
        // As Java: what the broker may drop as a duplicate shares no batch with what it may not.
        let repeats = sequence_id < next;
        if self.keyed.is_some() {
            return Ok(self.enqueue_by_key(message, sequence_id, repeats, len, limit, now));
        }
        if repeats
            || self.batch.repeats
            || !self.batch.suits(message)
            || self.batch.bytes().len() + len > limit
        {
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

    fn enqueue_by_key(
        &mut self,
        message: &Outgoing<'_>,
        sequence_id: u64,
        repeats: bool,
        len: usize,
        limit: usize,
        now: Now,
    ) -> SendToken {
        let joins = |keyed: &KeyBatches| {
            !repeats && !keyed.repeats && keyed.suits(message) && keyed.bytes() + len <= limit
        };
        if !self.keyed.as_deref().is_some_and(joins) {
            self.close_batch();
        }
        let token = self.next_token();
        if let Some(keyed) = &mut self.keyed {
            keyed.push(token, sequence_id, message, now);
            keyed.repeats = repeats;
            self.next_sequence_id = Some(sequence_id.wrapping_add(1));
            if keyed.messages >= self.config.batching_max_messages || keyed.bytes() >= limit {
                self.close_batch();
            }
        }
        SendToken(token)
    }

    /// Moves the open batch to the ring, or those of all keys.
    pub(crate) fn close_batch(&mut self) {
        if !cfg!(feature = "batching") {
            return;
        }
        if let Some(keyed) = self.keyed.as_mut().filter(|keyed| keyed.messages > 0) {
            let batches = keyed.take(self.ring.next_token());
            let (count, next) = (batches.len(), self.next_sequence_id);
            for mut open in batches {
                // As Java: by the highest of its sequence ids.
                open.batch.first = open.batch.last;
                if open.batch.messages != 1 || !self.push_lone(&open.batch) {
                    self.push_batch(&mut open.batch);
                }
                if let Some(keyed) = &mut self.keyed {
                    keyed.give_back(open);
                }
            }
            self.ring.reordered(count);
            self.next_sequence_id = next;
        }
        if self.batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        if batch.messages != 1 || !self.push_lone(&batch) {
            self.push_batch(&mut batch);
        }
        batch.clear();
        self.batch = batch;
    }

    /// The token of the send in a place of the ring: another where batches go by key.
    pub(crate) fn token_of(&mut self, place: u64) -> u64 {
        let head = self.ring.head_token();
        self.keyed.as_mut().map_or(place, |keyed| keyed.token_of(place, head))
    }

    fn push_batch(&mut self, batch: &mut OpenBatch) {
        let codec = self.config.compression_type;
        let packed = codec != CompressionType::NONE;
        let mut metadata = MessageMetadata {
            producer_name: self.name().to_owned(),
            sequence_id: batch.first,
            publish_time: batch.since.wall_ms,
            partition_key: batch.key.take(),
            partition_key_b64_encoded: batch.key_is_base64.then_some(true),
            ordering_key: batch.ordering_key.take().map(Bytes::from),
            replicate_to: std::mem::take(&mut batch.replicate_to),
            num_messages_in_batch: i32::try_from(batch.messages).ok(),
            highest_sequence_id: Some(batch.last),
            compression: packed.then_some(codec),
            uncompressed_size: packed.then_some(batch.bytes().len() as u32),
            ..Default::default()
        };
        let send = hot::Send { producer_id: self.id.0, sequence_id: batch.first };
        let details = SendDetails { batch: Some((batch.messages, batch.last)), ..Default::default() };
        let buffer = self.ring.buffer();
        let before = buffer.len();
        let mut message_size = None;
        if packed {
            let open = hot::open_send(send, details, metadata.encoded_len(), buffer);
            metadata.encode(buffer);
            let at = buffer.len();
            let packer = self.packer.get_or_insert_default();
            let done = packer.pack(codec, batch.bytes(), buffer);
            message_size =
                Some(buffer.len() - at).filter(|len| done.is_ok() && *len <= self.max_message_size);
            match message_size {
                Some(_) => open.close(&[], buffer),
                // It does not get smaller; as it is it fits.
                None => {
                    buffer.truncate(before);
                    (metadata.compression, metadata.uncompressed_size) = (None, None);
                }
            }
        }
        let message_size = message_size.unwrap_or_else(|| {
            let metadata_len = metadata.encoded_len();
            buffer.reserve(metadata_len + batch.bytes().len() + 128);
            let open = hot::open_send(send, details, metadata_len, buffer);
            metadata.encode(buffer);
            buffer.put_slice(batch.bytes());
            open.close(&[], buffer);
            batch.bytes().len()
        });
        let pending = Pending {
            sequence_id: batch.first,
            highest: batch.last,
            since: batch.since.time,
            frame_len: (buffer.len() - before) as u32,
            message_size: message_size as u32,
            batch: batch.messages,
            part: Part::Whole,
            reordered: false,
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
        let replicate_to: Vec<&str> = batch.replicate_to.iter().map(String::as_str).collect();
        let payload = &bytes[slot.payload_start as usize..slot.payload_end as usize];
        let message = Outgoing {
            payload: (!slot.null_value).then_some(Payload::Slice(payload)),
            key: batch.key.as_deref().map(Key::Text),
            ordering_key: single.ordering_key.as_deref(),
            properties: &properties,
            event_time: single.event_time,
            replicate_to: &replicate_to,
            ..Default::default()
        };
        let base64 = batch.key.clone().filter(|_| batch.key_is_base64);
        self.write(&message, base64, batch.first, batch.since).is_ok()
    }

    /// Encodes a single message into the ring.
    fn write(
        &mut self,
        message: &Outgoing<'_>,
        encoded_key: Option<String>,
        sequence_id: u64,
        now: Now,
    ) -> Result<SendToken, Error> {
        let packs = cfg!(any(feature = "lz4", feature = "zlib", feature = "zstd", feature = "snappy"));
        if (packs || cfg!(feature = "chunking")) && self.is_special(message) {
            return self.write_special(message, encoded_key, sequence_id, now);
        }
        let payload = message.payload.as_ref().map_or(&[][..], Payload::as_slice);
        let metadata = Metadata {
            producer_name_field: &self.name_field,
            sequence_id,
            publish_time: now.wall_ms,
            message,
            encoded_key,
            packed: None,
            chunk: None,
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
        let pending = Pending {
            sequence_id,
            highest: sequence_id,
            since: now.time,
            frame_len: frame_len as u32,
            message_size: message_size as u32,
            batch: 0,
            part: Part::Whole,
            reordered: false,
        };
        self.next_sequence_id = Some(sequence_id.wrapping_add(1));
        Ok(self.ring.push(pending, shared))
    }

    /// Whether the oldest send has this sequence id, and its checksum is right.
    #[cold]
    pub(crate) fn is_oldest_intact(&mut self, sequence_id: u64) -> bool {
        // The chunks behind a damaged one are there already: sent again, they could not be told from their receipts.
        let is_it = |oldest: &Pending| oldest.sequence_id == sequence_id && oldest.part == Part::Whole;
        if !self.ring.front().is_some_and(is_it) {
            return false;
        }
        let frame = self.ring.front_frame();
        let mut decoder = FrameDecoder::new(frame.len());
        decoder.push(frame);
        let Ok(Some(frame)) = decoder.next_frame() else { return false };
        Entry::parse(&frame.entry).is_ok_and(|entry| entry.checksum == Checksum::Right)
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
        self.published = self.published.max(Some(pending.highest));
        // Duplicates that the broker dropped have no position: Java gives them the id -1:-1.
        let mut id = MessageId { partition: self.partition, ..MessageId::EARLIEST };
        if let Some(at) = receipt.position {
            (id.ledger_id, id.entry_id) = (at.ledger, at.entry);
        }
        if cfg!(feature = "chunking") && pending.part != Part::Whole {
            if pending.part == Part::FirstChunk {
                self.first_chunk = Some(FirstChunk { ledger_id: id.ledger_id, entry_id: id.entry_id });
            }
            if pending.part.goes_on() {
                return Received::Part(pending);
            }
            id.first_chunk = self.first_chunk.take();
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

fn by_key(config: &ProducerConfig) -> bool {
    cfg!(feature = "batching") && config.batching && config.batcher_builder == BatcherBuilder::KeyBased
}

pub(crate) fn key_values(properties: &[(String, String)]) -> Vec<KeyValue> {
    properties.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}

#[cold]
fn no_sequence_id() -> Error {
    Error::new(ErrorKind::InvalidOption, format!("sequence_id is at most {MAX_SEQUENCE_ID}"))
}
