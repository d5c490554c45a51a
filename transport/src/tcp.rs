//! Plain TCP (`pulsar://`).

use tokio::net::{TcpStream, lookup_host};

use crate::error::from_io;
use crate::{ErrorKind, StreamTransport, TransportError};

/// A TCP connection.
pub type TcpTransport = StreamTransport<TcpStream>;

/// Resolves `host` and connects to the first of its addresses that answers, with `TCP_NODELAY`.
///
/// There is no timeout of its own: drop the future to give up.
///
/// # Errors
/// `Unreachable` when the name does not resolve, otherwise what the last address said.
pub async fn connect(host: &str, port: u16) -> Result<TcpTransport, TransportError> {
    open(host, port).await.map(StreamTransport::new)
}

/// The socket below TCP, TLS and WebSocket alike.
pub(crate) async fn open(host: &str, port: u16) -> Result<TcpStream, TransportError> {
    let doing = format!("connecting to {host} port {port}");
    let addresses = lookup_host((host, port)).await.map_err(|error| {
        TransportError::new(ErrorKind::Unreachable, format!("{host} does not resolve: {error}"))
    })?;
    let mut failure = TransportError::new(ErrorKind::Unreachable, format!("{host} has no address"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it a small frame waits for the acknowledgement of the one before.
                stream.set_nodelay(true).map_err(|error| from_io(&error, &doing))?;
                return Ok(stream);
            }
            Err(error) => failure = from_io(&error, &doing),
        }
    }
    Err(failure)
}
