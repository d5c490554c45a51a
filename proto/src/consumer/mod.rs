//! Consumers: what has arrived, what was taken, what is done with.
//!
//! The life of a consumer's link to its broker is in `client::link`; here is what it receives.
//!
//! ```text
//! MESSAGE -> queue -> taken -> delivered: its permit goes back by FLOW: see `flow`
//!                        \--> acknowledged · negatively acknowledged · neither: comes again
//! link lost: queue, half-done batches and nacks are forgotten; the broker sends it all again
//! ```
//!
//! What becomes of an entry that arrives is in `arriving`. Acknowledgements wait in `grouping` to go out together. Where it all begins is in `start`, how that is moved in `seek`; several
//! at once come by `batch_receive`, what the broker says of the subscription is in `notices`.

mod acks;
mod arriving;
mod batch_receive;
mod chunks;
mod entries;
mod flow;
mod grouping;
mod letters;
mod message;
mod nacks;
mod notices;
mod queue;
mod reader;
mod redelivery;
mod seek;
mod start;
mod stats;
mod unacked;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use acks::BatchAcks;
pub(crate) use arriving::Arrival;
pub(crate) use batch_receive::BatchReceives;
pub use batch_receive::{BatchReceivePolicy, BatchTicket};
pub(crate) use chunks::Chunks;
pub(crate) use entries::Key;
use flow::Flow;
use grouping::{Flush, Grouping};
pub(crate) use letters::{Letter, Letters, Post, PostState, Way};
pub use message::Message;
use message::Source;
use nacks::Nacks;
pub(crate) use notices::Notices;
use queue::{Queue, Taken};
pub(crate) use reader::{Question, Questions, Verdict, verdict};
pub use redelivery::RedeliveryBackoff;
pub use seek::SeekTarget;
pub(crate) use seek::{Seek, SeekState};
use start::Start;
pub(crate) use stats::Counts;
pub use stats::{BrokerConsumerStats, ConsumerStats};
use unacked::Unacked;
use watchdog::Watchdog;
pub(crate) use watchdog::verdict as silence_verdict;

use crate::client::Client;
use crate::client::inner::Member;
use crate::client::link::Link;
use crate::compression::Unpacker;
use crate::config::{ConsumerConfig, InitialPosition, SubscriptionMode, SubscriptionType};
use crate::error::{Error, ErrorKind};
use crate::ids::{ConsumerId, MessageId};
use crate::producer::key_values;
use crate::time::Now;
use crate::topic::TopicName;
use crate::wire::{
    CommandAck, CommandRedeliverUnacknowledgedMessages, CommandSubscribe, InitialPosition as WirePosition,
};

/// What consumers have with the feature `redelivery` only; without it, it costs no code.
#[cfg(feature = "redelivery")]
pub(crate) type Redelivery<T> = Option<Box<T>>;
/// What consumers do not have.
#[cfg(not(feature = "redelivery"))]
pub(crate) type Redelivery<T> = Option<&'static mut T>;

fn redelivery<T>(part: T) -> Redelivery<T> {
    #[cfg(feature = "redelivery")]
    return Some(Box::new(part));
    #[cfg(not(feature = "redelivery"))]
    {
        drop(part);
        None
    }
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    pub(crate) config: ConsumerConfig,
    pub(crate) link: Link,
    /// Set when it is a part of another.
    pub(crate) member: Option<Member>,
    name: String,
    source: Arc<Source>,
    queue: Queue,
    pub(crate) chunks: Chunks,
    acks: BatchAcks,
    pub(crate) grouping: Grouping,
    pub(crate) nacks: Nacks,
    /// Set where there is an ack timeout.
    pub(crate) unacked: Redelivery<Unacked>,
    /// Set where messages may go to a dead letter or retry letter topic.
    pub(crate) letters: Redelivery<Letters>,
    /// The partition that its topic is; -1 when it is none.
    partition: i32,
    pub(crate) start: Start,
    pub(crate) seek: Option<Seek>,
    pub(crate) questions: Questions,
    /// Raised by every request for redelivery of all: what was sent under a lower one comes again.
    epoch: u64,
    /// Largest payload, as brokers take it.
    pub(crate) max_message_size: usize,
    pub(crate) flow: Flow,
    pub(crate) batches: BatchReceives,
    pub(crate) notices: Notices,
    pub(crate) counts: Counts,
    /// Entries that came.
    pub(crate) arrivals: u64,
    /// Bytes of the queue that the client counts; of auto-scaled consumers only.
    pub(crate) counted_bytes: usize,
    pub(crate) watchdog: Watchdog,
    /// The user was told that messages wait.
    announced: bool,
}

impl Consumer {
    pub(crate) fn new(
        id: ConsumerId,
        config: ConsumerConfig,
        link: Link,
        name: String,
        letters: Redelivery<Letters>,
    ) -> Self {
        let mut grouping = Grouping::default();
        if cfg!(feature = "redelivery") && config.ack_receipt_enabled {
            grouping.always_confirmed(Client::ack_replied);
        }
        Self {
            id,
            link,
            member: None,
            name,
            source: Arc::new(Source { consumer: id, topic: config.topic.clone() }),
            queue: Queue::default(),
            chunks: Chunks::default(),
            acks: BatchAcks::default(),
            grouping,
            nacks: Nacks::default(),
            unacked: Unacked::new(&config),
            letters,
            partition: config.topic.partition().and_then(|p| i32::try_from(p).ok()).unwrap_or(-1),
            start: Start::new(&config),
            seek: None,
            questions: Questions::default(),
            epoch: 0,
            max_message_size: crate::wire::DEFAULT_MAX_MESSAGE_SIZE,
            flow: Flow::new(&config),
            batches: BatchReceives::default(),
            notices: Notices::default(),
            counts: Counts::default(),
            arrivals: 0,
            counted_bytes: 0,
            watchdog: Watchdog::default(),
            announced: false,
            config,
        }
    }

    pub(crate) fn with_member(self, member: Option<Member>, now: Now) -> Self {
        Self { member, counts: Counts::since(now.time), ..self }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Fails unless it is of this topic.
    pub(crate) fn is_of(&self, topic: &str) -> Result<(), Error> {
        let topic = TopicName::parse(topic)?;
        if topic == self.config.topic {
            return Ok(());
        }
        let why = format!("{topic} is not a topic of this consumer");
        Err(Error::new(ErrorKind::InvalidTopicName, why))
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
            force_topic_creation: Some(self.member.is_none_or(|member| member.create)),
            replicate_subscription_state: self.config.replicate_subscription_state.then_some(true),
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
    pub(crate) fn opened(&mut self) -> Option<u32> {
        if self.seek.as_ref().is_some_and(|seek| seek.again && seek.state == SeekState::Waiting) {
            // They go out when the consumer stands where it should.
            self.flow.renewed();
            return None;
        }
        self.flow.opened(&self.queue)
    }

    /// The link is lost: all that is not acknowledged will come again.
    pub(crate) fn lost(&mut self) {
        self.queue.clear();
        self.chunks.lost();
        self.grouping.lost(&self.acks);
        self.forget_unacked();
        self.start.lost();
        if let Some(seek) = self.seek.as_ref().filter(|seek| matches!(seek.state, SeekState::Asked(_))) {
            self.start.moved(seek.start());
            self.grouping.clear();
        }
        self.questions.lost();
        self.flow.lost();
        self.notices.lost();
        self.announced = false;
    }

    /// Forgets what was delivered on this link and is not acknowledged: it will come again.
    pub(crate) fn start_over(&mut self) {
        self.flow.start_over(self.queue.clear());
        self.chunks.lost();
        self.forget_unacked();
        self.announced = false;
    }

    /// What is known of messages that the user has and is not done with.
    fn forget_unacked(&mut self) {
        self.acks.clear();
        self.nacks.clear();
        if let Some(unacked) = self.unacked() {
            unacked.clear();
        }
        if let Some(letters) = self.letters() {
            letters.clear();
        }
    }

    #[inline]
    fn unacked(&mut self) -> Option<&mut Unacked> {
        if cfg!(feature = "redelivery") { self.unacked.as_deref_mut() } else { None }
    }

    #[inline]
    fn letters(&mut self) -> Option<&mut Letters> {
        if cfg!(feature = "redelivery") { self.letters.as_deref_mut() } else { None }
    }

    /// Refuses an id that no message of this topic can have.
    pub(crate) fn check(&self, id: MessageId) -> Result<(), Error> {
        if id.partition >= 0 && id.partition != self.partition {
            let why = format!("{id} is not the id of a message of {}", self.config.topic);
            return Err(Error::new(ErrorKind::InvalidMessageId, why));
        }
        Ok(())
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

    #[inline]
    fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, true)
    }

    /// The next message, which the user has at once, where that is one of a batch and nothing else is to be done;
    /// else [`Consumer::take`] finds it. And whether [`Consumer::delivered`] must be told of it.
    #[inline]
    pub(crate) fn receive_plain(&mut self) -> Option<(Message, bool)> {
        let message = self.queue.take_plain()?;
        let due = self.received(&message);
        Some((message, due))
    }

    /// The same of an entry of one message.
    #[inline]
    pub(crate) fn receive_one(&mut self) -> Option<(Message, bool)> {
        let message = self.queue.take_one()?;
        let due = self.received(&message);
        Some((message, due))
    }

    #[inline(always)]
    fn received(&mut self, message: &Message) -> bool {
        self.took(message);
        let tracked = cfg!(feature = "redelivery") && self.unacked.is_some();
        let done = !tracked && self.flow.passed();
        if !done {
            self.flow.took();
        }
        !done
    }

    #[inline]
    fn took(&mut self, message: &Message) {
        self.counts.received(message.size());
        self.start.passed(message);
        if cfg!(feature = "redelivery") {
            self.watch(message);
        }
    }

    /// The next message, or the error of one that cannot be read.
    pub(crate) fn take(&mut self, unpacker: &mut Option<Box<Unpacker>>) -> Option<Result<Message, Error>> {
        loop {
            match self.queue.take() {
                Some(Taken::Message(message)) => {
                    self.flow.took();
                    self.took(&message);
                    return Some(Ok(message));
                }
                Some(Taken::Packed) => self.queue.unpack(unpacker),
                Some(Taken::Skipped(permits)) => self.flow.give_back(permits),
                Some(Taken::Unreadable(error, permits)) => {
                    self.flow.give_back(permits);
                    self.counts.receive_failed += 1;
                    return Some(Err(error));
                }
                None => {
                    self.announced = false;
                    return None;
                }
            }
        }
    }

    /// The user is about to have a message.
    #[inline]
    fn watch(&mut self, message: &Message) {
        if let Some(unacked) = &mut self.unacked {
            unacked.taken(message.id().key(), message.redelivery_count());
        }
        if let Some(letters) = &mut self.letters {
            letters.taken(message);
        }
    }

    /// Whether the clock of the ack timeout must be set going.
    #[inline]
    pub(crate) fn starts_ticking(&mut self) -> bool {
        self.unacked().is_some_and(Unacked::starts)
    }

    pub(crate) fn has_messages(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether a message waits that is for the user; those before it that are not are dropped.
    pub(crate) fn has_wanted(&mut self, unpacker: &mut Option<Box<Unpacker>>) -> bool {
        let skipped = self.queue.settle(unpacker);
        self.flow.give_back(skipped);
        self.has_messages()
    }

    pub(crate) fn partition(&self) -> i32 {
        self.partition
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The user has `n` messages more: the permits for a FLOW that is due now.
    #[inline]
    pub(crate) fn delivered(&mut self, n: u32) -> Option<u32> {
        let n = self.flow.reported(n);
        if let Some(unacked) = self.unacked() {
            unacked.delivered(n);
        }
        self.flow.due(&self.queue)
    }

    /// Whether what waits makes a batch before its time.
    pub(crate) fn has_batch(&self) -> bool {
        let policy = &self.config.batch_receive_policy;
        policy.is_reached(self.queue.messages(), self.queue.bytes()) || self.is_full()
    }

    /// Whether nothing more can come before something is taken.
    pub(crate) fn is_full(&self) -> bool {
        !self.queue.is_empty() && self.flow.at_broker(&self.queue) <= 0
    }

    /// Notes an acknowledgement; whether there is anything to tell the broker of it.
    pub(crate) fn acknowledge(&mut self, id: MessageId, cumulative: bool) -> bool {
        let (by_index, key) = (self.config.batch_index_acknowledgment, id.key());
        if cfg!(feature = "chunking") {
            if cumulative {
                self.chunks.passed(id);
            } else {
                self.chunks.others_of(id).into_iter().for_each(|chunk| self.grouping.individual(chunk));
            }
        }
        if !cumulative {
            let whole = self.acks.individual(id).is_some();
            self.counts.acks_sent += 1;
            if let Some(letters) = self.letters() {
                letters.acknowledged(id);
            }
            if whole && let Some(unacked) = self.unacked() {
                unacked.done(key);
            }
            if whole || by_index {
                self.grouping.individual(key);
            }
            return whole || by_index;
        }
        self.counts.acks_sent += 1;
        let told = self.acks.cumulative(id).map(|told| ((told.ledger_id, told.entry_id), true));
        if let Some(letters) = self.letters() {
            letters.acknowledged_until(id);
        }
        let whole = !self.acks.is_partial(key);
        if let Some(unacked) = self.unacked() {
            unacked.done_until(key, whole);
        }
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

    /// Notes a negative acknowledgement. Without a link the message comes again anyway.
    pub(crate) fn negative_acknowledge(&mut self, id: MessageId, delay: Duration, now: Now) {
        if self.link.open_conn().is_none() {
            return;
        }
        let precision = self.config.negative_ack_redelivery_delay_precision;
        self.nacks.add(id.key(), delay, precision, now.time);
        // Of an entry that may not come again, other messages stay with the user.
        let stays = self.letters().is_some_and(|letters| letters.given_back(id));
        if let Some(unacked) = self.unacked().filter(|_| !stays) {
            unacked.done(id.key());
        }
    }

    /// Entries are asked for again: what is first in the queue of them comes with those.
    pub(crate) fn forget_queued(&mut self, keys: &[Key]) {
        while self.queue.first().is_some_and(|key| keys.binary_search(&key).is_ok()) {
            let permits = self.queue.drop_first();
            self.flow.give_back(permits);
        }
    }
}
