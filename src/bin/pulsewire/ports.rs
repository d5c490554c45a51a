//! Ports to listen on, and what to say when they are taken.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use crate::failure::{Failure, note};

/// Whether an address can be listened on now.
fn free(address: SocketAddr) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

/// Says, before anything begins, which address cannot be had. `flag` is the option that named its port.
pub(crate) fn check(address: SocketAddr, flag: &str) -> Result<(), Failure> {
    free(address).map_err(|error| cannot_listen(address, flag, &error))
}

/// Why an address cannot be listened on.
pub(crate) fn cannot_listen(address: SocketAddr, flag: &str, error: &io::Error) -> Failure {
    Failure::failed(match error.kind() {
        ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another program does so already. Give another one with {flag}, where port 0 means any free one."
        ),
        ErrorKind::PermissionDenied => format!(
            "cannot listen on {address}: that port is not ours to take. Give one above 1023 with {flag}."
        ),
        ErrorKind::AddrNotAvailable => {
            format!("cannot listen on {address}: this machine has no such address.")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })
}

/// The port that was asked for; else the usual one, or any free one where it is taken.
pub(crate) fn choose(
    host: std::net::IpAddr,
    asked: Option<u16>,
    usual: u16,
    flag: &str,
) -> Result<SocketAddr, Failure> {
    let address = SocketAddr::new(host, asked.unwrap_or(usual));
    match (asked, free(address)) {
        (_, Ok(())) => Ok(address),
        (None, Err(error)) if error.kind() == ErrorKind::AddrInUse => {
            note(&format!("port {usual} is taken, a free one takes its place ({flag} chooses)."));
            Ok(SocketAddr::new(host, 0))
        }
        (_, Err(error)) => Err(cannot_listen(address, flag, &error)),
    }
}
