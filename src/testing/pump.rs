//! The task that joins a test's broker to its connections, and what it shares with the test.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use pulsewire_broker::testing::{Harness, TestError};
use pulsewire_broker::{ConnId, Now};
use pulsewire_proto::{Error, ErrorKind};
use pulsewire_transport::memory::{MemoryConnector, MemoryListener, MemoryTransport};
use pulsewire_transport::{Clock as _, Transport, TransportError};

use super::refused;
use crate::Client;
use crate::runtime::Clock;
use crate::waiters::Waiters;

/// Chunks that one turn reads from one connection.
const READS: usize = 16;
/// Turns before other tasks get theirs.
const TURNS: usize = 32;

pub(super) struct Shared {
    state: Mutex<State>,
    clock: Clock,
}

pub(super) struct State {
    pub(super) harness: Harness,
    stopped: bool,
    pump: Option<Waker>,
    /// Its clients, to be closed with it.
    clients: Vec<Weak<crate::shared::Shared<Waiters>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::AlreadyClosed, "the test broker is stopped")
}

/// What carries a client to its broker.
pub(crate) struct Network {
    pub(super) connector: MemoryConnector,
    pub(super) shared: Arc<Shared>,
}

impl Network {
    pub(crate) fn connector(&self) -> MemoryConnector {
        self.connector.clone()
    }

    /// Takes a client in: it ends with the broker.
    pub(crate) fn join(&self, client: Client) -> Result<Client, Error> {
        let mut state = self.shared.lock();
        if state.stopped {
            return Err(ended());
        }
        state.clients.retain(|client| client.strong_count() > 0);
        state.clients.push(Arc::downgrade(&client.inner.shared));
        Ok(client)
    }
}

impl Shared {
    pub(super) fn new(harness: Harness) -> Self {
        let state = State { harness, stopped: false, pump: None, clients: Vec::new() };
        Self { state: Mutex::new(state), clock: Clock::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere does not make the state wrong: each change of it is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Now {
        Now::new(self.clock.now(), self.clock.wall_ms())
    }

    /// Lets something be done to the broker, and what follows from it happen.
    pub(super) fn order<T>(&self, order: impl FnOnce(&mut Harness, Now) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        let answer = order(&mut state.harness, now);
        let pump = state.pump.take();
        drop(state);
        if let Some(pump) = pump {
            pump.wake();
        }
        answer
    }

    /// The same for one that must still run.
    pub(super) fn order_running<T>(
        &self,
        order: impl FnOnce(&mut Harness, Now) -> Result<T, TestError>,
    ) -> Result<T, Error> {
        if self.lock().stopped {
            return Err(ended());
        }
        self.order(order).map_err(refused)
    }

    /// Asks what is there; there is nothing once it is stopped.
    pub(super) fn inquire<T>(&self, inquiry: impl FnOnce(&Harness) -> T) -> Option<T> {
        let state = self.lock();
        (!state.stopped).then(|| inquiry(&state.harness))
    }

    /// The same of what may not be there.
    pub(super) fn inquire_running<T>(
        &self,
        inquiry: impl FnOnce(&Harness) -> Result<T, TestError>,
    ) -> Result<T, Error> {
        self.inquire(inquiry).ok_or_else(ended)?.map_err(refused)
    }

    pub(super) fn stop(&self) {
        let clients = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.clients)
        };
        // Not under the lock: they have locks of their own.
        for client in clients.iter().filter_map(Weak::upgrade) {
            client.command(|core, _, now| core.close(now));
        }
        self.order(|_, _| ());
    }
}

/// The broker's end of a connection.
struct Connection {
    id: ConnId,
    transport: MemoryTransport,
    out: VecDeque<Bytes>,
    /// The broker has cut it; it goes when all is written that was to be.
    cut: bool,
}

/// The one task that joins the broker to its connections.
pub(super) struct Pump {
    shared: Arc<Shared>,
    listener: MemoryListener,
    connections: Vec<Connection>,
    sleep: Option<(Duration, <Clock as pulsewire_transport::Clock>::Sleep)>,
}

impl Pump {
    pub(super) fn new(shared: Arc<Shared>, listener: MemoryListener) -> Self {
        Self { shared, listener, connections: Vec::new(), sleep: None }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, listener, connections, sleep } = &mut *self;
        for _ in 0..TURNS {
            let now = shared.now();
            let mut state = shared.lock();
            if state.stopped {
                return Poll::Ready(());
            }
            let harness = &mut state.harness;
            let mut busy = false;
            while let Poll::Ready((transport, _)) = listener.poll_accept(cx) {
                busy = true;
                // One that is not let in is dropped: its opener finds it broken.
                if let Some(id) = harness.connect(now) {
                    connections.push(Connection { id, transport, out: VecDeque::new(), cut: false });
                }
            }
            connections.retain_mut(|connection| match connection.turn(harness, now, cx) {
                Ok(did) => {
                    busy |= did;
                    !(connection.cut && connection.out.is_empty())
                }
                Err(_) => {
                    busy = true;
                    harness.closed(connection.id, now);
                    false
                }
            });
            if harness.next_deadline().is_some_and(|at| at <= now.mono) {
                harness.timeout(now);
            }
            while let Some((id, segments)) = harness.poll_transmit() {
                busy = true;
                if let Some(connection) = connections.iter_mut().find(|connection| connection.id == id) {
                    connection.out.extend(segments);
                }
            }
            while let Some((id, _)) = harness.poll_disconnect() {
                busy = true;
                if let Some(connection) = connections.iter_mut().find(|connection| connection.id == id) {
                    connection.cut = true;
                }
            }
            if busy {
                continue;
            }
            state.pump = Some(cx.waker().clone());
            let deadline = state.harness.next_deadline();
            drop(state);
            let Some(at) = deadline else {
                *sleep = None;
                return Poll::Pending;
            };
            if sleep.as_ref().is_none_or(|(set, _)| *set != at) {
                *sleep = Some((at, shared.clock.sleep_until(at)));
            }
            let rung = sleep.as_mut().is_some_and(|(_, sleep)| Pin::new(sleep).poll(cx).is_ready());
            if !rung {
                return Poll::Pending;
            }
            *sleep = None;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Connection {
    /// Writes and reads what is there; whether there was anything. An error is the end.
    fn turn(
        &mut self,
        harness: &mut Harness,
        now: Now,
        cx: &mut Context<'_>,
    ) -> Result<bool, Option<TransportError>> {
        let mut busy = false;
        while !self.out.is_empty() {
            match self.transport.poll_write(cx, &mut self.out) {
                Poll::Ready(Ok(written)) => {
                    busy = true;
                    harness.transmitted(self.id, written, now);
                }
                Poll::Ready(Err(error)) => return Err(Some(error)),
                Poll::Pending => break,
            }
        }
        for _ in 0..READS {
            if self.cut || !harness.wants_bytes(self.id) {
                break;
            }
            match self.transport.poll_read(cx) {
                Poll::Ready(Ok(Some(bytes))) => {
                    busy = true;
                    harness.received(self.id, bytes, now);
                }
                Poll::Ready(Ok(None)) => return Err(None),
                Poll::Ready(Err(error)) => return Err(Some(error)),
                Poll::Pending => break,
            }
        }
        Ok(busy)
    }
}
