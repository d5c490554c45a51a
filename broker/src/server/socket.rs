//! One socket: how it comes in, and the task that reads it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::engine::{Event, Handle, Link};
use super::frames::Frames;
use super::outlet::Outlet;
use super::tls::common_name;
use crate::core::ConnId;

/// Reads of a connection that the engine may not have seen yet.
const READS: usize = 4;

/// How long a TLS handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Takes connections in, for ever.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, broker: usize, handle: Handle) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let id = handle.next_id();
                tracing::debug!(connection = id.0, %peer, "connected");
                tokio::spawn(open(
                    stream,
                    tls.clone(),
                    Guest { id, broker, peer, certified: None },
                    handle.clone(),
                ));
            }
            Err(error) => {
                // Out of file descriptors, most likely: others have to close first.
                tracing::warn!(%error, "cannot take a connection in");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Somebody who connects.
pub(super) struct Guest {
    pub(super) id: ConnId,
    /// To which of several brokers.
    pub(super) broker: usize,
    pub(super) peer: SocketAddr,
    /// The name in its certificate.
    pub(super) certified: Option<String>,
}

async fn open(stream: TcpStream, tls: Option<TlsAcceptor>, mut guest: Guest, handle: Handle) {
    let id = guest.id;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(connection = id.0, %error, "cannot set TCP_NODELAY");
    }
    match tls {
        None => {
            let (read, write) = stream.into_split();
            join(read, Outlet::plain(write, id, &handle), guest, &handle).await;
        }
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                guest.certified = common_name(stream.get_ref().1.peer_certificates());
                let (read, write) = tokio::io::split(stream);
                join(read, Outlet::by_writer(write, id, &handle), guest, &handle).await;
            }
            Ok(Err(error)) => tracing::info!(connection = id.0, %error, "TLS handshake failed"),
            Err(_) => tracing::info!(connection = id.0, "TLS handshake took too long"),
        },
    }
}

async fn join(
    read: impl AsyncRead + Unpin + Send + 'static,
    (outlet, writer): (Outlet, AbortHandle),
    guest: Guest,
    handle: &Handle,
) {
    let id = guest.id;
    // The reader starts without a permit: the engine must know the connection first.
    let reads = Arc::new(Semaphore::new(0));
    let reader = tokio::spawn(reader(read, reads.clone(), id, handle.clone())).abort_handle();
    let link = Link { outlet, reads: reads.clone(), owed: 0, reader: reader.clone(), writer: writer.clone() };
    if handle.tell(Event::Connected(guest, link)).await {
        reads.add_permits(READS);
    } else {
        reader.abort();
        writer.abort();
    }
}

async fn reader(mut read: impl AsyncRead + Unpin, reads: Arc<Semaphore>, id: ConnId, handle: Handle) {
    let mut frames = Frames::default();
    'reading: while let Ok(permit) = reads.acquire().await {
        permit.forget();
        let bytes = loop {
            match read.read_buf(frames.room()).await {
                Ok(0) | Err(_) => break 'reading,
                Ok(_) => {
                    if let Some(bytes) = frames.take() {
                        break bytes;
                    }
                }
            }
        };
        if !handle.tell(Event::Received(id, bytes)).await {
            return;
        }
    }
    handle.tell(Event::Closed(id)).await;
}
