//! What one part of the client asks of another: handles that are made of others, and consumers that
//! publish, work with producers and operations that the user never sees.

use super::Client;
use crate::error::Error;
use crate::event::{Output, SendOutcome};
use crate::ids::{ConsumerId, OpId, ProducerId};

/// Who learns of the end of an operation, in place of the user: a handle's id, and what is called with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) handle: u64,
    pub(crate) ended: fn(&mut Client, u64, OpId, Result<Output, Error>),
}

/// Who learns of the ends of a producer's sends and of its own, in place of the user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener {
    pub(crate) handle: u64,
    pub(crate) sent: fn(&mut Client, u64, SendOutcome),
    pub(crate) ended: fn(&mut Client, u64, ProducerId, Error),
}

/// Of what a consumer is a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// The consumer that the user holds.
    pub(crate) group: ConsumerId,
    /// Whether brokers may create its topic.
    pub(crate) create: bool,
}

impl Client {
    /// The end of `op` is for `asker`. Called before the operation can have ended.
    #[allow(dead_code, reason = "consumers that publish come next")]
    pub(super) fn ask(&mut self, op: OpId, asker: Asker) {
        self.askers.insert(op, asker);
    }
}
