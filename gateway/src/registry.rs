//! The connections that are open, and the last ones that were: what `/connz` shows.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::Instant;

/// Closed connections that are remembered.
const REMEMBERED: usize = 1000;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Upgraded: its first frame is read, or its upstream dialled.
    Opening,
    Piping,
    Draining,
}

impl Phase {
    fn name(number: u8) -> &'static str {
        ["opening", "piping", "draining"].get(usize::from(number)).copied().unwrap_or("closed")
    }
}

/// One open WebSocket.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    /// Who asks, where a proxy that is believed says so.
    pub(crate) forwarded: Option<IpAddr>,
    pub(crate) origin: Option<Arc<str>>,
    /// Of its token, fit to be shown.
    pub(crate) subject: Option<String>,
    pub(crate) opened: Instant,
    opened_at: SystemTime,
    upstream: OnceLock<String>,
    phase: AtomicU8,
    /// Bytes from the client to the upstream.
    pub(crate) up: AtomicU64,
    /// Bytes from the upstream to the client.
    pub(crate) down: AtomicU64,
}

impl Entry {
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        forwarded: Option<IpAddr>,
        origin: Option<Arc<str>>,
        subject: Option<String>,
    ) -> Self {
        Entry {
            id,
            peer,
            forwarded,
            origin,
            subject,
            opened: Instant::now(),
            opened_at: SystemTime::now(),
            upstream: OnceLock::new(),
            phase: AtomicU8::new(Phase::Opening as u8),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        }
    }

    pub(crate) fn set_upstream(&self, upstream: String) {
        // There is one.
        let _ = self.upstream.set(upstream);
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn carried(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }

    fn row(&self, reason: Option<&'static str>, age: Duration) -> Row {
        let (up, down) = self.carried();
        Row {
            id: self.id,
            state: reason.map_or_else(|| Phase::name(self.phase.load(Ordering::Relaxed)), |_| "closed"),
            reason,
            peer: self.forwarded.map_or_else(|| self.peer.to_string(), |client| client.to_string()),
            via: self.forwarded.map(|_| self.peer.to_string()),
            origin: self.origin.as_deref().map(str::to_owned),
            subject: self.subject.clone(),
            upstream: self.upstream.get().cloned(),
            opened: self.opened_at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |it| it.as_secs_f64()),
            age: age.as_secs_f64(),
            up,
            down,
        }
    }
}

/// One connection as `/connz` shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    id: u64,
    state: &'static str,
    /// Why it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    peer: String,
    /// The proxy that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    origin: Option<String>,
    subject: Option<String>,
    upstream: Option<String>,
    /// Seconds since 1970.
    opened: f64,
    /// Seconds that it has been open, or was.
    age: f64,
    up: u64,
    down: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    open: BTreeMap<u64, Arc<Entry>>,
    closed: VecDeque<(Arc<Entry>, &'static str, Duration)>,
}

/// What is asked of `/connz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) of: Which,
    pub(crate) sort: Sort,
    pub(crate) descending: bool,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Open,
    Closed,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Id,
    Age,
    Up,
    Down,
    Peer,
    Origin,
    Subject,
    Upstream,
    Reason,
}

impl Sort {
    pub(crate) const NAMES: [(&'static str, Sort); 9] = [
        ("id", Sort::Id),
        ("age", Sort::Age),
        ("up", Sort::Up),
        ("down", Sort::Down),
        ("peer", Sort::Peer),
        ("origin", Sort::Origin),
        ("subject", Sort::Subject),
        ("upstream", Sort::Upstream),
        ("reason", Sort::Reason),
    ];
}

/// A page of connections.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    open: usize,
    /// Of those that are remembered.
    closed: usize,
    /// How many there are to page through.
    total: usize,
    offset: usize,
    limit: usize,
    connections: Vec<Row>,
}

impl Connections {
    fn with<T>(&self, change: impl FnOnce(&mut Lists) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn open(&self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.with(|lists| lists.open.insert(entry.id, Arc::clone(&entry)));
        entry
    }

    pub(crate) fn close(&self, entry: &Arc<Entry>, reason: &'static str) {
        let age = entry.opened.elapsed();
        self.with(|lists| {
            lists.open.remove(&entry.id);
            if lists.closed.len() == REMEMBERED {
                lists.closed.pop_front();
            }
            lists.closed.push_back((Arc::clone(entry), reason, age));
        });
    }

    /// Lets go of one whose task was dropped; one that was closed is gone already.
    pub(crate) fn forget(&self, entry: &Entry) {
        self.with(|lists| lists.open.remove(&entry.id));
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.with(|lists| lists.open.len())
    }

    pub(crate) fn page(&self, page: Page) -> Answer {
        let now = Instant::now();
        // Only pointers are copied while connections wait to open and close.
        let (open, closed) = self.with(|lists| {
            let open: Vec<_> = lists.open.values().cloned().collect();
            (open, lists.closed.iter().cloned().collect::<Vec<_>>())
        });
        let (open_count, closed_count) = (open.len(), closed.len());
        let open = open.into_iter().map(|entry| {
            let age = now.saturating_duration_since(entry.opened);
            (entry, None, age)
        });
        let closed = closed.into_iter().map(|(entry, reason, age)| (entry, Some(reason), age));
        let mut all: Vec<(Arc<Entry>, Option<&'static str>, Duration)> = match page.of {
            Which::Open => open.collect(),
            Which::Closed => closed.collect(),
            Which::All => closed.chain(open).collect(),
        };
        match page.sort {
            Sort::Id => all.sort_by_key(|(entry, ..)| entry.id),
            Sort::Age => all.sort_by_key(|(_, _, age)| *age),
            // Read once: a figure that changes while it is compared would be no order.
            Sort::Up => all.sort_by_cached_key(|(entry, ..)| entry.carried().0),
            Sort::Down => all.sort_by_cached_key(|(entry, ..)| entry.carried().1),
            Sort::Peer => {
                all.sort_by_key(|(entry, ..)| (entry.forwarded.unwrap_or(entry.peer.ip()), entry.peer))
            }
            Sort::Origin => all.sort_by(|(a, ..), (b, ..)| a.origin.cmp(&b.origin)),
            Sort::Subject => all.sort_by(|(a, ..), (b, ..)| a.subject.cmp(&b.subject)),
            Sort::Upstream => all.sort_by(|(a, ..), (b, ..)| a.upstream.get().cmp(&b.upstream.get())),
            Sort::Reason => all.sort_by_key(|(_, reason, _)| *reason),
        }
        if page.descending {
            all.reverse();
        }
        Answer {
            open: open_count,
            closed: closed_count,
            total: all.len(),
            offset: page.offset,
            limit: page.limit,
            connections: all
                .into_iter()
                .skip(page.offset)
                .take(page.limit)
                .map(|(entry, reason, age)| entry.row(reason, age))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_in_order_of_any_column() {
        let connections = Connections::default();
        let entries: Vec<_> = (0..5u64)
            .map(|id| {
                let entry = Entry::new(id, ([10, 0, 0, 9 - id as u8], 1).into(), None, None, None);
                entry.up.store(id % 3, Ordering::Relaxed);
                connections.open(entry)
            })
            .collect();
        connections.close(&entries[1], "idle-timeout");
        let page = |of, sort, descending, offset, limit| {
            let answer = connections.page(Page { of, sort, descending, offset, limit });
            (answer.total, answer.connections.iter().map(|row| row.id).collect::<Vec<_>>())
        };
        assert_eq!(page(Which::Open, Sort::Id, false, 0, 10), (4, vec![0, 2, 3, 4]));
        assert_eq!(page(Which::Open, Sort::Peer, false, 1, 2), (4, vec![3, 2]));
        assert_eq!(page(Which::All, Sort::Up, true, 0, 1), (5, vec![2]));
        assert_eq!(page(Which::Closed, Sort::Id, false, 0, 9), (1, vec![1]));
        assert_eq!(page(Which::Open, Sort::Id, false, 9, 9), (4, vec![]));
    }

    #[test]
    fn closed_ones_are_forgotten_in_time() {
        let connections = Connections::default();
        for id in 0..REMEMBERED as u64 + 5 {
            let entry = connections.open(Entry::new(id, ([10, 0, 0, 1], 1).into(), None, None, None));
            connections.close(&entry, "client-closed");
        }
        connections.with(|lists| {
            assert_eq!((lists.open.len(), lists.closed.len()), (0, REMEMBERED));
            assert_eq!(lists.closed.front().map(|(entry, ..)| entry.id), Some(5));
        });
    }
}
