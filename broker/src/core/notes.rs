//! What happens in the broker, for a host that logs. Never anything secret.

use std::fmt;
use std::time::Duration;

use super::Broker;
use super::ids::{ConnId, SubKey, TopicKey};
use super::time::Now;
use super::topics::Change;

/// Notes that wait for a host that forgets to look; then the newest are dropped.
const MAX_NOTES: usize = 10_000;

/// Between a note that memory is full and one that it is not any more.
const BETWEEN: Duration = Duration::from_secs(1);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A client is in.
    Connected {
        /// Its connection.
        id: ConnId,
        /// What it calls itself.
        client: String,
        /// Its role; empty where nobody asks.
        role: String,
    },
    /// A client may not do what it asked for.
    Denied {
        /// Its connection.
        id: ConnId,
        /// Its role.
        role: String,
        /// The command.
        what: &'static str,
    },
    /// A client cannot have what it asked for.
    Refused {
        /// Its connection.
        id: ConnId,
        /// What it was told.
        why: String,
    },
    /// A client asked how many partitions a topic has.
    Partitions {
        /// Its connection.
        id: ConnId,
        /// The topic.
        topic: String,
        /// How many; 0 when it is not partitioned.
        count: u32,
    },
    /// A client asked where a topic is served.
    LookedUp {
        /// Its connection.
        id: ConnId,
        /// The topic.
        topic: String,
        /// Where it was sent.
        url: String,
        /// To ask there again.
        redirected: bool,
    },
    /// A topic came into being.
    Created(String),
    /// A topic is no more.
    Deleted(String),
    /// Nobody has used a topic for so long that it is deleted.
    Inactive(String),
    /// Nothing can be sent to a topic any more.
    Terminated(String),
    /// A topic was compacted.
    Compacted {
        /// The topic.
        topic: String,
        /// How many entries are left.
        entries: usize,
    },
    /// What a topic's subscriptions have consumed is forgotten, beyond what retention keeps.
    Trimmed {
        /// The topic.
        topic: String,
        /// How much that was.
        bytes: usize,
    },
    /// Clients of a topic or of a bundle are sent away, to come back.
    Unloaded {
        /// The topic, or `tenant/namespace/range`.
        what: String,
        /// The broker that it moves to, where there are several.
        to: Option<String>,
    },
    /// A bundle is two from now on.
    Split {
        /// `tenant/namespace/range`.
        bundle: String,
    },
    /// A producer is there.
    ProducerOpened {
        /// Its connection.
        id: ConnId,
        /// Its number there.
        producer: u64,
        /// The name that it has or was given.
        name: String,
        /// Its topic.
        topic: String,
        /// It may not send before another one is gone.
        waits: bool,
    },
    /// A producer is there no more.
    ProducerClosed {
        /// Its connection.
        id: ConnId,
        /// Its number there.
        producer: u64,
        /// Its topic.
        topic: String,
        /// It did not go by itself.
        expelled: bool,
    },
    /// A consumer is there.
    ConsumerOpened {
        /// Its connection.
        id: ConnId,
        /// Its number there.
        consumer: u64,
        /// Its topic.
        topic: String,
        /// Its subscription.
        subscription: String,
    },
    /// A consumer is there no more.
    ConsumerClosed {
        /// Its connection.
        id: ConnId,
        /// Its number there.
        consumer: u64,
        /// Its topic.
        topic: String,
        /// Its subscription.
        subscription: String,
        /// It did not go by itself.
        expelled: bool,
    },
    /// A subscription was made.
    SubscriptionCreated {
        /// Its topic.
        topic: String,
        /// Its name.
        subscription: String,
        /// It stays when its consumers go.
        durable: bool,
    },
    /// A subscription is no more, and its topic is still there.
    SubscriptionDeleted {
        /// Its topic.
        topic: String,
        /// Its name.
        subscription: String,
        /// It would have stayed without consumers.
        durable: bool,
        /// Because nobody has used it for so long.
        unused: bool,
    },
    /// A subscription was moved.
    Sought {
        /// Its topic.
        topic: String,
        /// Its name.
        subscription: String,
        /// The ledger in which it goes on.
        ledger: u64,
        /// The entry with which it goes on.
        entry: u64,
    },
    /// A subscription passed over messages that are too old.
    Expired {
        /// Its topic.
        topic: String,
        /// Its name.
        subscription: String,
        /// How many entries.
        entries: u64,
    },
    /// A subscription passed over messages because its backlog was beyond its quota.
    Evicted {
        /// Its topic.
        topic: String,
        /// Its name.
        subscription: String,
        /// How many entries.
        entries: u64,
    },
    /// A topic's producers are sent away because its backlog is beyond its quota.
    QuotaExceeded {
        /// The topic.
        topic: String,
        /// How many producers.
        producers: usize,
    },
    /// A transaction began.
    TxnBegun(String),
    /// A transaction was committed.
    TxnCommitted(String),
    /// A transaction was aborted.
    TxnAborted(String),
    /// A transaction was open for too long: it is aborted.
    TxnTimedOut(String),
    /// Messages are refused because so many bytes are stored. Told once, until there is room again.
    MemoryFull {
        /// How many there may be.
        limit: usize,
    },
    /// There is room for messages again.
    MemoryFree,
}

/// What a host that logs has not seen yet.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<Note>,
    /// How many of the topics that came or went are noted.
    seen: usize,
    /// Since when messages are refused for want of room.
    full_since: Option<Duration>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { id, client, role } if role.is_empty() => {
                write!(f, "connection {}: {client:?} is in", id.0)
            }
            Self::Connected { id, client, role } => {
                write!(f, "connection {}: {client:?} is in as {role:?}", id.0)
            }
            Self::Denied { id, role, what } => {
                write!(f, "connection {}: {role:?} may not do this: {what}", id.0)
            }
            Self::Refused { id, why } => write!(f, "connection {}: refused: {why}", id.0),
            Self::Partitions { id, topic, count } => {
                write!(f, "connection {}: partitions of {topic}: {count}", id.0)
            }
            Self::LookedUp { id, topic, url, redirected } => {
                let how = if *redirected { "redirected to" } else { "served at" };
                write!(f, "connection {}: lookup of {topic}: {how} {url}", id.0)
            }
            Self::Created(topic) => write!(f, "topic created: {topic}"),
            Self::Deleted(topic) => write!(f, "topic deleted: {topic}"),
            Self::Inactive(topic) => write!(f, "topic not used for too long: {topic}"),
            Self::Terminated(topic) => write!(f, "topic terminated: {topic}"),
            Self::Compacted { topic, entries } => {
                write!(f, "topic compacted: {topic}: {entries} entries are left")
            }
            Self::Trimmed { topic, bytes } => write!(f, "topic trimmed: {topic}: {bytes} bytes are free"),
            Self::Unloaded { what, to: None } => write!(f, "unloaded: {what}"),
            Self::Unloaded { what, to: Some(to) } => write!(f, "unloaded: {what}, which moves to {to}"),
            Self::Split { bundle } => write!(f, "bundle split in two: {bundle}"),
            Self::ProducerOpened { id, producer, name, topic, waits } => {
                let how = if *waits { "waits" } else { "opened" };
                write!(f, "connection {}: producer {producer} {how}: {name:?} on {topic}", id.0)
            }
            Self::ProducerClosed { id, producer, topic, expelled } => {
                write!(f, "connection {}: producer {producer} {}: {topic}", id.0, gone(*expelled))
            }
            Self::ConsumerOpened { id, consumer, topic, subscription } => {
                write!(f, "connection {}: consumer {consumer} opened: {subscription:?} on {topic}", id.0)
            }
            Self::ConsumerClosed { id, consumer, topic, subscription, expelled } => {
                let how = gone(*expelled);
                write!(f, "connection {}: consumer {consumer} {how}: {subscription:?} on {topic}", id.0)
            }
            Self::SubscriptionCreated { topic, subscription, .. } => {
                write!(f, "subscription created: {subscription:?} on {topic}")
            }
            Self::SubscriptionDeleted { topic, subscription, unused, .. } => {
                let why = if *unused { ", not used for too long" } else { "" };
                write!(f, "subscription deleted: {subscription:?} on {topic}{why}")
            }
            Self::Sought { topic, subscription, ledger, entry } => {
                write!(f, "subscription moved: {subscription:?} on {topic}, to {ledger}:{entry}")
            }
            Self::Expired { topic, subscription, entries } => {
                write!(f, "entries expired: {entries} of {subscription:?} on {topic}")
            }
            Self::Evicted { topic, subscription, entries } => {
                write!(f, "backlog quota exceeded: {entries} entries of {subscription:?} on {topic} dropped")
            }
            Self::QuotaExceeded { topic, producers } => {
                write!(f, "backlog quota exceeded: {producers} producers of {topic} closed")
            }
            Self::TxnBegun(txn) => write!(f, "transaction begun: {txn}"),
            Self::TxnCommitted(txn) => write!(f, "transaction committed: {txn}"),
            Self::TxnAborted(txn) => write!(f, "transaction aborted: {txn}"),
            Self::TxnTimedOut(txn) => write!(f, "transaction timed out: {txn}"),
            Self::MemoryFull { limit } => {
                write!(f, "memory for messages is full, messages are refused: {limit} bytes")
            }
            Self::MemoryFree => write!(f, "memory for messages has room again"),
        }
    }
}

impl Notes {
    /// Notes those of the topics that came and went that are not noted yet.
    fn take_changes(&mut self, changes: &[Change]) {
        let change = |change: &Change| match change.created {
            true => Note::Created(change.name.to_string()),
            false => Note::Deleted(change.name.to_string()),
        };
        let room = MAX_NOTES.saturating_sub(self.list.len());
        self.list.extend(changes.iter().skip(self.seen).take(room).map(change));
        self.seen = changes.len();
    }
}

fn gone(expelled: bool) -> &'static str {
    if expelled { "closed by the broker" } else { "closed" }
}

impl Broker {
    /// From now on [`poll_notes`](Self::poll_notes) tells what happens.
    pub fn take_notes(&mut self) {
        self.notes.get_or_insert_default();
    }

    /// Poll: what happened since the last time; nothing without [`take_notes`](Self::take_notes).
    pub fn poll_notes(&mut self) -> Vec<Note> {
        self.notes.as_mut().map(|notes| std::mem::take(&mut notes.list)).unwrap_or_default()
    }

    pub(super) fn note(&mut self, note: impl FnOnce(&Self) -> Note) {
        let Some(mut notes) = self.notes.take() else { return };
        // What follows from a topic's being there comes after it.
        notes.take_changes(&self.topics.changes);
        if notes.list.len() < MAX_NOTES {
            notes.list.push(note(self));
        }
        self.notes = Some(notes);
    }

    /// Whether somebody is going to read them.
    pub(super) fn takes_notes(&self) -> bool {
        self.notes.is_some()
    }

    /// Something of a topic, by its name.
    pub(super) fn note_of(&mut self, key: TopicKey, note: impl FnOnce(String) -> Note) {
        self.note(|broker| note(broker.name_of(key)));
    }

    pub(super) fn name_of(&self, key: TopicKey) -> String {
        self.topics.get(key).map(|topic| topic.name.to_string()).unwrap_or_default()
    }

    fn sub_name_of(&self, key: TopicKey, sub: SubKey) -> String {
        let sub = self.topics.get(key).and_then(|topic| topic.subs.get(&sub));
        sub.map(|sub| sub.name.clone()).unwrap_or_default()
    }

    /// Something of a subscription, by the names of its topic and its own.
    pub(super) fn note_of_sub(
        &mut self,
        key: TopicKey,
        sub: SubKey,
        note: impl FnOnce(String, String) -> Note,
    ) {
        self.note(|broker| note(broker.name_of(key), broker.sub_name_of(key, sub)));
    }

    /// A subscription was made.
    pub(super) fn note_created(&mut self, key: TopicKey, sub: SubKey) {
        self.note(|broker| Note::SubscriptionCreated {
            topic: broker.name_of(key),
            subscription: broker.sub_name_of(key, sub),
            durable: broker.is_durable(key, sub),
        });
    }

    /// A subscription is about to be deleted.
    pub(super) fn note_deleted(&mut self, key: TopicKey, sub: SubKey, unused: bool) {
        self.note(|broker| Note::SubscriptionDeleted {
            topic: broker.name_of(key),
            subscription: broker.sub_name_of(key, sub),
            durable: broker.is_durable(key, sub),
            unused,
        });
    }

    fn is_durable(&self, key: TopicKey, sub: SubKey) -> bool {
        self.topics.get(key).and_then(|topic| topic.subs.get(&sub)).is_some_and(|sub| sub.durable)
    }

    pub(super) fn note_closed_producer(&mut self, id: ConnId, producer: u64, key: TopicKey, expelled: bool) {
        self.note_of(key, |topic| Note::ProducerClosed { id, producer, topic, expelled });
    }

    pub(super) fn note_closed_consumer(
        &mut self,
        (id, consumer): (ConnId, u64),
        key: TopicKey,
        sub: SubKey,
        expelled: bool,
    ) {
        self.note_of_sub(key, sub, |topic, subscription| Note::ConsumerClosed {
            id,
            consumer,
            topic,
            subscription,
            expelled,
        });
    }

    /// A message of so many bytes was refused: notes it if that was for want of room, and the first.
    pub(super) fn note_refused_send(&mut self, bytes: usize, now: Now) {
        let limit = self.config.max_stored_bytes;
        if self.topics.stored.saturating_add(bytes) <= limit {
            return;
        }
        if let Some(notes) = self.notes.as_mut().filter(|notes| notes.full_since.is_none()) {
            notes.full_since = Some(now.mono);
            self.note(|_| Note::MemoryFull { limit });
        }
    }

    /// Notes that there is room again, once there is some to speak of: not more than once a second, however
    /// often it comes and goes.
    pub(super) fn note_room(&mut self, now: Now) {
        let Some(notes) = &mut self.notes else { return };
        let Some(since) = notes.full_since else { return };
        let limit = self.config.max_stored_bytes;
        if self.topics.stored <= limit - limit / 16 && now.mono.saturating_sub(since) >= BETWEEN {
            notes.full_since = None;
            self.note(|_| Note::MemoryFree);
        }
    }

    /// Notes which topics came and went; those who follow changes are told of all of them after it.
    pub(super) fn note_changes(&mut self) {
        if let Some(notes) = &mut self.notes {
            notes.take_changes(&self.topics.changes);
            notes.seen = 0;
        }
    }
}
