//! The link between a producer or consumer and the broker that serves its topic.
//!
//! ```text
//!            +-------------------- Backoff <-------------------------------+
//!            v  (timer)                                                    | lost, closed by the broker,
//! Idle -> Locating -> Waiting -> Opening -> Open --------------------------+ or a failure that may pass
//!         LOOKUP      for the    PRODUCER    |
//!                     socket     SUBSCRIBE   +--> Closing -> (forgotten)
//! ```
//!
//! Each turn through Locating has a generation of its own; what an earlier one had asked for does
//! nothing when it comes late. The first opening must be done within the operation timeout; later
//! ones are tried without end, unless the broker says that it cannot be.

use super::Client;
use super::lookup::Locate;
use super::pool::PoolKey;
use super::requests::Reply;
use crate::client::backoff::Backoff;
use crate::connection::{State, Waiting};
use crate::consumer::Seek;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Output};
use crate::ids::{ConnId, ConsumerId, OpId, ProducerId};
use crate::service_url::Endpoint;
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::hot::write_flow;
use crate::wire::{
    CommandCloseConsumer, CommandCloseProducer, CommandProducerSuccess, Outbound, ServerError,
};

/// Whose link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Producer(ProducerId),
    Consumer(ConsumerId),
}

impl Owner {
    pub(crate) fn closed(self) -> Error {
        Error::closed(if matches!(self, Self::Producer(_)) { "producer" } else { "consumer" })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkState {
    Idle,
    Locating,
    Waiting(ConnId),
    Opening(ConnId, u64),
    Open(ConnId),
    Backoff,
    Closing(ConnId, OpId),
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) state: LinkState,
    generation: u64,
    backoff: Backoff,
    /// The operation that wants the first opening, until it is done.
    created: Option<OpId>,
    /// The last failure, for the message when time runs out.
    last_error: Option<Error>,
    /// The broker that was named when it closed the link.
    assigned: Option<PoolKey>,
    /// When an open link was lost last, in milliseconds since the Unix epoch.
    pub(crate) disconnected_at: Option<u64>,
    /// Closings that came after the first, and end with it.
    closing_too: Vec<OpId>,
}

impl Link {
    pub(crate) fn new(created: OpId) -> Self {
        Self { created: Some(created), ..Self::endless() }
    }

    /// One that is tried until it is open, without an operation that waits for it.
    pub(crate) fn endless() -> Self {
        Self {
            state: LinkState::Idle,
            generation: 0,
            backoff: Backoff::default(),
            created: None,
            last_error: None,
            assigned: None,
            disconnected_at: None,
            closing_too: Vec::new(),
        }
    }

    /// The operation that wants the first opening, until it is done.
    pub(crate) fn created(&self) -> Option<OpId> {
        self.created
    }

    /// Whether the first opening is not done.
    pub(crate) fn is_first(&self) -> bool {
        self.created.is_some()
    }

    /// The connection, when messages may flow on it.
    #[inline]
    pub(crate) fn open_conn(&self) -> Option<ConnId> {
        match self.state {
            LinkState::Open(conn) => Some(conn),
            _ => None,
        }
    }

    /// The state, if `generation` is the present one.
    pub(crate) fn state_of(&self, generation: u64) -> Option<LinkState> {
        (self.generation == generation).then(|| self.state.clone())
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The connection that it uses or waits for.
    #[inline]
    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self.state {
            LinkState::Waiting(conn)
            | LinkState::Opening(conn, _)
            | LinkState::Open(conn)
            | LinkState::Closing(conn, _) => Some(conn),
            _ => None,
        }
    }
}

impl Client {
    fn link(&mut self, owner: Owner) -> Option<&mut Link> {
        match owner {
            Owner::Producer(id) => self.producers.get_mut(&id).map(|p| &mut p.link),
            Owner::Consumer(id) => self.consumers.get_mut(&id).map(|c| &mut c.link),
        }
    }

    /// Whether it is a part of another handle: what it is about has no partitions.
    fn is_part(&self, owner: Owner) -> bool {
        match owner {
            Owner::Producer(id) => self.producers.get(&id).is_some_and(|p| p.is_part),
            Owner::Consumer(id) => self.consumers.get(&id).is_some_and(|c| c.member.is_some()),
        }
    }

    /// The last failure of an opening that is under way.
    pub(super) fn link_error(&mut self, owner: Owner) -> Option<Error> {
        self.link(owner).and_then(|link| link.last_error.clone())
    }

    /// Begins an opening: finds the broker, unless it was named.
    pub(super) fn link_start(&mut self, owner: Owner, now: Now) {
        let topic = match owner {
            Owner::Producer(id) => self.producers.get(&id).map(|p| p.config.topic.clone()),
            Owner::Consumer(id) => self.consumers.get(&id).map(|c| c.config.topic.clone()),
        };
        let (Some(topic), Some(link)) = (topic, self.link(owner)) else { return };
        link.generation += 1;
        link.state = LinkState::Locating;
        let generation = link.generation;
        let first = link.created.is_some() && !self.is_part(owner);
        let Some(link) = self.link(owner) else { return };
        if let Some(key) = link.assigned.take() {
            return self.link_located(owner, generation, Ok(key), now);
        }
        self.locate(Locate::new(owner, generation, topic, first), now);
    }

    /// The lookup has ended.
    pub(super) fn link_located(
        &mut self,
        owner: Owner,
        generation: u64,
        found: Result<PoolKey, Error>,
        now: Now,
    ) {
        if self.link(owner).is_none_or(|l| l.generation != generation || l.state != LinkState::Locating) {
            return;
        }
        let key = match found {
            Ok(key) => key,
            Err(error) => return self.link_failed(owner, error, now),
        };
        let conn = self.acquire(key, now);
        if let Some(link) = self.link(owner) {
            link.state = LinkState::Waiting(conn);
        }
        match self.pool.get_mut(conn) {
            Some(c) if c.state == State::Ready => self.link_connected(owner, generation, conn, now),
            Some(c) => c.waiting.push(Waiting::Link(owner, generation)),
            None => {}
        }
    }

    /// The connection is ready: PRODUCER or SUBSCRIBE goes out.
    pub(super) fn link_connected(&mut self, owner: Owner, generation: u64, conn: ConnId, now: Now) {
        if self.link(owner).is_none_or(|l| l.generation != generation || l.state != LinkState::Waiting(conn))
        {
            return;
        }
        let request = self.request(conn, Reply::Open(owner, generation), now);
        let command: Outbound = match owner {
            Owner::Producer(id) => match self.producers.get_mut(&id) {
                Some(producer) => producer.open_command(request).into(),
                None => return,
            },
            Owner::Consumer(id) => match self.consumers.get(&id) {
                Some(consumer) => consumer.open_command(request).into(),
                None => return,
            },
        };
        if let Some(link) = self.link(owner) {
            link.state = LinkState::Opening(conn, request);
        }
        self.write(conn, command);
    }

    /// PRODUCER_SUCCESS that says: not yet. Its turn comes however late, so its deadline is void.
    pub(super) fn link_waits(&mut self, owner: Owner) {
        if let Some(op) = self.link(owner).and_then(|link| link.created) {
            self.timers.cancel(Timer::Operation(op));
        }
    }

    /// PRODUCER_SUCCESS, or SUCCESS for SUBSCRIBE.
    pub(super) fn link_opened(
        &mut self,
        owner: Owner,
        generation: u64,
        success: Option<&CommandProducerSuccess>,
        now: Now,
    ) {
        let Some(link) = self.link(owner) else { return };
        let LinkState::Opening(conn, _) = link.state else { return };
        if link.generation != generation {
            return;
        }
        link.state = LinkState::Open(conn);
        link.backoff.reset();
        link.last_error = None;
        let created = link.created.take();
        let mut output = Output::Done;
        match owner {
            Owner::Producer(id) => {
                let limit = self.pool.get(conn).map(|c| c.max_message_size);
                let (Some(producer), Some(success)) = (self.producers.get_mut(&id), success) else { return };
                let held = producer.held();
                producer.lend(&mut self.packer);
                producer.close_batch();
                producer.lend(&mut self.packer);
                self.pending_bytes = self.pending_bytes + producer.held() - held;
                producer.opened(success);
                producer.max_message_size = limit.unwrap_or(producer.max_message_size);
                output = Output::Producer { name: producer.name().to_owned() };
                self.fail_oversized(id);
                let pending = self.producers.get(&id).is_some_and(|p| !p.ring.is_empty());
                if let Some(c) = self.pool.get_mut(conn).filter(|_| pending) {
                    c.mark_dirty(id);
                }
            }
            Owner::Consumer(id) => {
                let limit = self.pool.get(conn).map(|c| c.max_message_size);
                let Some(consumer) = self.consumers.get_mut(&id) else { return };
                consumer.max_message_size = limit.unwrap_or(consumer.max_message_size);
                let permits = consumer.opened();
                // What is done with must not come again.
                self.flush_acks(id, now);
                if let (Some(c), Some(permits)) = (self.pool.get_mut(conn), permits) {
                    write_flow(id.0, permits, c.outbox.tail());
                }
                self.watch(id);
                if cfg!(feature = "many") {
                    self.consumer_part_opened(id);
                }
                if let Some(opened) =
                    self.consumers.get(&id).and_then(|c| c.seek.as_ref()).map(|seek| seek.opened)
                {
                    opened(self, id, now);
                }
                self.questions_go_on(id);
            }
        }
        if let Some(op) = created {
            self.complete(op, Ok(output));
        }
    }

    /// The link could not be opened, or was lost with `error`.
    pub(super) fn link_failed(&mut self, owner: Owner, error: Error, now: Now) {
        if let Owner::Consumer(id) = owner
            && let Some(consumer) = self.consumers.get_mut(&id)
        {
            consumer.lost();
            let was_open = consumer.link.open_conn().is_some();
            if let Some(time) = consumer.start.again().filter(|_| consumer.seek.is_none()) {
                consumer.seek = Some(Seek::again(OpId(self.next_op), time));
                self.next_op += 1;
            }
            self.timers.cancel(Timer::Nack(id));
            self.timers.cancel(Timer::Watchdog(id));
            if was_open {
                consumer.notices.last_disconnected = now.wall_ms;
                self.emit(Event::ConsumerReset(id));
            }
        }
        let Some(link) = self.link(owner) else { return };
        if link.open_conn().is_some() {
            link.disconnected_at = Some(now.wall_ms);
        }
        if let LinkState::Closing(_, op) = link.state {
            // A connection that is gone has closed what was on it.
            self.forget(owner, &owner.closed());
            return self.complete(op, Ok(Output::Done));
        }
        let first = link.created.is_some();
        let goes_on = may_pass(&error, first) || cfg!(feature = "many") && self.part_goes_on(owner, &error);
        if !goes_on {
            return self.link_ended(owner, error);
        }
        if let (
            Owner::Producer(id),
            ErrorKind::Broker(ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION),
        ) = (owner, error.kind())
        {
            // As Java: there is no room for what waits, and the producer comes back when there is.
            self.fail_pending(id, &error);
        }
        let Some(link) = self.link(owner) else { return };
        let mut backoff = link.backoff;
        let delay = backoff.next(&self.config, &mut self.rng);
        if let Some(link) = self.link(owner) {
            link.backoff = backoff;
            link.state = LinkState::Backoff;
            link.last_error = Some(error);
        }
        self.timers.arm(Timer::Reopen(owner), now.time + delay);
    }

    /// The link has ended for good.
    pub(super) fn link_ended(&mut self, owner: Owner, error: Error) {
        let created = self.link(owner).and_then(|link| link.created.take());
        self.forget(owner, &error);
        if let Some(op) = created {
            self.complete(op, Err(error));
        }
    }

    /// The first opening took too long. What the broker may still open is closed.
    pub(super) fn link_timed_out(&mut self, owner: Owner) {
        if self.link(owner).is_none() && cfg!(feature = "many") {
            return match owner {
                Owner::Producer(id) => self.partitioned_timed_out(id),
                Owner::Consumer(id) => self.several_timed_out(id),
            };
        }
        let Some(link) = self.link(owner) else { return };
        let error = Error::timeout("opening it").because(link.last_error.take());
        if let LinkState::Opening(conn, request) = link.state {
            self.drop_request(request);
            self.abandon_opening(owner, conn);
        }
        self.link_ended(owner, error);
    }

    /// What the broker may still open is closed: otherwise it would be busy with it.
    pub(super) fn abandon_opening(&mut self, owner: Owner, conn: ConnId) {
        let request = self.next_request_id();
        self.write(conn, close_command(owner, request));
    }

    /// The broker closed the link, and may have said which broker is next.
    pub(super) fn link_closed_by_broker(
        &mut self,
        owner: Owner,
        conn: ConnId,
        assigned: Option<Endpoint>,
        now: Now,
    ) {
        // The next broker is behind the same proxy as this one.
        let proxied = self.pool.get(conn).is_some_and(|c| c.key.proxy_to.is_some());
        let assigned = assigned.map(|endpoint| self.broker_key(&endpoint, proxied));
        // It may overtake the answer to an opening, which then means nothing any more.
        let on = |state: &LinkState| match *state {
            LinkState::Open(on) | LinkState::Opening(on, _) => Some(on),
            _ => None,
        };
        let Some(link) = self.link(owner).filter(|l| on(&l.state) == Some(conn)) else { return };
        link.assigned = assigned;
        self.link_failed(owner, Error::new(ErrorKind::Disconnected, "the broker closed it"), now);
    }

    /// A connection is gone: every link on it is lost.
    pub(super) fn links_lost(&mut self, conn: ConnId, error: &Error, now: Now) {
        let producers = self.producers.iter().filter(|(_, p)| p.link.conn() == Some(conn));
        let consumers = self.consumers.iter().filter(|(_, c)| c.link.conn() == Some(conn));
        let lost: Vec<Owner> = producers
            .map(|(id, _)| Owner::Producer(*id))
            .chain(consumers.map(|(id, _)| Owner::Consumer(*id)))
            .collect();
        for owner in lost {
            self.link_failed(owner, error.clone(), now);
        }
    }

    /// Closes the link: what is pending goes out first, then CLOSE.
    pub(super) fn link_close(&mut self, owner: Owner, op: OpId, now: Now) {
        if let Owner::Consumer(id) = owner {
            self.flush_acks(id, now);
        }
        if cfg!(feature = "many") {
            match owner {
                Owner::Producer(id) if self.partitioned.contains_key(&id) => {
                    return self.close_partitioned(id, op, now);
                }
                Owner::Consumer(id) if self.multi.contains_key(&id) => {
                    return self.close_several(id, op, now);
                }
                _ => {}
            }
        }
        let Some(link) = self.link(owner) else {
            return self.complete(op, Ok(Output::Done));
        };
        match link.state {
            LinkState::Open(conn) => {
                link.state = LinkState::Closing(conn, op);
                if let Owner::Producer(id) = owner {
                    self.close_batch(id);
                    self.flush_ring(id, conn);
                }
                let request = self.request(conn, Reply::Closed(owner, op), now);
                self.write(conn, close_command(owner, request));
            }
            LinkState::Closing(..) => link.closing_too.push(op),
            LinkState::Opening(conn, request) => {
                self.drop_request(request);
                self.abandon_opening(owner, conn);
                self.link_abandoned(owner, op);
            }
            _ => self.link_abandoned(owner, op),
        }
    }

    fn link_abandoned(&mut self, owner: Owner, op: OpId) {
        self.link_ended(owner, owner.closed());
        self.complete(op, Ok(Output::Done));
    }

    /// Removes the producer or consumer; its pending sends fail with `error`.
    pub(super) fn forget(&mut self, owner: Owner, error: &Error) {
        self.timers.cancel(Timer::Reopen(owner));
        if cfg!(feature = "many") {
            match owner {
                Owner::Producer(id) if self.partitioned.contains_key(&id) => {
                    return self.forget_partitioned(id, error);
                }
                Owner::Consumer(id) if self.multi.contains_key(&id) => {
                    return self.forget_several(id, error);
                }
                _ => {}
            }
        }
        let error = error.clone();
        let closing_too = self.link(owner).map(|link| std::mem::take(&mut link.closing_too));
        let closed =
            if error.kind() == ErrorKind::AlreadyClosed { Ok(Output::Done) } else { Err(error.clone()) };
        match owner {
            Owner::Producer(producer) => {
                self.fail_pending(producer, &error);
                self.timers.cancel(Timer::SendTimeout(producer));
                self.timers.cancel(Timer::Batch(producer));
                // What it had refused may only have waited to be sent.
                self.room_beside(producer, 0);
                match self.producers.remove(&producer).map(|p| p.listener) {
                    Some(Some(listener)) => (listener.ended)(self, listener.handle, producer, error),
                    Some(None) => self.emit(Event::ProducerEnded { producer, error }),
                    None => {}
                }
            }
            Owner::Consumer(consumer) => {
                self.timers.cancel(Timer::Nack(consumer));
                self.timers.cancel(Timer::BatchReceive(consumer));
                self.timers.cancel(Timer::Watchdog(consumer));
                if let Some(c) = self.consumers.get(&consumer) {
                    self.scaled_bytes = self.scaled_bytes.saturating_sub(c.counted_bytes);
                }
                self.timers.cancel(Timer::AckTimeout(consumer));
                self.letters_ended(consumer, &error);
                self.answer_all(consumer, &error);
                match self.consumers.remove(&consumer).map(|c| c.member) {
                    Some(Some(member)) if cfg!(feature = "many") => {
                        self.consumer_part_ended(member.group, consumer, error);
                    }
                    Some(_) => self.emit(Event::ConsumerEnded { consumer, error }),
                    None => {}
                }
            }
        }
        for op in closing_too.unwrap_or_default() {
            self.complete(op, closed.clone());
        }
    }
}

impl Client {
    /// Nothing that waits for a consumer will be done.
    pub(super) fn answer_all(&mut self, consumer: ConsumerId, error: &Error) {
        self.seek_ended(consumer, Err(error.clone()));
        self.acks_ended(consumer, error);
        let asked = self.consumers.get_mut(&consumer).map(|c| c.questions.take());
        for op in asked.unwrap_or_default() {
            self.complete(op, Err(error.clone()));
        }
    }
}

fn close_command(owner: Owner, request_id: u64) -> Outbound {
    match owner {
        Owner::Producer(id) => {
            CommandCloseProducer { producer_id: id.0, request_id, ..Default::default() }.into()
        }
        Owner::Consumer(id) => {
            CommandCloseConsumer { consumer_id: id.0, request_id, ..Default::default() }.into()
        }
    }
}

/// Whether a broker says that it has no such consumer: it has closed it, as when a topic is unloaded,
/// and CLOSE_CONSUMER comes behind that, or never.
pub(super) fn is_unknown_there(error: &Error) -> bool {
    error.kind() == ErrorKind::Broker(ServerError::METADATA_ERROR)
        && error.to_string().contains("Consumer not found")
}

/// Whether to try again. What was open once is given up only when the broker says that it cannot be;
/// and it finds its own old self on the broker for a while, which is no reason either.
fn may_pass(error: &Error, first: bool) -> bool {
    let lasting = match error.kind() {
        ErrorKind::Broker(
            ServerError::PRODUCER_BUSY
            | ServerError::CONSUMER_BUSY
            | ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION,
        ) => false,
        ErrorKind::Broker(_) => true,
        _ => false,
    };
    error.is_retryable() || (!first && !lasting)
}
