//! What is to come again: negative acknowledgements and ack timeouts that are due.

use std::time::Duration;

use super::Client;
use crate::config::SubscriptionType;
use crate::consumer::Key;
use crate::error::Error;
use crate::event::Event;
use crate::ids::{ConsumerId, MessageId};
use crate::time::Now;
use crate::timer::Timer;
use crate::wire::{CommandRedeliverUnacknowledgedMessages, MessageIdData};

/// Ids in one request, so that no frame nears the limit.
const MAX_IDS: usize = 1000;
/// Requests in one turn; the next is after this pause.
const MAX_REQUESTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(1);
/// Entries whose dead letters are under way are looked at again after this time at least.
const WHILE_DYING: Duration = Duration::from_millis(100);

impl Client {
    /// Asks for a message to come again, after the consumer's delay; with a backoff, its first. On an
    /// exclusive or failover subscription all that is not acknowledged comes again with it, in order.
    ///
    /// # Errors
    /// `AlreadyClosed`, or `InvalidMessageId` for one that cannot be of this topic.
    pub fn negative_acknowledge(
        &mut self,
        consumer: ConsumerId,
        id: MessageId,
        now: Now,
    ) -> Result<(), Error> {
        if cfg!(feature = "many") && self.multi.contains_key(&consumer) {
            return self.negative_of_several(consumer, id, now);
        }
        self.negative_acknowledge_all(consumer, [(id, 0)], now)
    }

    /// Asks for messages to come again, each after the delay that its redelivery count gives.
    ///
    /// # Errors
    /// As [`Client::negative_acknowledge`]; the messages before the one that is wrong come again then.
    pub fn negative_acknowledge_all(
        &mut self,
        consumer: ConsumerId,
        messages: impl IntoIterator<Item = (MessageId, u32)>,
        now: Now,
    ) -> Result<(), Error> {
        self.now = now;
        let Some(c) = self.consumers.get_mut(&consumer) else {
            if !cfg!(feature = "many") {
                return Err(Error::closed("consumer"));
            }
            for (id, count) in messages {
                let part = self.part_by_id(consumer, id)?;
                self.negative_acknowledge_all(part, std::iter::once((id, count)), now)?;
            }
            return Ok(());
        };
        let mut checked = Ok(());
        for (id, count) in messages {
            checked = c.check(id);
            if checked.is_err() {
                break;
            }
            let delay = c.config.negative_ack_redelivery_delay;
            let delay =
                c.config.negative_ack_redelivery_backoff.map_or(delay, |backoff| backoff.delay(count));
            c.negative_acknowledge(id, delay, now);
        }
        if let Some(due) = c.nacks.next() {
            self.timers.arm(Timer::Nack(consumer), due);
        }
        checked
    }

    /// Asks for an entry to come again after a delay.
    pub(super) fn redeliver_after(&mut self, consumer: ConsumerId, id: MessageId, delay: Duration, now: Now) {
        let Some(c) = self.consumers.get_mut(&consumer) else { return };
        c.negative_acknowledge(id, delay, now);
        if let Some(due) = c.nacks.next() {
            self.timers.arm(Timer::Nack(consumer), due);
        }
    }

    pub(super) fn nacks_due(&mut self, id: ConsumerId, now: Now) {
        for _ in 0..MAX_REQUESTS {
            let Some(consumer) = self.consumers.get_mut(&id) else { return };
            let due = consumer.nacks.take_due(now.time, MAX_IDS);
            if due.is_empty() {
                break;
            }
            self.redeliver(id, due, false, now);
        }
        if let Some(next) = self.consumers.get(&id).and_then(|c| c.nacks.next()) {
            self.timers.arm(Timer::Nack(id), next.max(now.time + PAUSE));
        }
    }

    /// A tick of the ack timeout has passed.
    pub(super) fn ack_timeout_tick(&mut self, id: ConsumerId, now: Now) {
        let Some(unacked) = self.consumers.get_mut(&id).and_then(|c| c.unacked.as_mut()) else { return };
        if !cfg!(feature = "redelivery") {
            return;
        }
        let (due, next) = unacked.tick(now.time);
        if let Some(next) = next {
            self.timers.arm(Timer::AckTimeout(id), next);
        }
        for keys in due.chunks(MAX_IDS) {
            self.redeliver(id, keys.to_vec(), true, now);
        }
    }

    /// Asks for entries to come again; those that may not become dead letters: the messages that the user
    /// gave back, or all.
    fn redeliver(&mut self, id: ConsumerId, mut keys: Vec<Key>, all: bool, now: Now) {
        let Some(consumer) = self.consumers.get(&id) else { return };
        let Some(conn) = consumer.link.open_conn() else { return };
        if consumer.config.tells_interceptors {
            let partition = consumer.partition();
            let id_of =
                |key: &Key| MessageId { ledger_id: key.0, entry_id: key.1, partition, ..MessageId::EARLIEST };
            let ids = keys.iter().map(id_of).collect();
            self.emit(Event::Redelivering { consumer: id, ids, timed_out: all });
        }
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        if matches!(
            consumer.config.subscription_type,
            SubscriptionType::Exclusive | SubscriptionType::Failover
        ) {
            // Single messages would come out of order; brokers know that, and send all again.
            let _ = self.redeliver_unacknowledged(id, now);
            return;
        }
        let mut dead = Vec::new();
        if cfg!(feature = "redelivery")
            && let Some(letters) = &mut consumer.letters
        {
            // Asked for now they would become letters once more: later they are acknowledged, unless their letters failed.
            let dying = letters.dying();
            let later = consumer.config.negative_ack_redelivery_delay.max(WHILE_DYING);
            keys.retain(|key| {
                let Some(due) = letters.due(*key, all) else {
                    if dying.contains(key) {
                        consumer.nacks.add(*key, later, 0, now.time);
                    }
                    return !dying.contains(key);
                };
                dead.extend(due);
                if !letters.holds(*key) {
                    consumer.nacks.forget(*key);
                    consumer.unacked.as_mut().into_iter().for_each(|unacked| unacked.done(*key));
                }
                false
            });
        }
        if cfg!(feature = "redelivery")
            && let Some(due) = consumer.nacks.next()
        {
            self.timers.arm(Timer::Nack(id), due);
        }
        consumer.forget_queued(&keys);
        if cfg!(feature = "chunking") {
            for at in 0..keys.len() {
                let (ledger_id, entry_id) = keys[at];
                let last = MessageId { ledger_id, entry_id, ..MessageId::EARLIEST };
                keys.extend(consumer.chunks.others_of(last));
            }
            keys.sort_unstable();
        }
        let message_ids: Vec<MessageIdData> = keys
            .into_iter()
            .map(|(ledger_id, entry_id)| MessageIdData { ledger_id, entry_id, ..Default::default() })
            .collect();
        if !message_ids.is_empty() {
            // Letters that have arrived are acknowledged before.
            if cfg!(feature = "redelivery") && self.consumers.get(&id).is_some_and(|c| c.letters.is_some()) {
                self.flush_acks(id, now);
            }
            self.write(
                conn,
                CommandRedeliverUnacknowledgedMessages {
                    consumer_id: id.0,
                    message_ids,
                    consumer_epoch: None,
                },
            );
        }
        if cfg!(feature = "redelivery") {
            self.bury(id, dead, now);
        }
        self.delivered(id, 0);
    }
}
