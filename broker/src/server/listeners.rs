//! The sockets of one broker.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpListener;

use super::ServerConfig;
use crate::core::Node;

/// Listeners that are bound, and where.
pub(super) struct Listeners {
    pub(super) tcp: (TcpListener, SocketAddr),
    pub(super) tls: Option<(TcpListener, SocketAddr)>,
    pub(super) admin: Option<(TcpListener, SocketAddr)>,
    pub(super) tls_admin: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    /// Binds the ports of one of the brokers: so many after those of the first, or the same at another address.
    pub(super) async fn bind(
        config: &ServerConfig,
        address: Option<IpAddr>,
        number: u16,
    ) -> io::Result<Self> {
        let tls = config.tls.as_ref();
        let there = |addr: SocketAddr| SocketAddr::new(address.unwrap_or(addr.ip()), addr.port());
        Ok(Self {
            tcp: bind(there(config.listen), number).await?,
            tls: maybe(tls.map(|tls| there(tls.listen)), number).await?,
            admin: maybe(config.admin_listen.map(there), number).await?,
            tls_admin: maybe(tls.and_then(|tls| tls.admin_listen.map(there)), number).await?,
        })
    }

    /// Where clients reach it.
    pub(super) fn node(&self, host: &str) -> Node {
        let url = |scheme: &str, addr: SocketAddr| format!("{scheme}://{host}:{}", addr.port());
        let of = |scheme: &str, bound: &Option<(TcpListener, SocketAddr)>| {
            bound.as_ref().map(|(_, addr)| url(scheme, *addr))
        };
        Node {
            service_url: url("pulsar", self.tcp.1),
            service_url_tls: of("pulsar+ssl", &self.tls),
            admin_url: of("http", &self.admin),
            admin_url_tls: of("https", &self.tls_admin),
        }
    }
}

async fn maybe(addr: Option<SocketAddr>, number: u16) -> io::Result<Option<(TcpListener, SocketAddr)>> {
    match addr {
        Some(addr) => bind(addr, number).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(mut addr: SocketAddr, number: u16) -> io::Result<(TcpListener, SocketAddr)> {
    if addr.port() != 0 {
        let beyond =
            || io::Error::new(io::ErrorKind::InvalidInput, "the ports of more brokers go beyond 65535");
        addr.set_port(addr.port().checked_add(number).ok_or_else(beyond)?);
    }
    let listener = TcpListener::bind(addr).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}
