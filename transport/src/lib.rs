//! A duplex byte stream, whatever carries it.
//!
//! The traits are poll-based and say nothing about `Send`: whether a driver built over them can be
//! spawned on a thread pool follows from the transport it is given. A transport carries bytes, not
//! messages: the boundaries of WebSocket messages or TCP segments mean nothing.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

mod error;
pub use error::{ErrorKind, TransportError};

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod memory;
mod segments;

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
mod stream;
#[cfg(not(target_family = "wasm"))]
pub mod tcp;
#[cfg(not(target_family = "wasm"))]
pub mod tls;
#[cfg(not(target_family = "wasm"))]
pub mod websocket;
#[cfg(not(target_family = "wasm"))]
pub use native::{NativeConnecting, NativeConnector, NativeTransport, TokioClock, TokioSleep};
#[cfg(not(target_family = "wasm"))]
pub use stream::StreamTransport;

#[cfg(target_family = "wasm")]
mod web;
#[cfg(target_family = "wasm")]
mod web_clock;
#[cfg(target_family = "wasm")]
pub use web::{WebConnecting, WebConnector, WebTransport};
#[cfg(target_family = "wasm")]
pub use web_clock::{WebClock, WebSleep};

/// What carries the bytes to a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `pulsar://`: plain TCP.
    Tcp,
    /// `pulsar+ssl://`: TLS over TCP.
    Tls,
    /// `ws://`: binary WebSocket through a pulsewire gateway.
    Ws,
    /// `wss://`: the same over TLS.
    Wss,
}

/// A physical address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// What carries the bytes.
    pub scheme: Scheme,
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query of a WebSocket URL, with its leading slash; empty for TCP and TLS.
    pub path: String,
}

impl Target {
    /// The URL to open, with the path `/pulsar` when the target has none. TCP and TLS read as the
    /// WebSocket schemes `ws` and `wss`.
    pub fn websocket_url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Tcp | Scheme::Ws => "ws",
            Scheme::Tls | Scheme::Wss => "wss",
        };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let path = match self.path.as_str() {
            "" => "/pulsar",
            path => path,
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("{scheme}://{open}{}{close}:{}{slash}{path}", self.host, self.port)
    }

    /// The same for people to read: without its query, in which there may be a token.
    pub fn shown_url(&self) -> String {
        let mut url = self.websocket_url();
        url.truncate(url.find('?').unwrap_or(url.len()));
        url
    }
}

/// An open duplex byte stream.
///
/// Order is kept in both directions. All methods register the waker of `cx` when they return
/// `Pending`. After an error the transport is only good for dropping.
pub trait Transport: Unpin {
    /// The next bytes from the peer, never empty; `None` once the peer has finished sending in order.
    ///
    /// # Errors
    /// Reset, protocol violation, or a close with a reason other than an orderly end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>>;

    /// Takes bytes from the front of `segments`, leaving what was not taken, and returns how many
    /// were taken. `Pending` means that the carrier is full: backpressure, nothing was taken.
    /// With no segments it returns `Ready(Ok(0))`.
    ///
    /// # Errors
    /// The stream is broken or closed.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        segments: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, TransportError>>;

    /// Ready when all taken bytes are handed to the carrier (the kernel, the browser).
    ///
    /// # Errors
    /// The stream is broken or closed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Flushes, then ends our direction in order. Reading may go on until the peer ends as well
    /// (a WebSocket ends both directions).
    ///
    /// # Errors
    /// The stream broke before all bytes were handed over.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;
}

/// Opens transports.
pub trait Connector {
    /// What it opens.
    type Transport: Transport;
    /// The connection under way. Dropping it gives up.
    type Connecting: Future<Output = Result<Self::Transport, TransportError>> + Unpin;

    /// Starts to connect; errors (a scheme that this connector cannot carry too) come from the future.
    fn connect(&self, target: &Target) -> Self::Connecting;
}

/// Time as the host tells it.
pub trait Clock {
    /// A sleep under way. Dropping it cancels.
    type Sleep: Future<Output = ()> + Unpin;

    /// Monotonic time since an arbitrary origin of this clock.
    fn now(&self) -> Duration;

    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> u64;

    /// Ready when [`Clock::now`] has reached `deadline`.
    fn sleep_until(&self, deadline: Duration) -> Self::Sleep;
}
