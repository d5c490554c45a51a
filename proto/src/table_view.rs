//! A table view's state: the last value of each key, and what its listeners have not heard yet.
//!
//! ```text
//! message --key--> value: set · empty or null: removed --> told to each listener, once, in order
//!        \--no key: only its place counts
//! over the memory limit, an unreadable message, the reader's end: failed, for good
//! ```
//!
//! A listener that begins with what is there walks the keys in their order, while changes come. It is
//! told what was there when it began, then all changes since:
//!
//! ```text
//! Walking(key) -- next key behind it --> Walking(that key) --no key is left, nor set aside--> Following
//!    a change up to the key, or of one set aside, is queued; before one behind it,
//!    what was there is set aside, and not met again on the way
//! Following: changes are queued. A queue that is full stops the view until there is room again.
//! ```
//!
//! Nothing is evicted for want of memory: a key that is missing would say that it was removed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::consumer::Message;
use crate::error::{Error, ErrorKind};
use crate::ids::MessageId;

/// What an entry of the table takes beside its key and value, about.
const ENTRY: usize = 128;
/// Changes that a listener may be behind.
const BEHIND: usize = 1000;

/// A key and its new value; `None` when it was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Arc<str>,
    /// The value that it has now, if any.
    pub value: Option<Bytes>,
}

/// A listener of a table view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(u64);

/// Key by key the last value of a topic.
#[derive(Debug)]
pub struct TableView {
    memory_limit: usize,
    entries: BTreeMap<Arc<str>, Bytes>,
    /// Bytes of keys, values and what listeners have not heard yet.
    used: usize,
    /// The last message that was read, by topic.
    read: BTreeMap<Arc<str>, MessageId>,
    listeners: BTreeMap<u64, Listener>,
    next_listener: u64,
    failed: Option<Error>,
}

#[derive(Debug)]
struct Listener {
    /// Of what was there when it began, what is still to be told.
    walk: Option<Walk>,
    /// Changes since.
    behind: VecDeque<Change>,
}

#[derive(Debug, Default)]
struct Walk {
    /// Of the keys, those up to this one were met.
    at: Option<Arc<str>>,
    /// Keys behind it that have changed.
    changed: BTreeSet<Arc<str>>,
    /// What was there before they did.
    aside: VecDeque<Change>,
}

impl Walk {
    /// Whether a key's first change since it began is to come; that is so once.
    fn first_change(&mut self, key: &Arc<str>) -> bool {
        self.at.as_ref().is_none_or(|at| key > at) && self.changed.insert(key.clone())
    }

    fn next(&mut self, entries: &BTreeMap<Arc<str>, Bytes>) -> Option<Change> {
        loop {
            let from = self.at.as_ref().map_or(Bound::Unbounded, |at| Bound::Excluded(at.clone()));
            let (key, value) = entries.range::<Arc<str>, _>((from, Bound::Unbounded)).next()?;
            self.at = Some(key.clone());
            if !self.changed.remove(key) {
                return Some(Change { key: key.clone(), value: Some(value.clone()) });
            }
        }
    }
}

impl TableView {
    /// An empty table that may take so many bytes.
    #[must_use]
    pub fn new(memory_limit: usize) -> Self {
        Self {
            memory_limit,
            entries: BTreeMap::new(),
            used: 0,
            read: BTreeMap::new(),
            listeners: BTreeMap::new(),
            next_listener: 0,
            failed: None,
        }
    }

    /// Takes in the next message of the topic. [`TableView::has_room`] was asked before.
    ///
    /// # Errors
    /// `MemoryLimitExceeded`; the table has failed then.
    pub fn apply(&mut self, message: &Message) -> Result<(), Error> {
        if let Some(key) = message.key() {
            // As Java: an empty value removes too, as it does on compaction.
            let value = message.payload();
            let value = (!message.is_null() && !value.is_empty()).then(|| Bytes::copy_from_slice(value));
            self.change(key, value)?;
        }
        match self.read.get_mut(message.topic()) {
            Some(read) => *read = message.id(),
            None => {
                self.read.insert(message.topic().into(), message.id());
            }
        }
        Ok(())
    }

    fn change(&mut self, key: &str, value: Option<Bytes>) -> Result<(), Error> {
        let known = self.entries.get_key_value(key).map(|(key, value)| (key.clone(), value.len()));
        let freed = known.as_ref().map_or(0, |(key, len)| size(key, *len));
        let (key, known) = known.map_or_else(|| (Arc::from(key), false), |(key, _)| (key, true));
        let taken = value.as_ref().map_or(0, |value| size(&key, value.len()));
        let told = size(&key, value.as_ref().map_or(0, Bytes::len));
        let used = self.used - freed + taken + self.listeners.len() * told;
        if used > self.memory_limit {
            let why = format!(
                "the table view takes more than its memory_limit of {} bytes: {} keys",
                self.memory_limit,
                self.entries.len() + usize::from(!known)
            );
            let error = Error::new(ErrorKind::MemoryLimitExceeded, why);
            self.fail(error.clone());
            return Err(error);
        }
        self.used = used;
        let before = match value.clone() {
            Some(value) => self.entries.insert(key.clone(), value),
            None => self.entries.remove(&key),
        };
        for listener in self.listeners.values_mut() {
            if let Some(walk) = &mut listener.walk
                && walk.first_change(&key)
                && let Some(before) = &before
            {
                // It stays in memory although the table has let go of it.
                self.used += freed;
                walk.aside.push_back(Change { key: key.clone(), value: Some(before.clone()) });
            }
            listener.behind.push_back(Change { key: key.clone(), value: value.clone() });
        }
        Ok(())
    }

    /// Whether the next message may be taken in: no listener is too far behind.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.listeners.values().all(|listener| listener.behind.len() < BEHIND)
    }

    /// The table is what it is, and will not change any more.
    pub fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    /// Why the table has failed, if it has.
    ///
    /// # Errors
    /// `MemoryLimitExceeded`, or what ended its reader.
    pub fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// The values by their keys.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<Arc<str>, Bytes> {
        &self.entries
    }

    /// Bytes that the table takes.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether all of a topic was read up to `last`, which may be the id of a topic without messages.
    #[must_use]
    pub fn has_read(&self, topic: &str, last: MessageId) -> bool {
        let place = |id: MessageId| (id.ledger_id as i64, id.entry_id as i64, id.batch_index);
        place(last).1 < 0 || self.read.get(topic).is_some_and(|read| place(*read) >= place(last))
    }

    // ---- listeners ----

    /// A listener to all changes from now on; with what is there first, if `existing`.
    pub fn listen(&mut self, existing: bool) -> ListenerId {
        let walk = existing.then(Walk::default);
        self.next_listener += 1;
        self.listeners.insert(self.next_listener, Listener { walk, behind: VecDeque::new() });
        ListenerId(self.next_listener)
    }

    /// A listener has gone.
    pub fn unlisten(&mut self, listener: ListenerId) {
        if let Some(gone) = self.listeners.remove(&listener.0) {
            let aside = gone.walk.map(|walk| walk.aside).unwrap_or_default();
            self.used -= gone.behind.iter().chain(&aside).map(told).sum::<usize>();
        }
    }

    /// What a listener is to be told next, if there is anything.
    pub fn next_change(&mut self, listener: ListenerId) -> Option<Change> {
        let listener = self.listeners.get_mut(&listener.0)?;
        if let Some(walk) = &mut listener.walk {
            if let Some(met) = walk.next(&self.entries) {
                return Some(met);
            }
            if let Some(aside) = walk.aside.pop_front() {
                self.used -= told(&aside);
                return Some(aside);
            }
            listener.walk = None;
        }
        let change = listener.behind.pop_front()?;
        self.used -= told(&change);
        Some(change)
    }
}

fn size(key: &str, value: usize) -> usize {
    key.len() + value + ENTRY
}

fn told(change: &Change) -> usize {
    size(&change.key, change.value.as_ref().map_or(0, Bytes::len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(table: &mut TableView, key: &str, value: &str) {
        let value = (!value.is_empty()).then(|| Bytes::copy_from_slice(value.as_bytes()));
        table.change(key, value).expect("within its limit");
    }

    fn heard(table: &mut TableView, listener: ListenerId) -> Option<String> {
        let change = table.next_change(listener)?;
        let value = change.value.map(|value| String::from_utf8_lossy(&value).into_owned());
        Some(format!("{}={}", change.key, value.unwrap_or_default()))
    }

    fn all(table: &mut TableView, listener: ListenerId) -> Vec<String> {
        std::iter::from_fn(|| heard(table, listener)).collect()
    }

    #[test]
    fn v03_each_change_is_told_once_in_order() {
        let mut table = TableView::new(10_000);
        set(&mut table, "a", "1");
        let listener = table.listen(false);
        set(&mut table, "b", "2");
        set(&mut table, "a", "3");
        set(&mut table, "b", "");
        assert_eq!(all(&mut table, listener), ["b=2", "a=3", "b="]);
        assert_eq!(table.entries().keys().map(|key| &**key).collect::<Vec<_>>(), ["a"]);
        assert_eq!(heard(&mut table, listener), None);
    }

    #[test]
    fn v03_what_is_there_comes_first_and_what_changes_meanwhile_comes_once() {
        let mut table = TableView::new(10_000);
        for key in ["b", "d", "f"] {
            set(&mut table, key, "1");
        }
        let listener = table.listen(true);
        assert_eq!(heard(&mut table, listener).as_deref(), Some("b=1"));
        set(&mut table, "a", "2");
        set(&mut table, "b", "2");
        set(&mut table, "c", "2");
        set(&mut table, "d", "2");
        set(&mut table, "f", "");
        set(&mut table, "d", "3");
        // What was there, then all that has changed since.
        assert_eq!(all(&mut table, listener), ["d=1", "f=1", "a=2", "b=2", "c=2", "d=2", "f=", "d=3"]);
        set(&mut table, "e", "3");
        assert_eq!(all(&mut table, listener), ["e=3"]);
        assert_eq!(table.used(), 5 * (ENTRY + 2), "nothing is held for it");
    }

    #[test]
    fn v03_memory_is_counted_and_bounded_and_what_listeners_hold_too() {
        let mut table = TableView::new(3 * (ENTRY + 2));
        set(&mut table, "a", "1");
        let listener = table.listen(false);
        set(&mut table, "a", "2");
        assert_eq!(table.used(), 2 * (ENTRY + 2));
        all(&mut table, listener);
        assert_eq!(table.used(), ENTRY + 2);
        set(&mut table, "a", "");
        table.unlisten(listener);
        assert_eq!(table.used(), 0);
        for key in ["a", "b", "c"] {
            set(&mut table, key, "1");
        }
        set(&mut table, "c", "2");
        let error = table.change("d", Some(Bytes::from_static(b"1"))).expect_err("too much");
        assert_eq!(error.kind(), ErrorKind::MemoryLimitExceeded);
        assert!(error.to_string().contains("memory_limit of 390 bytes: 4 keys"), "{error}");
        assert_eq!(table.check(), Err(error));
        assert_eq!(table.entries().len(), 3, "nothing was lost for it");
    }

    #[test]
    fn v03_a_slow_listener_stops_the_view_and_not_the_memory() {
        let mut table = TableView::new(usize::MAX);
        let slow = table.listen(false);
        for i in 0..BEHIND {
            assert!(table.has_room());
            set(&mut table, "a", &i.to_string());
        }
        assert!(!table.has_room());
        assert_eq!(heard(&mut table, slow).as_deref(), Some("a=0"));
        assert!(table.has_room());
        set(&mut table, "a", "again");
        assert!(!table.has_room());
        table.unlisten(slow);
        assert!(table.has_room());
    }
}
