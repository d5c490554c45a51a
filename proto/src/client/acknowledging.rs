//! Acknowledgements: entering them, sending them together, their receipts.

use std::time::Duration;

use super::Client;
use super::requests::Reply;
use crate::error::Error;
use crate::event::Output;
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::Command;

impl Client {
    /// Acknowledges a message, or all up to it. It goes out with others, after the group time at the
    /// latest, or when the consumer is closed.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge(
        &mut self,
        consumer: ConsumerId,
        id: MessageId,
        cumulative: bool,
        now: Now,
    ) -> Result<(), Error> {
        self.acknowledge_all(consumer, &[id], cumulative, now).map(drop)
    }

    /// Acknowledges messages; whether there is anything to tell the broker of it.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn acknowledge_all(
        &mut self,
        consumer: ConsumerId,
        ids: &[MessageId],
        cumulative: bool,
        now: Now,
    ) -> Result<bool, Error> {
        let c = self.consumers.get_mut(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        let mut pending = false;
        for id in ids {
            pending |= c.acknowledge(*id, cumulative);
        }
        if pending {
            self.acks_pending(consumer, now);
        }
        Ok(pending)
    }

    /// Sees to it that pending acknowledgements go out.
    pub(super) fn acks_pending(&mut self, consumer: ConsumerId, now: Now) {
        let Some(c) = self.consumers.get(&consumer) else { return };
        let delay = c.config.acknowledgment_group_time;
        if delay.is_zero() || c.grouping.len() >= c.config.max_acknowledgment_group_size as usize {
            self.flush_acks(consumer, now);
        } else {
            self.timers.arm_if_idle(Timer::Acks(consumer), now.time + delay);
        }
    }

    /// Acknowledges messages, and is done when the broker has confirmed it.
    pub fn acknowledge_confirmed(
        &mut self,
        consumer: ConsumerId,
        ids: &[MessageId],
        cumulative: bool,
        now: Now,
    ) -> OpId {
        let op = self.new_op(now);
        if let Some(c) = self.consumers.get_mut(&consumer) {
            c.grouping.wait(op, Self::ack_replied);
        }
        match self.acknowledge_all(consumer, ids, cumulative, now) {
            Ok(true) => {}
            // A part of a batch is not for the broker yet, and what was pending before is.
            Ok(false) => self.flush_acks(consumer, now),
            Err(error) => self.complete(op, Err(error)),
        }
        op
    }

    /// Asks for a message to come again, after the consumer's delay; with a backoff, its first.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn negative_acknowledge(
        &mut self,
        consumer: ConsumerId,
        id: MessageId,
        now: Now,
    ) -> Result<(), Error> {
        let c = self.consumers.get_mut(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        let backoff = c.config.negative_ack_redelivery_backoff;
        let delay = backoff.map_or(c.config.negative_ack_redelivery_delay, |backoff| backoff.min_delay);
        self.redeliver_after(consumer, id, delay, now);
        Ok(())
    }

    /// Asks for messages to come again, each after the delay that its redelivery count gives.
    ///
    /// # Errors
    /// `AlreadyClosed`.
    pub fn negative_acknowledge_all(
        &mut self,
        consumer: ConsumerId,
        messages: impl IntoIterator<Item = (MessageId, u32)>,
        now: Now,
    ) -> Result<(), Error> {
        let c = self.consumers.get(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        let (fixed, backoff) =
            (c.config.negative_ack_redelivery_delay, c.config.negative_ack_redelivery_backoff);
        for (id, count) in messages {
            let delay = backoff.map_or(fixed, |backoff| backoff.delay(count));
            self.redeliver_after(consumer, id, delay, now);
        }
        Ok(())
    }

    pub(super) fn redeliver_after(&mut self, consumer: ConsumerId, id: MessageId, delay: Duration, now: Now) {
        let Some(c) = self.consumers.get_mut(&consumer) else { return };
        // Without a link it will come again anyway.
        if c.link.open_conn().is_some()
            && let Some(due) = c.negative_acknowledge(id, delay, now)
        {
            self.timers.arm(Timer::Nack(consumer), due);
        }
    }

    /// Sends what is pending, if there is a link.
    pub(super) fn flush_acks(&mut self, id: ConsumerId, now: Now) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let Some(conn) = consumer.link.open_conn() else { return };
        let (commands, flush) = consumer.flush_acks();
        self.timers.cancel(Timer::Acks(id));
        if let Some((flush, replied)) = flush.filter(|_| commands.is_empty()) {
            replied(self, id, flush, Ok(Command::Unknown(0)));
        }
        for mut command in commands {
            command.request_id =
                flush.map(|(flush, replied)| self.request(conn, Reply::Consumer(id, flush, replied), now));
            self.write(conn, command);
        }
    }

    fn ack_replied(&mut self, id: ConsumerId, flush: u64, result: Result<Command, Error>) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let (ops, error) = consumer.grouping.answered(flush, result.err());
        for op in ops {
            self.complete(op, error.clone().map_or(Ok(Output::Done), Err));
        }
    }

    /// The consumer is about to be forgotten.
    pub(super) fn acks_ended(&mut self, id: ConsumerId, error: &Error) {
        self.timers.cancel(Timer::Acks(id));
        while let Some(ops) =
            self.consumers.get_mut(&id).map(|c| c.grouping.waiting()).filter(|ops| !ops.is_empty())
        {
            for op in ops {
                self.complete(op, Err(error.clone()));
            }
        }
    }
}
