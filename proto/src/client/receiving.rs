//! What consumers do: commands, and messages that come.

use bytes::Bytes;

use super::link::{Link, Owner};
use super::requests::Reply;
use super::{Client, OpKind};
use crate::config::ConsumerConfig;
use crate::consumer::{Arrival, Consumer, Counts, Letters, Message};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::ids::{ConnId, ConsumerId, MessageId, OpId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::entry::Entry;
use crate::wire::{CommandUnsubscribe, Outbound, hot};

impl Client {
    /// Opens a consumer. Completes with [`Output::Done`](crate::Output::Done).
    ///
    /// # Errors
    /// `InvalidOption`, or `AlreadyClosed`.
    pub fn subscribe(&mut self, mut config: ConsumerConfig, now: Now) -> Result<(ConsumerId, OpId), Error> {
        config.make_letter_producers()?;
        config.make_room_for_batches();
        config.validate()?;
        self.check_open()?;
        if cfg!(feature = "redelivery") && config.enable_retry {
            // What was put off is read from a topic of its own.
            let topic = config.topic.clone();
            return self.subscribe_topics(config, &[topic], now);
        }
        #[cfg(feature = "many")]
        {
            config.priority_level = config.priority_in(&config.topic);
        }
        let id = ConsumerId(self.next_handle);
        self.next_handle += 1;
        let name = config.name.clone().unwrap_or_else(|| format!("{:08x}", self.rng.u32(..)));
        let letters = Letters::new(&config, &name, self.rng.u32(..1 << 20))?;
        let op = self.new_op(now);
        self.ops.insert(op, OpKind::Create(Owner::Consumer(id)));
        let mut consumer = Consumer::new(id, config, Link::new(op), name, letters);
        consumer.counts = Counts::since(now.time);
        self.consumers.insert(id, consumer);
        self.link_start(Owner::Consumer(id), now);
        Ok((id, op))
    }

    /// The next message of a consumer, if one has arrived; or the error of one that cannot be read.
    /// Say [`Client::delivered`] when the user has it.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn take(&mut self, consumer: ConsumerId) -> Result<Option<Result<Message, Error>>, Error> {
        match self.take_of_one(consumer) {
            Some(taken) => Ok(taken),
            None if cfg!(feature = "many") => self.take_of_several(consumer),
            None => Err(Error::closed("consumer")),
        }
    }

    /// The next message, which the user has at once: [`Client::take`] and [`Client::delivered`] in one.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn receive(&mut self, consumer: ConsumerId) -> Result<Option<Result<Message, Error>>, Error> {
        if let Some(c) = self.consumers.get_mut(&consumer)
            && let Some((message, due)) = c.receive_plain()
        {
            if due {
                self.delivered_of_one(consumer, 1);
            }
            return Ok(Some(Ok(message)));
        }
        self.receive_any(consumer)
    }

    #[inline(never)]
    fn receive_any(&mut self, consumer: ConsumerId) -> Result<Option<Result<Message, Error>>, Error> {
        if let Some(c) = self.consumers.get_mut(&consumer)
            && let Some((message, due)) = c.receive_one()
        {
            if due {
                self.delivered_of_one(consumer, 1);
            }
            return Ok(Some(Ok(message)));
        }
        let taken = self.take(consumer)?;
        if let Some(Ok(_)) = &taken {
            self.delivered(consumer, 1);
        }
        Ok(taken)
    }

    /// The next message of a consumer of one topic, if it is one.
    #[inline]
    pub(super) fn take_of_one(&mut self, id: ConsumerId) -> Option<Option<Result<Message, Error>>> {
        let taken = self.consumers.get_mut(&id)?.take(&mut self.unpacker);
        match taken {
            Some(Ok(_)) => {}
            // Permits of what was skipped go back although the user saw nothing.
            Some(Err(_)) => {
                self.delivered_of_one(id, 0);
            }
            None => self.ran_empty(id),
        }
        Some(taken)
    }

    /// Whether a consumer has messages to take.
    #[must_use]
    pub fn has_messages(&self, consumer: ConsumerId) -> bool {
        match self.consumers.get(&consumer) {
            Some(c) => c.has_messages(),
            None => cfg!(feature = "many") && self.several_have_messages(consumer),
        }
    }

    /// The user was handed `n` messages that were taken: the broker may send as many more.
    pub fn delivered(&mut self, consumer: ConsumerId, n: u32) {
        if !self.delivered_of_one(consumer, n) && cfg!(feature = "many") {
            self.delivered_of_several(consumer, n);
        }
    }

    /// The same of a consumer of one topic, if it is one.
    #[inline]
    pub(super) fn delivered_of_one(&mut self, id: ConsumerId, n: u32) -> bool {
        let Some(c) = self.consumers.get_mut(&id) else { return false };
        let permits = c.delivered(n);
        if c.starts_ticking() {
            // Its first alarm tells the time.
            self.timers.arm(Timer::AckTimeout(id), self.now.time);
        }
        if let Some(permits) = permits
            && let Some(connection) = c.link.open_conn().and_then(|conn| self.pool.get_mut(conn))
        {
            hot::write_flow(id.0, permits, connection.outbox.tail());
        }
        true
    }

    /// Deletes the subscription of a consumer; with `force` also when other consumers are on it.
    pub fn unsubscribe(&mut self, consumer: ConsumerId, force: bool, now: Now) -> OpId {
        if cfg!(feature = "many") && self.multi.contains_key(&consumer) {
            return self.unsubscribe_several(consumer, force, now);
        }
        self.flush_acks(consumer, now);
        self.consumer_request(consumer, now, |consumer_id, request_id| {
            CommandUnsubscribe { consumer_id, request_id, force: force.then_some(true) }.into()
        })
    }

    /// Closes a consumer. Its subscription stays.
    pub fn close_consumer(&mut self, consumer: ConsumerId, now: Now) -> OpId {
        self.close_owner(Owner::Consumer(consumer), now)
    }

    pub(super) fn consumer_request(
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

    pub(super) fn message(&mut self, conn: ConnId, delivery: hot::Delivery, entry: Bytes) {
        let id = ConsumerId(delivery.consumer_id);
        // One that was closed meanwhile.
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        if consumer.link.open_conn() != Some(conn) {
            return;
        }
        let entry = Entry::take(entry).map_err(Error::protocol);
        let arrival = consumer.arrived(delivery, entry, &mut self.unpacker, self.now);
        let adapts = consumer.flow.adapts();
        let chunks = cfg!(feature = "chunking") && consumer.chunks.is_busy();
        match arrival {
            Arrival::Queued(true) => self.emit(Event::Ready(id)),
            Arrival::Queued(false)
                if cfg!(feature = "notices") && !consumer.batches.is_empty() && consumer.has_batch() =>
            {
                self.emit(Event::Ready(id));
            }
            Arrival::Queued(false) if cfg!(feature = "many") && consumer.member.is_some() => {
                self.part_has_more(id);
            }
            Arrival::Queued(false) => {}
            Arrival::Unwanted => self.delivered(id, 0),
            Arrival::Overdue(messages, announced) => {
                if announced {
                    self.emit(Event::Ready(id));
                }
                if cfg!(feature = "redelivery") {
                    self.bury(id, messages, self.now);
                }
                self.delivered(id, 0);
            }
            Arrival::Damaged(ack) => {
                self.write(conn, ack);
                // The user sees nothing of it, so its permits go back from here.
                self.delivered(id, 0);
            }
            Arrival::Refused(error) => {
                self.abandon_opening(Owner::Consumer(id), conn);
                self.link_ended(Owner::Consumer(id), error);
            }
        }
        if adapts {
            self.adapt(id);
        }
        if chunks {
            if cfg!(feature = "many") {
                self.bound_chunks(id);
            }
            self.chunks_changed(id, self.now);
        }
    }

    /// Acknowledges chunks, or asks for them again, and sees to it that none waits for ever.
    #[cold]
    pub(super) fn chunks_changed(&mut self, id: ConsumerId, now: Now) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let (done, again) = consumer.chunks.take_work();
        done.iter().for_each(|key| consumer.grouping.individual(*key));
        if let Some(due) = consumer.chunks.due(consumer.config.expire_time_of_incomplete_chunked_message) {
            self.timers.arm_if_idle(Timer::Chunks(id), due);
        }
        let delay = consumer.config.negative_ack_redelivery_delay;
        if !done.is_empty() {
            self.acks_pending(id, now);
        }
        for (ledger_id, entry_id) in again {
            let chunk = MessageId { ledger_id, entry_id, ..MessageId::EARLIEST };
            self.redeliver_after(id, chunk, delay, now);
        }
    }

    pub(super) fn chunks_due(&mut self, id: ConsumerId, now: Now) {
        if !cfg!(feature = "chunking") {
            return;
        }
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        consumer.chunks.expire(consumer.config.expire_time_of_incomplete_chunked_message, now.time);
        self.chunks_changed(id, now);
    }

    /// REACHED_END_OF_TOPIC, which comes again after every opening.
    pub(super) fn end_of_topic(&mut self, conn: ConnId, id: ConsumerId) {
        let Some(c) = self.consumers.get_mut(&id).filter(|c| c.link.open_conn() == Some(conn)) else {
            return;
        };
        if !std::mem::replace(&mut c.notices.end_of_topic, true) {
            self.emit(Event::EndOfTopic(id));
        }
    }

    /// ACTIVE_CONSUMER_CHANGE, which may come before the answer to SUBSCRIBE.
    pub(super) fn active_consumer(&mut self, conn: ConnId, id: ConsumerId, active: bool) {
        let Some(c) = self.consumers.get_mut(&id).filter(|c| c.link.conn() == Some(conn)) else { return };
        c.notices.active = Some(active);
        let partition = c.partition();
        self.emit(Event::ActiveConsumer { consumer: id, partition, active });
    }
}
