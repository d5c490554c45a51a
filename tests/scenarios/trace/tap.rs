//! Transports that tell what goes through them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pulsewire_proto::wire::frame::FrameDecoder;
use pulsewire_transport::tls::TlsOptions;
use pulsewire_transport::{
    Connector, NativeConnecting, NativeConnector, NativeTransport, Target, Transport, TransportError,
};

use super::Trace;

/// Larger than any frame of a scenario.
const LIMIT: usize = 64 << 20;

/// Opens what [`NativeConnector`] opens, and listens.
pub(crate) struct Tap {
    inner: NativeConnector,
    trace: Trace,
}

impl Tap {
    pub(crate) fn new(tls: TlsOptions, trace: Trace) -> Self {
        Self { inner: NativeConnector::new(tls), trace }
    }
}

impl Connector for Tap {
    type Transport = Tapped;
    type Connecting = Tapping;

    fn connect(&self, target: &Target) -> Tapping {
        Tapping { inner: self.inner.connect(target), trace: self.trace.clone() }
    }
}

pub(crate) struct Tapping {
    inner: NativeConnecting,
    trace: Trace,
}

impl Future for Tapping {
    type Output = Result<Tapped, TransportError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = ready!(Pin::new(&mut self.inner).poll(cx))?;
        let trace = self.trace.clone();
        let (sent, heard) = (FrameDecoder::new(LIMIT), FrameDecoder::new(LIMIT));
        Poll::Ready(Ok(Tapped { conn: trace.connection(), inner, trace, sent, heard }))
    }
}

pub(crate) struct Tapped {
    inner: NativeTransport,
    conn: u64,
    trace: Trace,
    sent: FrameDecoder,
    heard: FrameDecoder,
}

impl Transport for Tapped {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        let read = ready!(self.inner.poll_read(cx));
        if let Ok(Some(bytes)) = &read {
            self.heard.push(bytes.clone());
            // What cannot be cut into frames, the client complains of.
            while let Ok(Some(frame)) = self.heard.next_frame() {
                self.trace.heard(self.conn, &frame);
            }
        }
        Poll::Ready(read)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        segments: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, TransportError>> {
        let before: Vec<Bytes> = segments.iter().cloned().collect();
        let written = ready!(self.inner.poll_write(cx, segments));
        let mut rest = *written.as_ref().unwrap_or(&0);
        for segment in before {
            let taken = segment.len().min(rest);
            rest -= taken;
            if taken > 0 {
                self.sent.push(segment.slice(..taken));
            }
        }
        while let Ok(Some(frame)) = self.sent.next_frame() {
            self.trace.sent(self.conn, &frame);
        }
        Poll::Ready(written)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_close(cx)
    }
}
