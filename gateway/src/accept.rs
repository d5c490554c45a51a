//! Accepting connections, as many as there are slots for.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::warn;

/// After an error of the listener itself (no file descriptors left, mostly): time for some to end.
const PAUSE: Duration = Duration::from_millis(100);

/// The next connection, with its slot. Waits for a slot first, so that what is over the limit waits in
/// the listener's backlog and costs nothing here. May be dropped at any time without losing either.
pub(crate) async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
    // Nobody closes the semaphore.
    let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => return (slot, tcp, peer),
            // The client was gone before it was accepted.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept connections");
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Those that have not said what they want, the oldest first: it has to go when there are too many.
#[derive(Default)]
pub(crate) struct Queue(Mutex<(u64, BTreeMap<u64, Arc<Notify>>)>);

/// A place in a [`Queue`]. Given back when dropped.
pub(crate) struct Turn {
    queue: Arc<Queue>,
    number: u64,
    goes: Arc<Notify>,
}

impl Queue {
    /// The next place; the oldest loses its own if there are `most`.
    pub(crate) fn enter(self: &Arc<Self>, most: usize) -> Turn {
        let goes = Arc::new(Notify::new());
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.1.len() >= most
            && let Some((_, oldest)) = queue.1.pop_first()
        {
            oldest.notify_one();
        }
        queue.0 += 1;
        let number = queue.0;
        queue.1.insert(number, Arc::clone(&goes));
        Turn { queue: Arc::clone(self), number, goes }
    }
}

impl Turn {
    /// Ready when it has to make room.
    pub(crate) async fn given_up(&self) {
        self.goes.notified().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.0.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.number);
    }
}
