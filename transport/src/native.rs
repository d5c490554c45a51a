//! The connector and the clock of native programs, on tokio.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::tcp::{self, TcpTransport};
use crate::tls::{self, TlsOptions, TlsTransport};
use crate::websocket::{self, WebSocketTransport};
use crate::{Clock, Connector, Scheme, StreamTransport, Target, Transport, TransportError};

/// Opens every [`Scheme`] on tokio. Clones share the TLS configuration and its session tickets.
///
/// There is no timeout inside: drop the connecting future to give up. Its futures want a tokio
/// runtime with I/O around them.
///
/// ```no_run
/// use pulsewire_transport::tls::TlsOptions;
/// use pulsewire_transport::{Connector, NativeConnector, Scheme, Target};
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = std::fs::read("ca.pem")?;
/// let connector = NativeConnector::new(TlsOptions::new().trust_pem(ca));
/// let target = Target { scheme: Scheme::Tls, host: "localhost".into(), port: 6651, path: String::new() };
/// let transport = connector.connect(&target).await?;
/// # drop(transport); Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct NativeConnector {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    tls: TlsOptions,
    // Made at the first TLS connection: who speaks plain TCP needs no system authorities.
    config: OnceLock<Result<Arc<ClientConfig>, TransportError>>,
    headers: Vec<(String, String)>,
}

impl NativeConnector {
    /// A connector with these TLS options. PEM that cannot be used shows when connecting, or with
    /// [`TlsOptions::check`].
    pub fn new(tls: TlsOptions) -> Self {
        Self { shared: Arc::new(Shared { tls, ..Shared::default() }) }
    }

    /// Adds a header to the request that opens a WebSocket, `Origin` or `Authorization` for
    /// example. TCP and TLS don't see it.
    #[must_use]
    pub fn websocket_header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let mut headers = self.shared.headers.clone();
        headers.push((name.into(), value.into()));
        let tls = self.shared.tls.clone();
        Self { shared: Arc::new(Shared { tls, headers, ..Shared::default() }) }
    }
}

impl Shared {
    async fn open(&self, target: &Target) -> Result<NativeTransport, TransportError> {
        Ok(match target.scheme {
            Scheme::Tcp => NativeTransport::Tcp(tcp::connect(&target.host, target.port).await?),
            Scheme::Tls => NativeTransport::Tls(Box::new(StreamTransport::new(self.open_tls(target).await?))),
            Scheme::Ws => {
                let stream = tcp::open(&target.host, target.port).await?;
                let transport = websocket::upgrade(stream, target, &self.headers).await?;
                NativeTransport::WebSocket(Box::new(transport))
            }
            Scheme::Wss => {
                let stream = self.open_tls(target).await?;
                let transport = websocket::upgrade(stream, target, &self.headers).await?;
                NativeTransport::SecureWebSocket(Box::new(transport))
            }
        })
    }

    async fn open_tls(&self, target: &Target) -> Result<TlsStream<TcpStream>, TransportError> {
        let config = self.config.get_or_init(|| self.tls.config()).clone()?;
        tls::open(&target.host, target.port, &self.tls, config).await
    }
}

impl Connector for NativeConnector {
    type Transport = NativeTransport;
    type Connecting = NativeConnecting;

    fn connect(&self, target: &Target) -> NativeConnecting {
        let (shared, target) = (self.shared.clone(), target.clone());
        NativeConnecting { opening: Box::pin(async move { shared.open(&target).await }) }
    }
}

/// A connection of [`NativeConnector`] under way.
#[must_use = "nothing is connected until it is polled"]
pub struct NativeConnecting {
    opening: Pin<Box<dyn Future<Output = Result<NativeTransport, TransportError>> + Send>>,
}

impl std::fmt::Debug for NativeConnecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeConnecting").finish_non_exhaustive()
    }
}

impl Future for NativeConnecting {
    type Output = Result<NativeTransport, TransportError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.opening.as_mut().poll(cx)
    }
}

/// What [`NativeConnector`] opens.
#[derive(Debug)]
#[non_exhaustive]
pub enum NativeTransport {
    /// `pulsar://`
    Tcp(TcpTransport),
    /// `pulsar+ssl://`
    Tls(Box<TlsTransport>),
    /// `ws://`
    WebSocket(Box<WebSocketTransport<TcpStream>>),
    /// `wss://`
    SecureWebSocket(Box<WebSocketTransport<TlsStream<TcpStream>>>),
}

macro_rules! either {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self {
            NativeTransport::Tcp($inner) => $call,
            NativeTransport::Tls($inner) => $call,
            NativeTransport::WebSocket($inner) => $call,
            NativeTransport::SecureWebSocket($inner) => $call,
        }
    };
}

impl Transport for NativeTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        either!(self, inner => inner.poll_read(cx))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        segments: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, TransportError>> {
        either!(self, inner => inner.poll_write(cx, segments))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        either!(self, inner => inner.poll_flush(cx))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        either!(self, inner => inner.poll_close(cx))
    }
}

/// Tokio's time. Under `tokio::time::pause` it stands still with it, but for the wall clock.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use pulsewire_transport::{Clock, TokioClock};
///
/// let clock = TokioClock::new();
/// let deadline = clock.now() + Duration::from_millis(2);
/// clock.sleep_until(deadline).await;
/// assert!(clock.now() >= deadline);
/// # });
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: Instant,
}

/// Beyond this a deadline is as good as never, and the sum still is an instant.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl TokioClock {
    /// A clock that starts at zero.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    type Sleep = TokioSleep;

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// # Panics
    /// Outside of a tokio runtime with time.
    fn sleep_until(&self, deadline: Duration) -> TokioSleep {
        TokioSleep { sleep: Box::pin(tokio::time::sleep_until(self.origin + deadline.min(NEVER))) }
    }
}

/// A sleep of [`TokioClock`] under way.
#[derive(Debug)]
#[must_use = "nobody sleeps until it is polled"]
pub struct TokioSleep {
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Future for TokioSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }
}
