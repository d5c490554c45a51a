//! Where a subscription begins, and what comes before that.
//!
//! ```text
//! as configured --seek--> the target --message taken, link lost (non-durable)--> after that message
//! ```
//!
//! Brokers deliver whole entries, so the messages before the start are dropped here. A durable
//! subscription keeps its place at the broker; a non-durable one is told it at every opening.
//! `Start::place` says from where on messages are still to come.

use super::message::Message;
use super::seek::Opened;
use crate::config::{ConsumerConfig, SubscriptionMode};
use crate::ids::MessageId;
use crate::wire::MessageIdData;
use crate::wire::hot::Position;

#[derive(Debug)]
pub(crate) struct Start {
    at: Option<MessageId>,
    /// Whether the message at the start is wanted too.
    inclusive: bool,
    /// What was configured: what a seek goes by.
    include: bool,
    durable: bool,
    /// Whether nothing has moved the start yet.
    first: bool,
    /// Whether `at` is the place where the subscription is; otherwise the broker alone knows.
    exact: bool,
    /// The time that a seek has moved the subscription to, and how to do that again.
    time: Option<(u64, Opened)>,
    /// The last message that was taken since.
    last: Option<MessageId>,
}

/// From where on messages are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    After(MessageId),
    From(MessageId),
    /// After the last message of the topic; with it, when that is wanted.
    End {
        inclusive: bool,
    },
    /// Behind what the broker has marked as done with.
    Marked,
}

/// What of an entry is before the start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    All,
    /// The messages of the batch below this index.
    Below(u32),
}

impl Start {
    pub(crate) fn new(config: &ConsumerConfig) -> Self {
        Self {
            at: config.start_message_id.map(|id| id.start(config.start_message_id_inclusive)),
            inclusive: config.start_message_id_inclusive,
            include: config.start_message_id_inclusive,
            durable: config.subscription_mode == SubscriptionMode::Durable,
            first: true,
            exact: config.start_message_id.is_some(),
            time: None,
            last: None,
        }
    }

    /// A seek has moved the subscription, to a message or to a time.
    pub(crate) fn moved(&mut self, (to, time): (MessageId, Option<(u64, Opened)>)) {
        (self.at, self.inclusive, self.first, self.last) =
            (Some(to.start(self.include)), self.include, false, None);
        (self.exact, self.time) = (time.is_none(), time);
    }

    /// The time to seek to again, when the place of it is lost with the link.
    pub(crate) fn again(&self) -> Option<(u64, Opened)> {
        self.time.filter(|_| !self.durable)
    }

    /// From where on messages are still to come.
    pub(crate) fn place(&self) -> Place {
        match (self.last, self.at.filter(|_| self.exact)) {
            (Some(last), _) => Place::After(last),
            (None, Some(MessageId::LATEST)) => Place::End { inclusive: self.inclusive },
            (None, Some(at)) if self.inclusive => Place::From(at),
            (None, Some(at)) => Place::After(at),
            (None, None) => Place::Marked,
        }
    }

    /// The user has a message.
    #[inline]
    pub(crate) fn passed(&mut self, message: &Message) {
        match &mut self.last {
            Some(last) if message.is_of_batch(last) => last.batch_index = message.batch_index(),
            last => *last = Some(message.id()),
        }
    }

    /// The link is lost.
    pub(crate) fn lost(&mut self) {
        let last = self.last.take();
        if self.durable {
            // All that is not acknowledged comes again.
            self.exact = false;
        } else if let Some(last) = last {
            (self.at, self.inclusive, self.first) = (Some(last), false, false);
            (self.exact, self.time) = (true, None);
        }
    }

    /// What was delivered and not acknowledged comes again.
    pub(crate) fn start_over(&mut self) {
        if self.last.take().is_some() {
            self.exact = false;
        }
    }

    /// Whether SUBSCRIBE says how far to roll back.
    pub(crate) fn is_first(&self) -> bool {
        self.first
    }

    /// As SUBSCRIBE carries it.
    pub(crate) fn to_wire(&self) -> Option<MessageIdData> {
        let id = self.at.filter(|_| !self.durable)?;
        Some(MessageIdData { batch_index: (id.batch_index >= 0).then_some(id.batch_index), ..id.to_wire() })
    }

    /// What of an entry is not wanted.
    #[inline]
    pub(crate) fn before(&self, entry: Position, is_batch: bool) -> Before {
        let Some(id) = self.at.filter(|id| *id != MessageId::LATEST) else { return Before::Nothing };
        let place = (entry.ledger as i64, entry.entry as i64);
        match place.cmp(&(id.ledger_id as i64, id.entry_id as i64)) {
            std::cmp::Ordering::Greater => Before::Nothing,
            // Another consumer may have moved a durable subscription back.
            std::cmp::Ordering::Less if self.durable => Before::Nothing,
            std::cmp::Ordering::Less => Before::All,
            std::cmp::Ordering::Equal if is_batch && id.batch_index >= 0 => {
                Before::Below(id.batch_index.unsigned_abs() + u32::from(!self.inclusive))
            }
            std::cmp::Ordering::Equal if self.inclusive => Before::Nothing,
            std::cmp::Ordering::Equal => Before::All,
        }
    }
}
