//! What whoever runs the broker is shown of transactions, and may order.

use std::collections::BTreeMap;

use pulsewire_proto::wire::MessageIdData;

use super::super::Broker;
use super::super::admin::AdminError;
use super::super::error::Refusal;
use super::super::names::TopicName;
use super::super::storage::Log;
use super::super::subscription::Subscription;
use super::super::time::Now;
use super::super::topic::Topic;
use super::{Action, TxnId};

/// A place in a topic: ledger and entry.
pub type Position = (i64, i64);

/// A coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CoordinatorStats {
    /// The number of its last transaction; 0 before the first.
    pub last: u64,
    /// Transactions up to this one have ended.
    pub low_water: u64,
    /// Transactions that have not ended.
    pub ongoing: u64,
}

/// A transaction that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionInfo {
    /// `(coordinator,number)`.
    pub id: String,
    /// `OPEN`, `COMMITTING` or `ABORTING`.
    pub state: &'static str,
    /// When it was opened: milliseconds since the Unix epoch.
    pub opened: u64,
    /// How long it may stay open, in milliseconds.
    pub ttl: u64,
    /// Topics that it publishes to.
    pub topics: BTreeMap<String, InTopic>,
    /// Topics and subscriptions that it acknowledges in, and up to where if to all.
    pub subscriptions: BTreeMap<String, BTreeMap<String, Option<Position>>>,
}

/// A transaction in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InTopic {
    /// Its first message, while it is ongoing.
    pub start: Option<Position>,
    /// It was aborted.
    pub aborted: bool,
}

/// The transactions among a topic's messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BufferStats {
    /// There was a transaction.
    pub begun: bool,
    /// The last entry that can be read.
    pub max_read: Position,
    /// Transactions that have not ended.
    pub ongoing: u64,
    /// Transactions that were aborted and whose messages may still be there.
    pub aborted: u64,
    /// By coordinator: transactions up to this one have ended.
    pub low_water: BTreeMap<u64, u64>,
}

fn position(log: &Log, offset: u64) -> Position {
    let id = log.id_at(offset);
    (id.ledger_id as i64, id.entry_id as i64)
}

/// What is asked and ordered about transactions. After an order, poll as after a fact.
impl Broker {
    /// How many coordinators there are.
    #[must_use]
    pub fn coordinators(&self) -> u32 {
        self.config.transaction_coordinators
    }

    /// A coordinator.
    ///
    /// # Errors
    /// It is not there.
    pub fn coordinator_stats(&self, coordinator: u64) -> Result<CoordinatorStats, AdminError> {
        if self.check_coordinator(coordinator).is_err() {
            let reason = format!("Transaction coordinator not found! coordinator id : {coordinator}");
            return Err(AdminError::new(404, reason));
        }
        Ok(CoordinatorStats {
            last: self.txns.next(coordinator) - 1,
            low_water: self.txns.low_water(coordinator),
            ongoing: self.txns.of(coordinator).count() as u64,
        })
    }

    /// A transaction that has not ended.
    ///
    /// # Errors
    /// It is not there, or its coordinator is not.
    pub fn transaction(&self, coordinator: u64, number: u64) -> Result<TransactionInfo, AdminError> {
        self.check_coordinator(coordinator).map_err(not_found)?;
        let id = TxnId { coordinator, number };
        let txn = self.txns.get(id).map_err(not_found)?;
        let mut info = TransactionInfo {
            id: id.to_string(),
            state: txn.state.name(),
            opened: txn.opened,
            ttl: txn.ttl,
            ..TransactionInfo::default()
        };
        for topic in &txn.topics {
            let here = TopicName::parse(topic).ok().and_then(|name| self.transaction_in(&name, id).ok());
            info.topics.insert(topic.clone(), here.unwrap_or_default());
        }
        for (topic, sub) in &txn.subs {
            let up_to = TopicName::parse(topic).ok().and_then(|name| self.pending_in(&name, sub, id).ok());
            let subs = info.subscriptions.entry(topic.clone()).or_default();
            subs.insert(sub.clone(), up_to.flatten());
        }
        Ok(info)
    }

    /// Transactions of a coordinator that may stay open for so long, or longer.
    ///
    /// # Errors
    /// The coordinator is not there.
    pub fn slow_transactions(
        &self,
        coordinator: u64,
        milliseconds: u64,
    ) -> Result<Vec<TransactionInfo>, AdminError> {
        self.coordinator_stats(coordinator)?;
        let slow = self.txns.of(coordinator).filter(|(_, txn)| txn.ttl >= milliseconds);
        slow.map(|(id, _)| self.transaction(id.coordinator, id.number)).collect()
    }

    /// Aborts a transaction.
    ///
    /// # Errors
    /// It is not there, or is being committed.
    pub fn abort_transaction(&mut self, coordinator: u64, number: u64, now: Now) -> Result<(), AdminError> {
        self.check_coordinator(coordinator).map_err(not_found)?;
        let id = TxnId { coordinator, number };
        self.txns.get(id).map_err(not_found)?;
        let result = self.end(id, Action::Abort, now);
        self.settle(now);
        result.map_err(|refusal| AdminError::new(409, refusal.message))
    }

    /// The transactions among a topic's messages.
    ///
    /// # Errors
    /// The topic is not there.
    pub fn buffer_stats(&self, name: &TopicName) -> Result<BufferStats, AdminError> {
        let topic = self.topic_of_txns(name)?;
        let end = topic.log.end().min(topic.limit());
        let last = topic.log.id_before(end);
        let mut stats =
            BufferStats { max_read: (last.ledger_id as i64, last.entry_id as i64), ..BufferStats::default() };
        if let Some(buffer) = &topic.txns {
            stats.begun = true;
            stats.ongoing = buffer.ongoing_count();
            stats.aborted = buffer.hidden_count();
            stats.low_water = buffer.low_water().clone();
        }
        Ok(stats)
    }

    /// A transaction in a topic.
    ///
    /// # Errors
    /// The topic is not there.
    pub fn in_buffer(&self, name: &TopicName, coordinator: u64, number: u64) -> Result<InTopic, AdminError> {
        self.transaction_in(name, TxnId { coordinator, number })
    }

    fn transaction_in(&self, name: &TopicName, id: TxnId) -> Result<InTopic, AdminError> {
        let topic = self.topic_of_txns(name)?;
        let Some(buffer) = &topic.txns else { return Ok(InTopic::default()) };
        Ok(InTopic {
            start: buffer.start_of(id).map(|offset| position(&topic.log, offset)),
            aborted: buffer.is_aborted(id),
        })
    }

    /// From now on there are so many coordinators.
    pub fn set_coordinators(&mut self, count: u32) {
        self.config.transaction_coordinators = count;
    }

    /// Whether a transaction ever had to do with a subscription.
    ///
    /// # Errors
    /// The topic or the subscription is not there.
    pub fn has_pending_acks(&self, name: &TopicName, sub: &str) -> Result<bool, AdminError> {
        Ok(self.sub_of_txns(name, sub)?.1.txns.is_some())
    }

    /// Whether transactions acknowledge an entry, or a message of it, in a subscription: in Pulsar's word.
    ///
    /// # Errors
    /// The topic or the subscription is not there.
    pub fn in_pending_ack(
        &self,
        name: &TopicName,
        sub: &str,
        (ledger, entry): Position,
        of_batch: Option<u32>,
    ) -> Result<&'static str, AdminError> {
        let (topic, sub) = self.sub_of_txns(name, sub)?;
        let Some(pending) = &sub.txns else { return Ok("PendingAckNotReady") };
        let id =
            MessageIdData { ledger_id: ledger as u64, entry_id: entry as u64, ..MessageIdData::default() };
        let Some(offset) = topic.log.offset_of(&id) else { return Ok("NotInPendingAck") };
        if offset < sub.cursor.mark() {
            return Ok("MarkDelete");
        }
        let mut of_entry = pending.of_entry(offset).peekable();
        if of_entry.peek().is_none() {
            return Ok("NotInPendingAck");
        }
        let Some(index) = of_batch else { return Ok("PendingAck") };
        if topic.log.get(offset).is_none_or(|stored| index >= stored.messages) {
            return Ok("InvalidPosition");
        }
        let (word, bit) = (index as usize / 64, index % 64);
        let open = |bits: &[u64]| bits.get(word).is_some_and(|bits| bits >> bit & 1 == 1);
        let taken = of_entry.any(|(_, left)| left.as_ref().is_none_or(|bits| !open(bits)));
        Ok(if taken { "PendingAck" } else { "NotInPendingAck" })
    }

    /// How many transactions acknowledge single entries in a subscription.
    ///
    /// # Errors
    /// The topic or the subscription is not there.
    pub fn pending_ack_stats(&self, name: &TopicName, sub: &str) -> Result<u64, AdminError> {
        let (_, sub) = self.sub_of_txns(name, sub)?;
        Ok(sub.txns.as_ref().map_or(0, |pending| pending.count()))
    }

    /// Up to where a transaction acknowledges in a subscription, if it does.
    ///
    /// # Errors
    /// The topic or the subscription is not there.
    pub fn in_pending_acks(
        &self,
        name: &TopicName,
        sub: &str,
        coordinator: u64,
        number: u64,
    ) -> Result<Option<Position>, AdminError> {
        self.pending_in(name, sub, TxnId { coordinator, number })
    }

    fn pending_in(&self, name: &TopicName, sub: &str, id: TxnId) -> Result<Option<Position>, AdminError> {
        let (topic, sub) = self.sub_of_txns(name, sub)?;
        let up_to = sub.txns.as_ref().and_then(|pending| pending.up_to.as_ref());
        Ok(up_to.filter(|up_to| up_to.txn == id).map(|up_to| position(&topic.log, up_to.offset)))
    }

    fn topic_of_txns(&self, name: &TopicName) -> Result<&Topic, AdminError> {
        let key = self.topics.key(&name.to_string());
        let topic = key.and_then(|key| self.topics.get(key));
        topic.ok_or_else(|| AdminError::new(404, format!("Topic not found {name}")))
    }

    fn sub_of_txns(&self, name: &TopicName, sub: &str) -> Result<(&Topic, &Subscription), AdminError> {
        let topic = self.topic_of_txns(name)?;
        let found = topic.sub(sub);
        let (_, sub) = found
            .ok_or_else(|| AdminError::new(404, format!("Subscription {sub} not found for topic {name}")))?;
        Ok((topic, sub))
    }
}

fn not_found(refusal: Refusal) -> AdminError {
    AdminError::new(404, refusal.message)
}
