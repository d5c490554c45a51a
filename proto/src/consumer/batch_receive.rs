//! Receiving several messages at once.
//!
//! ```text
//! (none) --asked--> Waiting --enough messages, enough bytes, queue full, time is up--> Due --taken--> (none)
//!                      \------------------- nobody waits any more -------------------/
//! ```
//!
//! Those who wait are served in their order. Nothing leaves the queue before it is taken, so one who
//! stops waiting loses nothing.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// When a batch is handed out: at the first of its limits. Defaults are those of Java's
/// `BatchReceivePolicy.DEFAULT_POLICY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchReceivePolicy {
    /// As soon as so many messages wait: no such limit, as Java's `maxNumMessages` of -1. As there, a
    /// receiver queue that is smaller is made as large.
    pub max_num_messages: Option<u32>,
    /// As soon as messages of so many bytes wait: 10 MiB, as Java's `maxNumBytes`.
    pub max_num_bytes: Option<usize>,
    /// After this time, also with nothing in it: 100 ms, as Java's `timeout`.
    pub timeout: Option<Duration>,
}

impl Default for BatchReceivePolicy {
    fn default() -> Self {
        Self {
            max_num_messages: None,
            max_num_bytes: Some(10 * 1024 * 1024),
            timeout: Some(Duration::from_millis(100)),
        }
    }
}

impl BatchReceivePolicy {
    /// What is wrong with it.
    pub(crate) fn wrong(&self) -> Option<&'static str> {
        let limits = (self.max_num_messages, self.max_num_bytes, self.timeout);
        match limits {
            (None, None, None) => Some("batch_receive_policy has at least one limit"),
            (Some(0), ..) | (_, Some(0), _) => Some("a limit of batch_receive_policy is at least 1"),
            (_, _, Some(timeout)) if timeout.is_zero() => {
                Some("a timeout of batch_receive_policy is not zero")
            }
            _ => None,
        }
    }

    /// Whether one message more, of `bytes`, fits a batch of `messages` and `sum` bytes. The first always does.
    pub(crate) fn fits(&self, messages: usize, sum: usize, bytes: usize) -> bool {
        messages == 0
            || (self.max_num_messages.is_none_or(|max| messages < max as usize)
                && self.max_num_bytes.is_none_or(|max| sum.saturating_add(bytes) <= max))
    }

    /// Whether what waits is enough.
    pub(crate) fn is_reached(&self, messages: u32, bytes: usize) -> bool {
        self.max_num_messages.is_some_and(|max| messages >= max)
            || self.max_num_bytes.is_some_and(|max| bytes >= max)
    }
}

/// One who waits for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchTicket(pub(crate) u64);

/// Those who wait, in their order, each with its deadline.
#[derive(Debug, Default)]
pub(crate) struct BatchReceives {
    next: u64,
    waiting: VecDeque<(BatchTicket, Option<Time>)>,
}

impl BatchReceives {
    pub(crate) fn ask(&mut self, deadline: Option<Time>) -> BatchTicket {
        let ticket = BatchTicket(self.next);
        self.next += 1;
        self.waiting.push_back((ticket, deadline));
        ticket
    }

    pub(crate) fn forget(&mut self, ticket: BatchTicket) {
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether it is this one's turn, and its deadline.
    pub(crate) fn turn(&self, ticket: BatchTicket) -> Option<Option<Time>> {
        self.waiting.front().filter(|(first, _)| *first == ticket).map(|(_, deadline)| *deadline)
    }

    /// When the time of the first of them is up.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.waiting.front().and_then(|(_, deadline)| *deadline)
    }
}
