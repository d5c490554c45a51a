//! The gateway as a `tower` service, for servers of one's own.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Body;
use tower_service::Service;
use tracing::{Instrument, info, warn};

use crate::admin;
use crate::config::GatewayConfig;
use crate::connection::{Core, carry, upgraded};
use crate::drain::{Stage, Window};
use crate::error::{ConfigError, ConfigErrors};
use crate::live::Live;
use crate::replaced::{self, Contents};
use crate::upgrade::Refused;

/// Who sent a request: put it into the extensions of each request that a [`GatewayService`] is given. Without it all
/// clients count as one address.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The client's address.
    pub peer: SocketAddr,
}

/// The gateway as a `tower` service that answers upgrade requests at [`PATH`](crate::PATH), in a server of one's
/// own: anything that serves HTTP/1.1 by `hyper` with upgrades, `axum` for one. `listen`, `admin_listen` and `tls`
/// of the configuration mean nothing here (say by `behind_tls` whether the server speaks TLS), and the server's own timeouts stand in for `handshake_timeout` up to the
/// request; everything else holds.
///
/// Each connection is a task on the tokio runtime that the service is called on.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use hyper::server::conn::http1;
/// use hyper_util::rt::TokioIo;
/// use hyper_util::service::TowerToHyperService;
/// use pulsewire_gateway::{Ends, GatewayConfig, GatewayService};
///
/// let mut config = GatewayConfig::new("127.0.0.1:0".parse()?);
/// config.upstream = Some("pulsar://127.0.0.1:6650".parse()?);
/// let (gateway, handle) = GatewayService::new(&config)?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// let (tcp, peer) = listener.accept().await?;
/// let service = TowerToHyperService::new(gateway.at(Ends { peer }));
/// http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades().await?;
/// handle.stop_within(std::time::Duration::from_secs(10));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct GatewayService {
    core: Arc<Core>,
    ends: Option<Ends>,
}

impl std::fmt::Debug for GatewayService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayService").finish_non_exhaustive()
    }
}

impl GatewayService {
    /// Checks the configuration and reads its files.
    ///
    /// # Errors
    /// All that is wrong with the configuration, at once.
    pub fn new(config: &GatewayConfig) -> Result<(Self, Handle), ConfigErrors> {
        let core = Arc::new(Core::new(Live::prepare(config)?));
        Ok((GatewayService { core: Arc::clone(&core), ends: None }, Handle { core }))
    }

    /// The service for one connection of a server that does not put [`Ends`] into its requests.
    #[must_use]
    pub fn at(&self, ends: Ends) -> Self {
        GatewayService { core: Arc::clone(&self.core), ends: Some(ends) }
    }
}

impl<B: Body> Service<Request<B>> for GatewayService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let ends = self.ends.or_else(|| request.extensions().get::<Ends>().copied());
        let Ends { peer } = ends.unwrap_or(Ends { peer: unknown });
        if !matches!(*self.core.stage.borrow(), Stage::Serving) {
            let refused = Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                "the gateway is stopping, connect again",
            );
            return ready(Ok(refused.response()));
        }
        let (id, span) = self.core.span(peer);
        let live = self.core.current.get();
        let answered = span.in_scope(|| self.core.answer(&live, &mut request, peer.ip()));
        let (response, admitted) = answered;
        if let Some(mut admitted) = admitted {
            let core = Arc::clone(&self.core);
            let upgrade_within = live.limits.handshake_timeout;
            let task = async move {
                if let Ok(Some(client)) = tokio::time::timeout(upgrade_within, upgraded(&mut admitted)).await
                {
                    carry(&core, id, peer, client, admitted, ()).await;
                }
            };
            tokio::spawn(task.instrument(span));
        }
        ready(Ok(response))
    }
}

/// Acts on a gateway that runs.
#[derive(Clone)]
pub struct Handle {
    pub(crate) core: Arc<Core>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("connections", &self.connections()).finish()
    }
}

impl Handle {
    /// Puts another configuration in place, with its files read anew: for the connections that come from now on.
    /// Nobody is dropped.
    ///
    /// # Errors
    /// All that is wrong with it, and each key that cannot be changed while the gateway runs (`listen`,
    /// `admin_listen`, whether there is `tls`). Nothing has changed then.
    pub fn reload(&self, config: &GatewayConfig) -> Result<(), ConfigErrors> {
        self.reload_read(Some(config), Vec::new())
    }

    /// The same for a configuration that was read from a file, with what [`read_file`](GatewayConfig::read_file) has
    /// found wrong already; `None` for one that could not be read at all. It counts as a reload in every case.
    ///
    /// # Errors
    /// As [`reload`](Self::reload), and all that was wrong before, at once.
    pub fn reload_read(
        &self,
        config: Option<&GatewayConfig>,
        wrong: Vec<ConfigError>,
    ) -> Result<(), ConfigErrors> {
        let replaced = match config {
            Some(config) => self.core.current.replace(config, wrong),
            None => Err(ConfigErrors(wrong)),
        };
        self.core.metrics.reloaded(replaced.is_ok());
        match &replaced {
            Ok(()) => info!("reloaded"),
            Err(errors) => {
                let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
                warn!(mistakes = lines.len(), errors = lines.join("; "), "nothing is reloaded");
            }
        }
        replaced
    }

    /// Lets nobody new in, and closes the connections that are open with 1012 `gateway-shutdown`, one after the
    /// other within this time.
    pub fn stop_within(&self, window: std::time::Duration) {
        self.core.metrics.lame_duck.set(1);
        let window = Arc::new(Window::new(window, self.connections()));
        self.core.stage.send_if_modified(|stage| {
            let serving = matches!(stage, Stage::Serving);
            if serving {
                *stage = Stage::LameDuck(window);
            }
            serving
        });
    }

    /// Closes all connections at once.
    pub fn stop_now(&self) {
        self.core.metrics.lame_duck.set(1);
        self.core.stage.send_replace(Stage::Now);
    }

    /// Takes certificates, keys and tokens anew as they are replaced on disk, asking every
    /// [`watch_files`](GatewayConfig::watch_files), as long as the future is polled. [`Gateway::run`](crate::Gateway::run)
    /// does it by itself.
    pub async fn watch(&self) {
        let config = self.core.current.get().config.clone();
        let seen = tokio::task::spawn_blocking(move || Contents::read(&config)).await;
        if let Ok(seen) = seen {
            replaced::run(Arc::clone(&self.core), seen).await;
        }
    }

    /// How many WebSockets are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.core.connections.count()
    }

    /// Answers a request to `/healthz`, `/readyz`, `/metrics` or `/connz`, for servers of one's own. Not for
    /// strangers; 421 for a `Host` that is no address, not `localhost` and none of the `host_names`.
    #[must_use]
    pub fn admin<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        admin::answer(&self.core, request)
    }
}
