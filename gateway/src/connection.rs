//! One connection to the public listener, from accepting it to its last byte.
//!
//! # States
//!
//! ```text
//! accepted --> TLS --> upgrade --> checked --> first frame --> dialled --> piping --> draining --> closed(reason)
//!     |         |         |          |              |             |           |
//!     | too many|         | refused: | place, token,| no CONNECT, | failed    | any ending
//!     | of one  | garbage,| HTTP     | rate: close  | other host: | close     v
//!     | address | timeout | status   | 1008, 1013   | close 1002, | 1011,   winding up: see `pump`
//!     v         v         v          v              v 1008        v 1013
//!   dropped   dropped   closed    turned away    turned away    turned away
//! ```
//!
//! * **accepted**, **TLS**, **upgrade**: one request (a refusal says `connection: close`), all of it within the
//!   handshake timeout. Nothing has been sent to the upstream. A gateway that stops drops the connection.
//! * **checked**: the request was granted: path, origin, token. From here on every ending is told as a close code
//!   and reason. The upstream is dialled only now, after the upgrade: browsers hide an HTTP status from scripts but
//!   show a close.
//! * **first frame**: only where clients may name brokers, or the gateway puts in a Pulsar token. Within the
//!   handshake timeout, again.
//! * **dialled**: the client's bytes wait in its socket.
//! * **piping**, **draining**: see [`crate::pump`] and [`crate::drain`].

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tracing::{Instrument, Span, debug, info, info_span};

use crate::accept::Turn;
use crate::config::Upstream;
use crate::dial::Dial;
use crate::drain::{Stage, stopping, turn};
use crate::ending::{DialFailed, Ending};
use crate::filter::Filter;
use crate::first::{FirstFrame, rewrite};
use crate::forwarded;
use crate::live::{Current, Live};
use crate::metrics::Metrics;
use crate::origin::Allowed;
use crate::places::{Knock, Places};
use crate::pump::{ClientSocket, Joined, Pump, turn_away, websocket_config};
use crate::registry::{Connections, Entry, Phase};
use crate::stream::{Counted, Stream};
use crate::token::{self, TokenRefused, Verified};
use crate::upgrade::judge;

/// What an upgrade request may take: its head, and its number of headers.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Same-origin pages count as those of one origin: by which of its addresses the gateway was asked is what a program
/// says of itself.
const OWN_PAGES: &str = "same-origin";

/// What all connections share.
pub(crate) struct Core {
    pub(crate) current: Current,
    pub(crate) places: Arc<Places>,
    pub(crate) connections: Connections,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stage: watch::Sender<Stage>,
    next_id: AtomicU64,
}

/// A request that was granted.
pub(crate) struct Admitted {
    pub(crate) on_upgrade: OnUpgrade,
    live: Arc<Live>,
    /// Who asks, where a proxy that is believed says so.
    forwarded: Option<IpAddr>,
    origin: Option<Arc<str>>,
    /// What its limit by origin goes by.
    counted_as: Option<Arc<str>>,
    token: Result<Option<Verified>, TokenRefused>,
}

impl Core {
    pub(crate) fn new(live: Live) -> Self {
        Core {
            current: Current::new(live),
            places: Arc::default(),
            connections: Connections::default(),
            metrics: Arc::new(Metrics::new()),
            stage: watch::channel(Stage::Serving).0,
            next_id: AtomicU64::new(1),
        }
    }

    /// Lets a connection in to say what it wants, unless its address has too many that do.
    pub(crate) fn knock(&self, address: IpAddr) -> Option<Knock> {
        let live = self.current.get();
        let shared = forwarded::is_listed(address, &live.config.trusted_proxies);
        self.places.knock(address, shared, &live.limits)
    }

    /// The span of a new connection's log.
    pub(crate) fn span(&self, peer: SocketAddr) -> (u64, Span) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        (id, info_span!("connection", id, %peer))
    }

    /// Answers one request; if it is granted, what to do once the answer is sent.
    pub(crate) fn answer<B: Body>(
        &self,
        live: &Arc<Live>,
        request: &mut Request<B>,
        peer: IpAddr,
    ) -> (Response<Full<Bytes>>, Option<Admitted>) {
        match judge(request, live, peer) {
            Ok(granted) => {
                let (origin, counted_as) = match granted.origin {
                    Allowed::Nobodys => (None, None),
                    Allowed::Listed(origin) => {
                        let origin: Arc<str> = Arc::from(origin.to_string());
                        (Some(Arc::clone(&origin)), Some(origin))
                    }
                    Allowed::Same(origin) => {
                        (Some(Arc::from(origin.to_string())), Some(Arc::from(OWN_PAGES)))
                    }
                };
                let admitted = Admitted {
                    on_upgrade: hyper::upgrade::on(request),
                    live: Arc::clone(live),
                    forwarded: granted.forwarded,
                    origin,
                    counted_as,
                    token: granted.token,
                };
                (granted.response, Some(admitted))
            }
            Err(refused) => {
                self.metrics.refused(refused.name);
                info!(
                    status = refused.status.as_u16(),
                    reason = refused.name,
                    detail = refused.sentence,
                    "request refused"
                );
                (refused.response(), None)
            }
        }
    }
}

/// Serves one accepted connection to its end. `waiting` is dropped when it no longer counts as a handshake; `turn` may
/// end it before.
pub(crate) async fn serve<W>(core: Arc<Core>, tcp: TcpStream, peer: SocketAddr, waiting: W, turn: Turn) {
    let (id, span) = core.span(peer);
    async {
        let mut stage = core.stage.subscribe();
        let live = core.current.get();
        let deadline = Instant::now() + live.limits.handshake_timeout;
        let upgraded = tokio::select! {
            upgraded = timeout_at(deadline, handshake(&core, live, tcp, peer)) => upgraded,
            () = stopping(&mut stage) => return,
            () = turn.given_up() => {
                core.metrics.refused("handshake-evicted");
                debug!("no upgrade yet, and others wait for the place");
                return;
            }
        };
        drop((stage, turn));
        match upgraded {
            Err(_) => {
                core.metrics.refused("handshake-timeout");
                info!(reason = "handshake-timeout", "no upgrade in time");
            }
            Ok(None) => {}
            // Boxed: most of a connection's life is here, and the handshake's state is gone by then.
            Ok(Some((client, admitted))) => {
                Box::pin(carry(&core, id, peer, client, admitted, waiting)).await;
            }
        }
    }
    .instrument(span)
    .await;
}

/// TLS and the one HTTP request. `None` if it did not become a WebSocket.
async fn handshake(
    core: &Core,
    live: Arc<Live>,
    tcp: TcpStream,
    peer: SocketAddr,
) -> Option<(ClientSocket, Admitted)> {
    if let Err(error) = tcp.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY refused");
    }
    let stream = match &live.acceptor {
        None => Stream::Tcp(tcp),
        Some(acceptor) => match acceptor.accept(tcp).await {
            Ok(stream) => Stream::Tls(Box::new(stream.into())),
            Err(error) => {
                core.metrics.refused("tls");
                debug!(%error, "TLS handshake failed");
                return None;
            }
        },
    };

    let (granted, mut granting) = mpsc::channel(1);
    let service = service_fn(|mut request| {
        let (response, admitted) = core.answer(&live, &mut request, peer.ip());
        if let Some(admitted) = admitted {
            // There is one request per connection, so there is room.
            let _ = granted.try_send(admitted);
        }
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(live.limits.handshake_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        core.metrics.refused("http");
        debug!(%error, "not HTTP, or broken off");
        return None;
    }
    let mut admitted = granting.try_recv().ok()?;
    let client = upgraded(&mut admitted).await?;
    Some((client, admitted))
}

/// Waits for the upgrade that was granted.
pub(crate) async fn upgraded(admitted: &mut Admitted) -> Option<ClientSocket> {
    let upgraded = (&mut admitted.on_upgrade).await.map_err(|error| debug!(%error, "upgrade failed")).ok()?;
    let (stream, read) = match upgraded.downcast::<TokioIo<Stream>>() {
        Ok(parts) => (parts.io.into_inner(), parts.read_buf),
        // Another server's connection.
        Err(upgraded) => (Stream::Upgraded(Box::new(TokioIo::new(upgraded))), Bytes::new()),
    };
    let config = websocket_config(&admitted.live.limits);
    Some(
        WebSocketStream::from_partially_read(Counted::new(stream), read.into(), Role::Server, Some(config))
            .await,
    )
}

/// From the upgrade to the end.
pub(crate) async fn carry<W>(
    core: &Core,
    id: u64,
    peer: SocketAddr,
    mut client: ClientSocket,
    admitted: Admitted,
    waiting: W,
) {
    let Admitted { live, forwarded, origin, counted_as, token, .. } = admitted;
    let revealed = live.upstream.as_ref().filter(|_| live.reveal_upstream).map(ToString::to_string);
    let limits = &live.limits;
    let checked = token.map_err(Ending::Token).and_then(|verified| {
        let subject = verified.as_ref().map(|verified| verified.subject.as_str());
        let permits = live.narrow.of(origin.as_deref(), subject).map_err(|()| Ending::NotNarrowed)?;
        let place = core.places.take(forwarded.unwrap_or(peer.ip()), counted_as, limits)?;
        let filter = permits.map(|permits| Box::new(Filter::new(permits, Arc::clone(&core.metrics))));
        Ok((place, verified, filter))
    });
    let (_place, verified, mut filter) = match checked {
        Ok(checked) => checked,
        Err(ending) => {
            core.metrics.closed(ending.name());
            info!(origin = origin.as_deref(), reason = ending.name(), "turned away");
            turn_away(client, ending.close_frame(None), limits).await;
            return;
        }
    };
    drop(waiting);

    let subject = verified.as_ref().map(|verified| token::shown(&verified.subject));
    let entry = core.connections.open(Entry::new(id, peer, forwarded, origin, subject));
    let _open = Open::new(core, &entry);
    let asking = forwarded.map(tracing::field::display);
    info!(client = asking, origin = entry.origin.as_deref(), subject = entry.subject, "open");
    let mut turn = std::pin::pin!(turn(core.stage.subscribe()));

    let opening = async {
        let (upstream, mut first, within) = choose(&live, &mut client, verified.as_ref()).await?;
        if let Some(filter) = &mut filter {
            filter.push(&std::mem::take(&mut first))?;
        }
        entry.set_upstream(upstream.to_string());
        let began = Instant::now();
        let dial = Dial {
            to: &upstream,
            within: live.brokers.as_ref().filter(|_| within),
            tls: live.connector.as_ref(),
            resolver: &live.resolver,
            deadline: began + limits.connect_timeout,
        };
        let dialled = dial.run().await.map_err(Ending::Dial);
        core.metrics.dial_seconds.observe(began.elapsed().as_secs_f64());
        Ok((dialled?, first))
    };
    let opened = tokio::select! {
        opened = opening => opened,
        () = &mut turn => Err(Ending::Shutdown),
    };
    let ending = match opened {
        Err(ending) => {
            entry.enter(Phase::Draining);
            turn_away(client, ending.close_frame(revealed.as_deref()), limits).await;
            ending
        }
        Ok((upstream, first)) => {
            entry.enter(Phase::Piping);
            let until = verified
                .and_then(|verified| verified.until)
                .map(|until| Instant::now() + until.duration_since(SystemTime::now()).unwrap_or_default());
            let (metrics, counted) = (Arc::clone(&core.metrics), Arc::clone(&entry));
            let mut pump =
                Pump::new(client, upstream, Joined { limits, entry: counted, metrics, first, until, filter });
            let ending = tokio::select! {
                ending = pump.run() => ending,
                () = &mut turn => Ending::Shutdown,
            };
            entry.enter(Phase::Draining);
            pump.finish(ending, ending.close_frame(revealed.as_deref())).await;
            ending
        }
    };
    let (up, down) = entry.carried();
    let seconds = entry.opened.elapsed().as_secs_f64();
    let reason = ending.name();
    info!(origin = entry.origin.as_deref(), subject = entry.subject, reason, up, down, seconds, "closed");
    core.metrics.closed(reason);
    core.connections.close(&entry, reason);
}

/// Where a connection goes, what is said there first, and whether the client named it.
async fn choose(
    live: &Live,
    client: &mut ClientSocket,
    verified: Option<&Verified>,
) -> Result<(Upstream, Bytes, bool), Ending> {
    if !live.reads_first_frame() {
        // The upgrade is refused without an upstream; nothing is forwarded if that check were missing.
        let upstream = live.upstream.clone().ok_or(Ending::Dial(DialFailed::Unreachable))?;
        return Ok((upstream, Bytes::new(), false));
    }
    let deadline = Instant::now() + live.limits.handshake_timeout;
    let (connect, rest) = timeout_at(deadline, first_frame(client, live.limits.max_frame_bytes))
        .await
        .unwrap_or(Err(Ending::FirstFrameTimeout))?;
    let (upstream, named) = match (&live.brokers, &connect.proxy_to_broker_url) {
        (Some(brokers), Some(wanted)) => {
            let (host, port) = brokers.admit(wanted).ok_or(Ending::TargetRefused)?;
            (Upstream::new(brokers.tls, host, port), true)
        }
        _ => (live.upstream.clone().ok_or(Ending::TargetRefused)?, false),
    };
    let pulsar = verified.and_then(|verified| verified.pulsar.as_ref());
    // Behind the one upstream there may be a Pulsar proxy, which reads the name itself.
    let connect = rewrite(connect, live.brokers.is_none(), pulsar);
    let first = if rest.is_empty() { connect } else { [&connect[..], &rest[..]].concat().into() };
    Ok((upstream, first, named))
}

async fn first_frame(
    client: &mut ClientSocket,
    most: usize,
) -> Result<(pulsewire_proto::wire::CommandConnect, Bytes), Ending> {
    let mut first = FirstFrame::default();
    loop {
        match client.next().await {
            Some(Ok(Message::Binary(bytes))) => match first.push(&bytes) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(_) => return Err(Ending::FirstFrame),
            },
            Some(Ok(Message::Text(_))) => return Err(Ending::TextMessage),
            Some(Ok(Message::Close(_))) => return Err(Ending::ClientClosed),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Ending::from_websocket(&error, most)),
            None => return Err(Ending::ClientGone),
        }
    }
}

/// Counts an open connection, also when its task is dropped.
struct Open<'a> {
    core: &'a Core,
    entry: &'a Arc<Entry>,
}

impl<'a> Open<'a> {
    fn new(core: &'a Core, entry: &'a Arc<Entry>) -> Self {
        core.metrics.open.inc();
        Open { core, entry }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.core.metrics.open.dec();
        self.core.connections.forget(self.entry);
    }
}
