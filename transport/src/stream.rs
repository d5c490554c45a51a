//! A transport over anything that tokio reads and writes: the common part of TCP and TLS.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::error::from_io;
use crate::segments::advance;
use crate::{ErrorKind, Transport, TransportError};

/// One block of the read buffer; what is read out of it are slices of the same block.
const READ_CHUNK: usize = 64 * 1024;
/// With less room than this left in the block, the next read starts a new one.
const MIN_READ: usize = 4 * 1024;
/// Shorter segments are copied together: an I/O slice costs more than copying them.
const FLATTEN_BELOW: usize = 4 * 1024;
/// At most this much is copied together for one write.
const MAX_SCRATCH: usize = 64 * 1024;
/// At most this many slices go into one write.
const MAX_SLICES: usize = 64;
/// How much unread input is looked through for the reason of a failed write.
const MAX_EXPLAIN_READS: usize = 32;

/// A [`Transport`] over a stream of bytes of tokio.
///
/// It is what [`TcpTransport`](crate::tcp::TcpTransport) and
/// [`TlsTransport`](crate::tls::TlsTransport) are made of, and serves the accepting side as well.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::future::poll_fn;
/// use pulsewire_transport::{StreamTransport, Transport};
///
/// let (ours, theirs) = tokio::io::duplex(1024);
/// let (mut ours, mut theirs) = (StreamTransport::new(ours), StreamTransport::new(theirs));
/// let mut segments = std::collections::VecDeque::from([bytes::Bytes::from("hello")]);
/// assert_eq!(poll_fn(|cx| ours.poll_write(cx, &mut segments)).await, Ok(5));
/// assert_eq!(poll_fn(|cx| theirs.poll_read(cx)).await, Ok(Some(bytes::Bytes::from("hello"))));
/// # });
/// ```
#[derive(Debug)]
pub struct StreamTransport<S> {
    stream: S,
    inbound: BytesMut,
    scratch: BytesMut,
    /// The last write was refused: try the next with the front segment alone, which copies nothing.
    full: bool,
    ended: bool,
    flushed_for_close: bool,
}

impl<S> StreamTransport<S> {
    /// Carries bytes over `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            inbound: BytesMut::new(),
            scratch: BytesMut::new(),
            full: false,
            ended: false,
            flushed_for_close: false,
        }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StreamTransport<S> {
    fn write_once(&mut self, cx: &mut Context<'_>, segments: &VecDeque<Bytes>) -> Poll<io::Result<usize>> {
        let count = if self.full { 1 } else { self.gather(segments) };
        let stream = Pin::new(&mut self.stream);
        if count == 1 {
            return stream.poll_write(cx, segments.front().map_or(&[], |first| first));
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        let mut push = |bytes| {
            slices[used] = IoSlice::new(bytes);
            used += 1;
        };
        let (mut from, mut to) = (0, 0);
        for segment in segments.iter().take(count) {
            if segment.len() < FLATTEN_BELOW {
                to += segment.len();
                continue;
            }
            if to > from {
                push(&self.scratch[from..to]);
                from = to;
            }
            push(segment);
        }
        if to > from {
            push(&self.scratch[from..to]);
        }
        stream.poll_write_vectored(cx, &slices[..used])
    }

    /// Copies the short segments at the front together and says how many segments (short and long)
    /// make the next write.
    fn gather(&mut self, segments: &VecDeque<Bytes>) -> usize {
        self.scratch.clear();
        if segments.len() == 1 {
            return 1;
        }
        let (mut count, mut slices, mut in_run) = (0, 0, false);
        for segment in segments {
            let short = segment.len() < FLATTEN_BELOW;
            if !(short && in_run) {
                if slices == MAX_SLICES {
                    break;
                }
                slices += 1;
            }
            if short {
                if self.scratch.len() + segment.len() > MAX_SCRATCH {
                    break;
                }
                self.scratch.extend_from_slice(segment);
            }
            in_run = short;
            count += 1;
        }
        count
    }

    /// A peer that refuses us in TLS (no client certificate, say) sends an alert and goes. The write
    /// that breaks on it knows less than the alert which waits to be read.
    fn explain(&mut self, cx: &mut Context<'_>, error: TransportError) -> TransportError {
        for _ in 0..MAX_EXPLAIN_READS {
            match self.poll_read(cx) {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(Err(reason)) if reason.kind() == ErrorKind::Tls => return reason,
                _ => break,
            }
        }
        error
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport for StreamTransport<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        if self.inbound.capacity() < MIN_READ {
            self.inbound.reserve(READ_CHUNK);
        }
        let read = ready!(pin!(self.stream.read_buf(&mut self.inbound)).poll(cx));
        Poll::Ready(match read {
            Ok(0) => {
                self.ended = true;
                Ok(None)
            }
            Ok(_) => Ok(Some(self.inbound.split().freeze())),
            Err(error) => Err(from_io(&error, "reading")),
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
        match self.write_once(cx, segments) {
            Poll::Pending => {
                self.full = true;
                Poll::Pending
            }
            Poll::Ready(Ok(0)) => {
                let error = TransportError::new(ErrorKind::Reset, "the connection takes no more bytes");
                Poll::Ready(Err(self.explain(cx, error)))
            }
            Poll::Ready(Ok(written)) => {
                self.full = false;
                advance(segments, written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.explain(cx, from_io(&error, "writing")))),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| self.explain(cx, from_io(&error, "writing"))))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if !self.flushed_for_close {
            ready!(self.poll_flush(cx))?;
            self.flushed_for_close = true;
        }
        let closed = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        Poll::Ready(closed.map_err(|error| from_io(&error, "closing")))
    }
}
