//! Producers of partitioned topics: opening their parts, sending, ending. See `many::producer`.

use super::Client;
use super::inner::Listener;
use super::joining::{Ask, Joined};
use super::link::{LinkState, Owner};
use super::sending::has_room;
use crate::config::ProducerConfig;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Output, SendOutcome};
use crate::ids::{MessageId, OpId, ProducerId, SendToken};
use crate::many::parked::Parked;
use crate::many::producer::{PartState, PartitionedProducer, State};
use crate::producer::Outgoing;
use crate::time::Now;
use crate::timer::Timer;

impl Client {
    /// Sends a message to a partition that the caller names; for producers with
    /// [`CustomPartition`](crate::MessageRoutingMode::CustomPartition).
    ///
    /// # Errors
    /// As [`Client::send`]; `InvalidOption` when there is no such partition.
    pub fn send_to(
        &mut self,
        producer: ProducerId,
        partition: u32,
        message: &Outgoing<'_>,
        now: Now,
    ) -> Result<SendToken, Error> {
        // Asked while it had partitions, a topic that has none takes it all the same.
        if self.producers.contains_key(&producer) {
            return self.send(producer, message, now);
        }
        self.send_partitioned(producer, message, Some(partition), now)
    }

    /// How many partitions a producer sends to; 0 when its topic is not partitioned.
    #[must_use]
    pub fn producer_partitions(&self, producer: ProducerId) -> u32 {
        self.partitioned.get(&producer).map_or(0, |p| p.routed)
    }

    /// The topic of a producer that is being opened turned out to have partitions.
    pub(super) fn producer_found(&mut self, id: ProducerId, generation: u64, partitions: u32, now: Now) {
        let state = self.producers.get(&id).and_then(|p| p.link.state_of(generation));
        if state != Some(LinkState::Locating) {
            return;
        }
        let Some(single) = self.producers.remove(&id) else { return };
        let Some(created) = single.link.created() else { return };
        let mut producer =
            PartitionedProducer::new(single.config, single.listener, created, partitions, &mut self.rng);
        // As Java: whoever starts lazily opens the one that is sent to first, to see that it can be.
        let lazy = producer.config.lazy_start_partitioned_producers;
        let first = producer.router.choose(&Outgoing::default(), None, partitions, now.time).ok();
        self.partitioned.insert(id, producer);
        self.open_part(id, first.filter(|_| lazy).unwrap_or(0), now);
    }

    fn open_part(&mut self, parent: ProducerId, partition: u32, now: Now) {
        let Some(producer) = self.partitioned.get_mut(&parent) else { return };
        let id = ProducerId(self.next_handle);
        self.next_handle += 1;
        producer.opening(partition, id);
        let topic = producer.config.topic.of_partition(partition);
        let config = ProducerConfig { topic, ..producer.config.clone() };
        let name = producer.name.clone();
        let partitions = u32::try_from(producer.parts.len()).unwrap_or(u32::MAX);
        let listener = Listener { handle: parent.0, sent: Self::part_sent, ended: Self::part_ended };
        self.asking(Ask::Part(Owner::Producer(id)), |client| {
            client.start_producer(id, config, Some(listener), name, partitions, now);
        });
    }

    pub(super) fn producer_part_opened(&mut self, id: ProducerId, name: &str) {
        let now = self.now;
        let Some(listener) = self.producers.get(&id).and_then(|p| p.listener) else { return };
        let parent = ProducerId(listener.handle);
        let Some(producer) = self.partitioned.get_mut(&parent) else { return };
        producer.name.get_or_insert_with(|| name.to_owned());
        let Some((partition, part)) = producer.part_of(id) else { return };
        part.state = PartState::Open(id);
        let parked = std::mem::take(&mut part.parked);
        let flushes = std::mem::take(&mut part.flushes);
        self.timers.cancel(Timer::Parked(id));
        for message in parked {
            self.pending_bytes -= message.size;
            match message.with(|outgoing| self.send_one(id, outgoing, false, message.since)) {
                Ok(_) => {
                    if let Some(producer) = self.partitioned.get_mut(&parent) {
                        producer.parts[partition as usize].sent(message.token);
                    }
                }
                Err(error) => {
                    flushes.iter().for_each(|join| self.join_fails(*join, &error));
                    self.outcome(parent, message.token, Err(error));
                }
            }
        }
        // Those that could not be sent have left room, and frames may take less than what waited.
        self.released(0);
        self.room(id);
        for join in flushes {
            self.asking(Ask::Join(join), |client| client.flush(id, now));
        }
        let Some(producer) = self.partitioned.get_mut(&parent) else { return };
        match producer.state {
            State::Opening(created) => {
                let lazy = producer.config.lazy_start_partitioned_producers;
                if !lazy && !producer.is_open(producer.parts.len()) {
                    for partition in producer.unused(0) {
                        self.open_part(parent, partition, now);
                    }
                    return;
                }
                producer.state = State::Open;
                let name = producer.name.clone().unwrap_or_default();
                self.watch_growth(Owner::Producer(parent));
                self.complete(created, Ok(Output::Producer { name }));
            }
            State::Open => {
                let partitions = producer.parts.len();
                if partitions > producer.routed as usize && producer.is_open(partitions) {
                    self.routes_to(parent, partitions as u32);
                }
            }
            State::Closing(_) => {}
        }
    }

    /// The topic has so many partitions by now.
    pub(super) fn producer_grown(&mut self, id: ProducerId, partitions: u32) {
        let Some(producer) = self.partitioned.get_mut(&id) else { return };
        if producer.state != State::Open || partitions as usize <= producer.parts.len() {
            return;
        }
        let known = producer.parts.len() as u32;
        producer.grow(partitions);
        if producer.config.lazy_start_partitioned_producers {
            return self.routes_to(id, partitions);
        }
        for partition in producer.unused(known) {
            self.open_part(id, partition, self.now);
        }
    }

    /// So many partitions are sent to from now on.
    fn routes_to(&mut self, id: ProducerId, partitions: u32) {
        let Some(producer) = self.partitioned.get_mut(&id) else { return };
        producer.routed = partitions;
        let topic = producer.config.topic.clone();
        self.emit(Event::ProducerPartitionsChanged { producer: id, topic, partitions });
    }

    /// A send of a part has ended.
    fn part_sent(&mut self, parent: u64, outcome: SendOutcome) {
        let parent = ProducerId(parent);
        let producer = self.partitioned.get_mut(&parent);
        let part = producer.and_then(|producer| producer.part_of(outcome.producer));
        if let Some(token) = part.and_then(|(_, part)| part.ended(outcome.token)) {
            self.outcome(parent, token, outcome.result);
        }
    }

    fn outcome(&mut self, producer: ProducerId, token: u64, result: Result<MessageId, Error>) {
        let outcome = SendOutcome { producer, token: SendToken(token), result };
        match self.partitioned.get(&producer).and_then(|p| p.listener) {
            Some(listener) => (listener.sent)(self, listener.handle, outcome),
            None => self.sent.push_back(outcome),
        }
    }

    /// A part is gone; its sends have failed already.
    fn part_ended(&mut self, parent: u64, id: ProducerId, error: Error) {
        let parent = ProducerId(parent);
        self.fail_parked(parent, id, &error);
        let Some(producer) = self.partitioned.get_mut(&parent) else { return };
        // Those that are closed on purpose are not known any more.
        let Some(partition) = producer.part_of(id).map(|(partition, _)| partition) else { return };
        producer.gone(id);
        match producer.state {
            State::Opening(created) => {
                self.forget(Owner::Producer(parent), &error);
                self.complete(created, Err(error));
            }
            // One of those that are new: all of them are tried again when partitions are asked for next.
            State::Open if partition >= producer.routed => {
                let routed = producer.routed as usize;
                let new: Vec<ProducerId> =
                    producer.parts.drain(routed..).filter_map(|part| part.state.id()).collect();
                new.iter().for_each(|id| producer.gone(*id));
                for id in new {
                    self.asking(Ask::Nothing, |client| client.close_producer(id, client.now));
                }
            }
            State::Open | State::Closing(_) => {}
        }
    }

    /// What waited for a part to be opened has failed.
    fn fail_parked(&mut self, parent: ProducerId, id: ProducerId, error: &Error) {
        self.timers.cancel(Timer::Parked(id));
        let producer = self.partitioned.get_mut(&parent);
        let Some((_, part)) = producer.and_then(|producer| producer.part_of(id)) else { return };
        let parked = std::mem::take(&mut part.parked);
        let flushes = std::mem::take(&mut part.flushes);
        for message in parked {
            self.released(message.size);
            self.outcome(parent, message.token, Err(error.clone()));
        }
        for join in flushes {
            self.join_ended(join, Some(error.clone()));
        }
    }

    #[cold]
    pub(super) fn send_partitioned(
        &mut self,
        id: ProducerId,
        message: &Outgoing<'_>,
        named: Option<u32>,
        now: Now,
    ) -> Result<SendToken, Error> {
        let producer = self.partitioned.get_mut(&id).ok_or_else(|| Error::closed("producer"))?;
        match producer.state {
            State::Open => {}
            State::Opening(_) => {
                return Err(Error::new(ErrorKind::Disconnected, "the producer is not open yet"));
            }
            State::Closing(_) => return Err(Error::closed("producer")),
        }
        let partition = producer.router.choose(message, named, producer.routed, now.time)?;
        let part = &producer.parts[partition as usize];
        let (state, parked) = (part.state, part.parked.len() as u64);
        if let PartState::Open(part) = state {
            self.send(part, message, now)?;
        } else {
            // An unused part has nothing that waits.
            let opening = state.id().and_then(|id| self.producers.get(&id));
            if let Some(full) = opening.filter(|p| !p.limit.has_room(parked)) {
                return Err(self.refuse(full.id));
            }
            let size = Parked::size_of(message);
            if !has_room(self.pending_bytes, size, self.config.memory_limit) {
                return Err(self.no_room());
            }
            self.pending_bytes += size;
        }
        let Some(producer) = self.partitioned.get_mut(&id) else { return Err(Error::closed("producer")) };
        let token = producer.take_token();
        if matches!(state, PartState::Open(_)) {
            producer.parts[partition as usize].sent(token);
            return Ok(SendToken(token));
        }
        let timeout = producer.config.send_timeout;
        producer.parts[partition as usize].parked.push_back(Parked::new(message, token, now));
        if state == PartState::Unused {
            self.open_part(id, partition, now);
        }
        let part = self.partitioned.get(&id).and_then(|p| p.parts[partition as usize].state.id());
        if let Some(part) = part.filter(|_| !timeout.is_zero()) {
            self.timers.arm_if_idle(Timer::Parked(part), now.time + timeout);
        }
        Ok(SendToken(token))
    }

    /// The oldest message that waits for a part to be opened has waited too long.
    pub(super) fn parked_timed_out(&mut self, id: ProducerId, now: Now) {
        let Some(listener) = self.producers.get(&id).and_then(|p| p.listener) else { return };
        let parent = ProducerId(listener.handle);
        loop {
            let Some(producer) = self.partitioned.get_mut(&parent) else { return };
            let timeout = producer.config.send_timeout;
            let Some((_, part)) = producer.part_of(id) else { return };
            match part.parked.front().map(|message| message.since.time + timeout) {
                Some(due) if due <= now.time => {
                    let Some(message) = part.parked.pop_front() else { return };
                    let (error, flushes) = (Error::timeout("sending the message"), part.flushes.clone());
                    let parked = part.parked.len() as u64;
                    flushes.into_iter().for_each(|join| self.join_fails(join, &error));
                    self.released(message.size);
                    self.room_beside(id, parked);
                    self.outcome(parent, message.token, Err(error));
                }
                Some(due) => return self.timers.arm(Timer::Parked(id), due),
                None => return,
            }
        }
    }

    /// Flushes all parts; whether `producer` has any.
    pub(super) fn flush_partitioned(&mut self, id: ProducerId, op: OpId) -> bool {
        let now = self.now;
        let Some(producer) = self.partitioned.get_mut(&id) else { return false };
        let states: Vec<(PartState, bool)> =
            producer.parts.iter().map(|part| (part.state, part.parked.is_empty())).collect();
        let join = self.join(Joined::Op(op));
        for (partition, state) in states.into_iter().enumerate() {
            match state {
                (PartState::Open(part), _) => {
                    self.join_part(join, |client| client.flush(part, now));
                }
                (PartState::Opening(_), false) => {
                    self.join_waits(join);
                    if let Some(producer) = self.partitioned.get_mut(&id) {
                        producer.parts[partition].flushes.push(join);
                    }
                }
                (PartState::Opening(_) | PartState::Unused, _) => {}
            }
        }
        self.join_ended(join, None);
        true
    }

    /// Closes all parts.
    pub(super) fn close_partitioned(&mut self, id: ProducerId, op: OpId, now: Now) {
        let Some(producer) = self.partitioned.get_mut(&id) else { return };
        match std::mem::replace(&mut producer.state, State::Closing(op)) {
            State::Closing(earlier) => {
                producer.state = State::Closing(earlier);
                producer.also_closing.push(op);
            }
            State::Opening(created) => {
                let error = Error::closed("producer");
                self.forget(Owner::Producer(id), &error);
                self.complete(created, Err(error));
                self.complete(op, Ok(Output::Done));
            }
            State::Open => {
                let parts = producer.ids();
                let join = self.join(Joined::Closed(Owner::Producer(id), op));
                for part in parts {
                    self.join_part(join, |client| client.close_producer(part, now));
                }
                self.join_ended(join, None);
            }
        }
    }

    /// The first opening took too long; the last failure of its parts, if they had one.
    pub(super) fn partitioned_timed_out(&mut self, id: ProducerId) {
        let Some(producer) = self.partitioned.get(&id) else { return };
        let State::Opening(created) = producer.state else { return };
        let last = producer.ids().into_iter().find_map(|part| self.link_error(Owner::Producer(part)));
        let error = Error::timeout("opening it").because(last);
        self.forget(Owner::Producer(id), &error);
        self.complete(created, Err(error));
    }

    /// Removes it with all its parts.
    pub(super) fn forget_partitioned(&mut self, id: ProducerId, error: &Error) {
        self.timers.cancel(Timer::Grow(Owner::Producer(id)));
        let parts = self.partitioned.get(&id).map(PartitionedProducer::ids).unwrap_or_default();
        for part in parts {
            self.fail_parked(id, part, error);
            self.fail_pending(part, error);
            if let Some(producer) = self.partitioned.get_mut(&id) {
                producer.gone(part);
            }
            // What the broker may have opened is closed there too.
            self.asking(Ask::Nothing, |client| client.close_producer(part, client.now));
        }
        let Some(producer) = self.partitioned.remove(&id) else { return };
        match producer.listener {
            Some(listener) => (listener.ended)(self, listener.handle, id, error.clone()),
            None => self.emit(Event::ProducerEnded { producer: id, error: error.clone() }),
        }
        for op in producer.also_closing {
            self.complete(op, Ok(Output::Done));
        }
    }
}
