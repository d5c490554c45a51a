//! Accepting connections, as many as there are slots for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
