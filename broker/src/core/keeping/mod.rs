//! What outlives the broker: everything that is stored, as keys and values for a host that keeps them.
//!
//! ```text
//!            poll_kept                       Broker::restored
//!   broker ------------> host's store ... ----------------------> broker
//! ```
//! A host that keeps takes all changes after every fact, and writes them before it transmits
//! anything: what a client hears of is kept then. Non-durable subscriptions and non-persistent
//! messages are not.

pub(in crate::core) mod codec;
pub(in crate::core) mod kind;
mod read;
mod write;

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Broker;
use super::config::BrokerConfig;
use super::ids::TopicKey;
use super::time::Now;
use super::transactions;

/// The version of all that is kept. It goes up when what was kept before cannot be read any more.
pub const FORMAT: u32 = 1;

/// A change of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// This key has this value from now on.
    Put(Vec<u8>, Bytes),
    /// Keys from the first to the second, without it, are no more.
    Remove(Vec<u8>, Vec<u8>),
}

/// What was kept cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The key of it.
    pub key: Vec<u8>,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "what is at the key {:02x?} cannot be read: it is damaged", self.key)
    }
}

impl std::error::Error for Unreadable {}

/// With the time of an entry that is stored as it came.
const PLAIN: u64 = 1 << 63;
/// Set in the index of an entry that names a transaction and belongs to none, as in a shadow topic.
const NO_TXN: u64 = 1 << 63;

/// What may have changed since the host last asked.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) topics: BTreeSet<TopicKey>,
    /// By kind and name.
    pub(super) names: BTreeSet<(u8, String)>,
}

/// What of a topic is kept by now.
#[derive(Debug, Default)]
pub(super) struct KeptTopic {
    head: Bytes,
    /// Entries from the first to the second, without it.
    entries: (u64, u64),
    /// Which compaction it was of which it is kept what it left.
    pub(super) compacted: Option<u64>,
    sequences: Bytes,
    subs: std::collections::BTreeMap<String, Bytes>,
    /// Subscriptions of which it is kept what transactions acknowledge.
    pub(super) pending: BTreeSet<String>,
}

impl Broker {
    /// A broker that goes on where another one was: with what its host kept, in the order of keys.
    /// From now on [`poll_kept`](Self::poll_kept) tells of changes.
    ///
    /// # Errors
    /// Something is damaged.
    pub fn restored(
        config: BrokerConfig,
        kept: impl IntoIterator<Item = (Vec<u8>, Bytes)>,
        now: Now,
    ) -> Result<Self, Unreadable> {
        let mut broker = Self::new(config);
        broker.topics.touched = Some(Touched::default());
        for (key, value) in kept {
            if read::read(&mut broker, &key, &value, now).is_none() {
                return Err(Unreadable { key });
            }
        }
        // All of that is kept. Messages are not made ready for that again, as they may fill half the memory.
        for key in broker.topics.keys_where(|_| true) {
            if let Some(topic) = broker.topics.untouched(key) {
                topic.kept.entries = (topic.log.first(), topic.log.end());
                topic.kept.compacted = topic.compacted.as_ref().map(|it| it.generation());
            }
            write::topic(&mut broker, key, &mut Vec::new());
        }
        broker.topics.touched = Some(Touched::default());
        broker.txns.touched = Some(BTreeSet::new());
        broker.run += 1;
        broker.topics.touch_name(kind::RUN, "");
        for name in broker.topics.namespaces.keys().cloned().collect::<Vec<_>>() {
            broker.topics.touch_name(kind::NAMESPACE, &name);
        }
        for key in broker.topics.keys_where(|_| true) {
            broker.topics.roll(key, &broker.config.cluster, now);
            broker.topics.apply_policies(key, &broker.config);
            if broker.topics.get(key).is_some_and(|topic| topic.rules.need_upkeep()) {
                broker.schedule_upkeep(now);
            }
        }
        broker.topics.changes.clear();
        Ok(broker)
    }

    /// Poll: what a host that keeps has to write before it transmits anything.
    pub fn poll_kept(&mut self) -> Vec<Kept> {
        let Some(touched) = &mut self.topics.touched else { return Vec::new() };
        let touched = std::mem::take(touched);
        let mut out = Vec::new();
        for (kind, name) in touched.names {
            write::name(self, kind, &name, &mut out);
        }
        for key in touched.topics {
            write::topic(self, key, &mut out);
        }
        for id in self.txns.touched.as_mut().map(std::mem::take).unwrap_or_default() {
            transactions::write(self, id, &mut out);
        }
        out
    }
}
