//! The broker on sockets: TCP, TLS, and the admin API over HTTP.
//!
//! ```text
//!   socket --> reader task --+                      +--> plain socket, what it takes at once
//!                            +--> engine (owns the --+--> writer task --> socket, the rest and TLS
//!   admin HTTP --> order ----+     core, no lock)   +--> answer
//! ```
//!
//! One task owns the core; everyone else sends it events over one bounded channel. A connection
//! has few reads under way at a time and gets the next ones only while it also reads what is
//! written to it.

mod admin;
mod engine;
mod frames;
mod listeners;
mod old_certificates;
mod outlet;
mod socket;
mod store;
mod tls;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::core::{Broker, BrokerConfig, Node, Now};
use engine::{Engine, Handle, wall_ms};
use listeners::Listeners;
pub use store::DataError;
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
    /// How many brokers to play; 0 is as 1. All share what is stored. The ports of the others follow those
    /// of the first, or are free ones as well.
    pub brokers: u16,
    /// More brokers to play: each has the ports of the first at an address of its own, and a host that lookups
    /// answer with.
    pub others: Vec<(IpAddr, String)>,
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
            brokers: 1,
            others: Vec::new(),
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
    /// Where to listen for admin calls over HTTPS.
    pub admin_listen: Option<SocketAddr>,
    /// Authorities (PEM) of certificates that clients may show. They need not show one.
    pub client_ca_pem: Option<Vec<u8>>,
    /// The certificate chain, PEM.
    pub cert_pem: Vec<u8>,
    /// Its private key, PEM.
    pub key_pem: Vec<u8>,
}

impl TlsConfig {
    /// What is wrong with certificate, key and authorities, if something is.
    ///
    /// # Errors
    /// One of them cannot be read, or they do not go together.
    pub fn check(&self) -> io::Result<()> {
        tls::acceptor(&self.cert_pem, &self.key_pem, self.client_ca_pem.as_deref()).map(drop)
    }
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
    acceptor: Option<TlsAcceptor>,
    /// One for each broker that it plays, at least one.
    listeners: Vec<Listeners>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("local_addr", &self.local_addr()).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds all ports, so that they are known and connections can come.
    ///
    /// # Errors
    /// A port is taken, certificate or key cannot be read, or what was kept cannot be: a [`DataError`] is
    /// inside then.
    pub async fn bind(config: ServerConfig) -> io::Result<Self> {
        let acceptor = match &config.tls {
            None => None,
            Some(tls) => Some(tls::acceptor(&tls.cert_pem, &tls.key_pem, tls.client_ca_pem.as_deref())?),
        };
        let mut listeners = Vec::new();
        for number in 0..config.brokers.max(1) {
            listeners.push(Listeners::bind(&config, None, number).await?);
        }
        let mut hosts = vec![&config.advertised_host; listeners.len()];
        for (address, host) in &config.others {
            listeners.push(Listeners::bind(&config, Some(*address), 0).await?);
            hosts.push(host);
        }
        let mut broker = config.broker;
        let mut nodes = listeners.iter().zip(hosts).map(|(listeners, host)| listeners.node(host));
        let first = nodes.next().unwrap_or_default();
        broker.service_url = config.advertised_url.unwrap_or(first.service_url);
        broker.service_url_tls = config.advertised_url_tls.or(first.service_url_tls);
        broker.admin_url = first.admin_url;
        broker.admin_url_tls = first.admin_url_tls;
        broker.more_brokers = nodes.collect();
        let (broker, store) = match &config.data {
            None => (Broker::new(broker), None),
            Some(data) => {
                let store = Store::open(&data.folder, data.sync)?;
                let now = Now::new(Duration::ZERO, wall_ms());
                let broker = store.read(|kept| Broker::restored(broker, kept, now))?;
                (broker, Some(store))
            }
        };
        Ok(Self { broker, store, acceptor, listeners })
    }

    /// Where it listens for `pulsar://`.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listeners.first().map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |it| it.tcp.1)
    }

    /// Where it listens for `pulsar+ssl://`.
    #[must_use]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.listeners.first()?.tls.as_ref().map(|(_, addr)| *addr)
    }

    /// Where it listens for admin calls.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.listeners.first()?.admin.as_ref().map(|(_, addr)| *addr)
    }

    /// Where it listens for admin calls over HTTPS.
    #[must_use]
    pub fn tls_admin_addr(&self) -> Option<SocketAddr> {
        self.listeners.first()?.tls_admin.as_ref().map(|(_, addr)| *addr)
    }

    /// Where clients reach each of the brokers that it plays.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        (0..self.listeners.len()).map(|broker| self.broker.config().node(broker)).collect()
    }

    /// What lookups answer.
    #[must_use]
    pub fn service_url(&self) -> &str {
        &self.broker.config().service_url
    }

    /// Serves until `shutdown` is done. Connections end with it.
    ///
    /// # Errors
    /// What happened cannot be kept, so that it stopped: a [`DataError`] is inside.
    ///
    /// # Panics
    /// Where the broker does, which is a defect of it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let (events, inbox) = mpsc::channel(EVENTS);
        let handle = Handle::new(events);
        let mut tasks = JoinSet::new();
        for (broker, listeners) in self.listeners.into_iter().enumerate() {
            let node = self.broker.config().node(broker);
            tracing::info!(
                broker = node.service_url,
                tls = node.service_url_tls,
                admin = node.admin_url,
                tls_admin = node.admin_url_tls,
                "listening"
            );
            tasks.spawn(socket::accept(listeners.tcp.0, None, broker, handle.clone()));
            if let Some((listener, _)) = listeners.tls {
                tasks.spawn(socket::accept(listener, self.acceptor.clone(), broker, handle.clone()));
            }
            if let Some((listener, _)) = listeners.admin {
                tasks.spawn(admin::serve(listener, None, broker, handle.clone()));
            }
            if let Some((listener, _)) = listeners.tls_admin {
                tasks.spawn(admin::serve(listener, self.acceptor.clone(), broker, handle.clone()));
            }
        }
        drop(handle);
        let access = self.broker.config().access.as_ref();
        tracing::info!(
            authentication = access.is_some(),
            authorization = access.is_some_and(|access| access.superusers.is_some()),
            "broker ready"
        );
        // A task of its own: one that the runtime blocks on makes it look for input whenever it is woken.
        let mut engine = JoinSet::new();
        engine.spawn(Engine::new(self.broker, self.store, inbox).run());
        let ended = tokio::select! {
            ended = engine.join_next() => outcome(ended),
            () = shutdown => {
                tracing::info!("broker stopping");
                Ok(())
            }
        };
        tasks.shutdown().await;
        engine.shutdown().await;
        ended
    }
}

/// How the engine ended: a panic of it goes on.
fn outcome(ended: Option<Result<io::Result<()>, JoinError>>) -> io::Result<()> {
    match ended {
        None => Ok(()),
        Some(Ok(ended)) => ended,
        Some(Err(error)) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(io::Error::other(cancelled)),
        },
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "a defect")]
    async fn a_panic_of_the_engine_does_not_pass_for_an_end_in_order() {
        let mut engine = JoinSet::new();
        engine.spawn(async { panic!("a defect") });
        let _ = outcome(engine.join_next().await);
    }
}
