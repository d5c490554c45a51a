//! Reaching the upstream: resolve, connect, TLS, all within one deadline.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::config::Upstream;
use crate::ending::DialFailed;
use crate::stream::Stream;
use crate::tls::UpstreamConnector;

/// Opens a connection to `upstream`.
pub(crate) async fn dial(
    upstream: &Upstream,
    tls: Option<&UpstreamConnector>,
    deadline: Instant,
) -> Result<Stream, DialFailed> {
    let tcp = connect(upstream, deadline).await?;
    if let Err(error) = tcp.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY refused");
    }
    if !upstream.tls {
        return Ok(Stream::Tcp(tcp));
    }
    // Configuration makes a connector for every TLS upstream; without one nothing is sent in clear.
    let Some(tls) = tls else { return Err(DialFailed::Tls) };
    match timeout_at(deadline, tls.connector.connect(tls.name.clone(), tcp)).await {
        Err(_) => Err(DialFailed::TimedOut),
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
        Ok(Err(error)) => {
            debug!(%error, "TLS to the upstream failed");
            Err(DialFailed::Tls)
        }
    }
}

/// Resolves first and connects to what came out: there is one list of addresses, and whatever checks
/// them checks the very ones that are dialled.
async fn connect(upstream: &Upstream, deadline: Instant) -> Result<TcpStream, DialFailed> {
    let host = upstream.host();
    let addresses: Vec<SocketAddr> =
        match timeout_at(deadline, lookup_host((host.as_str(), upstream.port))).await {
            Err(_) => return Err(DialFailed::TimedOut),
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                debug!(%error, "the upstream's name cannot be resolved");
                return Err(DialFailed::Resolve);
            }
        };
    let mut failed = DialFailed::Resolve;
    for (tried, address) in addresses.iter().enumerate() {
        // An address that does not answer leaves a fair share of the time to the next.
        let left = deadline.saturating_duration_since(Instant::now());
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
