//! Why a transport failed.

use std::fmt;

/// The kind of a transport failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nobody listens there.
    Refused,
    /// The host name does not resolve, or there is no route.
    Unreachable,
    /// The connection did not open, or the peer did not answer, in time.
    TimedOut,
    /// TLS: certificate, host name or protocol.
    Tls,
    /// The peer answered the WebSocket upgrade with an HTTP status other than 101.
    UpgradeRefused {
        /// The HTTP status; 0 where the host hides it (browsers do).
        status: u16,
    },
    /// The peer closed with a WebSocket close code.
    Closed {
        /// The close code, as RFC 6455 section 7.4; 1006 when the connection just ended.
        code: u16,
    },
    /// The connection broke.
    Reset,
    /// The peer broke the rules of the carrier (text where binary is due, for example).
    Protocol,
    /// This connector cannot carry that scheme.
    Unsupported,
}

/// A transport failure, with what the host said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    kind: ErrorKind,
    message: String,
}

impl TransportError {
    /// Makes an error from its kind and a message for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the host or the peer said.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TransportError {}

/// The failure behind an error of the operating system, or of TLS where that is inside.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn from_io(error: &std::io::Error, doing: &str) -> TransportError {
    use std::io::ErrorKind as Io;
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return crate::tls::from_rustls(tls, None);
    }
    let kind = match error.kind() {
        Io::ConnectionRefused => ErrorKind::Refused,
        Io::HostUnreachable | Io::NetworkUnreachable | Io::NetworkDown | Io::AddrNotAvailable => {
            ErrorKind::Unreachable
        }
        Io::TimedOut => ErrorKind::TimedOut,
        _ => ErrorKind::Reset,
    };
    TransportError::new(kind, format!("{doing}: {error}"))
}
