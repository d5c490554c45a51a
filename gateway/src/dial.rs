//! Reaching the upstream: resolve, check the addresses, connect, TLS, all within one deadline.

use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::brokers::Brokers;
use crate::config::Upstream;
use crate::ending::DialFailed;
use crate::resolve::Resolver;
use crate::stream::Stream;
use crate::tls::UpstreamConnector;

/// What is dialled, and how.
pub(crate) struct Dial<'a> {
    pub(crate) to: &'a Upstream,
    /// If a client named it: where it may lead.
    pub(crate) within: Option<&'a Brokers>,
    pub(crate) tls: Option<&'a UpstreamConnector>,
    pub(crate) resolver: &'a Resolver,
    pub(crate) deadline: Instant,
}

impl Dial<'_> {
    /// Opens a connection.
    pub(crate) async fn run(self) -> Result<Stream, DialFailed> {
        let tcp = self.connect().await?;
        if let Err(error) = tcp.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY refused");
        }
        if !self.to.tls {
            return Ok(Stream::Tcp(tcp));
        }
        // Configuration makes a connector for every TLS upstream; without one nothing is sent in clear.
        let Some(tls) = self.tls else { return Err(DialFailed::Tls) };
        let name = match &tls.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(self.to.host()).map_err(|_| DialFailed::Tls)?,
        };
        match timeout_at(self.deadline, tls.connector.connect(name, tcp)).await {
            Err(_) => Err(DialFailed::TimedOut),
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
            Ok(Err(error)) => {
                debug!(%error, "TLS to the upstream failed");
                Err(DialFailed::Tls)
            }
        }
    }

    /// Resolves once, and connects to what came out and passed: nobody is asked for the name a second time.
    async fn connect(&self) -> Result<TcpStream, DialFailed> {
        let resolving = self.resolver.resolve(self.to.host(), self.to.port);
        let mut addresses: Vec<SocketAddr> = match timeout_at(self.deadline, resolving).await {
            Err(_) => return Err(DialFailed::TimedOut),
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                debug!(%error, "the upstream's name cannot be resolved");
                return Err(DialFailed::Resolve);
            }
        };
        let mut failed = DialFailed::Resolve;
        if let Some(brokers) = self.within {
            addresses.retain(|address| brokers.leads_to(address.ip()) && address.port() == self.to.port);
            failed = DialFailed::Forbidden;
        }
        for (tried, address) in addresses.iter().enumerate() {
            // An address that does not answer leaves a fair share of the time to the next.
            let left = self.deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            failed = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    debug!(%address, %error, "the upstream cannot be reached");
                    match error.kind() {
                        io::ErrorKind::ConnectionRefused => DialFailed::Refused,
                        io::ErrorKind::TimedOut => DialFailed::TimedOut,
                        _ => DialFailed::Unreachable,
                    }
                }
                Err(_) => DialFailed::TimedOut,
            };
        }
        Err(failed)
    }
}
