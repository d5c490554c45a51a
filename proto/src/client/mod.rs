//! The client: everything above bytes.
//!
//! See [`Client`] for which method is what, and in which order they are called.

mod acknowledging;
pub(crate) mod backoff;
mod consumers;
mod discovery;
mod facts;
pub(crate) mod inner;
mod joining;
mod letter_topics;
mod letters;
pub(crate) mod link;
mod lookup;
mod multi;
mod multi_flow;
mod multi_ops;
mod partitioned;
pub(crate) mod pool;
mod positions;
mod reading;
mod receiving;
mod redelivering;
pub(crate) mod requests;
mod sending;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::compression::{Packer, Unpacker};
use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::consumer::Consumer;
use crate::error::Error;
use crate::event::{Action, ConnectionState, Event, Output, SendOutcome};
use crate::id_map::IdMap;
use crate::ids::{ConnId, ConsumerId, OpId, ProducerId};
use crate::many::consumer::MultiTopicsConsumer;
use crate::many::producer::PartitionedProducer;
use crate::producer::Producer;
use crate::time::{Now, Time};
use crate::timer::{Timer, Timers};
use crate::wire::Outbound;
use link::Owner;
use lookup::Task;
use pool::{Pool, PoolKey};
use requests::Requests;

/// The state of a client, without any I/O.
///
/// The host owns sockets, clocks and tasks; it tells the client what happened and carries out what
/// comes out. Nothing blocks, nothing calls back.
///
/// - **Commands** (what the user wants) return an [`OpId`] that completes later, exactly once, or
///   answer at once: [`create_producer`](Self::create_producer), [`send`](Self::send),
///   [`flush`](Self::flush),
///   [`subscribe`](Self::subscribe), [`take`](Self::take), [`delivered`](Self::delivered),
///   [`batch_receive`](Self::batch_receive), [`take_batch`](Self::take_batch), [`pause`](Self::pause),
///   [`resume`](Self::resume), [`consumer_stats`](Self::consumer_stats),
///   [`broker_consumer_stats`](Self::broker_consumer_stats),
///   [`acknowledge`](Self::acknowledge), [`acknowledge_all`](Self::acknowledge_all),
///   [`acknowledge_confirmed`](Self::acknowledge_confirmed),
///   [`negative_acknowledge`](Self::negative_acknowledge), [`reconsume_later`](Self::reconsume_later),
///   [`unsubscribe`](Self::unsubscribe), [`seek`](Self::seek),
///   [`redeliver_unacknowledged`](Self::redeliver_unacknowledged), [`last_message_id`](Self::last_message_id),
///   [`has_message_available`](Self::has_message_available), [`create_reader`](Self::create_reader), [`read`](Self::read),
///   [`close_producer`](Self::close_producer), [`close_consumer`](Self::close_consumer),
///   [`partitions`](Self::partitions), [`topics`](Self::topics), [`close`](Self::close).
/// - **Facts** (what happened): [`connected`](Self::connected), [`received`](Self::received),
///   [`closed`](Self::closed), [`timeout`](Self::timeout).
/// - **Polls** (what to do): [`poll_action`](Self::poll_action), [`poll_transmit`](Self::poll_transmit)
///   for each connection that can take bytes, [`poll_sent`](Self::poll_sent),
///   [`poll_event`](Self::poll_event), [`next_deadline`](Self::next_deadline). Between
///   [`rest`](Self::rest) and [`has_work`](Self::has_work) commands that gave the host nothing to do need not
///   wake it.
///
/// After any number of commands and facts, poll all of them until they are empty, in this order;
/// then wait for the next fact, command or deadline.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    rng: fastrand::Rng,
    pool: Pool,
    requests: Requests,
    tasks: IdMap<u64, Task>,
    next_task: u64,
    ops: IdMap<OpId, OpKind>,
    /// Operations whose ends are not for the user.
    askers: IdMap<OpId, inner::Asker>,
    /// Who learns of the end of the operation that is started next.
    asking: Option<inner::Asker>,
    joins: joining::Joins,
    next_op: u64,
    producers: IdMap<ProducerId, Producer>,
    consumers: IdMap<ConsumerId, Consumer>,
    /// Producers and consumers that are made of others.
    partitioned: IdMap<ProducerId, PartitionedProducer>,
    multi: IdMap<ConsumerId, MultiTopicsConsumer>,
    next_handle: u64,
    timers: Timers,
    /// Which of the service's addresses is asked.
    service_index: usize,
    /// Bytes in all pending rings.
    pending_bytes: usize,
    /// Flushes that wait, of all producers.
    flushing: usize,
    /// Bytes in all auto-scaled receiver queues.
    scaled_bytes: usize,
    /// These and the pending bytes near the limit.
    memory_is_short: bool,
    /// Producers that have refused a send because too many are pending.
    refusing: usize,
    /// A send was refused for want of memory.
    starved: bool,
    /// Of the last command or fact that came with one.
    now: Now,
    /// What payloads are packed and unpacked with, once there are any.
    packer: Option<Box<Packer>>,
    unpacker: Option<Box<Unpacker>>,
    skipped_commands: u64,
    shutdown: Shutdown,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    sent: VecDeque<SendOutcome>,
}

/// What an operation is, for when its time runs out.
#[derive(Debug, Clone, Copy)]
enum OpKind {
    Task(u64),
    Create(Owner),
    Close(Owner),
    Seek(ConsumerId),
    AddTopic(ConsumerId),
    /// Of a consumer, to its broker.
    Question(ConsumerId),
    Request,
    Shutdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    No,
    Under(OpId),
    Done,
}

impl Client {
    /// Makes a client. `seed` feeds all its randomness.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub fn new(config: ClientConfig, seed: u64) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self {
            config,
            rng: fastrand::Rng::with_seed(seed),
            pool: Pool::default(),
            requests: Requests::default(),
            tasks: IdMap::default(),
            next_task: 0,
            ops: IdMap::default(),
            askers: IdMap::default(),
            asking: None,
            joins: joining::Joins::default(),
            next_op: 0,
            producers: IdMap::default(),
            consumers: IdMap::default(),
            partitioned: IdMap::default(),
            multi: IdMap::default(),
            next_handle: 0,
            timers: Timers::default(),
            service_index: 0,
            pending_bytes: 0,
            flushing: 0,
            scaled_bytes: 0,
            memory_is_short: false,
            refusing: 0,
            starved: false,
            now: Now::default(),
            packer: None,
            unpacker: None,
            skipped_commands: 0,
            shutdown: Shutdown::No,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            sent: VecDeque::new(),
        })
    }

    // ---- commands ----

    fn close_owner(&mut self, owner: Owner, now: Now) -> OpId {
        let op = self.new_op(now);
        self.ops.insert(op, OpKind::Close(owner));
        self.link_close(owner, op, now);
        op
    }

    /// Closes all producers and consumers, then all connections.
    pub fn close(&mut self, now: Now) -> OpId {
        let op = self.new_op(now);
        if self.is_closed() {
            self.complete(op, Ok(Output::Done));
            return op;
        }
        self.ops.insert(op, OpKind::Shutdown);
        self.shutdown = Shutdown::Under(op);
        let tasks: Vec<OpId> =
            self.ops.iter().filter(|(_, kind)| matches!(kind, OpKind::Task(_))).map(|(op, _)| *op).collect();
        for op in tasks {
            self.end_op(op, Error::closed("client"));
        }
        for owner in self.owners() {
            self.close_owner(owner, now);
        }
        self.finish_shutdown();
        op
    }

    fn owners(&self) -> Vec<Owner> {
        // What is made of others comes first, and closes those itself.
        let producers = self.partitioned.keys().chain(self.producers.keys());
        let consumers = self.multi.keys().chain(self.consumers.keys());
        producers.map(|id| Owner::Producer(*id)).chain(consumers.map(|id| Owner::Consumer(*id))).collect()
    }

    /// How many commands came that are not known here, or that nothing was asked for; they are skipped.
    #[must_use]
    pub fn skipped_commands(&self) -> u64 {
        self.skipped_commands
    }

    /// Whether the client is closed or being closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shutdown != Shutdown::No
    }

    /// Whether the client is closed and nothing is left to do but to write what
    /// [`Client::poll_transmit`] gave.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shutdown == Shutdown::Done
            && self.actions.is_empty()
            && self.events.is_empty()
            && self.sent.is_empty()
    }

    // ---- polls ----

    /// What the host must do with a connection.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Moves what is to be written on `conn` to the end of `out`, in order.
    pub fn poll_transmit(&mut self, conn: ConnId, out: &mut VecDeque<Bytes>) {
        let Some(Connection { dirty, outbox, .. }) = self.pool.get_mut(conn) else { return };
        for producer in dirty.drain(..) {
            if let Some(p) = self.producers.get_mut(&producer).filter(|p| p.link.open_conn() == Some(conn)) {
                p.ring.transmit(|block| outbox.push(block));
            }
        }
        outbox.take(out);
    }

    /// Whether [`Client::poll_transmit`] may give anything.
    #[must_use]
    pub fn wants_transmit(&self, conn: ConnId) -> bool {
        self.pool.get(conn).is_some_and(|c| !c.dirty.is_empty() || !c.outbox.is_empty())
    }

    /// How the next of the sends ended.
    pub fn poll_sent(&mut self) -> Option<SendOutcome> {
        self.sent.pop_front()
    }

    /// What the user should know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Client::timeout`] at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Whether a command has given the host something to do since [`Client::rest`]: something to poll, or
    /// a deadline before `alarm`, at which it would look anyway.
    #[inline]
    #[must_use]
    pub fn has_work(&self, alarm: Option<Time>) -> bool {
        self.pool.is_touched()
            || !self.sent.is_empty()
            || !self.events.is_empty()
            || !self.actions.is_empty()
            || self.timers.next().is_some_and(|at| alarm.is_none_or(|alarm| at < alarm))
    }

    /// The host has polled everything until it was empty, and is about to wait.
    pub fn rest(&mut self) {
        self.pool.untouch();
    }

    // ---- shared by the parts of the client ----

    fn check_open(&self) -> Result<(), Error> {
        if self.is_closed() { Err(Error::closed("client")) } else { Ok(()) }
    }

    fn new_op(&mut self, now: Now) -> OpId {
        self.now = now;
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.ops.insert(op, OpKind::Request);
        if let Some(asker) = self.asking.take() {
            self.askers.insert(op, asker);
        }
        self.timers.arm(Timer::Operation(op), now.time + self.config.operation_timeout);
        op
    }

    fn complete(&mut self, op: OpId, result: Result<Output, Error>) {
        if self.ops.remove(&op).is_some() {
            self.timers.cancel(Timer::Operation(op));
            match self.askers.remove(&op) {
                Some(asker) => {
                    let asking = self.asking.take();
                    (asker.ended)(self, asker.handle, op, result);
                    self.asking = asking;
                }
                None => self.emit(Event::Completed { op, result }),
            }
        }
        if !matches!(self.shutdown, Shutdown::Under(closing) if closing == op) {
            self.finish_shutdown();
        }
    }

    /// An operation ends before its answer came.
    fn end_op(&mut self, op: OpId, error: Error) {
        match self.ops.get(&op) {
            Some(OpKind::Task(task)) => {
                let task = *task;
                let last = self.drop_task(task);
                self.complete(op, Err(error.because(last)));
            }
            Some(OpKind::Create(owner)) => {
                let owner = *owner;
                self.link_timed_out(owner);
            }
            Some(OpKind::Close(owner)) => {
                let owner = *owner;
                self.forget(owner, &error);
                self.complete(op, Err(error));
            }
            Some(OpKind::Seek(consumer)) => {
                let consumer = *consumer;
                self.seek_ended(consumer, Err(error));
            }
            Some(OpKind::AddTopic(consumer)) if cfg!(feature = "many") => {
                let consumer = *consumer;
                self.add_timed_out(consumer, op);
            }
            Some(OpKind::Question(consumer)) => {
                let consumer = *consumer;
                if let Some(c) = self.consumers.get_mut(&consumer) {
                    c.questions.forget(op);
                }
                self.complete(op, Err(error));
            }
            Some(OpKind::Request | OpKind::AddTopic(_)) => self.complete(op, Err(error)),
            Some(OpKind::Shutdown) => {
                let closed = Error::closed("client");
                for owner in self.owners() {
                    self.forget(owner, &closed);
                }
                self.finish_shutdown();
            }
            None => {}
        }
    }

    /// Ends the connections once all producers and consumers are gone.
    fn finish_shutdown(&mut self) {
        let Shutdown::Under(op) = self.shutdown else { return };
        let made = !self.partitioned.is_empty() || !self.multi.is_empty();
        if made || !self.producers.is_empty() || !self.consumers.is_empty() {
            return;
        }
        self.shutdown = Shutdown::Done;
        for conn in self.pool.ids() {
            self.disconnect(conn, "the client is closed");
        }
        self.complete(op, Ok(Output::Done));
        // What still waits for an answer will not get it: nobody drives the client any more.
        while let Some((&op, _)) = self.ops.first_key_value() {
            self.complete(op, Err(Error::closed("client")));
        }
        self.tasks = IdMap::default();
        self.timers = Timers::default();
    }

    fn emit(&mut self, event: Event) {
        if !cfg!(feature = "many") || self.multi.is_empty() {
            return self.events.push_back(event);
        }
        let event = self.event_of_part(event);
        self.events.extend(event);
    }

    fn write(&mut self, conn: ConnId, command: impl Into<Outbound>) {
        if let Some(c) = self.pool.get_mut(conn) {
            c.write(command);
        }
    }

    /// The connection for `key`; a new one is asked for.
    fn acquire(&mut self, key: PoolKey, now: Now) -> ConnId {
        let (conn, new) = self.pool.acquire(key.clone(), now);
        if new {
            let endpoint = key.physical;
            self.actions.push_back(Action::Connect { conn, endpoint: endpoint.clone() });
            self.emit(Event::Connection { endpoint, state: ConnectionState::Connecting });
            self.timers.arm(Timer::Handshake(conn), now.time + self.config.connection_timeout);
        }
        conn
    }

    /// Takes a connection out of the pool and its bytes with it; the host writes them and closes.
    fn disconnect(&mut self, conn: ConnId, reason: &str) -> Option<Connection> {
        let connection = self.pool.remove(conn)?;
        self.timers.cancel(Timer::Handshake(conn));
        self.timers.cancel(Timer::Keepalive(conn));
        self.actions.push_back(Action::Disconnect { conn, reason: reason.to_owned() });
        Some(connection)
    }
}
