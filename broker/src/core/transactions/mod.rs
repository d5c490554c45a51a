//! Transactions: messages that nobody reads and acknowledgements that nothing comes of, until their
//! transaction is committed.
//!
//! Where things are: `coordinator` (which transactions there are, and how far each is), `commands`
//! (what clients say to coordinators), `buffer` (the transactions among a topic's messages),
//! `pending` (those among a subscription's acknowledgements), `acking` (acknowledging in one),
//! `ending` (commit and abort, timeouts), `inquiry` (what an
//! administrator is shown), `keeping` (what outlives the broker).
//!
//! A transaction that is committed makes its way so:
//! ```text
//!   END_TXN -> coordinator: Committing -> each topic:        a marker; its messages can be read
//!                                      -> each subscription: its acknowledgements count
//!              coordinator: gone       -> END_TXN_RESPONSE
//! ```
//! All of that happens within one fact, so a host that keeps writes all of it or nothing.

mod acking;
mod buffer;
mod commands;
mod coordinator;
mod ending;
mod inquiry;
mod keeping;
mod pending;

use std::fmt;

pub(super) use buffer::{Buffer, id_of, is_marker, last_readable};
pub(super) use coordinator::Coordinators;
pub use inquiry::{BufferStats, CoordinatorStats, InTopic, Position, TransactionInfo};
pub(super) use keeping::{read, read_pending, write, write_pending};
pub(super) use pending::{Left, PendingAcks};

/// A transaction's name: its coordinator, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TxnId {
    pub(super) coordinator: u64,
    pub(super) number: u64,
}

impl TxnId {
    /// As commands and metadata carry it; `None` when half of it is missing.
    pub(super) fn new(most: Option<u64>, least: Option<u64>) -> Option<Self> {
        Some(Self { coordinator: most?, number: least? })
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.coordinator, self.number)
    }
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Commit,
    Abort,
}
