//! An in-process pair of transports, and a little network of them: for tests and simulation.
//!
//! No runtime and no clock: what happens depends only on the order of the polls.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::future::poll_fn;
//! use pulsewire_transport::memory::MemoryConnector;
//! use pulsewire_transport::{Connector, Scheme, Target, Transport};
//!
//! let network = MemoryConnector::new(64 * 1024);
//! let mut listener = network.listen("broker", 6650).unwrap();
//! let target = Target { scheme: Scheme::Tcp, host: "broker".into(), port: 6650, path: String::new() };
//! let mut client = network.connect(&target).await.unwrap();
//! let (mut server, _target) = listener.accept().await;
//!
//! let mut segments = std::collections::VecDeque::from([bytes::Bytes::from("hello")]);
//! assert_eq!(poll_fn(|cx| client.poll_write(cx, &mut segments)).await, Ok(5));
//! assert_eq!(poll_fn(|cx| server.poll_read(cx)).await, Ok(Some(bytes::Bytes::from("hello"))));
//! # });
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::future::{Ready, poll_fn, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::segments::advance;
use crate::{Connector, ErrorKind, Target, Transport, TransportError};

/// Connections that wait to be accepted; one more is refused.
const BACKLOG: usize = 1024;

/// Two ends of one connection. Each direction holds at most `capacity` bytes (at least one), then
/// the writer waits for the reader.
pub fn pair(capacity: usize) -> (MemoryTransport, MemoryTransport) {
    let pipe = || Arc::new(Mutex::new(Pipe { capacity: capacity.max(1), ..Pipe::default() }));
    let (there, back) = (pipe(), pipe());
    let end = |inbound: &Arc<_>, outbound: &Arc<_>| MemoryTransport {
        inbound: Arc::clone(inbound),
        outbound: Arc::clone(outbound),
    };
    (end(&back, &there), end(&there, &back))
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    queue: VecDeque<Bytes>,
    held: usize,
    capacity: usize,
    /// The writer has ended, in order or not.
    written: Option<Result<(), TransportError>>,
    reader_gone: Option<TransportError>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn end(&mut self, how: Result<(), TransportError>) -> Option<Waker> {
        self.written.get_or_insert(how);
        self.reader.take()
    }

    fn abandon(&mut self, why: TransportError) -> Option<Waker> {
        self.queue.clear();
        self.held = 0;
        self.reader_gone.get_or_insert(why);
        self.writer.take()
    }
}

/// Wakes after the lock is given back: a waker may run anything.
fn change<S, T>(state: &Mutex<S>, change: impl FnOnce(&mut S) -> (T, Option<Waker>)) -> T {
    let (result, waker) = change(&mut lock(state));
    if let Some(waker) = waker {
        waker.wake();
    }
    result
}

/// A panic elsewhere leaves these plain queues whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reset(message: &str) -> TransportError {
    TransportError::new(ErrorKind::Reset, message)
}

/// One end of a [`pair`]. Dropping it without [`Transport::poll_close`] breaks the connection: the
/// other end reads what was written and then an error.
#[derive(Debug)]
pub struct MemoryTransport {
    inbound: Arc<Mutex<Pipe>>,
    outbound: Arc<Mutex<Pipe>>,
}

impl MemoryTransport {
    /// Breaks the connection: the other end reads what was written and then `why`, and its writes
    /// fail with it.
    pub fn fail(self, why: TransportError) {
        self.break_off(why);
    }

    fn break_off(&self, why: TransportError) {
        change(&self.outbound, |pipe| ((), pipe.end(Err(why.clone()))));
        change(&self.inbound, |pipe| ((), pipe.abandon(why)));
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.break_off(reset("the other end has gone"));
    }
}

impl Transport for MemoryTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        change(&self.inbound, |pipe| {
            if let Some(bytes) = pipe.queue.pop_front() {
                pipe.held -= bytes.len();
                return (Poll::Ready(Ok(Some(bytes))), pipe.writer.take());
            }
            if let Some(how) = &pipe.written {
                return (Poll::Ready(how.clone().map(|()| None)), None);
            }
            pipe.reader = Some(cx.waker().clone());
            (Poll::Pending, None)
        })
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        segments: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, TransportError>> {
        advance(segments, 0);
        if segments.is_empty() {
            return Poll::Ready(Ok(0));
        }
        change(&self.outbound, |pipe| {
            if let Some(why) = &pipe.reader_gone {
                return (Poll::Ready(Err(why.clone())), None);
            }
            if pipe.written.is_some() {
                return (Poll::Ready(Err(reset("written after close"))), None);
            }
            let before = pipe.held;
            while let Some(first) = segments.front_mut() {
                let bytes = first.split_to(first.len().min(pipe.capacity - pipe.held));
                if bytes.is_empty() {
                    break;
                }
                pipe.held += bytes.len();
                pipe.queue.push_back(bytes);
                advance(segments, 0);
            }
            if pipe.held == before {
                pipe.writer = Some(cx.waker().clone());
                return (Poll::Pending, None);
            }
            (Poll::Ready(Ok(pipe.held - before)), pipe.reader.take())
        })
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let pipe = lock(&self.outbound);
        match &pipe.reader_gone {
            // Who ended in order has nothing more to lose.
            Some(why) if pipe.written.is_none() => Poll::Ready(Err(why.clone())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let flushed = self.poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            change(&self.outbound, |pipe| ((), pipe.end(Ok(()))));
        }
        flushed
    }
}

/// A network in memory: connects by host and port to whoever listens under them, whatever the
/// scheme. Clones are the same network.
#[derive(Debug, Clone)]
pub struct MemoryConnector {
    capacity: usize,
    listeners: Arc<Mutex<Listeners>>,
}

type Listeners = BTreeMap<(String, u16), Arc<Mutex<Backlog>>>;

#[derive(Debug, Default)]
struct Backlog {
    waiting: VecDeque<(MemoryTransport, Target)>,
    acceptor: Option<Waker>,
}

impl MemoryConnector {
    /// An empty network, whose connections hold `capacity` bytes in each direction.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, listeners: Arc::default() }
    }

    /// Listens, until the listener is dropped.
    ///
    /// # Errors
    /// `Refused` when somebody listens there already.
    pub fn listen(&self, host: &str, port: u16) -> Result<MemoryListener, TransportError> {
        let mut listeners = lock(&self.listeners);
        let key = (host.to_owned(), port);
        if listeners.contains_key(&key) {
            let message = format!("{host} port {port} is in use");
            return Err(TransportError::new(ErrorKind::Refused, message));
        }
        let backlog = Arc::<Mutex<Backlog>>::default();
        listeners.insert(key.clone(), Arc::clone(&backlog));
        Ok(MemoryListener { network: self.clone(), key, backlog })
    }

    fn open(&self, target: &Target) -> Result<MemoryTransport, TransportError> {
        let refused = |why| {
            let message = format!("{why} {} port {}", target.host, target.port);
            TransportError::new(ErrorKind::Refused, message)
        };
        let key = (target.host.clone(), target.port);
        let backlog = lock(&self.listeners).get(&key).cloned().ok_or_else(|| refused("nobody listens on"))?;
        change(&backlog, |backlog| {
            if backlog.waiting.len() == BACKLOG {
                return (Err(refused("nobody accepts on")), None);
            }
            let (ours, theirs) = pair(self.capacity);
            backlog.waiting.push_back((theirs, target.clone()));
            (Ok(ours), backlog.acceptor.take())
        })
    }
}

impl Connector for MemoryConnector {
    type Transport = MemoryTransport;
    type Connecting = Ready<Result<MemoryTransport, TransportError>>;

    fn connect(&self, target: &Target) -> Self::Connecting {
        ready(self.open(target))
    }
}

/// Accepts the connections to one host and port of a [`MemoryConnector`].
#[derive(Debug)]
pub struct MemoryListener {
    network: MemoryConnector,
    key: (String, u16),
    backlog: Arc<Mutex<Backlog>>,
}

impl MemoryListener {
    /// The next connection, and the target that its opener asked for.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(MemoryTransport, Target)> {
        let mut backlog = lock(&self.backlog);
        match backlog.waiting.pop_front() {
            Some(accepted) => Poll::Ready(accepted),
            None => {
                backlog.acceptor = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The same as a future.
    pub async fn accept(&mut self) -> (MemoryTransport, Target) {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        lock(&self.network.listeners).remove(&self.key);
    }
}
