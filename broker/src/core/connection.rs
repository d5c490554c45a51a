//! One client's connection, as the broker sees it.
//!
//! ```text
//!            CONNECT                       broken protocol, silence,
//!  Start ---------------> Connected ----------------------------------> Cut
//!    |                                      not reading                  ^
//!    +-------------- anything else, or too late -------------------------+
//! ```
//!
//! A connection that is cut has given up all that it held; it only waits for the host to take what
//! is still to be written and the order to close.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto::wire::Command;
use pulsewire_proto::wire::frame::FrameDecoder;

use super::error::{DisconnectReason, Refusal};
use super::ids::{ConsumerKey, SubKey, TopicKey};
use super::measuring::Measured;
use super::outbox::Outbox;

/// A connection's end of a producer.
#[derive(Debug, Clone)]
pub(super) struct ProducerRef {
    pub(super) topic: TopicKey,
    pub(super) name: String,
    pub(super) schema_version: Bytes,
    /// Not waiting for exclusive access.
    pub(super) ready: bool,
    /// Messages, bytes and chunks that were stored for it.
    pub(super) sent: Cell<[u64; 3]>,
    pub(super) measured: Measured<3>,
}

/// A connection's end of a consumer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConsumerRef {
    pub(super) topic: TopicKey,
    pub(super) sub: SubKey,
    pub(super) key: ConsumerKey,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Start,
    Connected,
    Cut(DisconnectReason),
}

/// What a client says of itself in CONNECT, as far as the broker acts on it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Abilities {
    pub(super) protocol_version: i32,
    pub(super) broker_entry_metadata: bool,
    pub(super) auth_refresh: bool,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) state: State,
    /// What the client calls itself.
    pub(super) client_version: Box<str>,
    pub(super) decoder: FrameDecoder,
    pub(super) outbox: Outbox,
    pub(super) can: Abilities,
    /// To which of several brokers it came.
    pub(super) broker: usize,
    /// Where the client is, if the host said so.
    pub(super) peer: Option<Box<str>>,
    /// The name in the client's certificate.
    pub(super) certified: Option<Box<str>>,
    /// Who it is, where that is asked.
    pub(super) known: Option<Box<super::access::Known>>,
    pub(super) producers: BTreeMap<u64, ProducerRef>,
    pub(super) consumers: BTreeMap<u64, ConsumerRef>,
    /// Those whose name or place another connection holds, which is being asked whether it lives.
    pub(super) opening_producers: BTreeSet<u64>,
    pub(super) opening_consumers: BTreeSet<u64>,
    /// Producers that the broker closed: their sends may still be on the way.
    pub(super) closed_producers: BTreeSet<u64>,
    pub(super) watchers: BTreeMap<u64, super::lookup::Watcher>,
    /// Subscriptions that stopped delivering here because too much was unwritten.
    pub(super) blocked: BTreeSet<(TopicKey, SubKey)>,
    /// The one of them that went on first the last time.
    pub(super) first: Option<(TopicKey, SubKey)>,
    /// A PING is out and nothing came since.
    pub(super) ping_out: bool,
    /// When silence is looked at next.
    pub(super) next_check: Duration,
    /// It sent more than it may, and is looked at again then.
    pub(super) paused: Option<Duration>,
    /// What came meanwhile.
    pub(super) held: VecDeque<Bytes>,
    /// Queued to be written.
    pub(super) listed: bool,
}

impl Connection {
    pub(super) fn new(frame_limit: usize, next_check: Duration) -> Self {
        Self {
            state: State::Start,
            client_version: Box::default(),
            decoder: FrameDecoder::new(frame_limit),
            outbox: Outbox::default(),
            can: Abilities::default(),
            broker: 0,
            peer: None,
            certified: None,
            known: None,
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            opening_producers: BTreeSet::new(),
            opening_consumers: BTreeSet::new(),
            closed_producers: BTreeSet::new(),
            watchers: BTreeMap::new(),
            blocked: BTreeSet::new(),
            first: None,
            ping_out: false,
            next_check,
            paused: None,
            held: VecDeque::new(),
            listed: false,
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        matches!(self.state, State::Cut(_))
    }

    pub(super) fn send(&mut self, command: impl Into<Command>) {
        self.outbox.command(&command.into());
    }

    pub(super) fn refuse(&mut self, request_id: u64, refusal: Refusal) {
        self.send(pulsewire_proto::wire::CommandError {
            request_id,
            error: refusal.error,
            message: refusal.message,
        });
    }

    pub(super) fn success(&mut self, request_id: u64) {
        self.send(pulsewire_proto::wire::CommandSuccess { request_id, schema: None });
    }
}
