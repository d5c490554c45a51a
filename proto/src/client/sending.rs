//! What producers do: commands, receipts, and the ends of sends.

use super::inner::Listener;
use super::link::{Link, LinkState, Owner};
use super::{Client, OpKind};
use crate::config::ProducerConfig;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Output, SendOutcome};
use crate::ids::{ConnId, MessageId, OpId, ProducerId, SendToken};
use crate::producer::{Outgoing, Pending, Producer, ProducerStats, ProducerStatus, Received, Recorder};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::{CommandSendError, ServerError, hot};

impl Client {
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
        let mut producer = Producer::new(id, config, Link::new(op));
        producer.stats = Recorder::start(self.config.stats_interval, now.time);
        self.producers.insert(id, producer);
        self.link_start(Owner::Producer(id), now);
        Ok((id, op))
    }

    /// Opens a producer that is a part of another.
    pub(super) fn start_producer(
        &mut self,
        id: ProducerId,
        config: ProducerConfig,
        listener: Option<Listener>,
        name: Option<String>,
        partitions: u32,
        now: Now,
    ) {
        let op = self.new_op(now);
        self.ops.insert(op, OpKind::Create(Owner::Producer(id)));
        let mut producer = Producer::new(id, config, Link::new(op)).part(name, partitions);
        producer.listener = listener;
        producer.stats = Recorder::start(self.config.stats_interval, now.time);
        self.producers.insert(id, producer);
        self.link_start(Owner::Producer(id), now);
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
        self.send_one(producer, message, true, now)
    }

    /// The same; unless it is `limited`, it is not refused for want of room: it was let in before.
    pub(super) fn send_one(
        &mut self,
        producer: ProducerId,
        message: &Outgoing<'_>,
        limited: bool,
        now: Now,
    ) -> Result<SendToken, Error> {
        let Some(p) = self.producers.get_mut(&producer) else {
            return if cfg!(feature = "many") {
                self.send_partitioned(producer, message, None, now)
            } else {
                Err(Error::closed("producer"))
            };
        };
        if matches!(p.link.state, LinkState::Closing(..)) {
            return Err(Error::closed("producer"));
        }
        if limited && !p.limit.has_room(p.pending()) {
            return Err(self.refuse(producer));
        }
        let size = message.payload.as_ref().map_or(0, |p| p.as_slice().len());
        if limited && !has_room(self.pending_bytes, size, self.config.memory_limit) {
            return Err(self.no_room());
        }
        let was_empty = p.ring.is_empty();
        let held = p.held();
        p.lend(&mut self.packer);
        let sent = p.enqueue(message, now);
        p.lend(&mut self.packer);
        self.pending_bytes = self.pending_bytes + p.held() - held;
        let token = match sent {
            Ok(token) => {
                p.stats.sent(size, now.time);
                token
            }
            Err(error) => {
                p.stats.refused(now.time);
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
        if was_empty && let Some(deadline) = p.next_timeout() {
            self.timers.arm_if_idle(Timer::SendTimeout(producer), deadline);
        }
        if p.ring.has_unsent()
            && let Some(conn) = p.link.open_conn()
            && let Some(c) = self.pool.get_mut(conn)
        {
            c.mark_dirty(producer);
        }
        Ok(token)
    }

    /// As many messages of a producer are pending as may be.
    #[cold]
    pub(super) fn refuse(&mut self, producer: ProducerId) -> Error {
        let Some(p) = self.producers.get_mut(&producer) else { return Error::closed("producer") };
        self.refusing += usize::from(!std::mem::replace(&mut p.limit.refused, true));
        p.limit.refusal()
    }

    #[cold]
    pub(super) fn no_room(&mut self) -> Error {
        self.starved = true;
        let limit = self.config.memory_limit;
        Error::new(ErrorKind::QueueFull, format!("pending messages use up the memory limit of {limit} bytes"))
    }

    /// So many bytes are not pending any more.
    #[inline]
    pub(super) fn released(&mut self, bytes: usize) {
        self.pending_bytes -= bytes;
        if self.starved && self.pending_bytes <= self.config.memory_limit / 2 {
            self.starved = false;
            self.emit(Event::Writable);
        }
    }

    /// Sends the open batch of a producer now. Completes when all that was sent before has ended: with
    /// [`Output::Done`], or with the first failure among those.
    pub fn flush(&mut self, producer: ProducerId, now: Now) -> OpId {
        let op = self.new_op(now);
        // Its sends have timeouts of their own.
        self.timers.cancel(Timer::Operation(op));
        self.close_batch(producer);
        if cfg!(feature = "many") && self.flush_partitioned(producer, op) {
            return op;
        }
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

    /// Closes a producer: what is pending goes out first and gets its receipts.
    pub fn close_producer(&mut self, producer: ProducerId, now: Now) -> OpId {
        self.close_owner(Owner::Producer(producer), now)
    }

    /// Moves the open batch of a producer to its ring, and on to its connection.
    pub(super) fn close_batch(&mut self, producer: ProducerId) {
        if !cfg!(feature = "batching") {
            return;
        }
        let Some(p) = self.producers.get_mut(&producer) else { return };
        let held = p.held();
        p.lend(&mut self.packer);
        p.close_batch();
        p.lend(&mut self.packer);
        self.pending_bytes = self.pending_bytes + p.held() - held;
        if let Some(deadline) = p.next_timeout() {
            self.timers.arm_if_idle(Timer::SendTimeout(producer), deadline);
        }
        let unsent = p.ring.has_unsent();
        if let Some(c) = p.link.open_conn().filter(|_| unsent).and_then(|conn| self.pool.get_mut(conn)) {
            c.mark_dirty(producer);
        }
    }

    /// Moves a producer's frames to its connection, ahead of a command that must follow them.
    pub(super) fn flush_ring(&mut self, producer: ProducerId, conn: ConnId) {
        if let (Some(p), Some(c)) = (self.producers.get_mut(&producer), self.pool.get_mut(conn)) {
            p.ring.transmit(|block| c.outbox.push(block));
        }
    }

    /// An entry has ended, and with it the send of each of its messages.
    #[inline]
    pub(super) fn settle(
        &mut self,
        producer: ProducerId,
        token: SendToken,
        pending: Pending,
        result: Result<MessageId, Error>,
    ) {
        self.released(pending.frame_len as usize);
        if self.refusing > 0 {
            self.room(producer);
        }
        if cfg!(feature = "stats") {
            self.count(producer, &pending, result.is_ok());
        }
        if self.flushing > 0 {
            self.flushed(producer, token, result.as_ref().err());
        }
        if !cfg!(feature = "batching") || pending.batch == 0 {
            let token = self.send_token(producer, token.0, &pending);
            return self.sent_one(SendOutcome { producer, token, result });
        }
        let batch_size = i32::try_from(pending.batch).unwrap_or(i32::MAX);
        for batch_index in 0..batch_size {
            let token = self.send_token(producer, token.0 + batch_index as u64, &pending);
            let result = result.clone().map(|id| MessageId { batch_index, batch_size, ..id });
            self.sent_one(SendOutcome { producer, token, result });
        }
    }

    /// Which send was in a place of the ring.
    #[inline]
    fn send_token(&mut self, producer: ProducerId, place: u64, pending: &Pending) -> SendToken {
        if !cfg!(feature = "batching") || !pending.reordered {
            return SendToken(place);
        }
        SendToken(self.producers.get_mut(&producer).map_or(place, |p| p.token_of(place)))
    }

    /// A producer that had refused messages takes them again.
    #[cold]
    pub(super) fn room(&mut self, producer: ProducerId) {
        let pending = self.producers.get(&producer).map_or(0, Producer::pending);
        self.room_beside(producer, pending);
    }

    /// The same, where so many of its messages are pending.
    pub(super) fn room_beside(&mut self, producer: ProducerId, pending: u64) {
        let Some(p) = self.producers.get_mut(&producer) else { return };
        if p.limit.refused && p.limit.has_room(pending) {
            p.limit.refused = false;
            self.refusing -= 1;
            self.emit(Event::Writable);
        }
    }

    #[inline]
    fn count(&mut self, producer: ProducerId, pending: &Pending, stored: bool) {
        if let Some(p) = self.producers.get_mut(&producer) {
            p.stats.ended(u64::from(pending.batch.max(1)), pending.since, stored, self.now.time);
        }
    }

    /// How a producer is doing; `None` once it has ended.
    #[must_use]
    pub fn producer_status(&self, producer: ProducerId) -> Option<ProducerStatus> {
        if cfg!(feature = "many") && self.partitioned.contains_key(&producer) {
            let parts = self.partitioned.get(&producer).map_or_else(Vec::new, |p| p.ids());
            let of_parts =
                parts.into_iter().filter_map(|part| self.producers.get(&part)).map(Producer::status);
            return of_parts.reduce(ProducerStatus::and);
        }
        self.producers.get(&producer).map(Producer::status)
    }

    /// What a producer has done; `None` once it has ended.
    pub fn producer_stats(&mut self, producer: ProducerId, now: Now) -> Option<ProducerStats> {
        if cfg!(feature = "many") && self.partitioned.contains_key(&producer) {
            let parts = self.partitioned.get(&producer).map_or_else(Vec::new, |p| p.ids());
            let of_parts = parts.into_iter().filter_map(|part| self.producer_stats(part, now));
            return of_parts.reduce(|all, part| all.and(&part));
        }
        let p = self.producers.get_mut(&producer)?;
        let pending = p.pending();
        Some(p.stats.read(pending, now.time))
    }

    #[inline]
    fn sent_one(&mut self, outcome: SendOutcome) {
        match self.producers.get(&outcome.producer).and_then(|p| p.listener) {
            Some(listener) => (listener.sent)(self, listener.handle, outcome),
            None => self.sent.push_back(outcome),
        }
    }

    /// Completes the flushes that waited for this send as the last.
    #[cold]
    pub(super) fn flushed(&mut self, producer: ProducerId, token: SendToken, failed: Option<&Error>) {
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
    pub(super) fn fail_pending(&mut self, producer: ProducerId, error: &Error) {
        self.close_batch(producer);
        while let Some((token, pending)) = self.producers.get_mut(&producer).and_then(|p| p.ring.pop_whole())
        {
            self.settle(producer, token, pending, Err(error.clone()));
        }
    }

    /// Pending sends that a new broker's smaller limit forbids fail, and only those.
    pub(super) fn fail_oversized(&mut self, producer: ProducerId) {
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

    pub(super) fn receipt(&mut self, conn: ConnId, receipt: &hot::Receipt) -> Result<(), Error> {
        let id = ProducerId(receipt.producer_id);
        let Some(producer) = self.producers.get_mut(&id) else { return Ok(()) };
        // One that was closed meanwhile, or has moved to another broker.
        if producer.link.conn() != Some(conn) {
            return Ok(());
        }
        match producer.receipt(receipt) {
            Received::Sent(token, pending, message_id) => {
                self.settle(id, token, pending, Ok(message_id));
                Ok(())
            }
            Received::Part(pending) => {
                self.released(pending.frame_len as usize);
                Ok(())
            }
            Received::Ignored => Ok(()),
            // Something was lost. A new connection helps all that are on this one.
            Received::Ahead => Err(Error::new(
                ErrorKind::Disconnected,
                format!("a receipt for sequence id {} came before its turn", receipt.sequence_id),
            )),
        }
    }

    /// The broker could not store a message.
    pub(super) fn send_error(
        &mut self,
        conn: ConnId,
        error: &CommandSendError,
        now: Now,
    ) -> Result<(), Error> {
        let failed = Error::broker(error.error, &error.message);
        let id = ProducerId(error.producer_id);
        let Some(producer) = self.producers.get_mut(&id).filter(|p| p.link.conn() == Some(conn)) else {
            return Ok(());
        };
        match error.error {
            // As Java: what is right here was damaged on the way, and goes out again with all after it.
            ServerError::CHECKSUM_ERROR if producer.is_oldest_intact(error.sequence_id) => {
                producer.ring.rewind();
                if let Some(c) = self.pool.get_mut(conn) {
                    c.mark_dirty(id);
                }
                Ok(())
            }
            // These are about this message alone; the broker goes on with the next.
            ServerError::CHECKSUM_ERROR | ServerError::NOT_ALLOWED_ERROR => {
                if producer.ring.front().is_some_and(|p| p.sequence_id == error.sequence_id)
                    && let Some((token, pending)) = producer.ring.pop_whole()
                {
                    self.settle(id, token, pending, Err(failed));
                }
                Ok(())
            }
            ServerError::TOPIC_TERMINATED_ERROR => {
                self.link_failed(Owner::Producer(id), failed, now);
                Ok(())
            }
            // As Java: the messages go out again on a new connection. Others on this one are not to
            // blame, so to them it is lost and no more.
            _ => Err(Error::new(ErrorKind::Disconnected, format!("a message was not stored: {failed}"))),
        }
    }

    pub(super) fn sends_timed_out(&mut self, id: ProducerId, now: Now) {
        while let Some(producer) = self.producers.get_mut(&id) {
            let Some(deadline) = producer.next_timeout() else { return };
            if deadline > now.time {
                return self.timers.arm(Timer::SendTimeout(id), deadline);
            }
            let Some((token, pending)) = producer.ring.pop_whole() else { return };
            let error = Error::timeout("sending the message");
            self.settle(id, token, pending, Err(error));
        }
    }

    pub(super) fn batch_due(&mut self, id: ProducerId, now: Now) {
        if !cfg!(feature = "batching") {
            return;
        }
        match self.producers.get(&id).and_then(Producer::batch_due) {
            // The one that the timer was for has gone out already; this is a later one.
            Some(due) if due > now.time => self.timers.arm(Timer::Batch(id), due),
            Some(_) => self.close_batch(id),
            None => {}
        }
    }
}

/// Whether a payload of so many bytes may be pending beside what is.
#[inline]
pub(super) fn has_room(pending: usize, size: usize, limit: usize) -> bool {
    // A single message may always be pending, however small the limit.
    pending == 0 || pending + size <= limit
}
