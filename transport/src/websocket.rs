//! Binary WebSocket (`ws://`, `wss://`) natively, to a pulsewire gateway.
//!
//! The bytes of many segments leave as one message and message boundaries mean nothing on the way
//! in: it is a byte stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::error::from_io;
use crate::segments::{MAX_MESSAGE, advance, next_message};
use crate::{ErrorKind, Target, Transport, TransportError};

/// A message from the peer longer than this is a breach: a gateway has no reason for it.
const MAX_INBOUND: usize = 16 * 1024 * 1024;
const READ_BUFFER: usize = 64 * 1024;
/// How much unread input is looked through for the reason of a failed write.
const MAX_EXPLAIN_READS: usize = 32;

/// A [`Transport`] over one WebSocket, of either role.
#[derive(Debug)]
pub struct WebSocketTransport<S> {
    socket: WebSocketStream<S>,
    gathered: BytesMut,
    /// We have sent our close frame.
    closing: bool,
    /// How the peer ended.
    ended: Option<Result<(), TransportError>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketTransport<S> {
    /// Carries bytes over an open WebSocket. Make it with [`websocket_config`], so that it buffers
    /// little.
    pub fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, gathered: BytesMut::new(), closing: false, ended: None }
    }

    fn socket(&mut self) -> Pin<&mut WebSocketStream<S>> {
        Pin::new(&mut self.socket)
    }

    /// Tells the peer what it did wrong, as far as that goes without waiting.
    fn reject(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &'static str) {
        if !self.closing {
            self.closing = true;
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            if self.socket().start_send(Message::Close(Some(frame))).is_ok() {
                let _ = self.socket().poll_flush(cx);
            }
        }
    }

    fn end(&mut self, how: Result<(), TransportError>) -> Result<Option<Bytes>, TransportError> {
        self.ended = Some(how.clone());
        how.map(|()| None)
    }

    fn on_close(
        &mut self,
        cx: &mut Context<'_>,
        frame: Option<CloseFrame>,
    ) -> Result<Option<Bytes>, TransportError> {
        // Our answer to the close is queued; a caller who drops us now should not strand it.
        let _ = self.socket().poll_flush(cx);
        let (code, reason) = frame.map_or((1005, Utf8Bytes::default()), |it| (it.code.into(), it.reason));
        self.end(match code {
            1000 | 1005 => Ok(()),
            _ => Err(closed(code, &reason)),
        })
    }

    fn on_error(&mut self, cx: &mut Context<'_>, error: WsError) -> Result<Option<Bytes>, TransportError> {
        match &error {
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) if self.closing => {
                return self.end(Ok(()));
            }
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {}
            WsError::Protocol(_) => self.reject(cx, CloseCode::Protocol, "WebSocket protocol violated"),
            WsError::Capacity(_) => self.reject(cx, CloseCode::Size, "message too long"),
            WsError::Utf8(_) => self.reject(cx, CloseCode::Unsupported, "binary messages only"),
            _ => {}
        }
        self.end(Err(from_websocket(error, "reading")))
    }

    /// What the peer said before it went is a better reason than the write that failed on it.
    fn explain(&mut self, cx: &mut Context<'_>, error: TransportError) -> TransportError {
        for _ in 0..MAX_EXPLAIN_READS {
            match self.poll_read(cx) {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(Err(reason)) => return reason,
                _ => break,
            }
        }
        error
    }

    fn may_write(&self) -> Result<(), TransportError> {
        match &self.ended {
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(())) => Err(closed(1000, "the peer has ended the connection")),
            None if self.closing => Err(TransportError::new(ErrorKind::Reset, "written after close")),
            None => Ok(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport for WebSocketTransport<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        if let Some(how) = &self.ended {
            return Poll::Ready(how.clone().map(|()| None));
        }
        loop {
            return Poll::Ready(match ready!(self.socket().poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => continue,
                Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes)),
                // Pings are answered inside; a bare frame is never read.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Text(_))) => {
                    self.reject(cx, CloseCode::Unsupported, "binary messages only");
                    let message = "the peer sent a text message where only binary ones are due";
                    self.end(Err(TransportError::new(ErrorKind::Protocol, message)))
                }
                Some(Ok(Message::Close(frame))) => self.on_close(cx, frame),
                Some(Err(error)) => self.on_error(cx, error),
                None => self.end(Ok(())),
            });
        }
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
        self.may_write()?;
        // Not ready while the message before is not wholly with the kernel: one message is all that
        // is ever buffered.
        if let Err(error) = ready!(self.socket().poll_ready(cx)) {
            return Poll::Ready(Err(self.explain(cx, from_websocket(error, "writing"))));
        }
        let message = next_message(segments, &mut self.gathered);
        let length = message.len();
        match self.socket().start_send(Message::Binary(message)) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(error) => Poll::Ready(Err(self.explain(cx, from_websocket(error, "writing")))),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if let Some(Err(error)) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        let flushed = ready!(self.socket().poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| self.explain(cx, from_websocket(error, "writing"))))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.ended.is_none() && !self.closing {
            // The close frame must not follow bytes that still wait: it would be refused as too much.
            ready!(self.poll_flush(cx))?;
            self.closing = true;
            let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
            let sent = self.socket().start_send(Message::Close(Some(frame)));
            sent.map_err(|error| from_websocket(error, "closing"))?;
        }
        self.poll_flush(cx)
    }
}

/// Limits for a socket that [`WebSocketTransport`] is to use: every message goes to the carrier at
/// once, and no message from the peer is longer than 16 MiB.
pub fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        // One message, and room for the close frame or a pong behind it.
        .max_write_buffer_size(2 * MAX_MESSAGE)
        .max_message_size(Some(MAX_INBOUND))
        .max_frame_size(Some(MAX_INBOUND))
}

/// Does the upgrade on an open stream. The path of the request is that of `target`, or `/pulsar`.
///
/// `headers` go into the request as they are (`Origin`, say).
///
/// # Errors
/// `UpgradeRefused` with the status when the peer answers something other than 101; `Protocol`
/// when the answer is not HTTP; `Unsupported` when target or headers make no request.
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    target: &Target,
    headers: &[(String, String)],
) -> Result<WebSocketTransport<S>, TransportError> {
    let (url, shown) = (target.websocket_url(), target.shown_url());
    let unusable = |what: &str| TransportError::new(ErrorKind::Unsupported, format!("{what} for {shown}"));
    let mut request = url.as_str().into_client_request().map_err(|error| unusable(&error.to_string()))?;
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|_| unusable("unusable header name"))?;
        let value = HeaderValue::try_from(value).map_err(|_| unusable("unusable header value"))?;
        request.headers_mut().insert(name, value);
    }
    let opened = client_async_with_config(request, stream, Some(websocket_config())).await;
    let (socket, _) = opened.map_err(|error| from_websocket(error, &format!("opening {shown}")))?;
    Ok(WebSocketTransport::new(socket))
}

fn closed(code: u16, reason: &str) -> TransportError {
    let mut message = format!("closed by the peer with code {code}");
    if !reason.is_empty() {
        message = format!("{message}: {reason}");
    }
    TransportError::new(ErrorKind::Closed { code }, message)
}

fn from_websocket(error: WsError, doing: &str) -> TransportError {
    let kind = match &error {
        WsError::Io(error) => return from_io(error, doing),
        WsError::Http(response) => {
            let status = response.status();
            let body = response.body().as_deref().unwrap_or_default();
            let said: String = String::from_utf8_lossy(&body[..body.len().min(300)])
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            let message = format!("{doing}: the upgrade to WebSocket was refused with {status} {said}");
            let kind = ErrorKind::UpgradeRefused { status: status.as_u16() };
            return TransportError::new(kind, message.trim_end());
        }
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            let message = format!("{doing}: the connection ended without a close frame");
            return TransportError::new(ErrorKind::Closed { code: 1006 }, message);
        }
        WsError::Capacity(CapacityError::MessageTooLong { .. } | CapacityError::TooManyHeaders)
        | WsError::Protocol(_)
        | WsError::Utf8(_)
        | WsError::HttpFormat(_)
        | WsError::AttackAttempt => ErrorKind::Protocol,
        WsError::Url(_) => ErrorKind::Unsupported,
        WsError::Tls(_) => ErrorKind::Tls,
        WsError::WriteBufferFull(_) => ErrorKind::Reset,
    };
    TransportError::new(kind, format!("{doing}: {error}"))
}
