//! Moving a subscription.
//!
//! ```text
//! (none) -> Waiting -----------> Asked --SUCCESS--> Answered ----------> (none)
//!           for the link   ^     SEEK is out   \    for the link    link open: done
//!                          +---- socket lost --+\-- link open: done
//!                                                \- ERROR, deadline: failed
//! ```
//!
//! Brokers send CLOSE_CONSUMER before they move a subscription and SUCCESS after it; the consumer
//! comes back to the new place by itself, and what was queued is forgotten either way.

use crate::client::Client;
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::time::Now;
use crate::wire::{CommandSeek, MessageIdData};

/// Where a seek goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekTarget {
    /// To a message, or [`MessageId::EARLIEST`] or [`MessageId::LATEST`].
    Id(MessageId),
    /// To the first message that was published at this time or later: milliseconds since the Unix epoch.
    PublishTime(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeekState {
    Waiting,
    /// By the link's generation in which SEEK went out.
    Asked(u64),
    Answered,
}

#[derive(Debug)]
pub(crate) struct Seek {
    pub(crate) op: OpId,
    pub(crate) target: SeekTarget,
    pub(crate) state: SeekState,
    /// Goes on when the link is open; linked only into programs that seek.
    pub(crate) opened: Opened,
}

type Opened = fn(&mut Client, ConsumerId, Now);

impl Seek {
    pub(crate) fn new(op: OpId, target: SeekTarget, opened: Opened) -> Self {
        Self { op, target, state: SeekState::Waiting, opened }
    }

    pub(crate) fn command(&self, consumer_id: u64, request_id: u64) -> CommandSeek {
        let (message_id, message_publish_time) = match self.target {
            SeekTarget::Id(id) => (Some(seek_id(id)), None),
            SeekTarget::PublishTime(time) => (None, Some(time)),
        };
        CommandSeek { consumer_id, request_id, message_id, message_publish_time }
    }

    /// Where the subscription begins afterwards, and whether that is its place: the broker alone
    /// knows the place of a time.
    pub(crate) fn start(&self) -> (MessageId, bool) {
        match self.target {
            SeekTarget::Id(id) => (id, true),
            SeekTarget::PublishTime(_) => (MessageId::EARLIEST, false),
        }
    }
}

/// Of a batch, the bits of the messages that are wanted, as Java sends them.
fn seek_id(id: MessageId) -> MessageIdData {
    let mut data = id.to_wire();
    if id.batch_index >= 0 && id.batch_size > 0 && id.batch_index < id.batch_size {
        let (from, size) = (id.batch_index.unsigned_abs() as usize, id.batch_size.unsigned_abs() as usize);
        data.ack_set = (0..size.div_ceil(64)).map(|word| wanted(word * 64, from, size) as i64).collect();
    }
    data
}

/// The word of bits from `at` on, in which those of `from..size` are set.
fn wanted(at: usize, from: usize, size: usize) -> u64 {
    let below = |n: usize| match n.saturating_sub(at) {
        n @ 0..64 => (1_u64 << n) - 1,
        _ => u64::MAX,
    };
    below(size) & !below(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_the_bits_of_a_batch_are_those_from_the_message_on() {
        let id = MessageId {
            ledger_id: 1,
            entry_id: 2,
            partition: -1,
            batch_index: 65,
            batch_size: 130,
            first_chunk: None,
        };
        assert_eq!(seek_id(id).ack_set, [0, -2, 0b11]);
        assert_eq!(seek_id(MessageId { batch_index: 0, batch_size: 3, ..id }).ack_set, [0b111]);
        assert!(seek_id(MessageId { batch_index: 3, batch_size: 3, ..id }).ack_set.is_empty());
        assert!(seek_id(MessageId::EARLIEST).ack_set.is_empty());
    }
}
