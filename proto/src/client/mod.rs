//! The client: everything above bytes.
//!
//! See [`Client`] for which method is what, and in which order they are called.

mod acknowledging;
pub(crate) mod backoff;
mod facts;
pub(crate) mod link;
mod lookup;
pub(crate) mod pool;
mod positions;
pub(crate) mod requests;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::config::{ClientConfig, ConsumerConfig, ProducerConfig};
use crate::connection::Connection;
use crate::consumer::{Consumer, Message};
use crate::error::{Error, ErrorKind};
use crate::event::{Action, ConnectionState, Event, Output, SendOutcome};
use crate::id_map::IdMap;
use crate::ids::{ConnId, ConsumerId, MessageId, OpId, ProducerId, SendToken};
use crate::producer::{Outgoing, Pending, Producer};
use crate::time::{Now, Time};
use crate::timer::{Timer, Timers};
use crate::wire::{CommandGetLastMessageId, CommandUnsubscribe, Outbound, hot};
use link::{Link, Owner};
use lookup::Task;
use pool::{Pool, PoolKey};
use requests::{Reply, Requests};

/// The state of a client, without any I/O.
///
/// The host owns sockets, clocks and tasks; it tells the client what happened and carries out what
/// comes out. Nothing blocks, nothing calls back.
///
/// - **Commands** (what the user wants) return an [`OpId`] that completes later, exactly once, or
///   answer at once: [`create_producer`](Self::create_producer), [`send`](Self::send),
///   [`flush`](Self::flush),
///   [`subscribe`](Self::subscribe), [`take`](Self::take), [`delivered`](Self::delivered),
///   [`acknowledge`](Self::acknowledge), [`acknowledge_all`](Self::acknowledge_all),
///   [`acknowledge_confirmed`](Self::acknowledge_confirmed),
///   [`negative_acknowledge`](Self::negative_acknowledge),
///   [`unsubscribe`](Self::unsubscribe), [`seek`](Self::seek),
///   [`redeliver_unacknowledged`](Self::redeliver_unacknowledged), [`last_message_id`](Self::last_message_id),
///   [`close_producer`](Self::close_producer), [`close_consumer`](Self::close_consumer),
///   [`partitions`](Self::partitions), [`topics`](Self::topics), [`close`](Self::close).
/// - **Facts** (what happened): [`connected`](Self::connected), [`received`](Self::received),
///   [`closed`](Self::closed), [`timeout`](Self::timeout).
/// - **Polls** (what to do): [`poll_action`](Self::poll_action), [`poll_transmit`](Self::poll_transmit)
///   for each connection that can take bytes, [`poll_sent`](Self::poll_sent),
///   [`poll_event`](Self::poll_event), [`next_deadline`](Self::next_deadline).
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
    next_op: u64,
    producers: IdMap<ProducerId, Producer>,
    consumers: IdMap<ConsumerId, Consumer>,
    next_handle: u64,
    timers: Timers,
    /// Which of the service's addresses is asked.
    service_index: usize,
    /// Bytes in all pending rings.
    pending_bytes: usize,
    /// Flushes that wait, of all producers.
    flushing: usize,
    /// A send was refused for want of memory.
    starved: bool,
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
            next_op: 0,
            producers: IdMap::default(),
            consumers: IdMap::default(),
            next_handle: 0,
            timers: Timers::default(),
            service_index: 0,
            pending_bytes: 0,
            flushing: 0,
            starved: false,
            skipped_commands: 0,
            shutdown: Shutdown::No,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            sent: VecDeque::new(),
        })
    }

    // ---- commands ----

    /// Opens a producer. Completes with [`Output::Producer`].
    ///
    /// # Errors
    /// `InvalidOption`, or `AlreadyClosed`.
    pub fn create_producer(&mut self, config: ProducerConfig, now: Now) -> Result<(ProducerId, OpId), Error> {
        config.validate()?;
        self.check_open()?;
        let id = ProducerId(self.next_handle);
        self.next_handle += 1;
        let op = self.new_op(now);
        self.ops.insert(op, OpKind::Create(Owner::Producer(id)));
        self.producers.insert(id, Producer::new(id, config, Link::new(op)));
        self.link_start(Owner::Producer(id), now);
        Ok((id, op))
    }

    /// Opens a consumer. Completes with [`Output::Done`].
    ///
    /// # Errors
    /// `InvalidOption`, or `AlreadyClosed`.
    pub fn subscribe(&mut self, config: ConsumerConfig, now: Now) -> Result<(ConsumerId, OpId), Error> {
        config.validate()?;
        self.check_open()?;
        let id = ConsumerId(self.next_handle);
        self.next_handle += 1;
        let op = self.new_op(now);
        self.ops.insert(op, OpKind::Create(Owner::Consumer(id)));
        let name = config.name.clone().unwrap_or_else(|| format!("{:08x}", self.rng.u32(..)));
        self.consumers.insert(id, Consumer::new(id, config, Link::new(op), name));
        self.link_start(Owner::Consumer(id), now);
        Ok((id, op))
    }

    /// Sends a message: encodes it and keeps it until its receipt. The [`SendOutcome`] with the
    /// token that is returned comes exactly once.
    ///
    /// # Errors
    /// `MessageTooLarge`, `QueueFull` (an [`Event::Writable`] follows when there is memory again),
    /// `AlreadyClosed`. The message is not sent then.
    pub fn send(
        &mut self,
        producer: ProducerId,
        message: &Outgoing<'_>,
        now: Now,
    ) -> Result<SendToken, Error> {
        let p = self.producers.get_mut(&producer).ok_or_else(|| Error::closed("producer"))?;
        if matches!(p.link.state, link::LinkState::Closing(..)) {
            return Err(Error::closed("producer"));
        }
        // A single message may always be pending, however small the limit.
        if self.pending_bytes > 0 {
            let size = message.payload.as_ref().map_or(0, |p| p.as_slice().len());
            if self.pending_bytes + size > self.config.memory_limit {
                self.starved = true;
                let limit = self.config.memory_limit;
                let why = format!("pending messages use up the memory limit of {limit} bytes");
                return Err(Error::new(ErrorKind::QueueFull, why));
            }
        }
        let was_empty = p.ring.is_empty();
        let held = p.held();
        let sent = p.enqueue(message, now);
        self.pending_bytes = self.pending_bytes + p.held() - held;
        let token = match sent {
            Ok(token) => token,
            Err(error) => {
                // It may have closed the batch before it, which goes out all the same.
                self.close_batch(producer);
                return Err(error);
            }
        };
        if cfg!(feature = "batching")
            && let Some(due) = p.batch_due()
        {
            self.timers.arm_if_idle(Timer::Batch(producer), due);
        }
        if p.ring.is_empty() {
            return Ok(token);
        }
        if was_empty
            && let Some(deadline) = p.ring.front().map(|f| f.deadline).filter(|at| *at != Time::NEVER)
        {
            self.timers.arm_if_idle(Timer::SendTimeout(producer), deadline);
        }
        if let Some(conn) = p.link.open_conn()
            && let Some(c) = self.pool.get_mut(conn)
        {
            c.mark_dirty(producer);
        }
        Ok(token)
    }

    /// Sends the open batch of a producer now. Completes when all that was sent before has ended: with
    /// [`Output::Done`], or with the first failure among those.
    pub fn flush(&mut self, producer: ProducerId, now: Now) -> OpId {
        let op = self.new_op(now);
        // Its sends have timeouts of their own.
        self.timers.cancel(Timer::Operation(op));
        self.close_batch(producer);
        match self.producers.get_mut(&producer) {
            None => self.complete(op, Err(Error::closed("producer"))),
            Some(p) if p.ring.is_empty() => self.complete(op, Ok(Output::Done)),
            Some(p) => {
                p.flushes.push_back((op, p.next_token(), None));
                self.flushing += 1;
            }
        }
        op
    }

    /// Moves the open batch of a producer to its ring, and on to its connection.
    fn close_batch(&mut self, producer: ProducerId) {
        if !cfg!(feature = "batching") {
            return;
        }
        let Some(p) = self.producers.get_mut(&producer) else { return };
        let held = p.held();
        p.close_batch();
        self.pending_bytes = self.pending_bytes + p.held() - held;
        if let Some(deadline) = p.ring.front().map(|f| f.deadline).filter(|at| *at != Time::NEVER) {
            self.timers.arm_if_idle(Timer::SendTimeout(producer), deadline);
        }
        let pending = !p.ring.is_empty();
        if let Some(c) = p.link.open_conn().filter(|_| pending).and_then(|conn| self.pool.get_mut(conn)) {
            c.mark_dirty(producer);
        }
    }

    /// The next message of a consumer, if one has arrived; or the error of one that cannot be read.
    /// Say [`Client::delivered`] when the user has it.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn take(&mut self, consumer: ConsumerId) -> Result<Option<Result<Message, Error>>, Error> {
        let c = self.consumers.get_mut(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        let taken = c.take();
        if !matches!(taken, Some(Ok(_))) {
            // Permits of what was skipped go back although the user saw nothing.
            self.delivered(consumer, 0);
        }
        Ok(taken)
    }

    /// Whether a consumer has messages to take.
    #[must_use]
    pub fn has_messages(&self, consumer: ConsumerId) -> bool {
        self.consumers.get(&consumer).is_some_and(Consumer::has_messages)
    }

    /// The user was handed `n` messages that were taken: the broker may send as many more.
    pub fn delivered(&mut self, consumer: ConsumerId, n: u32) {
        let Some(c) = self.consumers.get_mut(&consumer) else { return };
        let Some(permits) = c.delivered(n) else { return };
        if let Some(connection) = c.link.open_conn().and_then(|conn| self.pool.get_mut(conn)) {
            hot::write_flow(consumer.0, permits, connection.outbox.tail());
        }
    }

    /// Deletes the subscription of a consumer; with `force` also when other consumers are on it.
    pub fn unsubscribe(&mut self, consumer: ConsumerId, force: bool, now: Now) -> OpId {
        self.flush_acks(consumer, now);
        self.consumer_request(consumer, now, |consumer_id, request_id| {
            CommandUnsubscribe { consumer_id, request_id, force: force.then_some(true) }.into()
        })
    }

    /// Asks for the last message of a consumer's topic. Completes with [`Output::LastMessageId`].
    pub fn last_message_id(&mut self, consumer: ConsumerId, now: Now) -> OpId {
        self.consumer_request(consumer, now, |consumer_id, request_id| {
            CommandGetLastMessageId { consumer_id, request_id }.into()
        })
    }

    fn consumer_request(
        &mut self,
        consumer: ConsumerId,
        now: Now,
        command: impl FnOnce(u64, u64) -> Outbound,
    ) -> OpId {
        let op = self.new_op(now);
        match self.consumers.get(&consumer).map(|c| c.link.open_conn()) {
            Some(Some(conn)) => {
                let request = self.request(conn, Reply::Op(op), now);
                self.write(conn, command(consumer.0, request));
            }
            Some(None) => {
                let error = Error::new(ErrorKind::Disconnected, "the consumer is not connected now");
                self.complete(op, Err(error));
            }
            None => self.complete(op, Err(Error::closed("consumer"))),
        }
        op
    }

    /// Closes a producer: what is pending goes out first and gets its receipts.
    pub fn close_producer(&mut self, producer: ProducerId, now: Now) -> OpId {
        self.close_owner(Owner::Producer(producer), now)
    }

    /// Closes a consumer. Its subscription stays.
    pub fn close_consumer(&mut self, consumer: ConsumerId, now: Now) -> OpId {
        self.close_owner(Owner::Consumer(consumer), now)
    }

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
        let producers = self.producers.keys().map(|id| Owner::Producer(*id));
        producers.chain(self.consumers.keys().map(|id| Owner::Consumer(*id))).collect()
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

    // ---- shared by the parts of the client ----

    fn check_open(&self) -> Result<(), Error> {
        if self.is_closed() { Err(Error::closed("client")) } else { Ok(()) }
    }

    fn new_op(&mut self, now: Now) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.ops.insert(op, OpKind::Request);
        self.timers.arm(Timer::Operation(op), now.time + self.config.operation_timeout);
        op
    }

    fn complete(&mut self, op: OpId, result: Result<Output, Error>) {
        if self.ops.remove(&op).is_some() {
            self.timers.cancel(Timer::Operation(op));
            self.emit(Event::Completed { op, result });
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
            Some(OpKind::Request) => self.complete(op, Err(error)),
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
        if !self.producers.is_empty() || !self.consumers.is_empty() {
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
        self.events.push_back(event);
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

    /// Moves a producer's frames to its connection, ahead of a command that must follow them.
    fn flush_ring(&mut self, producer: ProducerId, conn: ConnId) {
        if let (Some(p), Some(c)) = (self.producers.get_mut(&producer), self.pool.get_mut(conn)) {
            p.ring.transmit(|block| c.outbox.push(block));
        }
    }

    /// An entry has ended, and with it the send of each of its messages.
    #[inline]
    fn settle(
        &mut self,
        producer: ProducerId,
        token: SendToken,
        pending: Pending,
        result: Result<MessageId, Error>,
    ) {
        self.pending_bytes -= pending.frame_len as usize;
        if self.starved && self.pending_bytes <= self.config.memory_limit / 2 {
            self.starved = false;
            self.emit(Event::Writable);
        }
        if self.flushing > 0 {
            self.flushed(producer, token, result.as_ref().err());
        }
        if !cfg!(feature = "batching") || pending.batch == 0 {
            return self.sent.push_back(SendOutcome { producer, token, result });
        }
        let batch_size = i32::try_from(pending.batch).unwrap_or(i32::MAX);
        for batch_index in 0..batch_size {
            let token = SendToken(token.0 + batch_index as u64);
            let result = result.clone().map(|id| MessageId { batch_index, batch_size, ..id });
            self.sent.push_back(SendOutcome { producer, token, result });
        }
    }

    /// Completes the flushes that waited for this send as the last.
    #[cold]
    fn flushed(&mut self, producer: ProducerId, token: SendToken, failed: Option<&Error>) {
        let Some(p) = self.producers.get_mut(&producer) else { return };
        if let Some(failed) = failed {
            for (_, until, error) in &mut p.flushes {
                if token.0 < *until && error.is_none() {
                    *error = Some(failed.clone());
                }
            }
        }
        let head = p.ring.head_token();
        while let Some(p) = self.producers.get_mut(&producer)
            && p.flushes.front().is_some_and(|(_, until, _)| *until <= head)
            && let Some((op, _, error)) = p.flushes.pop_front()
        {
            self.flushing -= 1;
            self.complete(op, error.map_or(Ok(Output::Done), Err));
        }
    }

    /// All pending sends of a producer fail.
    fn fail_pending(&mut self, producer: ProducerId, error: &Error) {
        self.close_batch(producer);
        while let Some((token, pending)) = self.producers.get_mut(&producer).and_then(|p| p.ring.pop()) {
            self.settle(producer, token, pending, Err(error.clone()));
        }
    }

    /// Pending sends that a new broker's smaller limit forbids fail, and only those.
    fn fail_oversized(&mut self, producer: ProducerId) {
        let Some(p) = self.producers.get_mut(&producer) else { return };
        let removed = p.ring.remove_larger(p.max_message_size + crate::wire::FRAME_OVERHEAD - 1024);
        let failed: Vec<_> = removed
            .into_iter()
            .map(|(token, pending)| (token, pending, p.too_large(pending.message_size as usize, 0)))
            .collect();
        for (token, pending, error) in failed {
            self.settle(producer, token, pending, Err(error));
        }
    }
}
