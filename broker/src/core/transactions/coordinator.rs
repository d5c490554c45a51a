//! Coordinators: which transactions there are, and how far each of them is.
//!
//! ```text
//!   NEW_TXN          END_TXN: commit                     all that it touched has ended
//!  ---------> Open ------------------+--> Committing --+------------------------------> gone
//!              |                     |                 | something could not be ended:
//!              |     END_TXN: abort  |                 | stays as it is until END_TXN says the
//!              |     its time is up  +--> Aborting ----+ same again, or its time is up
//! ```
//! What is gone is not found any more: neither to be ended again, nor to be added to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulsewire_proto::wire::ServerError;

use super::super::error::Refusal;
use super::super::time::Now;
use super::{Action, TxnId};

/// What a transaction costs in memory besides the names that it knows.
const COST: usize = 512;

/// The longest that one may stay open: a hundred years, which every host's clock can add.
const LONGEST: u64 = 100 * 365 * 24 * 3600 * 1000;

/// What a name costs besides its letters.
pub(super) const NAME_COST: usize = 96;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Committing,
    Aborting,
}

impl State {
    pub(super) fn ending(action: Action) -> Self {
        match action {
            Action::Commit => Self::Committing,
            Action::Abort => Self::Aborting,
        }
    }

    /// As errors and statistics have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Committing => "COMMITTING",
            Self::Aborting => "ABORTING",
        }
    }
}

/// A transaction that has not ended.
#[derive(Debug)]
pub(in crate::core) struct Txn {
    pub(super) state: State,
    /// When it was opened: milliseconds since the Unix epoch.
    pub(super) opened: u64,
    /// Who opened it, where brokers ask who is there: nobody else may go on with it.
    pub(super) owner: Option<String>,
    /// How long it may stay open, in milliseconds.
    pub(super) ttl: u64,
    /// When its timer goes off.
    pub(super) due: Duration,
    /// Topics that it publishes to.
    pub(super) topics: BTreeSet<String>,
    /// Subscriptions that it acknowledges in: topic and name.
    pub(super) subs: BTreeSet<(String, String)>,
}

impl Txn {
    pub(super) fn cost(&self) -> usize {
        let topics = self.topics.iter().map(|topic| topic.len() + NAME_COST);
        let subs = self.subs.iter().map(|(topic, sub)| topic.len() + sub.len() + NAME_COST);
        let owner = self.owner.as_ref().map_or(0, String::len);
        COST + owner + topics.sum::<usize>() + subs.sum::<usize>()
    }
}

/// All transactions, of all coordinators.
#[derive(Debug, Default)]
pub(in crate::core) struct Coordinators {
    pub(super) txns: BTreeMap<TxnId, Txn>,
    /// Coordinators that clients attached to, beyond those that there are.
    pub(super) attached: BTreeSet<u64>,
    /// The number of each coordinator's next transaction.
    next: BTreeMap<u64, u64>,
    /// Bytes that are held for all of them.
    pub(super) bytes: usize,
    /// What may have changed, while a host keeps it.
    pub(in crate::core) touched: Option<BTreeSet<TxnId>>,
}

impl Coordinators {
    /// Opens a transaction.
    pub(super) fn open(
        &mut self,
        coordinator: u64,
        ttl: u64,
        owner: Option<String>,
        now: Now,
    ) -> (TxnId, Duration) {
        let next = self.next.entry(coordinator).or_insert(1);
        let id = TxnId { coordinator, number: *next };
        *next += 1;
        // Java reads a signed number: below 0 is over at once.
        let ttl = if i64::try_from(ttl).is_ok() { ttl.min(LONGEST) } else { 0 };
        let due = now.mono.saturating_add(Duration::from_millis(ttl));
        let txn = Txn {
            state: State::Open,
            opened: now.wall_ms,
            owner,
            ttl,
            due,
            topics: BTreeSet::new(),
            subs: BTreeSet::new(),
        };
        self.bytes += txn.cost();
        self.txns.insert(id, txn);
        self.touch(id);
        (id, due)
    }

    /// What [`open`](Self::open) and a name are going to cost.
    pub(super) fn price(names: impl Iterator<Item = usize>) -> usize {
        names.map(|len| len + NAME_COST).sum::<usize>() + COST
    }

    /// Changes a transaction, if it is open.
    pub(super) fn change(&mut self, id: TxnId, change: impl FnOnce(&mut Txn)) -> Result<(), Refusal> {
        let txn = self.txns.get_mut(&id).ok_or_else(|| not_found(id))?;
        if txn.state != State::Open {
            return Err(wrong_state(id, State::Open, txn.state));
        }
        let before = txn.cost();
        change(txn);
        self.bytes = self.bytes + txn.cost() - before;
        self.touch(id);
        Ok(())
    }

    /// A transaction begins to end. Answers what it touched.
    pub(super) fn begin_end(&mut self, id: TxnId, action: Action) -> Result<&Txn, Refusal> {
        let txn = self.txns.get_mut(&id).ok_or_else(|| not_found(id))?;
        let state = State::ending(action);
        if txn.state != State::Open && txn.state != state {
            return Err(wrong_state(id, state, txn.state));
        }
        txn.state = state;
        if let Some(touched) = &mut self.touched {
            touched.insert(id);
        }
        Ok(txn)
    }

    /// A transaction has ended.
    pub(super) fn remove(&mut self, id: TxnId) -> Option<Txn> {
        let txn = self.txns.remove(&id)?;
        self.bytes -= txn.cost();
        self.touch(id);
        Some(txn)
    }

    pub(super) fn get(&self, id: TxnId) -> Result<&Txn, Refusal> {
        self.txns.get(&id).ok_or_else(|| not_found(id))
    }

    /// A coordinator's transactions.
    pub(super) fn of(&self, coordinator: u64) -> impl Iterator<Item = (TxnId, &Txn)> {
        let all = TxnId { coordinator, number: 0 }..=TxnId { coordinator, number: u64::MAX };
        self.txns.range(all).map(|(id, txn)| (*id, txn))
    }

    /// All of a coordinator's transactions up to this number have ended. 0 says nothing.
    pub(super) fn low_water(&self, coordinator: u64) -> u64 {
        self.of(coordinator).next().map_or(0, |(first, _)| first.number.saturating_sub(1))
    }

    /// The number of a coordinator's next transaction.
    pub(super) fn next(&self, coordinator: u64) -> u64 {
        self.next.get(&coordinator).copied().unwrap_or(1)
    }

    pub(super) fn restore_next(&mut self, coordinator: u64, next: u64) {
        self.next.insert(coordinator, next);
    }

    pub(super) fn restore(&mut self, id: TxnId, txn: Txn) {
        self.bytes += txn.cost();
        self.txns.insert(id, txn);
    }

    fn touch(&mut self, id: TxnId) {
        if let Some(touched) = &mut self.touched {
            touched.insert(id);
        }
    }
}

fn not_found(id: TxnId) -> Refusal {
    let message = format!("The transaction with this txdID `{id}`not found ");
    Refusal::new(ServerError::TRANSACTION_NOT_FOUND, message)
}

fn wrong_state(id: TxnId, wanted: State, is: State) -> Refusal {
    let (wanted, is) = (wanted.name(), is.name());
    let message = format!("Expect Txn `{id}` to be in {wanted} status but it is in {is} status");
    Refusal::new(ServerError::INVALID_TXN_STATUS, message)
}
