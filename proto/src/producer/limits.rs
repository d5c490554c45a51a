//! How many messages of a producer may be pending.
//!
//! ```text
//! Room --- as many are pending as may be: QueueFull ---> Refused
//!   ^                                                      |
//!   +----- one of them has ended, however: Writable -------+
//! ```
//!
//! What is pending is counted by its tokens, the next less the oldest, so that no way out can forget to count.

use crate::config::ProducerConfig;
use crate::error::{Error, ErrorKind};

/// The limit, and whether it has refused a message.
#[derive(Debug)]
pub(crate) struct PendingLimit {
    /// `u64::MAX` without a limit.
    max: u64,
    pub(crate) refused: bool,
}

impl PendingLimit {
    /// The limit of a producer that is one of `parts`.
    pub(super) fn new(config: &ProducerConfig, parts: u32) -> Self {
        let own = config.max_pending_messages;
        let shared = config.max_pending_messages_across_partitions / parts.max(1);
        let limits = [(own, own), (config.max_pending_messages_across_partitions, shared.max(1))];
        let max = limits.into_iter().filter(|(given, _)| *given > 0).map(|(_, limit)| u64::from(limit)).min();
        Self { max: max.unwrap_or(u64::MAX), refused: false }
    }

    /// Whether one more may be pending beside `pending`.
    #[inline]
    pub(crate) fn has_room(&self, pending: u64) -> bool {
        pending < self.max
    }

    #[cold]
    pub(crate) fn refusal(&self) -> Error {
        let max = self.max;
        Error::new(ErrorKind::QueueFull, format!("{max} messages are pending, as many as may be"))
    }
}
