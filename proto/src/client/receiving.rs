//! What consumers do: commands, and messages that come.

use bytes::Bytes;

use super::link::{Link, Owner};
use super::requests::Reply;
use super::{Client, OpKind};
use crate::config::ConsumerConfig;
use crate::consumer::{Arrival, Consumer, Message};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::ids::{ConnId, ConsumerId, MessageId, OpId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::entry::Entry;
use crate::wire::{CommandUnsubscribe, Outbound, hot};

impl Client {
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
        std::mem::swap(&mut consumer.unpacker, &mut self.unpacker);
        let arrival = consumer.arrived(delivery, Entry::take(entry).map_err(Error::protocol), self.now);
        std::mem::swap(&mut consumer.unpacker, &mut self.unpacker);
        let chunks = cfg!(feature = "chunking") && consumer.chunks.is_busy();
        match arrival {
            Arrival::Queued(true) => self.emit(Event::Ready(id)),
            Arrival::Queued(false) => {}
            Arrival::Unwanted => self.delivered(id, 0),
            Arrival::Damaged(ack) => {
                self.write(conn, ack);
                // The user sees nothing of it, so its permits go back from here.
                self.delivered(id, 0);
            }
        }
        if chunks {
            self.chunks_changed(id, self.now);
        }
    }

    /// Acknowledges chunks, or asks for them again, and sees to it that none waits for ever.
    #[cold]
    fn chunks_changed(&mut self, id: ConsumerId, now: Now) {
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

    pub(super) fn nacks_due(&mut self, id: ConsumerId, now: Now) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let (commands, next) = consumer.redeliver_due(now);
        if let Some(conn) = consumer.link.open_conn() {
            commands.into_iter().for_each(|command| self.write(conn, command));
        }
        if let Some(next) = next {
            self.timers.arm(Timer::Nack(id), next);
        }
    }
}
