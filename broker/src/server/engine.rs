//! The task that owns the core.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::outlet::{Outlet, WriterGone};
use super::socket::Guest;
use super::store::Store;
use crate::core::{Broker, ConnId, Note, Now};

/// Events dealt with before what follows from them is written.
const BURST: usize = 256;

/// Times that sockets are written to before others get a turn.
const ROUNDS: usize = 8;

/// How long a connection that the broker closes may take to read the last bytes.
const GRACE: Duration = Duration::from_secs(5);

/// What runs on the core; what it gives is run when its consequences are kept.
type Order = Box<dyn FnOnce(&mut Broker, Now) -> Reply + Send>;

type Reply = Box<dyn FnOnce() + Send>;

/// What the engine hears of.
pub(super) enum Event {
    Connected(Guest, Link),
    Received(ConnId, Bytes),
    Written(ConnId, usize),
    Closed(ConnId),
    Order(Order),
}

/// The engine's end of a connection.
pub(super) struct Link {
    pub(super) outlet: Outlet,
    /// One for each read that the reader may make.
    pub(super) reads: Arc<Semaphore>,
    /// Reads that are held back while too much is unwritten.
    pub(super) owed: usize,
    pub(super) reader: AbortHandle,
    pub(super) writer: AbortHandle,
}

/// How other tasks reach the engine.
#[derive(Clone)]
pub(super) struct Handle {
    events: mpsc::Sender<Event>,
    next: Arc<AtomicU64>,
}

impl Handle {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, next: Arc::new(AtomicU64::new(1)) }
    }

    pub(super) fn next_id(&self) -> ConnId {
        ConnId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// False when the engine is gone.
    pub(super) async fn tell(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// Lets `order` run on the core; `None` when the engine is gone.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Broker, Now) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let order: Order = Box::new(move |broker, now| {
            let result = order(broker, now);
            Box::new(move || drop(reply.send(result)))
        });
        if !self.tell(Event::Order(order)).await {
            return None;
        }
        answer.await.ok()
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn wall_ms() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)
}

fn log(note: &Note) {
    match note {
        Note::MemoryFull { .. } => tracing::warn!("{note}"),
        Note::SubscriptionCreated { durable: true, .. }
        | Note::SubscriptionDeleted { durable: true, .. }
        | Note::Denied { .. }
        | Note::Refused { .. }
        | Note::Created(_)
        | Note::Deleted(_)
        | Note::Inactive(_)
        | Note::Terminated(_)
        | Note::Compacted { .. }
        | Note::Unloaded { .. }
        | Note::Split { .. }
        | Note::Evicted { .. }
        | Note::QuotaExceeded { .. }
        | Note::MemoryFree => tracing::info!("{note}"),
        Note::Partitions { .. } | Note::LookedUp { .. } => tracing::trace!("{note}"),
        note => tracing::debug!("{note}"),
    }
}

pub(super) struct Engine {
    broker: Broker,
    inbox: mpsc::Receiver<Event>,
    links: BTreeMap<ConnId, Link>,
    store: Option<Store>,
    replies: Vec<Reply>,
    /// Connections that are owed reads.
    owing: BTreeSet<ConnId>,
    /// What sockets took at once.
    written: Vec<(ConnId, usize)>,
    start: Instant,
}

impl Drop for Engine {
    /// Writers end by themselves with their channel; readers would wait for their clients.
    fn drop(&mut self) {
        self.links.values().for_each(|link| link.reader.abort());
    }
}

impl Engine {
    pub(super) fn new(mut broker: Broker, store: Option<Store>, inbox: mpsc::Receiver<Event>) -> Self {
        if tracing::enabled!(tracing::Level::WARN) {
            broker.take_notes();
        }
        Self {
            broker,
            inbox,
            links: BTreeMap::new(),
            store,
            replies: Vec::new(),
            owing: BTreeSet::new(),
            written: Vec::new(),
            start: Instant::now(),
        }
    }

    /// Writes what has to be kept. When that fails, nobody may hear of what happened.
    fn keep(&mut self) -> io::Result<()> {
        let Some(store) = &mut self.store else { return Ok(()) };
        let changes = self.broker.poll_kept();
        if changes.is_empty() {
            return Ok(());
        }
        store.write(&changes).inspect_err(|error| {
            tracing::error!(%error, "what happened cannot be kept: the broker stops");
        })
    }

    fn now(&self) -> Now {
        Now::new(self.start.elapsed(), wall_ms())
    }

    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut burst = Vec::with_capacity(BURST);
        let mut alarm = pin!(tokio::time::sleep_until(self.start));
        let mut more = false;
        loop {
            let deadline = self.broker.next_deadline().map(|at| self.start + at);
            if let Some(at) = deadline
                && at != alarm.deadline()
            {
                alarm.as_mut().reset(at);
            }
            tokio::select! {
                count = self.inbox.recv_many(&mut burst, BURST) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
                () = &mut alarm, if deadline.is_some() => {}
                () = tokio::task::yield_now(), if more => {}
            }
            let now = self.now();
            for event in burst.drain(..) {
                self.event(event, now);
            }
            // Also under load: timers must not wait for a quiet moment.
            if self.broker.next_deadline().is_some_and(|at| at <= now.mono) {
                self.broker.timeout(now);
            }
            more = self.follow_up(now)?;
        }
    }

    /// Does what follows from what has happened. True when sockets might take still more: others get a turn first.
    fn follow_up(&mut self, now: Now) -> io::Result<bool> {
        for _ in 0..ROUNDS {
            self.keep()?;
            self.replies.drain(..).for_each(|reply| reply());
            if !self.owing.is_empty() {
                self.pay();
            }
            self.flush();
            if self.written.is_empty() {
                return Ok(false);
            }
            for (id, bytes) in self.written.drain(..) {
                self.broker.transmitted(id, bytes, now);
            }
        }
        Ok(true)
    }

    /// Lets those read on whose bytes are wanted again.
    fn pay(&mut self) {
        let Self { owing, links, broker, .. } = self;
        owing.retain(|id| {
            let Some(link) = links.get_mut(id) else { return false };
            if !broker.wants_bytes(*id) {
                return true;
            }
            link.reads.add_permits(std::mem::take(&mut link.owed));
            false
        });
    }

    fn event(&mut self, event: Event, now: Now) {
        match event {
            Event::Connected(Guest { id, broker, peer, certified }, link) => {
                self.broker.connected_to(id, broker, now);
                self.broker.came_from(id, &peer.to_string());
                if let Some(name) = certified {
                    self.broker.certified(id, &name);
                }
                self.links.insert(id, link);
            }
            Event::Received(id, bytes) => {
                self.broker.received(id, bytes, now);
                let wanted = self.broker.wants_bytes(id);
                if let Some(link) = self.links.get_mut(&id) {
                    if wanted {
                        link.reads.add_permits(1);
                    } else {
                        link.owed += 1;
                        self.owing.insert(id);
                    }
                }
            }
            Event::Written(id, bytes) => {
                self.broker.transmitted(id, bytes, now);
            }
            Event::Closed(id) => {
                self.broker.closed(id, now);
                if let Some(link) = self.links.remove(&id) {
                    tracing::debug!(connection = id.0, "closed by the client");
                    link.reader.abort();
                    link.writer.abort();
                }
            }
            Event::Order(order) => {
                let reply = order(&mut self.broker, now);
                self.replies.push(reply);
            }
        }
    }

    fn flush(&mut self) {
        for note in self.broker.poll_notes() {
            log(&note);
        }
        while let Some((id, segments)) = self.broker.poll_transmit() {
            let Some(link) = self.links.get(&id) else { continue };
            match link.outlet.write(segments) {
                Ok(0) => {}
                Ok(bytes) => self.written.push((id, bytes)),
                Err(WriterGone) => tracing::debug!(connection = id.0, "the writer is gone"),
            }
        }
        while let Some((id, reason)) = self.broker.poll_disconnect() {
            tracing::info!(connection = id.0, %reason, "closing a connection");
            if let Some(link) = self.links.remove(&id) {
                link.reader.abort();
                // The writer ends by itself when its channel does, unless the client never reads.
                let Link { writer, .. } = link;
                tokio::spawn(async move {
                    tokio::time::sleep(GRACE).await;
                    writer.abort();
                });
            }
        }
    }
}
