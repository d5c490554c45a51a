//! The gateway of pulsewire: the Pulsar binary protocol over WebSocket.
//!
//! No released Pulsar broker or proxy speaks its binary protocol over WebSocket, and a browser speaks
//! nothing else. The gateway stands between: one binary WebSocket at [`PATH`] is one TCP or TLS connection
//! to the one configured [`Upstream`], or to one of the [`Brokers`] that are listed. It carries bytes and does not look at
//! them, but for what it is told to: the client's CONNECT, where clients name brokers or the gateway puts in a Pulsar token,
//! and all frames where clients are [narrowed](Narrow) to topics. The boundaries of WebSocket messages mean nothing.
//!
//! It denies by default. Without an upstream nothing is forwarded; a client names no host that is not listed; a page
//! may connect only if its origin is the gateway's own or listed exactly; a request without an origin only
//! if that is configured.
//!
//! `gateway/README.md` is the manual: the configuration file, security, sizing.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use pulsewire_gateway::{Gateway, GatewayConfig};
//!
//! let mut config = GatewayConfig::new("127.0.0.1:8080".parse()?);
//! config.upstream = Some("pulsar://127.0.0.1:6650".parse()?);
//! config.allow_origins = vec!["https://app.example".parse()?];
//! let gateway = Gateway::bind(config).await?;
//! println!("listening on {}", gateway.local_addr());
//! gateway.run(async { drop(tokio::signal::ctrl_c().await) }).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What a client is told
//!
//! Before the upgrade by status and body, `name: sentence`:
//!
//! | status | name | why |
//! |---|---|---|
//! | 400 | `bad-request`, `bad-host`, `bad-upgrade` | not a proper WebSocket upgrade |
//! | 400 | `bad-forwarded-for` | a trusted proxy's `X-Forwarded-For` is no list of addresses |
//! | 401 | `token-missing`, `token-expired` and so on | a token is demanded, and this one is refused |
//! | 403 | `origin-refused`, `origin-missing` | the page, or a program without a page, may not connect |
//! | 404 | `not-found` | any path but [`PATH`] |
//! | 405 | `method-not-allowed` | not GET |
//! | 426 | `upgrade-required` | not an upgrade, or another version of WebSocket |
//! | 503 | `no-upstream` | nothing is configured to forward to |
//! | 503 | `stopping` | the gateway is mounted in another server, and stops |
//!
//! After it by close code and reason, `name: sentence`. The names are stable:
//!
//! | code | name | why |
//! |---|---|---|
//! | 1001 | `upstream-closed` | the upstream ended the connection in order |
//! | 1001 | `idle-timeout` | nothing was carried either way for `idle_timeout` |
//! | 1002 | `websocket-protocol` | the client broke RFC 6455 |
//! | 1002 | `Protocol violation`, without a sentence | the client's own close had a code that must not be sent |
//! | 1002 | `first-frame` | the first frame is no CONNECT, where the gateway has to read it |
//! | 1002 | `bad-frame` | no frame of the Pulsar protocol, where they are narrowed |
//! | 1003 | `text-message` | the client sent text |
//! | 1007 | `invalid-utf8` | the client sent text, or a reason with its close, that is not UTF-8 |
//! | 1008 | `slow-client` | the client did not take one buffer within `slow_client_timeout` |
//! | 1008 | `slow-message` | a message of the client's was not whole within `message_timeout` |
//! | 1008 | `rate-limit` | the client sent more than `bytes_per_second`, and `over_rate` is to close |
//! | 1008 | `token-missing`, `token-ambiguous`, `token-malformed`, `token-algorithm`, `token-signature`, `token-expired`, `token-not-yet-valid`, `token-issuer`, `token-audience`, `token-unmapped` | the token of a page is refused, or has expired since |
//! | 1008 | `not-permitted` | no rule of `narrow` is for this token and origin |
//! | 1008 | `target-refused` | the broker that the client named is not listed, leads elsewhere, or none was named and there is no other |
//! | 1008 | `first-frame-timeout` | no CONNECT within `handshake_timeout` |
//! | 1009 | `message-too-large` | a message over `max_frame_bytes` |
//! | 1011 | `upstream-lost` | the connection to the upstream broke |
//! | 1011 | `upstream-tls` | TLS to the upstream failed |
//! | 1012 | `gateway-shutdown` | the gateway stops |
//! | 1013 | `too-many-connections` | all `max_connections` places are taken |
//! | 1013 | `too-many-from-address`, `too-many-from-origin` | as many as one address, or one origin, may have |
//! | 1013 | `upstream-refused`, `upstream-unreachable`, `upstream-timeout`, `upstream-unresolved` | the upstream cannot be reached |
//! | 1013 | `upstream-stalled` | the upstream took nothing for `idle_timeout` |
//!
//! Code 1014 (bad gateway) would say some of it better, but WebSocket libraries in use take it for a
//! protocol violation and hide the reason.
//!
//! # Logs
//!
//! By `tracing`, in a span `connection` with the connection's `id` and `peer`: opening, closing with its
//! reason and the bytes carried, refusals. No bytes, headers or query strings are logged here. The
//! WebSocket library logs frames through the `log` crate at its level `trace`: do not bridge that level.
#![forbid(unsafe_code)]

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, info, warn};

mod accept;
mod address;
mod admin;
mod brokers;
mod config;
mod connection;
mod dial;
mod drain;
mod ending;
mod error;
mod file;
mod filter;
mod first;
mod forwarded;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod live;
mod metrics;
mod narrow;
mod origin;
mod places;
mod pump;
mod rate;
mod registry;
mod replaced;
mod resolve;
mod service;
mod stream;
mod tls;
mod token;
mod upgrade;

pub use brokers::{Brokers, BrokersError, HostPattern, Network};
pub use config::{GatewayConfig, ListenTls, Pem, Upstream, UpstreamError, UpstreamTls};
pub use error::{ConfigError, ConfigErrors, GatewayError, Problem};
pub use file::AdminAddress;
pub use limits::{Limits, OverRate, OverRateError};
pub use narrow::{Narrow, TopicPattern, TopicPatternError};
pub use origin::{HostName, HostNameError, Origin, OriginError};
pub use resolve::{Resolver, Resolving};
pub use service::{Ends, GatewayService, Handle};
pub use token::{PulsarToken, SUBPROTOCOL, TOKEN_SUBPROTOCOL, TokenSource, TokenSourceError, Tokens};
pub use upgrade::PATH;

use accept::{Queue, accept};
use connection::{Core, serve};
use live::Live;
use replaced::Contents;

/// Connections that are not WebSockets yet, or are being turned away, beyond `max_connections`. More wait in the
/// listener's backlog.
const HANDSHAKES: usize = 1024;

/// Of them, those that are not WebSockets yet: with one more the oldest has to go.
const YOUNG: usize = 896;

/// On top of the close timeout before a shutdown stops waiting.
const SHUTDOWN_SLACK: Duration = Duration::from_secs(1);

/// A gateway that listens. It serves while [`Gateway::run`] is polled.
pub struct Gateway {
    config: GatewayConfig,
    core: Arc<Core>,
    public: (TcpListener, SocketAddr),
    admin: Option<(TcpListener, SocketAddr)>,
    seen: Contents,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("listening", &self.local_addr())
            .field("admin", &self.admin_addr())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Checks the configuration, reads its files and listens.
    ///
    /// # Errors
    /// All that is wrong with the configuration at once, before anything listens; or an address that
    /// cannot be listened on.
    pub async fn bind(config: GatewayConfig) -> Result<Gateway, GatewayError> {
        // Before the files are read: what changes in between is seen as a change.
        let seen = Contents::read(&config);
        let core = Arc::new(Core::new(Live::prepare(&config)?));
        let public = listen("listen", config.listen).await?;
        let admin = match config.admin_listen {
            None => None,
            Some(address) => Some(listen("admin_listen", address).await?),
        };
        Ok(Gateway { config, core, public, admin, seen })
    }

    /// Where clients connect.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.public.1
    }

    /// Where `/healthz`, `/readyz`, `/metrics` and `/connz` are served.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// The URL of the WebSocket, with the address listened on as its host.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.config.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}{PATH}", self.local_addr())
    }

    /// What acts on the gateway while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { core: Arc::clone(&self.core) }
    }

    /// Serves until `shutdown` is ready, then ends in order: no more clients are taken, `/readyz` says so, and the
    /// connections are closed with 1012 `gateway-shutdown`, one after the other within `lame_duck`; each has the
    /// close timeout to end. [`Handle::stop_now`] cuts the waiting short.
    ///
    /// Dropping the future instead drops every connection at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let handle = self.handle();
        let Gateway { config, core, public: (listener, address), admin, seen } = self;
        // The admin listener outlives the public one: it tells that the gateway is stopping.
        let (close_admin, admin_closed) = watch::channel(false);
        let mut tasks = JoinSet::new();
        if let Some((listener, address)) = admin {
            info!(%address, "admin listening");
            tasks.spawn(admin::run(listener, Arc::clone(&core), admin_closed));
        }

        let watching = tasks.spawn(replaced::run(Arc::clone(&core), seen));

        info!(%address, tls = config.tls.is_some(), upstream = config.upstream.as_ref().map(tracing::field::display), "listening");
        let slots = Arc::new(Semaphore::new(HANDSHAKES));
        let queue = Arc::<Queue>::default();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut stage = core.stage.subscribe();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = drain::stopping(&mut stage) => break,
                Some(ended) = connections.join_next() => note_panic(ended),
                (slot, tcp, peer) = accept(&listener, &slots) => {
                    core.metrics.accepted.inc();
                    let Some(knock) = core.knock(peer.ip()) else {
                        core.metrics.refused("handshakes-of-one-address");
                        debug!(%peer, "too many handshakes from one address");
                        continue;
                    };
                    let waiting = (slot, knock, Handshaking::new(&core));
                    connections.spawn(serve(Arc::clone(&core), tcp, peer, waiting, queue.enter(YOUNG)));
                }
            }
        }

        drop(listener);
        let limits = core.current.get().limits.clone();
        info!(connections = connections.len(), within = ?limits.lame_duck, "stopping");
        handle.stop_within(limits.lame_duck);
        let now = async {
            let _ = stage.wait_for(|stage| matches!(stage, drain::Stage::Now)).await;
        };
        let window = async {
            tokio::select! {
                () = now => {}
                () = tokio::time::sleep(limits.lame_duck) => {}
            }
            tokio::time::sleep(limits.close_timeout + SHUTDOWN_SLACK).await;
        };
        let all_ended = async {
            while let Some(ended) = connections.join_next().await {
                note_panic(ended);
            }
        };
        let in_time = tokio::select! {
            () = all_ended => true,
            () = window => false,
        };
        if !in_time {
            warn!(connections = connections.len(), "connections that did not end in time are dropped");
            connections.shutdown().await;
        }
        watching.abort();
        close_admin.send_replace(true);
        while let Some(ended) = tasks.join_next().await {
            note_panic(ended);
        }
        info!("stopped");
    }
}

/// Counts a handshake.
struct Handshaking(Arc<Core>);

impl Handshaking {
    fn new(core: &Arc<Core>) -> Self {
        core.metrics.handshaking.inc();
        Handshaking(Arc::clone(core))
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.metrics.handshaking.dec();
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), GatewayError> {
    let failed = |source| GatewayError::Listen { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A panic ends one connection, not the gateway; it is a bug and is said so.
fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection's task panicked, this is a bug");
    }
}
