//! Consumers: what has arrived, what was taken, what is done with.
//!
//! The life of a consumer's link to its broker is in `client::link`; here is what it receives.
//!
//! ```text
//! MESSAGE -> queue -> taken -> delivered: its permit goes back by FLOW, half a queue at a time
//!                        \--> acknowledged · negatively acknowledged · neither: comes again
//! link lost: queue, half-done batches and nacks are forgotten; the broker sends it all again
//! ```
//!
//! Acknowledgements wait in `grouping` to go out together. Where it all begins is in `start`, how that is moved in `seek`.

mod acks;
mod chunks;
mod grouping;
mod message;
mod nacks;
mod queue;
mod reader;
mod redelivery;
mod seek;
mod start;

use std::sync::Arc;
use std::time::Duration;

use acks::BatchAcks;
use bytes::Bytes;
pub(crate) use chunks::Chunks;
use chunks::Gathered;
use grouping::{Flush, Grouping};
use message::EntryData;
pub use message::Message;
use nacks::Nacks;
use queue::{Queue, Taken, open_bits};
pub(crate) use reader::{Question, Questions, Verdict, verdict};
pub use redelivery::RedeliveryBackoff;
pub use seek::SeekTarget;
pub(crate) use seek::{Seek, SeekState};
use start::{Before, Start};

use crate::client::link::Link;
use crate::compression::Unpacker;
use crate::config::{ConsumerConfig, InitialPosition, SubscriptionMode, SubscriptionType};
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
    /// The client's, while it is lent.
    pub(crate) unpacker: Option<Box<Unpacker>>,
    pub(crate) chunks: Chunks,
    acks: BatchAcks,
    pub(crate) grouping: Grouping,
    nacks: Nacks,
    pub(crate) start: Start,
    pub(crate) seek: Option<Seek>,
    pub(crate) questions: Questions,
    /// Raised by every request for redelivery of all: what was sent under a lower one comes again.
    epoch: u64,
    /// Largest payload, as brokers take it.
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
    /// Nothing; it is not for the user.
    Unwanted,
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
            unpacker: None,
            chunks: Chunks::default(),
            acks: BatchAcks::default(),
            grouping: Grouping::default(),
            nacks: Nacks::default(),
            start: Start::new(&config),
            seek: None,
            questions: Questions::default(),
            epoch: 0,
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
            durable: Some(self.config.subscription_mode == SubscriptionMode::Durable),
            start_message_id: self.start.to_wire(),
            start_message_rollback_duration_sec: self.rollback(),
            metadata: key_values(&self.config.properties),
            read_compacted: Some(self.config.read_compacted),
            initial_position: Some(match self.config.initial_position {
                InitialPosition::Latest => WirePosition::LATEST,
                InitialPosition::Earliest => WirePosition::EARLIEST,
            }),
            replicate_subscription_state: self.config.replicate_subscription_state.then_some(true),
            force_topic_creation: Some(true),
            key_shared_meta: self.config.key_shared_meta(),
            subscription_properties: key_values(&self.config.subscription_properties),
            consumer_epoch: self.has_epochs().then_some(self.epoch),
            ..Default::default()
        }
    }

    fn rollback(&self) -> Option<u64> {
        let rollback = self.config.start_message_rollback.as_secs();
        (rollback > 0 && self.start.is_first()).then_some(rollback)
    }

    fn has_epochs(&self) -> bool {
        matches!(self.config.subscription_type, SubscriptionType::Exclusive | SubscriptionType::Failover)
    }

    /// The subscription is open on a connection: the first permits.
    pub(crate) fn opened(&mut self) -> u32 {
        self.returned = 0;
        self.config.receiver_queue_size
    }

    /// The link is lost: all that is not acknowledged will come again.
    pub(crate) fn lost(&mut self) {
        self.queue.clear();
        self.chunks.lost();
        self.grouping.lost(&self.acks);
        self.acks.clear();
        self.nacks.clear();
        self.start.lost();
        if let Some(seek) = self.seek.as_ref().filter(|seek| matches!(seek.state, SeekState::Asked(_))) {
            let (to, exact) = seek.start();
            self.start.moved(to, exact);
            self.grouping.clear();
        }
        self.questions.lost();
        self.taken = 0;
        self.returned = 0;
        self.announced = false;
    }

    /// Forgets what was delivered on this link and is not acknowledged: it will come again.
    pub(crate) fn start_over(&mut self) {
        self.returned = self.returned.saturating_add(self.queue.clear()).saturating_add(self.taken);
        self.chunks.lost();
        self.acks.clear();
        self.nacks.clear();
        self.taken = 0;
        self.announced = false;
    }

    /// The request for all that is not acknowledged to come again.
    pub(crate) fn redeliver_all(&mut self) -> CommandRedeliverUnacknowledgedMessages {
        let consumer_epoch = self.has_epochs().then(|| {
            self.epoch += 1;
            self.epoch
        });
        CommandRedeliverUnacknowledgedMessages {
            consumer_id: self.id.0,
            message_ids: Vec::new(),
            consumer_epoch,
        }
    }

    /// Takes in an entry.
    pub(crate) fn arrived(&mut self, delivery: Delivery, entry: Result<Entry, Error>, now: Now) -> Arrival {
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
        let before = self.start.before(at, unpack.batch.is_some());
        if before == Before::All || delivery.consumer_epoch.is_some_and(|epoch| epoch < self.epoch) {
            self.returned = self.returned.saturating_add(permits);
            return Arrival::Unwanted;
        }
        if let Some(why) = unsupported(&unpack) {
            self.queue
                .push_unreadable(Error::new(ErrorKind::NotSupported, unreadable(why).to_string()), permits);
            return Arrival::Queued(self.announce());
        }
        let (mut payload, mut first_chunk) = (entry.payload, None);
        if cfg!(feature = "chunking") && unpack.chunk {
            let limit = self.config.max_uncompressed_size.max(self.max_message_size);
            let key = (at.ledger, at.entry);
            match self.chunks.take(&self.config, limit, key, &entry.metadata, &payload, now) {
                Gathered::Whole(whole, first) => (payload, first_chunk) = (whole, Some(first)),
                Gathered::Nothing => {
                    self.returned = self.returned.saturating_add(permits);
                    return Arrival::Unwanted;
                }
                Gathered::Impossible(why) => {
                    self.queue.push_unreadable(unreadable(why), permits);
                    return Arrival::Queued(self.announce());
                }
            }
        }
        let payload = match self.unpacked(&unpack, payload) {
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
            first_chunk,
        };
        match unpack.batch {
            None => self.queue.push_one(Message::whole(data, unpack.null_value)),
            Some(_) if batch_size == 0 => {
                self.queue.push_unreadable(unreadable("an empty batch".to_owned()), permits);
            }
            Some(_) => {
                self.acks.delivered(at.ledger, at.entry, batch_size, &delivery.ack_set);
                let first = if let Before::Below(first) = before { first } else { 0 };
                self.queue.push_batch(data, declared, delivery.ack_set, first);
            }
        }
        Arrival::Queued(self.announce())
    }

    /// The payload as its producer had it before compression.
    fn unpacked(&mut self, unpack: &Unpack, payload: Bytes) -> Result<Bytes, Error> {
        if unpack.compression == CompressionType::NONE {
            return Ok(payload);
        }
        let size = unpack.uncompressed_size as usize;
        let limit = self.config.max_uncompressed_size.max(self.max_message_size);
        self.unpacker.get_or_insert_default().unpack(unpack.compression, &payload, size, limit)
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
                    self.start.passed(message.id());
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

    /// Whether a message waits that is for the user; those before it that are not are dropped.
    pub(crate) fn has_wanted(&mut self) -> bool {
        let skipped = self.queue.settle();
        self.returned = self.returned.saturating_add(skipped);
        self.has_messages()
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

    /// Notes an acknowledgement; whether there is anything to tell the broker of it.
    pub(crate) fn acknowledge(&mut self, id: MessageId, cumulative: bool) -> bool {
        let (by_index, key) = (self.config.batch_index_acknowledgment, (id.ledger_id, id.entry_id));
        if cfg!(feature = "chunking") {
            if cumulative {
                self.chunks.passed(id);
            } else {
                self.chunks.others_of(id).into_iter().for_each(|chunk| self.grouping.individual(chunk));
            }
        }
        if !cumulative {
            let whole = self.acks.individual(id).is_some();
            if whole || by_index {
                self.grouping.individual(key);
            }
            return whole || by_index;
        }
        let told = self.acks.cumulative(id).map(|told| ((told.ledger_id, told.entry_id), true));
        let told = if by_index && self.acks.is_partial(key) { Some((key, false)) } else { told };
        if let Some((key, whole)) = told {
            self.grouping.cumulative(key, whole);
        }
        told.is_some()
    }

    /// The ACKs of all that is pending.
    pub(crate) fn flush_acks(&mut self) -> (Vec<CommandAck>, Option<Flush>) {
        self.grouping.flush(self.id.0, &self.acks)
    }

    /// Notes a negative acknowledgement; returns when the next is due.
    pub(crate) fn negative_acknowledge(&mut self, id: MessageId, delay: Duration, now: Now) -> Option<Time> {
        if cfg!(feature = "chunking") {
            for (ledger_id, entry_id) in self.chunks.others_of(id) {
                let chunk = MessageId { ledger_id, entry_id, batch_index: -1, first_chunk: None, ..id };
                self.nacks.add(chunk, delay, now.time);
            }
        }
        self.nacks.add(id, delay, now.time);
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
    let left_out = unpack.chunk && !cfg!(feature = "chunking");
    left_out.then(|| "it is a chunk of a larger message, which this build leaves out".to_owned())
}
