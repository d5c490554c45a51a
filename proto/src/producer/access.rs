//! Who else may publish to the topic.
//!
//! ```text
//! Shared                 PRODUCER -> open; refused while someone has the topic alone
//! Exclusive              PRODUCER -> open; refused while anyone else publishes
//! ExclusiveWithFencing   PRODUCER -> open; all others are fenced
//! WaitForExclusive       PRODUCER -> not ready: waits, however long -> ready: open
//!
//! open -- link lost --> PRODUCER with the topic's epoch -> open
//!                                     \- someone had the topic meanwhile: ProducerFenced, ended for good
//! ```
//!
//! The epoch comes with PRODUCER_SUCCESS and is said again at every opening: by it the broker knows whether the
//! topic was another's in between. What is pending fails with a fenced producer.

use crate::wire;

/// Who else may publish to a producer's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProducerAccessMode {
    /// Anyone. The default, as in Java.
    #[default]
    Shared,
    /// No one. Refused with `ProducerFenced` where there are others; they are refused with
    /// `ProducerBusy` while it is there.
    Exclusive,
    /// No one: those that are there are fenced, which ends them.
    ExclusiveWithFencing,
    /// No one: opening waits until the topic is free, however long.
    WaitForExclusive,
}

impl ProducerAccessMode {
    /// What PRODUCER says of it; nothing for the usual.
    pub(super) fn to_wire(self) -> Option<wire::ProducerAccessMode> {
        match self {
            Self::Shared => None,
            Self::Exclusive => Some(wire::ProducerAccessMode::EXCLUSIVE),
            Self::ExclusiveWithFencing => Some(wire::ProducerAccessMode::EXCLUSIVE_WITH_FENCING),
            Self::WaitForExclusive => Some(wire::ProducerAccessMode::WAIT_FOR_EXCLUSIVE),
        }
    }
}
