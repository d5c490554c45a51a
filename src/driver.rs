//! The one loop that joins a core to its sockets, native and in WebAssembly alike.
//!
//! A hand-written future over poll-based traits: whether it is `Send` follows from its connector.
//! Each turn reads before it writes and takes a bounded amount from each socket. The core's lock is held
//! for a chunk at a time, so that commands get between and the chunk's buffer is free for the next.
//!
//! ```text
//! socket: Connecting -> Open -> Closing (writes what it has, for a while) -> dropped
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto::{Action, ConnId, Endpoint, Error, ErrorKind, Now, Scheme, Time};
use pulsewire_transport::{
    Clock as _, Connector, ErrorKind as TransportErrorKind, Scheme as Carrier, Target, Transport,
    TransportError,
};

use crate::runtime::Clock;
use crate::shared::{Shared, Sink, State};

/// Chunks that one turn reads from one socket.
const READS: usize = 16;
/// Turns before other tasks get theirs.
const TURNS: usize = 32;
/// How long a socket that is being closed may take to write what it has.
const LINGER: Duration = Duration::from_secs(2);

pub(crate) struct Driver<C: Connector, S: Sink> {
    shared: Arc<Shared<S>>,
    connector: C,
    /// As many as there are brokers.
    sockets: Vec<(ConnId, Socket<C>)>,
    sleep: Option<(Time, <Clock as pulsewire_transport::Clock>::Sleep)>,
}

enum Socket<C: Connector> {
    Connecting(C::Connecting),
    Open { transport: C::Transport, out: VecDeque<Bytes>, flushed: bool },
    Closing { transport: C::Transport, out: VecDeque<Bytes>, until: Time },
}

impl<C: Connector, S: Sink> Driver<C, S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, connector: C) -> Self {
        Self { shared, connector, sockets: Vec::new(), sleep: None }
    }

    /// Polls the sockets, then the core; `true` when there is more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let now = self.shared.now();
        let mut busy = self.poll_sockets(now, cx);
        let mut deferred = S::Deferred::default();
        let mut state = self.shared.lock();
        let State { core, sink, .. } = &mut *state;
        if core.next_deadline().is_some_and(|at| at <= now.time) {
            core.timeout(now);
        }
        while let Some(action) = core.poll_action() {
            busy = true;
            match action {
                Action::Connect { conn, endpoint } => {
                    let connecting = self.connector.connect(&target(endpoint));
                    self.sockets.push((conn, Socket::Connecting(connecting)));
                }
                Action::Disconnect { conn, .. } => {
                    let Some(at) = self.sockets.iter().position(|(id, _)| *id == conn) else { continue };
                    if let (_, Socket::Open { transport, out, .. }) = self.sockets.swap_remove(at) {
                        let until = now.time + LINGER;
                        self.sockets.push((conn, Socket::Closing { transport, out, until }));
                    }
                }
            }
        }
        for (conn, socket) in &mut self.sockets {
            if let Socket::Open { out, flushed, .. } = socket
                && out.is_empty()
                && core.wants_transmit(*conn)
            {
                core.poll_transmit(*conn, out);
                *flushed = false;
                busy = true;
            }
        }
        while let Some(outcome) = core.poll_sent() {
            sink.sent(outcome, &mut deferred);
        }
        while let Some(event) = core.poll_event() {
            sink.event(event, &mut deferred);
        }
        busy |= sink.turn(core, now, &mut deferred);
        let done = core.is_done() && self.sockets.is_empty();
        let lingering = self.sockets.iter().filter_map(|(_, s)| match s {
            Socket::Closing { until, .. } => Some(*until),
            _ => None,
        });
        let deadline = core.next_deadline().into_iter().chain(lingering).min();
        state.sleep(cx.waker(), deadline);
        drop(state);
        S::run(deferred);
        if done {
            return Turn::Done;
        }
        if busy || self.sleep_until(deadline, cx) { Turn::Again } else { Turn::Idle }
    }

    /// Tells the core what has happened on the sockets; whether anything has.
    fn poll_sockets(&mut self, now: Now, cx: &mut Context<'_>) -> bool {
        let Self { shared, sockets, .. } = self;
        let mut busy = false;
        sockets.retain_mut(|(conn, socket)| {
            let conn = *conn;
            let mut closed = None;
            match socket {
                Socket::Connecting(connecting) => match Pin::new(connecting).poll(cx) {
                    Poll::Ready(Ok(transport)) => {
                        *socket = Socket::Open { transport, out: VecDeque::new(), flushed: true };
                        shared.lock().core.connected(conn, now);
                        busy = true;
                    }
                    Poll::Ready(Err(error)) => closed = Some(connect_error(&error)),
                    Poll::Pending => {}
                },
                Socket::Open { transport, out, flushed } => {
                    closed = read(transport, cx, |bytes| {
                        busy = true;
                        shared.lock().core.received(conn, bytes, now);
                    });
                    if closed.is_none() && !*flushed {
                        match write(transport, out, cx) {
                            Poll::Ready(Ok(())) => *flushed = true,
                            Poll::Ready(Err(error)) => closed = Some(lost(&error)),
                            Poll::Pending => {}
                        }
                    }
                }
                Socket::Closing { transport, out, until } => {
                    let written = match write(transport, out, cx) {
                        Poll::Ready(Ok(())) => transport.poll_close(cx),
                        other => other,
                    };
                    return written.is_pending() && now.time < *until;
                }
            }
            let Some(error) = closed else { return true };
            shared.lock().core.closed(conn, error, now);
            busy = true;
            false
        });
        busy
    }

    /// Sets the alarm; `true` when it has rung.
    fn sleep_until(&mut self, deadline: Option<Time>, cx: &mut Context<'_>) -> bool {
        let Some(at) = deadline else {
            self.sleep = None;
            return false;
        };
        if self.sleep.as_ref().is_none_or(|(set, _)| *set != at) {
            let sleep = self.shared.clock().sleep_until(Duration::from_micros(at.as_micros()));
            self.sleep = Some((at, sleep));
        }
        let rung = self.sleep.as_mut().is_some_and(|(_, sleep)| Pin::new(sleep).poll(cx).is_ready());
        if rung {
            self.sleep = None;
        }
        rung
    }
}

enum Turn {
    Again,
    Idle,
    Done,
}

impl<C: Connector + Unpin, S: Sink> Future for Driver<C, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            match self.turn(cx) {
                Turn::Again => {}
                Turn::Idle => return Poll::Pending,
                Turn::Done => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<C: Connector, S: Sink> Drop for Driver<C, S> {
    fn drop(&mut self) {
        let mut deferred = S::Deferred::default();
        self.shared.lock().sink.ended(&mut deferred);
        S::run(deferred);
    }
}

/// Reads a bounded number of chunks; the error when the socket has ended.
fn read<T: Transport>(
    transport: &mut T,
    cx: &mut Context<'_>,
    mut received: impl FnMut(Bytes),
) -> Option<Error> {
    for _ in 0..READS {
        match transport.poll_read(cx) {
            Poll::Ready(Ok(Some(bytes))) => received(bytes),
            Poll::Ready(Ok(None)) => {
                return Some(Error::new(ErrorKind::Disconnected, "the other side closed the connection"));
            }
            Poll::Ready(Err(error)) => return Some(lost(&error)),
            Poll::Pending => return None,
        }
    }
    cx.waker().wake_by_ref();
    None
}

/// Writes all of `out` and flushes.
fn write<T: Transport>(
    transport: &mut T,
    out: &mut VecDeque<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), TransportError>> {
    while !out.is_empty() {
        std::task::ready!(transport.poll_write(cx, out))?;
    }
    transport.poll_flush(cx)
}

fn target(endpoint: Endpoint) -> Target {
    Target {
        scheme: match endpoint.scheme {
            Scheme::Pulsar => Carrier::Tcp,
            Scheme::PulsarSsl => Carrier::Tls,
            Scheme::Ws => Carrier::Ws,
            Scheme::Wss => Carrier::Wss,
        },
        host: endpoint.host,
        port: endpoint.port,
        path: endpoint.path,
    }
}

/// An error before the connection was open.
fn connect_error(error: &TransportError) -> Error {
    let kind = match error.kind() {
        TransportErrorKind::Unsupported => ErrorKind::NotSupported,
        TransportErrorKind::Tls => ErrorKind::Refused,
        // Browsers hide the status; too many requests and unavailable may pass.
        TransportErrorKind::UpgradeRefused { status } if !matches!(status, 0 | 429 | 500..) => {
            ErrorKind::Refused
        }
        _ => ErrorKind::Connect,
    };
    Error::new(kind, format!("the connection failed: {}", error.message()))
}

/// Whether a gateway's reason for closing would be the same next time: pages are not shown the status of a refused
/// upgrade, and so they are told by a close.
fn is_turned_away(message: &str) -> bool {
    [": token-", ": not-permitted", ": target-refused"].iter().any(|reason| message.contains(reason))
}

/// An error after that.
fn lost(error: &TransportError) -> Error {
    let kind = match error.kind() {
        TransportErrorKind::Tls => ErrorKind::Refused,
        TransportErrorKind::Protocol => ErrorKind::Protocol,
        TransportErrorKind::Closed { code: 1008 } if is_turned_away(error.message()) => ErrorKind::Refused,
        _ => ErrorKind::Disconnected,
    };
    Error::new(kind, format!("the connection was lost: {}", error.message()))
}
