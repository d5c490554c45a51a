//! What users ask of a consumer beside its messages, one by one: several at once, pauses, how it is.

use super::Client;
use super::link::Owner;
use super::requests::Reply;
use crate::consumer::{BatchTicket, BrokerConsumerStats, ConsumerStats, silence_verdict};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Output};
use crate::ids::{ConnId, ConsumerId, OpId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::{Command, CommandConsumerStats};
use crate::{ConsumerState, Message};

impl Client {
    /// Asks for several messages at once, by the consumer's policy: [`Client::take_batch`] has them when
    /// it is time, which [`Event::Ready`] tells. Those who ask are served in their order.
    ///
    /// # Errors
    /// `InvalidOption` when the receiver queue is zero, as in Java; `AlreadyClosed`.
    pub fn batch_receive(&mut self, consumer: ConsumerId, now: Now) -> Result<BatchTicket, Error> {
        self.now = now;
        if self.consumers.get(&consumer).is_some_and(|c| c.flow.is_zero()) {
            let why = "batch_receive needs a receiver_queue_size of at least 1";
            return Err(Error::new(ErrorKind::InvalidOption, why));
        }
        let (batches, policy) = self.batches(consumer).ok_or_else(|| Error::closed("consumer"))?;
        let ticket = batches.ask(policy.timeout.map(|timeout| now.time + timeout));
        self.arm_batch(consumer);
        Ok(ticket)
    }

    /// The messages of a batch, if it is its turn and time; they count as delivered. Empty when time is up
    /// and none has come. The ticket is used up then, and with an error.
    ///
    /// # Errors
    /// The error of a message that cannot be read, when it is the first; `AlreadyClosed`.
    pub fn take_batch(
        &mut self,
        consumer: ConsumerId,
        ticket: BatchTicket,
        now: Now,
    ) -> Result<Option<Vec<Message>>, Error> {
        self.now = now;
        let (batches, policy) = self.batches(consumer).ok_or_else(|| Error::closed("consumer"))?;
        let Some(deadline) = batches.turn(ticket) else { return Ok(None) };
        if deadline.is_none_or(|at| at > now.time) && !self.has_batch(consumer) {
            self.grow_if_empty(consumer);
            return Ok(None);
        }
        let (mut messages, mut bytes, mut failed) = (Vec::new(), 0, None);
        while let Some(next) = self.next_size(consumer) {
            if !policy.fits(messages.len(), bytes, next.unwrap_or(0))
                || (next.is_none() && !messages.is_empty())
            {
                break;
            }
            match self.take(consumer)? {
                Some(Ok(message)) => {
                    bytes += message.size();
                    messages.push(message);
                }
                Some(Err(error)) => {
                    if let Some(c) = self.consumers.get_mut(&consumer) {
                        c.counts.batch_receive_failed += 1;
                    }
                    failed = Some(error);
                    break;
                }
                None => break,
            }
        }
        self.delivered(consumer, u32::try_from(messages.len()).unwrap_or(u32::MAX));
        self.forget_batch(consumer, ticket);
        failed.map_or(Ok(Some(messages)), Err)
    }

    /// Nobody waits for a batch any more; nothing is lost.
    pub fn forget_batch(&mut self, consumer: ConsumerId, ticket: BatchTicket) {
        let Some((batches, _)) = self.batches(consumer) else { return };
        batches.forget(ticket);
        self.arm_batch(consumer);
    }

    /// It may be the next one's turn.
    fn arm_batch(&mut self, id: ConsumerId) {
        self.timers.cancel(Timer::BatchReceive(id));
        let Some((batches, _)) = self.batches(id).filter(|(batches, _)| !batches.is_empty()) else { return };
        let deadline = batches.deadline();
        if self.has_batch(id) {
            self.emit(Event::Ready(id));
        }
        if let Some(deadline) = deadline {
            self.timers.arm(Timer::BatchReceive(id), deadline);
        }
    }

    /// Those who wait find no batch: queues that follow their use may become larger.
    fn grow_if_empty(&mut self, id: ConsumerId) {
        if self.consumers.get(&id).is_some_and(|c| c.queue().is_empty()) {
            self.ran_empty(id);
        }
    }

    pub(super) fn batch_receive_due(&mut self, id: ConsumerId) {
        self.emit(Event::Ready(id));
    }

    /// Stops asking for messages. Those that wait are still handed out, and those that the broker was asked
    /// for still come.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn pause(&mut self, consumer: ConsumerId) -> Result<(), Error> {
        let Some(c) = self.consumers.get_mut(&consumer) else { return self.pause_parts(consumer, true) };
        c.flow.pause(true);
        Ok(())
    }

    /// Asks for messages again.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn resume(&mut self, consumer: ConsumerId) -> Result<(), Error> {
        let Some(c) = self.consumers.get_mut(&consumer) else { return self.pause_parts(consumer, false) };
        c.flow.pause(false);
        self.delivered(consumer, 0);
        Ok(())
    }

    fn pause_parts(&mut self, consumer: ConsumerId, paused: bool) -> Result<(), Error> {
        if cfg!(feature = "many") {
            self.pause_several(consumer, paused)
        } else {
            Err(Error::closed("consumer"))
        }
    }

    /// How a consumer is now; of one of several topics, the sum of its parts. `None` when it is closed.
    #[must_use]
    pub fn consumer_state(&self, consumer: ConsumerId) -> Option<ConsumerState> {
        let Some(c) = self.consumers.get(&consumer) else {
            return if cfg!(feature = "many") { self.state_of_several(consumer) } else { None };
        };
        Some(ConsumerState {
            connected: c.link.open_conn().is_some(),
            last_disconnected: c.notices.last_disconnected,
            queued_messages: c.queue().messages(),
            queued_bytes: c.queue().bytes(),
            receiver_queue_size: c.flow.size(),
            available_permits: c.flow.available(),
            paused: c.flow.is_paused(),
            active: c.notices.active,
            end_of_topic: c.notices.end_of_topic,
        })
    }

    /// The statistics of a consumer, with rates since they were asked for last.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn consumer_stats(&mut self, consumer: ConsumerId, now: Now) -> Result<ConsumerStats, Error> {
        let Some(c) = self.consumers.get_mut(&consumer) else {
            return if cfg!(feature = "many") {
                self.stats_of_several(consumer, now)
            } else {
                Err(Error::closed("consumer"))
            };
        };
        let queued = c.queue().messages();
        Ok(c.counts.stats(queued, now.time))
    }

    /// Asks what the broker knows of a consumer. Completes with [`Output::ConsumerStats`].
    pub fn broker_consumer_stats(&mut self, consumer: ConsumerId, now: Now) -> OpId {
        let op = self.new_op(now);
        let error = match self.consumers.get(&consumer).map(|c| c.link.open_conn()) {
            Some(Some(conn)) => {
                self.ask_stats(consumer, conn, op.0, Self::told_stats, now);
                return op;
            }
            Some(None) => Error::new(ErrorKind::Disconnected, "the consumer is not connected now"),
            None if cfg!(feature = "many") && self.multi.contains_key(&consumer) => {
                let why = "brokers know the parts of a consumer of several topics: ask for each of its parts";
                Error::new(ErrorKind::NotSupported, why)
            }
            None => Error::closed("consumer"),
        };
        self.complete(op, Err(error));
        op
    }

    fn ask_stats(
        &mut self,
        id: ConsumerId,
        conn: ConnId,
        number: u64,
        replied: super::requests::ConsumerReplied,
        now: Now,
    ) {
        let request_id = self.request(conn, Reply::Consumer(id, number, replied), now);
        self.write(conn, CommandConsumerStats { request_id, consumer_id: id.0 });
    }

    fn told_stats(&mut self, _: ConsumerId, op: u64, result: Result<Command, Error>) {
        self.complete(OpId(op), stats(result).map(|stats| Output::ConsumerStats(Box::new(stats))));
    }

    // ---- the watchdog ----

    /// The link is open: a time of silence begins.
    pub(super) fn watch(&mut self, id: ConsumerId) {
        if !cfg!(feature = "notices") {
            return;
        }
        if let Some(interval) = self.consumers.get(&id).and_then(|c| c.config.watchdog_interval) {
            self.timers.arm(Timer::Watchdog(id), self.now.time + interval);
        }
    }

    pub(super) fn look_for_silence(&mut self, id: ConsumerId, now: Now) {
        if !cfg!(feature = "notices") {
            return;
        }
        self.watch(id);
        let Some(c) = self.consumers.get_mut(&id) else { return };
        let Some(conn) = c.link.open_conn() else { return };
        let silent = c.watchdog.is_silent(c.arrivals);
        if !silent
            || c.flow.is_paused()
            || c.flow.at_broker(c.queue()) <= 0
            || c.notices.active == Some(false)
        {
            return;
        }
        let generation = c.link.generation();
        c.watchdog.asked = generation;
        self.ask_stats(id, conn, generation, Self::watchdog_told, now);
    }

    fn watchdog_told(&mut self, id: ConsumerId, generation: u64, result: Result<Command, Error>) {
        let Some(c) = self.consumers.get_mut(&id) else { return };
        let Some(conn) = c.link.open_conn().filter(|_| c.link.generation() == generation) else { return };
        // What has come meanwhile speaks for the broker.
        if !c.watchdog.is_silent(c.arrivals) || c.flow.at_broker(c.queue()) <= 0 {
            return;
        }
        if let Some(error) = silence_verdict(stats(result)) {
            self.abandon_opening(Owner::Consumer(id), conn);
            self.link_failed(Owner::Consumer(id), error, self.now);
        }
    }

    // ---- memory of queues that scale ----

    /// Nothing was there to take.
    pub(super) fn ran_empty(&mut self, id: ConsumerId) {
        self.count_bytes(id);
        let short = self.used_memory() >= self.share_of_memory(75);
        let Some(c) = self.consumers.get_mut(&id) else { return };
        c.flow.ran_empty(short);
        self.delivered(id, 0);
    }

    /// Something is in a queue whose size follows its use.
    pub(super) fn adapt(&mut self, id: ConsumerId) {
        self.count_bytes(id);
        self.delivered(id, 0);
    }

    fn used_memory(&self) -> usize {
        self.pending_bytes.saturating_add(self.scaled_bytes)
    }

    fn share_of_memory(&self, percent: usize) -> usize {
        self.config.memory_limit / 100 * percent
    }

    /// Counts the bytes of an auto-scaled queue; when memory becomes short, all of these become smaller.
    pub(super) fn count_bytes(&mut self, id: ConsumerId) {
        let Some(c) = self.consumers.get_mut(&id).filter(|c| c.flow.is_scaled()) else { return };
        let bytes = c.queue().bytes();
        self.scaled_bytes = self.scaled_bytes.saturating_sub(c.counted_bytes).saturating_add(bytes);
        c.counted_bytes = bytes;
        let short = self.used_memory() >= self.share_of_memory(95);
        if short && !self.memory_is_short {
            self.consumers.values_mut().for_each(|c| c.flow.shrink());
        }
        self.memory_is_short = short;
    }
}

fn stats(result: Result<Command, Error>) -> Result<BrokerConsumerStats, Error> {
    match result? {
        Command::ConsumerStatsResponse(response) => BrokerConsumerStats::from_wire(response),
        other => Err(Error::new(ErrorKind::Protocol, format!("{} came for CONSUMER_STATS", other.name()))),
    }
}
