//! Consumers: what has arrived, what was taken, what is done with.
//!
//! The life of a consumer's link to its broker is in `client::link`; here is what it receives.
//!
//! ```text
//! MESSAGE -> queue -> taken -> delivered: its permit goes back by FLOW, half a queue at a time
//!                        \--> acknowledged · negatively acknowledged · neither: comes again
//! link lost: queue, half-done batches and nacks are forgotten; the broker sends it all again
//! ```

mod acks;
mod message;
mod nacks;
mod queue;

use std::sync::Arc;

use acks::BatchAcks;
use bytes::Bytes;
use message::EntryData;
pub use message::Message;
use nacks::Nacks;
use queue::{Queue, Taken, open_bits};

use crate::client::link::Link;
use crate::compression;
use crate::config::{ConsumerConfig, InitialPosition};
use crate::error::{Error, ErrorKind};
use crate::ids::{ConsumerId, MessageId};
use crate::producer::key_values;
use crate::time::{Now, Time};
use crate::topic::TopicName;
use crate::wire::entry::{Checksum, Entry, Unpack};
use crate::wire::hot::Delivery;
use crate::wire::{
    AckType, CommandAck, CommandRedeliverUnacknowledgedMessages, CommandSubscribe, CompressionType,
    InitialPosition as WirePosition, MessageIdData, Outbound, ValidationError,
};

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    pub(crate) config: ConsumerConfig,
    pub(crate) link: Link,
    name: String,
    topic: Arc<TopicName>,
    queue: Queue,
    acks: BatchAcks,
    nacks: Nacks,
    /// Largest payload, also after it is unpacked.
    pub(crate) max_message_size: usize,
    /// Messages of this subscription that were taken and not reported as delivered.
    taken: u32,
    /// Permits to give back with the next FLOW.
    returned: u32,
    /// The user was told that messages wait.
    announced: bool,
}

/// What the broker must be told about an entry that arrived.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Nothing; `true` when the user is to be told that messages wait.
    Queued(bool),
    /// That it was damaged on its way.
    Damaged(CommandAck),
}

impl Consumer {
    pub(crate) fn new(id: ConsumerId, config: ConsumerConfig, link: Link, name: String) -> Self {
        Self {
            id,
            link,
            name,
            topic: Arc::new(config.topic.clone()),
            queue: Queue::default(),
            acks: BatchAcks::default(),
            nacks: Nacks::default(),
            max_message_size: crate::wire::DEFAULT_MAX_MESSAGE_SIZE,
            taken: 0,
            returned: 0,
            announced: false,
            config,
        }
    }

    /// SUBSCRIBE, for this opening.
    pub(crate) fn open_command(&self, request_id: u64) -> CommandSubscribe {
        CommandSubscribe {
            topic: self.config.topic.as_str().to_owned(),
            subscription: self.config.subscription.clone(),
            sub_type: self.config.subscription_type.to_wire(),
            consumer_id: self.id.0,
            request_id,
            consumer_name: Some(self.name.clone()),
            priority_level: Some(self.config.priority_level),
            durable: Some(true),
            metadata: key_values(&self.config.properties),
            read_compacted: Some(false),
            initial_position: Some(match self.config.initial_position {
                InitialPosition::Latest => WirePosition::LATEST,
                InitialPosition::Earliest => WirePosition::EARLIEST,
            }),
            force_topic_creation: Some(true),
            ..Default::default()
        }
    }

    /// The subscription is open on a connection: the first permits.
    pub(crate) fn opened(&mut self) -> u32 {
        self.returned = 0;
        self.config.receiver_queue_size
    }

    /// The link is lost: all that is not acknowledged will come again.
    pub(crate) fn lost(&mut self) {
        self.queue.clear();
        self.acks.clear();
        self.nacks.clear();
        self.taken = 0;
        self.returned = 0;
        self.announced = false;
    }

    /// Takes in an entry.
    pub(crate) fn arrived(&mut self, delivery: Delivery, entry: Result<Entry, Error>) -> Arrival {
        let at = delivery.position;
        let unreadable = |why: String| {
            let what = format!("the message at {}:{} cannot be read: {why}", at.ledger, at.entry);
            Error::new(ErrorKind::Corrupted, what)
        };
        let parsed = entry.map_err(|e| unreadable(e.to_string())).and_then(|entry| {
            if entry.checksum == Checksum::Wrong {
                return Ok((entry, Unpack::default()));
            }
            match Unpack::read(&entry.metadata) {
                Ok(unpack) => Ok((entry, unpack)),
                Err(e) => Err(unreadable(e.to_string())),
            }
        });
        let (entry, unpack) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                self.queue.push_unreadable(error, 1);
                return Arrival::Queued(self.announce());
            }
        };
        if entry.checksum == Checksum::Wrong {
            self.returned = self.returned.saturating_add(damaged_permits(&entry, &delivery.ack_set));
            return Arrival::Damaged(CommandAck {
                consumer_id: self.id.0,
                ack_type: AckType::INDIVIDUAL,
                message_id: vec![MessageIdData {
                    ledger_id: at.ledger,
                    entry_id: at.entry,
                    ..Default::default()
                }],
                validation_error: Some(ValidationError::CHECKSUM_MISMATCH),
                ..Default::default()
            });
        }
        // What the broker counted; it goes by the same words.
        let declared = u32::try_from(unpack.batch.unwrap_or(1)).unwrap_or(0);
        let permits = open_bits(&delivery.ack_set, declared).max(1);
        if let Some(why) = unsupported(&unpack) {
            self.queue
                .push_unreadable(Error::new(ErrorKind::NotSupported, unreadable(why).to_string()), permits);
            return Arrival::Queued(self.announce());
        }
        let payload = match self.unpacked(&unpack, entry.payload) {
            Ok(payload) => payload,
            Err(error) => {
                let error = Error::new(error.kind(), unreadable(error.to_string()).to_string());
                self.queue.push_unreadable(error, permits);
                return Arrival::Queued(self.announce());
            }
        };
        // A message of a batch takes at least six bytes, so the broker's word for their number is bounded.
        let batch_size =
            unpack.batch.unwrap_or(0).clamp(0, i32::try_from(payload.len() / 6).unwrap_or(i32::MAX));
        let data = EntryData {
            topic: self.topic.clone(),
            position: at,
            redelivery_count: delivery.redelivery_count,
            broker: entry.broker,
            metadata: entry.metadata,
            payload,
            batch_size,
        };
        match unpack.batch {
            None => self.queue.push_one(Message::whole(data, unpack.null_value)),
            Some(_) if batch_size == 0 => {
                self.queue.push_unreadable(unreadable("an empty batch".to_owned()), permits);
            }
            Some(_) => {
                self.acks.delivered(at.ledger, at.entry, batch_size, &delivery.ack_set);
                self.queue.push_batch(data, declared, delivery.ack_set);
            }
        }
        Arrival::Queued(self.announce())
    }

    /// The payload as its producer had it before compression.
    fn unpacked(&self, unpack: &Unpack, payload: Bytes) -> Result<Bytes, Error> {
        if unpack.compression == CompressionType::NONE {
            return Ok(payload);
        }
        let size = unpack.uncompressed_size as usize;
        compression::unpack(unpack.compression, &payload, size, self.max_message_size)
    }

    fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, true)
    }

    /// The next message, or the error of one that cannot be read.
    pub(crate) fn take(&mut self) -> Option<Result<Message, Error>> {
        loop {
            match self.queue.take() {
                Some(Taken::Message(message)) => {
                    self.taken = self.taken.saturating_add(1);
                    return Some(Ok(message));
                }
                Some(Taken::Skipped(permits)) => self.returned = self.returned.saturating_add(permits),
                Some(Taken::Unreadable(error, permits)) => {
                    self.returned = self.returned.saturating_add(permits);
                    return Some(Err(error));
                }
                None => {
                    self.announced = false;
                    return None;
                }
            }
        }
    }

    pub(crate) fn has_messages(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The user has `n` messages more: the permits for a FLOW that is due now.
    pub(crate) fn delivered(&mut self, n: u32) -> Option<u32> {
        // What a lost subscription delivered was paid for there.
        let n = n.min(self.taken);
        self.taken -= n;
        self.returned = self.returned.saturating_add(n);
        if self.returned < self.config.receiver_queue_size.div_ceil(2) {
            return None;
        }
        Some(std::mem::take(&mut self.returned))
    }

    /// The ACK that follows from the user's acknowledgement, if one is due yet.
    pub(crate) fn acknowledge(&mut self, id: MessageId, cumulative: bool) -> Option<Outbound> {
        let (ack_type, id) = if cumulative {
            (AckType::CUMULATIVE, self.acks.cumulative(id)?)
        } else {
            (AckType::INDIVIDUAL, self.acks.individual(id)?)
        };
        Some(
            CommandAck { consumer_id: self.id.0, ack_type, message_id: vec![id], ..Default::default() }
                .into(),
        )
    }

    /// Notes a negative acknowledgement; returns when the next is due.
    pub(crate) fn negative_acknowledge(&mut self, id: MessageId, now: Now) -> Option<Time> {
        self.nacks.add(id, self.config.negative_ack_redelivery_delay, now.time);
        self.nacks.next()
    }

    /// Requests for redelivery that are due, and when the next will be.
    pub(crate) fn redeliver_due(&mut self, now: Now) -> (Vec<Outbound>, Option<Time>) {
        let consumer_id = self.id.0;
        let due = self.nacks.take_due(now.time);
        let commands = due
            .into_iter()
            .map(|message_ids| {
                CommandRedeliverUnacknowledgedMessages { consumer_id, message_ids, consumer_epoch: None }
                    .into()
            })
            .collect();
        (commands, self.nacks.next())
    }
}

/// What the broker counted for a damaged entry, if its damaged metadata can be believed.
fn damaged_permits(entry: &Entry, ack_set: &[i64]) -> u32 {
    let claimed = Unpack::read(&entry.metadata).ok().and_then(|unpack| unpack.batch);
    let claimed = claimed.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    if claimed as usize > entry.payload.len() { 1 } else { open_bits(ack_set, claimed).max(1) }
}

/// Why this version cannot unpack an entry.
fn unsupported(unpack: &Unpack) -> Option<String> {
    if unpack.encrypted {
        return Some("it is encrypted, which is not supported yet".to_owned());
    }
    unpack.chunk.then(|| "it is a chunk of a larger message, which is not supported yet".to_owned())
}
