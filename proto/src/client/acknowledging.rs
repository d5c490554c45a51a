//! Acknowledgements: entering them, sending them together, their receipts.

use super::Client;
use super::requests::Reply;
use crate::error::Error;
use crate::event::Output;
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::{Command, CommandAck};

/// From this version of the protocol on, an ACK may name several messages.
const SEVERAL_IN_AN_ACK: i32 = 12;
/// From this one on, brokers confirm ACKs.
const RECEIPTS_OF_ACKS: i32 = 17;

/// An ACK for each of the messages of one.
fn one_by_one(ack: CommandAck) -> Vec<CommandAck> {
    let CommandAck { message_id, .. } = &ack;
    message_id.iter().map(|id| CommandAck { message_id: vec![id.clone()], ..ack.clone() }).collect()
}

impl Client {
    /// Acknowledges a message, or all up to it. It goes out with others, after the group time at the
    /// latest, or when the consumer is closed.
    ///
    /// # Errors
    /// `AlreadyClosed`, or `InvalidMessageId` for one that cannot be of this topic.
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
    /// `AlreadyClosed`, or `InvalidMessageId` for one that cannot be of this topic: none is acknowledged then.
    pub fn acknowledge_all(
        &mut self,
        consumer: ConsumerId,
        ids: &[MessageId],
        cumulative: bool,
        now: Now,
    ) -> Result<bool, Error> {
        let Some(c) = self.consumers.get_mut(&consumer) else {
            return if cfg!(feature = "many") {
                self.acknowledge_of_several(consumer, ids, cumulative, now)
            } else {
                Err(Error::closed("consumer"))
            };
        };
        ids.iter().try_for_each(|id| c.check(*id))?;
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

    /// Acknowledges messages at once, with properties that the broker keeps with the subscription's place
    /// where it is `cumulative`.
    ///
    /// # Errors
    /// As [`Client::acknowledge_all`].
    pub fn acknowledge_with_properties(
        &mut self,
        consumer: ConsumerId,
        ids: &[MessageId],
        cumulative: bool,
        properties: &[(String, u64)],
        now: Now,
    ) -> Result<(), Error> {
        if cfg!(feature = "many") && self.multi.contains_key(&consumer) {
            for (part, ids) in self.divided(consumer, ids)? {
                self.acknowledge_with_properties(part, &ids, cumulative, properties, now)?;
            }
            return Ok(());
        }
        let c = self.consumers.get(&consumer).ok_or_else(|| Error::closed("consumer"))?;
        ids.iter().try_for_each(|id| c.check(*id))?;
        // What is pending goes without.
        self.flush_acks(consumer, now);
        if let Some(c) = self.consumers.get_mut(&consumer) {
            c.grouping.carry(properties);
            for id in ids {
                c.acknowledge(*id, cumulative);
            }
        }
        self.flush_acks(consumer, now);
        Ok(())
    }

    /// Acknowledges messages, and is done when the broker has confirmed it.
    pub fn acknowledge_confirmed(
        &mut self,
        consumer: ConsumerId,
        ids: &[MessageId],
        cumulative: bool,
        now: Now,
    ) -> OpId {
        if cfg!(feature = "many") && self.multi.contains_key(&consumer) {
            return self.confirm_of_several(consumer, ids, cumulative, now);
        }
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

    /// Sends what is pending, if there is a link.
    pub(super) fn flush_acks(&mut self, id: ConsumerId, now: Now) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let Some(conn) = consumer.link.open_conn() else { return };
        let (mut commands, flush) = consumer.flush_acks();
        let peer = self.pool.get(conn).map_or(0, |c| c.peer_version);
        if peer < SEVERAL_IN_AN_ACK {
            commands = commands.into_iter().flat_map(one_by_one).collect();
        }
        self.timers.cancel(Timer::Acks(id));
        if let Some((flush, replied)) = flush.filter(|_| commands.is_empty()) {
            replied(self, id, flush, Ok(Command::Unknown(0)));
        }
        let answered = peer >= RECEIPTS_OF_ACKS;
        for mut command in commands {
            command.request_id = flush
                .filter(|_| answered)
                .map(|(flush, replied)| self.request(conn, Reply::Consumer(id, flush, replied), now));
            self.write(conn, command);
            if let Some((flush, replied)) = flush.filter(|_| !answered) {
                // As Java: what an older broker does not confirm is done when it is sent.
                replied(self, id, flush, Ok(Command::Unknown(0)));
            }
        }
    }

    pub(crate) fn ack_replied(&mut self, id: ConsumerId, flush: u64, result: Result<Command, Error>) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let (ops, error) = consumer.grouping.answered(flush, result.err());
        if error.is_some() {
            consumer.counts.acks_failed += ops.len() as u64;
        }
        if consumer.grouping.len() > 0 {
            // What was not confirmed is said again; not in this turn, in which the link may be lost.
            let delay = consumer.config.acknowledgment_group_time;
            self.timers.arm_if_idle(Timer::Acks(id), self.now.time + delay);
        }
        for op in ops {
            self.complete(op, error.clone().map_or(Ok(Output::Done), Err));
        }
    }

    /// The consumer is about to be forgotten.
    pub(super) fn acks_ended(&mut self, id: ConsumerId, error: &Error) {
        self.timers.cancel(Timer::Acks(id));
        let ops = self.consumers.get_mut(&id).map(|c| c.grouping.waiting()).unwrap_or_default();
        for op in ops {
            self.complete(op, Err(error.clone()));
        }
    }
}
