//! The way out of a connection.
//!
//! A plain socket is written to by the engine itself, as far as it takes anything at once: that saves two wakes of
//! tasks for each message. A task writes the rest, and all of what goes through TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::engine::{Event, Handle};
use crate::core::ConnId;

/// Segments given to the system in one call.
const GATHER: usize = 64;

/// The engine's end of it.
pub(super) struct Outlet {
    socket: Option<Arc<OwnedWriteHalf>>,
    /// To the writer. The core has one transmit under way for a connection, and the last of one that it cuts
    /// besides, so this never fills.
    queue: mpsc::Sender<Vec<Bytes>>,
    /// What the writer has not written yet: nothing may overtake it.
    waiting: Arc<AtomicUsize>,
}

/// What was to be written will not be.
pub(super) struct WriterGone;

impl Outlet {
    /// Of a socket without TLS.
    pub(super) fn plain(socket: OwnedWriteHalf, id: ConnId, handle: &Handle) -> (Self, AbortHandle) {
        let socket = Arc::new(socket);
        let (outlet, writer) = Self::by_writer(Plain(socket.clone()), id, handle);
        (Self { socket: Some(socket), ..outlet }, writer)
    }

    /// Of anything that only a task can write to.
    pub(super) fn by_writer(
        write: impl AsyncWrite + Unpin + Send + 'static,
        id: ConnId,
        handle: &Handle,
    ) -> (Self, AbortHandle) {
        let (queue, writes) = mpsc::channel(4);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = tokio::spawn(writer(write, writes, waiting.clone(), id, handle.clone())).abort_handle();
        (Self { socket: None, queue, waiting }, writer)
    }

    /// Writes what the socket takes at once and leaves the rest to the writer, who tells how much that was.
    /// Answers how much was written here.
    pub(super) fn write(&self, mut segments: Vec<Bytes>) -> Result<usize, WriterGone> {
        let mut written = 0;
        if let Some(socket) = &self.socket
            && self.waiting.load(Ordering::Acquire) == 0
        {
            while !segments.is_empty() {
                let (slices, offered) = gather(&segments);
                // What is wrong with it the writer finds out, and tells.
                let Ok(count) = socket.try_write_vectored(&slices) else { break };
                written += count;
                pass_over(&mut segments, count);
                if count < offered {
                    break;
                }
            }
        }
        if !segments.is_empty() {
            self.waiting.fetch_add(1, Ordering::AcqRel);
            self.queue.try_send(segments).map_err(|_| WriterGone)?;
        }
        Ok(written)
    }
}

/// The next that the system is given, and how many bytes that is.
fn gather(segments: &[Bytes]) -> (Vec<IoSlice<'_>>, usize) {
    let slices: Vec<IoSlice<'_>> =
        segments.iter().take(GATHER).map(|segment| IoSlice::new(segment)).collect();
    let bytes = slices.iter().map(|slice| slice.len()).sum();
    (slices, bytes)
}

/// Takes so many bytes away from the front.
fn pass_over(segments: &mut Vec<Bytes>, mut bytes: usize) {
    let whole = segments.iter().take_while(|segment| {
        let fits = segment.len() <= bytes;
        bytes -= if fits { segment.len() } else { 0 };
        fits
    });
    let whole = whole.count();
    segments.drain(..whole);
    if let Some(first) = segments.first_mut() {
        first.advance(bytes);
    }
}

async fn writer(
    mut write: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Vec<Bytes>>,
    waiting: Arc<AtomicUsize>,
    id: ConnId,
    handle: Handle,
) {
    while let Some(segments) = queue.recv().await {
        let bytes = segments.iter().map(Bytes::len).sum();
        if write_all(&mut write, segments).await.is_err() {
            handle.tell(Event::Closed(id)).await;
            return;
        }
        waiting.fetch_sub(1, Ordering::AcqRel);
        if !handle.tell(Event::Written(id, bytes)).await {
            return;
        }
    }
    // The broker closes the connection. That it is closed already is no matter.
    let _ = write.shutdown().await;
}

/// Writes all segments, many in one call of the system.
async fn write_all(write: &mut (impl AsyncWrite + Unpin), mut segments: Vec<Bytes>) -> io::Result<()> {
    while !segments.is_empty() {
        let written = write.write_vectored(&gather(&segments).0).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        pass_over(&mut segments, written);
    }
    write.flush().await
}

/// A socket of which the engine has the other hold. It is shut down when both let go.
struct Plain(Arc<OwnedWriteHalf>);

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.as_ref().as_ref().poll_write_ready(cx))?;
            match self.0.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    /// A connection that is cut gets its last bytes while others are still with the writer.
    #[tokio::test]
    async fn nothing_overtakes_what_the_writer_has() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_read, write) = listener.accept().await.unwrap().0.into_split();
        let (events, _inbox) = mpsc::channel(16);
        let (outlet, _writer) = Outlet::plain(write, ConnId(1), &Handle::new(events));
        // The writer gets no turn before the next await.
        let first = Bytes::from(vec![1; 64 << 20]);
        assert!(outlet.write(vec![first.clone()]).is_ok_and(|written| written < first.len()));
        client.readable().await.unwrap();
        let mut read = vec![0; first.len() + 3];
        let mut at = 0;
        while at < 8 << 20 {
            at += client.try_read(&mut read[at..]).unwrap_or(0);
            tokio::task::yield_now().await;
        }
        assert!(matches!(outlet.write(vec![Bytes::from_static(b"end")]), Ok(0)), "it waits");
        client.read_exact(&mut read[at..]).await.unwrap();
        assert!(read.ends_with(b"end") && read[..first.len()].iter().all(|byte| *byte == 1));
    }

    #[test]
    fn what_is_written_is_taken_from_the_front() {
        let all = b"abcdefghij";
        for written in 0..=all.len() {
            let mut segments: Vec<Bytes> =
                [&all[..3], &[], &all[3..4], &all[4..]].map(Bytes::copy_from_slice).to_vec();
            pass_over(&mut segments, written);
            assert_eq!(segments.concat(), all[written..], "{written}");
            assert!(segments.first().is_none_or(|first| !first.is_empty() || written == 0));
        }
    }
}
