//! The helper's end of a connection, over tokio and tungstenite as they are (not over the
//! transports that it is to judge), and in memory.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::memory::MemoryTransport;
use crate::{ErrorKind, Transport, TransportError};

/// Reserved bits and an opcode that doesn't exist.
const BREACH: &[u8] = &[0xf3, 0x02, 0x00, 0x00];
/// A binary message of 2^63 - 1 bytes.
const LIE: &[u8] = &[0x82, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];
/// A binary message of 4096 bytes, of which three come.
const HALF_FRAME: &[u8] = &[0x82, 0x7e, 0x10, 0x00, 1, 2, 3];

pub(super) enum Received {
    Bytes(Bytes),
    /// An orderly end, with the close code where the carrier has one.
    End(u16),
    Broken,
}

/// What a helper can do to the other side. What a carrier doesn't have does nothing.
pub(super) trait Peer: Send + Sized + 'static {
    fn recv(&mut self) -> impl Future<Output = Received> + Send;
    /// False when the connection is broken.
    fn send(&mut self, bytes: Bytes) -> impl Future<Output = bool> + Send;
    /// Ends our direction with the code and the reason given, where the carrier has them.
    fn close(&mut self, code: u16, reason: String) -> impl Future<Output = ()> + Send;
    /// Breaks the connection, in the middle of something where that can be.
    fn drop_hard(self) -> impl Future<Output = ()> + Send;
    /// Ends it without the goodbye of the carrier.
    fn cut(self) -> impl Future<Output = ()> + Send {
        async { drop(self) }
    }
    /// Sends bytes that the carrier's rules forbid.
    fn breach(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
    fn lie(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
    fn send_text(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
    /// False when no answer comes.
    fn ping(&mut self) -> impl Future<Output = bool> + Send {
        async { true }
    }
    fn path(&self) -> &str {
        ""
    }
}

/// The TCP socket below a stream.
pub(super) trait OverTcp: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&mut self) -> &mut TcpStream;
}

impl OverTcp for TcpStream {
    fn tcp(&mut self) -> &mut TcpStream {
        self
    }
}

impl OverTcp for TlsStream<TcpStream> {
    fn tcp(&mut self) -> &mut TcpStream {
        self.get_mut().0
    }
}

pub(super) struct Plain<S>(pub(super) S);

impl<S: OverTcp> Peer for Plain<S> {
    async fn recv(&mut self) -> Received {
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        match self.0.read_buf(&mut buffer).await {
            Ok(0) => Received::End(0),
            Ok(_) => Received::Bytes(buffer.freeze()),
            Err(_) => Received::Broken,
        }
    }

    async fn send(&mut self, bytes: Bytes) -> bool {
        self.0.write_all(&bytes).await.is_ok() && self.0.flush().await.is_ok()
    }

    async fn close(&mut self, _code: u16, _reason: String) {
        let _ = self.0.shutdown().await;
    }

    async fn drop_hard(mut self) {
        let _ = self.0.tcp().set_zero_linger();
    }

    async fn cut(mut self) {
        let _ = self.0.tcp().shutdown().await;
        drain_tcp(self.0.tcp()).await;
    }

    async fn breach(&mut self) {
        let _ = self.0.tcp().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    }
}

/// A socket dropped with unread bytes resets, and what it sent last may be lost.
async fn drain_tcp(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    let _ = timeout(Duration::from_secs(5), async {
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    })
    .await;
}

pub(super) struct Ws<S> {
    pub(super) socket: WebSocketStream<S>,
    pub(super) path: String,
    pub(super) pongs: u64,
}

impl<S: OverTcp> Ws<S> {
    async fn raw(&mut self, bytes: &[u8]) {
        let stream = self.socket.get_mut();
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
    }
}

impl<S: OverTcp> Peer for Ws<S> {
    async fn recv(&mut self) -> Received {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Received::Bytes(bytes),
                Some(Ok(Message::Pong(_))) => self.pongs += 1,
                Some(Ok(Message::Close(frame))) => {
                    // Sends our answer.
                    let _ = self.socket.flush().await;
                    return Received::End(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Received::Broken,
            }
        }
    }

    async fn send(&mut self, bytes: Bytes) -> bool {
        self.socket.send(Message::Binary(bytes)).await.is_ok()
    }

    async fn close(&mut self, code: u16, reason: String) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let _ = self.socket.send(Message::Close((code != 1005).then_some(frame))).await;
    }

    async fn drop_hard(mut self) {
        self.raw(HALF_FRAME).await;
        let _ = self.socket.get_mut().tcp().set_zero_linger();
    }

    async fn cut(mut self) {
        let _ = self.socket.get_mut().shutdown().await;
        drain_tcp(self.socket.get_mut().tcp()).await;
    }

    async fn breach(&mut self) {
        self.raw(BREACH).await;
    }

    async fn lie(&mut self) {
        self.raw(LIE).await;
    }

    async fn send_text(&mut self) {
        let _ = self.socket.send(Message::text("not binary")).await;
    }

    async fn ping(&mut self) -> bool {
        let before = self.pongs;
        if self.socket.send(Message::Ping(Bytes::from_static(b"?"))).await.is_err() {
            return false;
        }
        let answered = timeout(Duration::from_secs(5), async {
            while self.pongs == before {
                match self.socket.next().await {
                    Some(Ok(Message::Pong(_))) => self.pongs += 1,
                    Some(Ok(_)) => {}
                    _ => return false,
                }
            }
            true
        });
        answered.await.unwrap_or(false)
    }

    fn path(&self) -> &str {
        &self.path
    }
}

impl Peer for MemoryTransport {
    async fn recv(&mut self) -> Received {
        match std::future::poll_fn(|cx| self.poll_read(cx)).await {
            Ok(Some(bytes)) => Received::Bytes(bytes),
            Ok(None) => Received::End(0),
            Err(_) => Received::Broken,
        }
    }

    async fn send(&mut self, bytes: Bytes) -> bool {
        let mut segments = std::collections::VecDeque::from([bytes]);
        while !segments.is_empty() {
            if std::future::poll_fn(|cx| self.poll_write(cx, &mut segments)).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn close(&mut self, code: u16, reason: String) {
        if matches!(code, 1000 | 1005) {
            let _ = std::future::poll_fn(|cx| self.poll_close(cx)).await;
            return;
        }
        let (gone, _) = crate::memory::pair(1);
        let message = format!("closed with code {code}: {reason}");
        std::mem::replace(self, gone).fail(TransportError::new(ErrorKind::Closed { code }, message));
    }

    async fn drop_hard(self) {}
}
