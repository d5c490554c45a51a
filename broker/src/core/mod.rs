//! The broker without I/O.
//!
//! Bytes of connections go in, bytes for connections come out; the host brings the time.
//! The same inputs give the same outputs, always: there is no clock, no thread and no unordered
//! map in here.
//!
//! Where things are: `session` (handshake, keepalive, which command goes where), `access` and `permissions` (who may
//! do what), `lookup`, `bundles` (several brokers in one),
//! `producing`, `consuming`, `positions` (seek and the like), `liveness` (names held by the dead),
//! `schemas`, `compaction`, `policies`, `rates` and `upkeep` (what is set, and what follows from it
//! with time), `transactions`, `admin` and `statistics` (what a host may ask and order), `keeping` (what
//! outlives the broker), `testing` (what tests do to it); below them the state: `connection`,
//! `topics`, `topic`, `storage`, `subscription`,
//! `cursor`; and `dispatch`, which moves entries from logs to connections.

mod access;
mod admin;
mod bundles;
mod compaction;
mod config;
mod connection;
mod connections;
mod consuming;
mod cursor;
mod dispatch;
mod draining;
mod ending;
mod error;
mod expiring;
mod halves;
mod ids;
mod keeping;
mod listeners;
mod liveness;
mod lookup;
mod measuring;
pub mod names;
mod notes;
mod outbox;
mod peeking;
mod permissions;
mod places;
mod policies;
mod positions;
mod producing;
mod ranges;
mod rates;
mod running;
mod schemas;
mod session;
mod shadows;
mod statistics;
mod sticky;
mod storage;
mod subscription;
mod testing;
mod time;
mod topic;
mod topics;
mod transactions;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto::wire::{Command, FRAME_OVERHEAD};

pub use access::{Access, Action, Authenticator, Grants, Identity, Need, Proof};
pub use admin::{AdminError, Form, Start};
pub use bundles::{BUNDLES, Bounds, bundle_hash};
pub use compaction::CompactionStats;
pub use config::BrokerConfig;
pub use draining::DrainingHash;
pub use error::DisconnectReason;
pub use expiring::Expired;
pub use ids::ConnId;
pub use keeping::{FORMAT, Kept, Unreadable};
pub use listeners::{AdvertisedListener, Node};
pub use measuring::Rates;
pub use notes::Note;
pub use peeking::{Backlog, Peeked};
pub(crate) use permissions::Unsubscribed;
pub use places::Tenant;
pub use policies::{
    AutoTopicCreation, BacklogQuota, DelayedDelivery, OF_SUBSCRIPTIONS, Policies, QuotaPolicy, Retention,
    Scope,
};
pub use running::Limits;
pub use schemas::{RegisteredSchema, SchemaStrategy};
pub(crate) use schemas::{join_key_value, key_value, type_name, type_of_name};
pub use statistics::{
    ConsumerStats, CursorStats, InternalStats, PublisherStats, SubscriptionStats, TopicStats,
};
pub use testing::{ConnectionInfo, SendFailure, StoredMessage};
pub use time::Now;
pub(crate) use time::iso_8601;
pub use transactions::{BufferStats, CoordinatorStats, InTopic, Position, TransactionInfo};

use bundles::Bundles;
use connection::{Connection, State};
use connections::Connections;
use dispatch::{Lane, WINDOWS_BY_ONES, dispatch};
use error::Refusal;
use ids::{SubKey, TopicKey};
use schemas::Schemas;
use topics::Topics;
use transactions::{Coordinators, TxnId};

/// A client that lets this many windows pile up does not read, and is cut.
const WINDOWS_UNTIL_CUT: usize = 16;

/// What the broker wants to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// See how much passed.
    Measure,
    /// See whether a connection is still there.
    Silence(ConnId),
    /// See whether a client's proof of who it is has expired.
    Refresh(ConnId),
    /// A connection that was asked whether it lives has not answered.
    Probe(ConnId),
    /// A failover subscription goes over to its new active consumer.
    Failover(TopicKey, SubKey),
    /// What is looked after from time to time.
    Upkeep,
    /// Delayed entries of a subscription are due, or its rate lets more pass.
    Delayed(TopicKey, SubKey),
    /// A connection that sent too much is read again.
    Resume(ConnId),
    /// A transaction has been open for too long.
    Transaction(TxnId),
}

/// A Pulsar broker, as a state machine.
///
/// - *Facts* in: [`connected`](Self::connected), [`received`](Self::received),
///   [`transmitted`](Self::transmitted), [`closed`](Self::closed), [`timeout`](Self::timeout).
/// - *Polls*, after every fact until they answer `None`, in this order:
///   [`poll_transmit`](Self::poll_transmit), [`poll_disconnect`](Self::poll_disconnect); then
///   [`next_deadline`](Self::next_deadline), at which `timeout` is due.
/// - *Orders* of whoever runs it (what the admin API does) are in the block "admin" below.
///
/// Time handed in must not go back. A connection gets its next transmit when the bytes of the one
/// before are reported as `transmitted`, so at most one is under way for each.
///
/// ```
/// # use pulsewire_broker::core::{Broker, BrokerConfig, ConnId, Now};
/// # use pulsewire_proto::wire::{Command, CommandConnect, frame::{FrameDecoder, encode_command}};
/// # use bytes::BytesMut;
/// let mut broker = Broker::new(BrokerConfig::default());
/// let (client, now) = (ConnId(1), Now::default());
/// broker.connected(client, now);
///
/// let connect = CommandConnect { client_version: "doc".into(), ..CommandConnect::default() };
/// let mut bytes = BytesMut::new();
/// encode_command(&connect.into(), &mut bytes);
/// broker.received(client, bytes.freeze(), now);
///
/// let (to, segments) = broker.poll_transmit().unwrap();
/// assert_eq!(to, client);
/// let mut frames = FrameDecoder::new(1024);
/// frames.push(segments.concat().into());
/// let answer = frames.next_frame().unwrap().unwrap().decode();
/// assert!(matches!(answer, Ok(Command::Connected(_))));
/// ```
#[derive(Debug)]
pub struct Broker {
    config: BrokerConfig,
    conns: Connections,
    topics: Topics,
    schemas: Schemas,
    txns: Coordinators,
    /// Subscriptions that the dispatcher looks at before the fact is dealt with; each at most once.
    ready: VecDeque<(TopicKey, SubKey)>,
    /// Non-persistent topics with messages that go away when they are handed out.
    volatile: BTreeSet<TopicKey>,
    timers: BTreeSet<(Duration, Timer)>,
    /// Connections that were asked whether they live.
    probes: BTreeMap<ConnId, liveness::Probe>,
    /// Somebody will look after what is old or too much.
    upkeep: bool,
    measuring: bool,
    /// Watchers of topic lists.
    watching: BTreeSet<(ConnId, u64)>,
    /// Connections to be closed by the host.
    cuts: VecDeque<ConnId>,
    bundles: Bundles,
    /// Where the bundle that is being unloaded goes.
    moving_to: Option<usize>,
    /// What a host that logs has not seen yet.
    notes: Option<notes::Notes>,
    /// Sends that are to fail, for a test.
    failures: VecDeque<SendFailure>,
    next_producer: u64,
    /// How often a broker went on with what was kept.
    run: u64,
    /// Settings of the broker that were changed while it runs.
    dynamic: BTreeMap<String, String>,
    /// Those of them that hold.
    running: BTreeMap<String, String>,
}

impl Broker {
    /// A broker without topics.
    #[must_use]
    pub fn new(config: BrokerConfig) -> Self {
        Self {
            config,
            conns: Connections::default(),
            topics: Topics::new(),
            schemas: Schemas::default(),
            txns: Coordinators::default(),
            ready: VecDeque::new(),
            volatile: BTreeSet::new(),
            timers: BTreeSet::new(),
            probes: BTreeMap::new(),
            upkeep: false,
            measuring: false,
            watching: BTreeSet::new(),
            cuts: VecDeque::new(),
            bundles: Bundles::default(),
            moving_to: None,
            notes: None,
            failures: VecDeque::new(),
            next_producer: 0,
            run: 0,
            dynamic: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// What it was told when it was made.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// Fact: somebody connected. The host names the connection; names are not used twice.
    pub fn connected(&mut self, id: ConnId, now: Now) {
        self.connected_to(id, 0, now);
    }

    /// Fact: somebody connected to that one of several brokers.
    pub fn connected_to(&mut self, id: ConnId, broker: usize, now: Now) {
        if self.conns.contains(id) {
            return;
        }
        let next_check = now.mono + self.config.keep_alive;
        self.timers.insert((next_check, Timer::Silence(id)));
        let limit = self.config.max_message_size + FRAME_OVERHEAD;
        self.conns.insert(id, Connection { broker, ..Connection::new(limit, next_check) });
        self.schedule_measuring(now);
    }

    /// Fact: bytes came, cut wherever the network cut them.
    pub fn received(&mut self, id: ConnId, bytes: Bytes, now: Now) {
        let limit = self.config.connection_window.saturating_mul(WINDOWS_UNTIL_CUT);
        match self.conns.get_mut(id) {
            Some(conn) if conn.is_cut() => return,
            Some(conn) if conn.paused.is_some() => {
                conn.held.push_back(bytes);
                if conn.held.iter().map(Bytes::len).sum::<usize>() > limit {
                    let what = "it goes on to send where it has to wait".to_owned();
                    self.cut(id, DisconnectReason::Protocol(what), now);
                }
                return;
            }
            Some(conn) => conn.decoder.push(bytes),
            None => return,
        }
        self.frames(id, now);
        self.settle(now);
    }

    /// Deals with the frames that a connection's bytes make, until it has to wait.
    fn frames(&mut self, id: ConnId, now: Now) {
        let limit = self.config.connection_window.saturating_mul(WINDOWS_UNTIL_CUT);
        while let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.is_cut() && conn.paused.is_none()) {
            match conn.decoder.next_frame() {
                Ok(Some(frame)) => self.frame(id, &frame, now),
                Ok(None) => match conn.held.pop_front() {
                    Some(bytes) => conn.decoder.push(bytes),
                    None => break,
                },
                Err(error) => self.cut(id, DisconnectReason::Protocol(error.to_string()), now),
            }
            if self.conns.get(id).is_some_and(|conn| conn.outbox.unwritten() > limit) {
                self.cut(id, DisconnectReason::NotReading, now);
            }
        }
    }

    /// A connection sent more than it may: nothing of it is looked at for a while.
    fn pause(&mut self, id: ConnId, until: Duration) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if let Some(before) = conn.paused {
            if before >= until {
                return;
            }
            self.timers.remove(&(before, Timer::Resume(id)));
        }
        conn.paused = Some(until);
        self.timers.insert((until, Timer::Resume(id)));
    }

    fn resume(&mut self, id: ConnId, now: Now) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.paused = None;
        }
        self.frames(id, now);
    }

    /// Fact: that many bytes, which `poll_transmit` handed out, are written.
    pub fn transmitted(&mut self, id: ConnId, bytes: usize, now: Now) {
        let window = self.config.connection_window;
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.outbox.written(bytes);
        if !conn.outbox.in_flight() {
            self.conns.list(id);
        }
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.outbox.unwritten() <= window / 2 && !conn.blocked.is_empty() {
            // In turn: the first may fill the window again at once.
            let mut blocked: Vec<_> = std::mem::take(&mut conn.blocked).into_iter().collect();
            let after = blocked.partition_point(|here| Some(*here) <= conn.first);
            blocked.rotate_left(after);
            conn.first = blocked.first().copied();
            for (topic, sub) in blocked {
                self.wake(topic, sub);
            }
        }
        self.settle(now);
    }

    /// Fact: a connection is gone.
    pub fn closed(&mut self, id: ConnId, now: Now) {
        if !self.conns.contains(id) {
            return;
        }
        self.release(id, now);
        self.conns.remove(id);
        self.holder_gone(id, now);
        self.settle(now);
    }

    /// Fact: time passed. Due at [`next_deadline`](Self::next_deadline); earlier does no harm.
    pub fn timeout(&mut self, now: Now) {
        while let Some(&(at, timer)) = self.timers.first() {
            if at > now.mono {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Silence(id) => self.check_silence(id, now),
                Timer::Refresh(id) => self.check_proof(id, now),
                Timer::Upkeep => self.upkeep(now),
                Timer::Measure => self.measure(now),
                Timer::Resume(id) => self.resume(id, now),
                Timer::Probe(id) => self.shows_no_life(id, now),
                Timer::Failover(topic, sub) => self.failover_settles(topic, sub),
                Timer::Transaction(id) => self.txn_expires(id, now),
                Timer::Delayed(topic, sub) => {
                    if let Some(sub) = self.topics.get_mut(topic).and_then(|t| t.subs.get_mut(&sub)) {
                        sub.timer = None;
                    }
                    self.wake(topic, sub);
                }
            }
        }
        self.settle(now);
    }

    /// Poll: what is to be written, to whom. Segments are written one after the other.
    pub fn poll_transmit(&mut self) -> Option<(ConnId, Vec<Bytes>)> {
        self.conns.poll()
    }

    /// Poll: a connection that is to be closed once what was handed out for it is written. The
    /// broker has forgotten it already; `closed` need not be called.
    pub fn poll_disconnect(&mut self) -> Option<(ConnId, DisconnectReason)> {
        while let Some(id) = self.cuts.pop_front() {
            if let Some(Connection { state: State::Cut(reason), .. }) = self.conns.remove(id) {
                return Some((id, reason));
            }
        }
        None
    }

    /// Poll: when [`timeout`](Self::timeout) is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether a connection's bytes are wanted. While too much waits to be written to it, or it sends more
    /// than a topic's rate allows, a host does well not to read from it; a connection that goes on anyway is cut in the
    /// end.
    #[must_use]
    pub fn wants_bytes(&self, id: ConnId) -> bool {
        // Deliveries alone reach it by a large entry at most: who reads slowly is still heard.
        let limit = self.config.connection_window.saturating_mul(WINDOWS_BY_ONES + 2);
        self.conns.get(id).is_some_and(|conn| conn.outbox.unwritten() < limit && conn.paused.is_none())
    }

    fn reply(&mut self, id: ConnId, command: impl Into<Command>) {
        if let Some(conn) = self.conns.out(id) {
            conn.send(command);
        }
    }

    fn refuse(&mut self, id: ConnId, request_id: u64, refusal: Refusal) {
        self.note(|_| Note::Refused { id, why: refusal.message.clone() });
        if let Some(conn) = self.conns.out(id) {
            conn.refuse(request_id, refusal);
        }
    }

    /// The dispatcher is to look at a subscription.
    fn wake(&mut self, topic: TopicKey, sub: SubKey) {
        if let Some(state) = self.topics.get_mut(topic).and_then(|t| t.subs.get_mut(&sub))
            && !state.ready
        {
            state.ready = true;
            self.ready.push_back((topic, sub));
        }
    }

    /// Does what follows from a fact: deliveries, timers, notices.
    fn settle(&mut self, now: Now) {
        while let Some(here) = self.ready.pop_front() {
            let Some(topic) = self.topics.get_mut(here.0) else { continue };
            if let Some(sub) = topic.subs.get_mut(&here.1) {
                sub.ready = false;
            }
            let Some(throttle) = topic.throttle(here.1) else { continue };
            let rules = topic.rules;
            let mut lane = Lane { conns: &mut self.conns, config: &self.config, now, here, rules, throttle };
            dispatch(topic, &mut lane);
            let throttle = lane.throttle;
            topic.throttled(here.1, &throttle);
            let Some(sub) = topic.subs.get_mut(&here.1) else { continue };
            let due = sub.delayed.first().map(|(due, _)| now.mono_at(*due));
            let due = due.into_iter().chain(throttle.opens).min();
            if due != sub.timer {
                if let Some(old) = sub.timer {
                    self.timers.remove(&(old, Timer::Delayed(here.0, here.1)));
                }
                sub.timer = due;
                self.timers.extend(due.map(|due| (due, Timer::Delayed(here.0, here.1))));
            }
        }
        while let Some(key) = self.volatile.pop_first() {
            if let Some(topic) = self.topics.get_mut(key) {
                let before = topic.log.bytes();
                topic.forget();
                let freed = before - topic.log.bytes();
                self.topics.stored -= freed;
            }
        }
        if !self.topics.changes.is_empty() {
            self.look_after_new(now);
            self.note_changes();
            self.tell_watchers();
        }
        self.note_room(now);
    }
}
