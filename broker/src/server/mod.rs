//! The broker on sockets: TCP, TLS, and the admin API over HTTP.
//!
//! ```text
//!   socket --> reader task --+                      +--> writer task --> socket
//!                            +--> engine (owns the --+
//!   admin HTTP --> order ----+     core, no lock)   +--> answer
//! ```
//!
//! One task owns the core; everyone else sends it events over one bounded channel. A connection
//! has few reads under way at a time and gets the next ones only while it also reads what is
//! written to it.

mod admin;
mod engine;
mod socket;
mod store;
mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::core::{Broker, BrokerConfig, Now};
use engine::{Engine, Handle, wall_ms};
use store::Store;

/// Events that may wait for the engine.
const EVENTS: usize = 1024;

/// What a [`Server`] is told when it is made.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where to listen for `pulsar://`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to listen for `pulsar+ssl://`, and with which certificate.
    pub tls: Option<TlsConfig>,
    /// Where to listen for admin calls over HTTP.
    pub admin_listen: Option<SocketAddr>,
    /// The host that lookups answer with, beside the ports that were bound.
    pub advertised_host: String,
    /// What lookups answer instead, when clients reach the broker by another address.
    pub advertised_url: Option<String>,
    /// The same for TLS.
    pub advertised_url_tls: Option<String>,
    /// Where to keep what is stored; without it, it ends with the broker.
    pub data: Option<DataConfig>,
    /// Settings of the broker itself. Its service URLs are set from the above.
    pub broker: BrokerConfig,
}

impl Default for ServerConfig {
    /// Any free port of the loopback interface, no TLS, no admin API.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            admin_listen: None,
            advertised_host: "localhost".to_owned(),
            advertised_url: None,
            advertised_url_tls: None,
            data: None,
            broker: BrokerConfig::default(),
        }
    }
}

/// Where to keep topics with their messages, subscriptions, schemas and settings.
#[derive(Debug, Clone)]
pub struct DataConfig {
    /// The folder; made if it is not there.
    pub folder: PathBuf,
    /// Whether every receipt waits until the disk has what it is for. Without it, what a client heard
    /// of survives the end of the process, but not that of the machine.
    pub sync: bool,
}

/// TLS: where, and who the broker is.
#[derive(Clone)]
pub struct TlsConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate chain, PEM.
    pub cert_pem: Vec<u8>,
    /// Its private key, PEM.
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsConfig").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// A broker bound to its ports, not yet serving.
pub struct Server {
    broker: Broker,
    store: Option<Store>,
    tcp: TcpListener,
    tls: Option<(TcpListener, TlsAcceptor)>,
    admin: Option<TcpListener>,
    local_addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
    admin_addr: Option<SocketAddr>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .field("tls_addr", &self.tls_addr)
            .field("admin_addr", &self.admin_addr)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds all ports, so that they are known and connections can come.
    ///
    /// # Errors
    /// A port is taken, certificate or key cannot be read, or what was kept cannot be.
    pub async fn bind(config: ServerConfig) -> io::Result<Self> {
        let tcp = TcpListener::bind(config.listen).await?;
        let local_addr = tcp.local_addr()?;
        let (mut tls, mut tls_addr) = (None, None);
        if let Some(settings) = &config.tls {
            let acceptor = tls::acceptor(&settings.cert_pem, &settings.key_pem)?;
            let listener = TcpListener::bind(settings.listen).await?;
            tls_addr = Some(listener.local_addr()?);
            tls = Some((listener, acceptor));
        }
        let (mut admin, mut admin_addr) = (None, None);
        if let Some(addr) = config.admin_listen {
            let listener = TcpListener::bind(addr).await?;
            admin_addr = Some(listener.local_addr()?);
            admin = Some(listener);
        }
        let host = &config.advertised_host;
        let mut broker = config.broker;
        broker.service_url =
            config.advertised_url.unwrap_or_else(|| format!("pulsar://{host}:{}", local_addr.port()));
        broker.service_url_tls = config
            .advertised_url_tls
            .or_else(|| tls_addr.map(|addr| format!("pulsar+ssl://{host}:{}", addr.port())));
        broker.admin_url = admin_addr.map(|addr| format!("http://{host}:{}", addr.port()));
        let (broker, store) = match &config.data {
            None => (Broker::new(broker), None),
            Some(data) => {
                let store = Store::open(&data.folder, data.sync)?;
                let now = Now::new(Duration::ZERO, wall_ms());
                let broker = Broker::restored(broker, store.read()?, now).map_err(io::Error::other)?;
                (broker, Some(store))
            }
        };
        Ok(Self { broker, store, tcp, tls, admin, local_addr, tls_addr, admin_addr })
    }

    /// Where it listens for `pulsar://`.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where it listens for `pulsar+ssl://`.
    #[must_use]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addr
    }

    /// Where it listens for admin calls.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// What lookups answer.
    #[must_use]
    pub fn service_url(&self) -> &str {
        &self.broker.config().service_url
    }

    /// Serves until `shutdown` is done. Connections end with it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (events, inbox) = mpsc::channel(EVENTS);
        let handle = Handle::new(events);
        let mut tasks = JoinSet::new();
        tasks.spawn(socket::accept(self.tcp, None, handle.clone()));
        if let Some((listener, acceptor)) = self.tls {
            tasks.spawn(socket::accept(listener, Some(acceptor), handle.clone()));
        }
        if let Some(listener) = self.admin {
            tasks.spawn(admin::serve(listener, handle.clone()));
        }
        drop(handle);
        tracing::info!(address = %self.local_addr, tls = ?self.tls_addr, admin = ?self.admin_addr, "broker ready");
        let engine = Engine::new(self.broker, self.store, inbox);
        tokio::select! {
            () = engine.run() => {}
            () = shutdown => tracing::info!("broker stopping"),
        }
        tasks.shutdown().await;
    }
}
