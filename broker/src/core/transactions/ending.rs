//! Commit and abort: what coordinators tell topics and subscriptions, and what these make of it.

use pulsewire_proto::wire::ServerError;

use super::super::error::Refusal;
use super::super::names::TopicName;
use super::super::notes::Note;
use super::super::storage::Log;
use super::super::subscription::Subscription;
use super::super::time::Now;
use super::super::topic::Topic;
use super::super::{Broker, Timer};
use super::{Action, TxnId};

/// More than a marker costs.
const MARKER_COST: usize = 512;

impl Broker {
    /// Ends a transaction everywhere.
    pub(super) fn end(&mut self, id: TxnId, action: Action, now: Now) -> Result<(), Refusal> {
        let low = self.txns.low_water(id.coordinator);
        let txn = self.txns.begin_end(id, action)?;
        let (topics, subs) = (txn.topics.clone(), txn.subs.clone());
        let mut result = Ok(());
        for topic in topics {
            result = result.and(self.end_on_topic(&topic, id, action, low, now));
        }
        for (topic, sub) in subs {
            result = result.and(self.end_on_sub(&topic, &sub, id, action, low));
        }
        if result.is_ok() {
            self.note(|_| match action {
                Action::Commit => Note::TxnCommitted(id.to_string()),
                Action::Abort => Note::TxnAborted(id.to_string()),
            });
            self.forget_txn(id);
        }
        result
    }

    fn forget_txn(&mut self, id: TxnId) {
        if let Some(txn) = self.txns.remove(id) {
            self.timers.remove(&(txn.due, Timer::Transaction(id)));
            self.topics.stored -= txn.cost();
        }
    }

    /// A transaction's time is up. What cannot be ended then is not going to be.
    pub(in crate::core) fn txn_expires(&mut self, id: TxnId, now: Now) {
        self.note(|_| Note::TxnTimedOut(id.to_string()));
        let _ = self.end(id, Action::Abort, now);
        self.forget_txn(id);
    }

    pub(super) fn end_on_topic(
        &mut self,
        topic: &str,
        id: TxnId,
        action: Action,
        low: u64,
        now: Now,
    ) -> Result<(), Refusal> {
        let name = parse(topic)?;
        // A topic that was deleted has nothing to end.
        let Some(key) = self.topics.key(&name.to_string()) else { return Ok(()) };
        if !name.persistent {
            let message = "Unsupported operation endTxn in non-persistent topic.";
            return Err(Refusal::new(ServerError::UNKNOWN_ERROR, message));
        }
        // What nobody waits for must not fill the memory.
        let limit = self.config.max_stored_bytes;
        let waited_for = self.topics.get(key).and_then(|topic| topic.txns.as_ref());
        if !waited_for.is_some_and(|buffer| buffer.is_ongoing(id))
            && !self.topics.make_room(MARKER_COST, limit)
        {
            let message = format!("The broker's memory for messages is full: {limit} bytes");
            return Err(Refusal::new(ServerError::PERSISTENCE_ERROR, message));
        }
        if let Some(topic) = self.topics.get_mut(key) {
            self.topics.stored += topic.end_txn(id, action, low, now);
        }
        self.published(key);
        Ok(())
    }

    pub(super) fn end_on_sub(
        &mut self,
        topic: &str,
        sub: &str,
        id: TxnId,
        action: Action,
        low: u64,
    ) -> Result<(), Refusal> {
        let name = parse(topic)?;
        let by_index = self.config.batch_index_ack;
        let Some(key) = self.topics.key(&name.to_string()) else { return Ok(()) };
        let Some(Topic { log, subs, sub_names, .. }) = self.topics.get_mut(key) else { return Ok(()) };
        let Some(sub_key) = sub_names.get(sub) else { return Ok(()) };
        if !name.persistent {
            let message = "Unsupported operation end txn for NonPersistentSubscription";
            return Err(Refusal::new(ServerError::UNKNOWN_ERROR, message));
        }
        let sub_key = *sub_key;
        if let Some(sub) = subs.get_mut(&sub_key) {
            match action {
                Action::Commit => sub.commit(log, id, by_index),
                Action::Abort => sub.abort(log, id),
            }
            // Those that are still here never heard of their end.
            let behind = sub.txns.as_ref().map(|pending| pending.up_to_number(id.coordinator, low));
            for id in behind.unwrap_or_default() {
                sub.abort(log, id);
            }
            if log.terminated {
                sub.tell_end_if_done(&mut self.conns, log.end());
            }
        }
        self.wake(key, sub_key);
        Ok(())
    }
}

fn parse(topic: &str) -> Result<TopicName, Refusal> {
    TopicName::parse(topic).map_err(|message| {
        let message = message
            .strip_prefix("Invalid topic name: ")
            .filter(|m| m.starts_with("Invalid"))
            .unwrap_or(&message);
        Refusal::new(ServerError::UNKNOWN_ERROR, message)
    })
}

impl Subscription {
    /// What a transaction acknowledged is acknowledged.
    fn commit(&mut self, log: &Log, txn: TxnId, by_index: bool) {
        let Some(pending) = &mut self.txns else { return };
        let up_to = pending.up_to.take_if(|up_to| up_to.txn == txn);
        let offsets = pending.offsets_of(txn);
        if let Some(up_to) = up_to {
            pending.set_up_to(None);
            let whole = up_to.set.is_empty();
            let end = if whole { up_to.offset + 1 } else { up_to.offset };
            if self.is_shared() {
                self.expire(log, end);
            } else {
                self.cursor.ack_below(end);
            }
            if !whole && by_index {
                let messages = log.get(up_to.offset).map_or(1, |stored| stored.messages);
                self.cursor.ack_bits(up_to.offset, &up_to.set, messages);
            }
        }
        for offset in offsets {
            let Some(open) = self.txns.as_mut().and_then(|pending| pending.take_one(txn, offset)) else {
                continue;
            };
            match open {
                None => drop(self.cursor.ack(offset)),
                Some(open) => {
                    let messages = log.get(offset).map_or(1, |stored| stored.messages);
                    let set: Vec<i64> = open.iter().map(|word| *word as i64).collect();
                    self.cursor.ack_bits(offset, &set, messages);
                }
            }
            self.after_ack(offset);
        }
    }

    /// What a transaction acknowledged is delivered again.
    fn abort(&mut self, log: &Log, txn: TxnId) {
        let Some(pending) = &mut self.txns else { return };
        if pending.up_to.as_ref().is_some_and(|up_to| up_to.txn == txn) {
            pending.set_up_to(None);
        }
        let offsets = pending.offsets_of(txn);
        let any = !offsets.is_empty();
        for offset in offsets {
            let messages = log.get(offset).map_or(1, |stored| stored.messages);
            let holders: Vec<_> =
                self.consumers.iter().filter(|c| c.pending.contains(offset)).map(|c| c.key).collect();
            for holder in holders {
                self.let_go(holder, offset, messages);
            }
            if let Some(pending) = &mut self.txns {
                pending.take_one(txn, offset);
            }
            if self.is_shared() && offset < self.read && !self.cursor.is_acked(offset) {
                self.replay.insert(offset);
                *self.redelivered.entry(offset).or_default() += 1;
            }
        }
        if any && !self.is_shared() && self.active.is_some() && self.settles.is_none() {
            self.rewind();
        }
    }
}
