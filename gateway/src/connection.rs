//! One connection to the public listener, from accepting it to its last byte.
//!
//! # States
//!
//! ```text
//! accepted --[TLS]--> http --upgrade granted--> upgraded --place free--> dialling --> piping
//!     |                |                           |                        |            |
//!     | handshake timeout, garbage, refused        | full                   | failed     | any ending
//!     v                v                           v                        v            v
//!   closed           closed               turned away, 1013     turned away, 1011/1013  winding up
//! ```
//!
//! * **accepted**, **http**: one request (a refusal says `connection: close`), all of it within the handshake timeout. Nothing
//!   has been sent to the upstream. A shutdown drops the connection.
//! * **upgraded**: from here on every ending is told as a close code and reason. The upstream is dialled
//!   only now, after the upgrade: browsers hide an HTTP status from scripts but show a close.
//! * **dialling**: the client's bytes wait in its socket.
//! * **piping**, **winding up**: see [`crate::pump`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant as StdInstant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tracing::{Instrument, debug, info, info_span};

use crate::config::{Limits, Upstream};
use crate::dial::dial;
use crate::ending::{DialFailed, Ending};
use crate::origin::Origin;
use crate::pump::{Carried, ClientSocket, Pump, turn_away, websocket_config};
use crate::stream::Stream;
use crate::tls::UpstreamConnector;
use crate::upgrade::{Rules, judge};

/// What an upgrade request may take: its head, and its number of headers.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) acceptor: Option<TlsAcceptor>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) connector: Option<UpstreamConnector>,
    pub(crate) reveal_upstream: bool,
    pub(crate) limits: Limits,
    /// Places for open WebSockets.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) next_id: AtomicU64,
    /// Turns true once, when the gateway stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What the HTTP side hands over when it has granted an upgrade.
struct Upgrading {
    on_upgrade: OnUpgrade,
    origin: Option<Origin>,
}

/// Serves one accepted connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, tcp: TcpStream, peer: SocketAddr) {
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    let span = info_span!("connection", id, %peer);
    async {
        let mut stopping = shared.stopping.clone();
        let deadline = Instant::now() + shared.limits.handshake_timeout;
        let upgraded = tokio::select! {
            upgraded = timeout_at(deadline, handshake(&shared, tcp)) => upgraded,
            () = stopped(&mut stopping) => return,
        };
        match upgraded {
            Err(_) => info!(reason = "handshake-timeout", "no upgrade in time"),
            Ok(None) => {}
            // Boxed: most of a connection's life is here, and the handshake's state is gone by then.
            Ok(Some((client, origin))) => Box::pin(carry(&shared, client, origin, stopping)).await,
        }
    }
    .instrument(span)
    .await;
}

/// TLS and the one HTTP request. `None` if it did not become a WebSocket.
async fn handshake(shared: &Arc<Shared>, tcp: TcpStream) -> Option<(ClientSocket, Option<Origin>)> {
    if let Err(error) = tcp.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY refused");
    }
    let arrived_at = tcp.local_addr().map_err(|error| debug!(%error, "gone at once")).ok()?.ip();
    let stream = match &shared.acceptor {
        None => Stream::Tcp(tcp),
        Some(acceptor) => match acceptor.accept(tcp).await {
            Ok(stream) => Stream::Tls(Box::new(stream.into())),
            Err(error) => {
                debug!(%error, "TLS handshake failed");
                return None;
            }
        },
    };

    let (granted, mut upgrading) = mpsc::channel(1);
    let service = service_fn(|request| {
        let response = answer(shared, request, arrived_at, &granted);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.handshake_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%error, "not HTTP, or broken off");
        return None;
    }
    let Upgrading { on_upgrade, origin } = upgrading.try_recv().ok()?;
    let upgraded = on_upgrade.await.map_err(|error| debug!(%error, "upgrade failed")).ok()?;
    // It is the stream that was put in above.
    let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
    let client = WebSocketStream::from_partially_read(
        parts.io.into_inner(),
        parts.read_buf.into(),
        Role::Server,
        Some(websocket_config(&shared.limits)),
    )
    .await;
    Some((client, origin))
}

fn answer(
    shared: &Shared,
    mut request: Request<Incoming>,
    arrived_at: std::net::IpAddr,
    granted: &mpsc::Sender<Upgrading>,
) -> Response<Full<Bytes>> {
    match judge(&request, &shared.rules, arrived_at) {
        Ok(grant) => {
            let on_upgrade = hyper::upgrade::on(&mut request);
            // There is one request per connection, so there is room.
            let _ = granted.try_send(Upgrading { on_upgrade, origin: grant.origin });
            grant.response
        }
        Err(refused) => {
            info!(
                status = refused.status.as_u16(),
                reason = refused.name,
                detail = refused.sentence,
                "request refused"
            );
            refused.response()
        }
    }
}

/// From the upgrade to the end.
async fn carry(
    shared: &Shared,
    client: ClientSocket,
    origin: Option<Origin>,
    mut stopping: watch::Receiver<bool>,
) {
    let opened = StdInstant::now();
    let origin = origin.map(|origin| origin.to_string());
    let revealed = shared.upstream.as_ref().filter(|_| shared.reveal_upstream).map(ToString::to_string);
    let limits = &shared.limits;

    let dialled = match shared.places.try_acquire() {
        Err(_) => Err(Ending::TooManyConnections),
        Ok(place) => {
            info!(origin, "open");
            tokio::select! {
                dialled = reach(shared) => dialled.map(|stream| (place, stream)),
                () = stopped(&mut stopping) => Err(Ending::Shutdown),
            }
        }
    };
    let (ending, carried) = match dialled {
        Err(ending) => {
            turn_away(client, ending.close_frame(revealed.as_deref()), limits).await;
            (ending, Carried::default())
        }
        Ok((_place, upstream)) => {
            let mut pump = Pump::new(client, upstream, limits);
            let ending = tokio::select! {
                ending = pump.run() => ending,
                () = stopped(&mut stopping) => Ending::Shutdown,
            };
            // What winding up still carries is not in the log's figures.
            let carried = pump.carried();
            pump.finish(ending, ending.close_frame(revealed.as_deref())).await;
            (ending, carried)
        }
    };
    let Carried { up, down } = carried;
    let seconds = opened.elapsed().as_secs_f64();
    info!(origin, reason = ending.name(), up, down, seconds, "closed");
}

async fn reach(shared: &Shared) -> Result<Stream, Ending> {
    // The upgrade is refused without an upstream; nothing is forwarded if that check were missing.
    let Some(upstream) = &shared.upstream else { return Err(Ending::Dial(DialFailed::Unreachable)) };
    let deadline = Instant::now() + shared.limits.connect_timeout;
    dial(upstream, shared.connector.as_ref(), deadline).await.map_err(Ending::Dial)
}

/// Ready once the gateway stops (or is gone).
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, and so the gateway.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
