//! What clients say to coordinators.

use std::mem;

use pulsewire_proto::wire::{
    CommandAddPartitionToTxn, CommandAddPartitionToTxnResponse, CommandAddSubscriptionToTxn,
    CommandAddSubscriptionToTxnResponse, CommandEndTxn, CommandEndTxnOnPartition,
    CommandEndTxnOnPartitionResponse, CommandEndTxnOnSubscription, CommandEndTxnOnSubscriptionResponse,
    CommandEndTxnResponse, CommandError, CommandNewTxn, CommandNewTxnResponse, CommandTcClientConnectRequest,
    CommandTcClientConnectResponse, ServerError, TxnAction,
};

use super::super::access::Need;
use super::super::error::{DisconnectReason, Refusal};
use super::super::ids::ConnId;
use super::super::names::TopicName;
use super::super::notes::Note;
use super::super::time::Now;
use super::super::{Broker, Timer};
use super::coordinator::{Coordinators, NAME_COST, Txn};
use super::{Action, TxnId};

/// Clients look up a partition of it to find the coordinator of that number.
const ASSIGN: &str = "persistent://pulsar/system/transaction_coordinator_assign";

impl Broker {
    /// How many coordinators there are, if that is what a client asks for.
    pub(crate) fn coordinators_of(&self, name: &TopicName) -> Option<u32> {
        (name.tenant == "pulsar" && name.to_string() == ASSIGN)
            .then_some(self.config.transaction_coordinators)
    }

    pub(super) fn check_coordinator(&self, coordinator: u64) -> Result<(), Refusal> {
        if coordinator < u64::from(self.config.transaction_coordinators)
            || self.txns.attached.contains(&coordinator)
        {
            return Ok(());
        }
        let message = format!("Transaction coordinator with id {coordinator} not found!");
        Err(Refusal::new(ServerError::TRANSACTION_COORDINATOR_NOT_FOUND, message))
    }

    /// Whether there are none here; who asked is told so.
    fn has_no_transactions(&mut self, id: ConnId, request_id: u64) -> bool {
        if self.config.transactions {
            return false;
        }
        let message = "Transactions are not enabled".to_owned();
        self.reply(id, CommandError { request_id, error: ServerError::NOT_ALLOWED_ERROR, message });
        true
    }

    pub(in crate::core) fn attach_to_coordinator(&mut self, id: ConnId, c: &CommandTcClientConnectRequest) {
        if self.has_no_transactions(id, c.request_id) {
            return;
        }
        let result = self.attach(c.tc_id);
        let (error, message) = self.told(id, result);
        self.reply(id, CommandTcClientConnectResponse { request_id: c.request_id, error, message });
    }

    /// Whoever wants a coordinator that is not there gets one, as at the real broker.
    fn attach(&mut self, coordinator: u64) -> Result<(), Refusal> {
        if self.check_coordinator(coordinator).is_err() {
            self.room_for_txn(NAME_COST)?;
            self.txns.attached.insert(coordinator);
            self.txns.bytes += NAME_COST;
            self.topics.stored += NAME_COST;
        }
        Ok(())
    }

    pub(in crate::core) fn new_txn(&mut self, id: ConnId, c: &CommandNewTxn, now: Now) {
        if self.has_no_transactions(id, c.request_id) {
            return;
        }
        let coordinator = c.tc_id.unwrap_or(0);
        let opened = self.open_txn(id, coordinator, c.txn_ttl_millis.unwrap_or(0), now);
        let number = opened.as_ref().ok().map(|txn| txn.number);
        let (error, message) = self.told(id, opened.map(drop));
        self.reply(
            id,
            CommandNewTxnResponse {
                request_id: c.request_id,
                txnid_least_bits: number,
                txnid_most_bits: Some(coordinator),
                error,
                message,
            },
        );
    }

    fn open_txn(&mut self, by: ConnId, coordinator: u64, ttl: u64, now: Now) -> Result<TxnId, Refusal> {
        self.check_coordinator(coordinator)?;
        let limit = self.config.max_transactions;
        if self.txns.txns.len() >= limit {
            let message = format!("Too many transactions are open: {limit}");
            return Err(Refusal::new(ServerError::TOO_MANY_REQUESTS, message));
        }
        self.room_for_txn(Coordinators::price(std::iter::empty()))?;
        let before = self.txns.bytes;
        let owner = self.config.access.is_some().then(|| self.role_of(by).to_owned());
        let (txn, due) = self.txns.open(coordinator, ttl, owner, now);
        self.topics.stored += self.txns.bytes - before;
        self.timers.insert((due, Timer::Transaction(txn)));
        self.note(|_| Note::TxnBegun(txn.to_string()));
        Ok(txn)
    }

    fn room_for_txn(&mut self, price: usize) -> Result<(), Refusal> {
        let limit = self.config.max_stored_bytes;
        if self.topics.make_room(price, limit) {
            return Ok(());
        }
        let message = format!("The broker's memory is full: {limit} bytes");
        Err(Refusal::new(ServerError::TOO_MANY_REQUESTS, message))
    }

    /// Whether a client may go on with a transaction: it is its own, or the client may do everything.
    fn check_owner(&self, id: ConnId, txn: TxnId) -> Result<(), Refusal> {
        self.check_coordinator(txn.coordinator)?;
        let role = self.role_of(id);
        match &self.txns.get(txn)?.owner {
            Some(owner) if owner != role && !self.is_superuser(role) => {
                let message =
                    format!("Client ({role}) is neither the owner of the transaction {txn} nor a super user");
                Err(Refusal::new(ServerError::TRANSACTION_NOT_FOUND, message))
            }
            _ => Ok(()),
        }
    }

    /// Whether a client may say what only coordinators say to a topic, or to a subscription of it.
    fn check_is_coordinator(
        &self,
        id: ConnId,
        topic: &str,
        sub: Option<&str>,
        txn: TxnId,
    ) -> Result<(), Refusal> {
        let role = self.role_of(id);
        let found = TopicName::parse(topic)
            .ok()
            .and_then(|name| self.topics.get(self.topics.key(&name.to_string())?));
        let found = found.is_some_and(|topic| sub.is_none_or(|sub| topic.sub(sub).is_some()));
        if !found || self.may(role, Need::Superuser) {
            return Ok(());
        }
        let message = format!(
            "TC client ({role}) is not a super user, and is not allowed to operate on transaction {txn}"
        );
        Err(Refusal::new(ServerError::TRANSACTION_NOT_FOUND, message))
    }

    /// Changes a transaction that is open, if there is room for the names.
    fn add_to_txn(
        &mut self,
        id: ConnId,
        txn: TxnId,
        names: impl Iterator<Item = usize>,
        change: impl FnOnce(&mut Txn),
    ) -> Result<(), Refusal> {
        self.check_owner(id, txn)?;
        self.room_for_txn(Coordinators::price(names))?;
        let before = self.txns.bytes;
        let result = self.txns.change(txn, change);
        self.topics.stored += self.txns.bytes - before;
        result
    }

    pub(in crate::core) fn add_partition_to_txn(&mut self, id: ConnId, c: CommandAddPartitionToTxn) {
        if self.has_no_transactions(id, c.request_id) {
            return;
        }
        let txn = id_of(c.txnid_most_bits, c.txnid_least_bits);
        let names: Vec<usize> = c.partitions.iter().map(String::len).collect();
        let result = self.add_to_txn(id, txn, names.into_iter(), |txn| txn.topics.extend(c.partitions));
        let (error, message) = self.told(id, result);
        self.reply(
            id,
            CommandAddPartitionToTxnResponse {
                request_id: c.request_id,
                txnid_least_bits: Some(txn.number),
                txnid_most_bits: Some(txn.coordinator),
                error,
                message,
            },
        );
    }

    pub(in crate::core) fn add_subscription_to_txn(
        &mut self,
        id: ConnId,
        mut c: CommandAddSubscriptionToTxn,
    ) {
        if self.has_no_transactions(id, c.request_id) {
            return;
        }
        let txn = id_of(c.txnid_most_bits, c.txnid_least_bits);
        let names: Vec<usize> =
            c.subscription.iter().map(|sub| sub.topic.len() + sub.subscription.len()).collect();
        let subs = mem::take(&mut c.subscription);
        let result = self.add_to_txn(id, txn, names.into_iter(), |txn| {
            txn.subs.extend(subs.into_iter().map(|sub| (sub.topic, sub.subscription)));
        });
        let (error, message) = self.told(id, result);
        self.reply(
            id,
            CommandAddSubscriptionToTxnResponse {
                request_id: c.request_id,
                txnid_least_bits: Some(txn.number),
                txnid_most_bits: Some(txn.coordinator),
                error,
                message,
            },
        );
    }

    pub(in crate::core) fn end_txn(&mut self, id: ConnId, c: &CommandEndTxn, now: Now) {
        if self.has_no_transactions(id, c.request_id) {
            return;
        }
        let txn = id_of(c.txnid_most_bits, c.txnid_least_bits);
        let Some(action) = self.action(id, "END_TXN", c.txn_action, now) else { return };
        let result = self.check_owner(id, txn).and_then(|()| self.end(txn, action, now));
        let (error, message) = self.told(id, result);
        self.reply(
            id,
            CommandEndTxnResponse {
                request_id: c.request_id,
                txnid_least_bits: Some(txn.number),
                txnid_most_bits: Some(txn.coordinator),
                error,
                message,
            },
        );
    }

    pub(in crate::core) fn end_txn_on_partition(
        &mut self,
        id: ConnId,
        c: &CommandEndTxnOnPartition,
        now: Now,
    ) {
        if self.has_no_transactions(id, c.request_id) {
            return;
        }
        let txn = id_of(c.txnid_most_bits, c.txnid_least_bits);
        let Some(action) = self.action(id, "END_TXN_ON_PARTITION", c.txn_action, now) else { return };
        let topic = c.topic.as_deref().unwrap_or_default();
        let low = low_water(c.txnid_least_bits_of_low_watermark);
        let result = self
            .check_is_coordinator(id, topic, None, txn)
            .and_then(|()| self.end_on_topic(topic, txn, action, low, now));
        let (error, message) = self.told(id, result);
        self.reply(
            id,
            CommandEndTxnOnPartitionResponse {
                request_id: c.request_id,
                txnid_least_bits: Some(txn.number),
                txnid_most_bits: Some(txn.coordinator),
                error,
                message,
            },
        );
    }

    pub(in crate::core) fn end_txn_on_subscription(
        &mut self,
        id: ConnId,
        c: &CommandEndTxnOnSubscription,
        now: Now,
    ) {
        if self.has_no_transactions(id, c.request_id) {
            return;
        }
        let txn = id_of(c.txnid_most_bits, c.txnid_least_bits);
        let Some(action) = self.action(id, "END_TXN_ON_SUBSCRIPTION", c.txn_action, now) else { return };
        let low = low_water(c.txnid_least_bits_of_low_watermark);
        let (topic, sub) = c.subscription.as_ref().map_or(("", ""), |sub| (&sub.topic, &sub.subscription));
        let result = self
            .check_is_coordinator(id, topic, Some(sub), txn)
            .and_then(|()| self.end_on_sub(topic, sub, txn, action, low))
            .map_err(|refusal| {
                let message = format!("Handle end txn on subscription failed: {}", refusal.message);
                Refusal { message, ..refusal }
            });
        let (error, message) = self.told(id, result);
        self.reply(
            id,
            CommandEndTxnOnSubscriptionResponse {
                request_id: c.request_id,
                txnid_least_bits: Some(txn.number),
                txnid_most_bits: Some(txn.coordinator),
                error,
                message,
            },
        );
    }

    /// What an answer says of a result; a refusal is noted.
    fn told(&mut self, id: ConnId, result: Result<(), Refusal>) -> (Option<ServerError>, Option<String>) {
        let Err(refusal) = result else { return (None, None) };
        self.note(|_| Note::Refused { id, why: refusal.message.clone() });
        (Some(refusal.error), Some(refusal.message))
    }

    /// How a transaction is to end. Whoever does not say it has broken the protocol.
    fn action(&mut self, id: ConnId, command: &str, action: Option<TxnAction>, now: Now) -> Option<Action> {
        match action {
            Some(TxnAction::COMMIT) => Some(Action::Commit),
            Some(TxnAction::ABORT) => Some(Action::Abort),
            _ => {
                let what = format!("{command} that neither commits nor aborts");
                self.cut(id, DisconnectReason::Protocol(what), now);
                None
            }
        }
    }
}

fn id_of(most: Option<u64>, least: Option<u64>) -> TxnId {
    TxnId { coordinator: most.unwrap_or(0), number: least.unwrap_or(0) }
}

/// Java reads a signed number.
fn low_water(number: Option<u64>) -> u64 {
    number.filter(|number| i64::try_from(*number).is_ok()).unwrap_or(0)
}
