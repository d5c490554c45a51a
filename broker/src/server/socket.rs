//! One socket: a task that reads, a task that writes.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

use super::engine::{Event, Handle, Link};
use super::frames::Frames;
use super::tls::common_name;
use crate::core::ConnId;

/// Reads of a connection that the engine may not have seen yet.
const READS: usize = 4;

/// Segments given to the system in one call.
const GATHER: usize = 64;

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
            join(read, write, guest, &handle).await;
        }
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                guest.certified = common_name(stream.get_ref().1.peer_certificates());
                let (read, write) = tokio::io::split(stream);
                join(read, write, guest, &handle).await;
            }
            Ok(Err(error)) => tracing::info!(connection = id.0, %error, "TLS handshake failed"),
            Err(_) => tracing::info!(connection = id.0, "TLS handshake took too long"),
        },
    }
}

async fn join<R, W>(read: R, write: W, guest: Guest, handle: &Handle)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let id = guest.id;
    let (writes, queue) = mpsc::channel(4);
    // The reader starts without a permit: the engine must know the connection first.
    let reads = Arc::new(Semaphore::new(0));
    let reader = tokio::spawn(reader(read, reads.clone(), id, handle.clone())).abort_handle();
    let writer = tokio::spawn(writer(write, queue, id, handle.clone())).abort_handle();
    let link = Link { writes, reads: reads.clone(), owed: 0, reader: reader.clone(), writer: writer.clone() };
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

async fn writer(
    mut write: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Vec<Bytes>>,
    id: ConnId,
    handle: Handle,
) {
    while let Some(segments) = queue.recv().await {
        let bytes = segments.iter().map(Bytes::len).sum();
        if write_all(&mut write, segments).await.is_err() {
            handle.tell(Event::Closed(id)).await;
            return;
        }
        if !handle.tell(Event::Written(id, bytes)).await {
            return;
        }
    }
    // The broker closes the connection. That it is closed already is no matter.
    let _ = write.shutdown().await;
}

/// Writes all segments, many in one call of the system.
async fn write_all(write: &mut (impl AsyncWrite + Unpin), mut segments: Vec<Bytes>) -> io::Result<()> {
    let mut at = 0;
    while at < segments.len() {
        let gathered: Vec<IoSlice<'_>> =
            segments[at..].iter().take(GATHER).map(|segment| IoSlice::new(segment)).collect();
        let mut written = write.write_vectored(&gathered).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(segment) = segments.get_mut(at)
            && written >= segment.len()
        {
            written -= segment.len();
            at += 1;
        }
        if let Some(segment) = segments.get_mut(at) {
            segment.advance(written);
        }
    }
    write.flush().await
}
