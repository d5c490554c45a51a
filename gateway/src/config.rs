//! What the gateway is told.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::address::{self, AddressError, Host};
use crate::brokers::{Brokers, Network};
use crate::error::{ConfigError, ConfigErrors};
use crate::limits::Limits;
use crate::live::Live;
use crate::narrow::Narrow;
use crate::origin::{HostName, Origin};
use crate::resolve::Resolver;
use crate::token::Tokens;

/// The configuration of a [`Gateway`](crate::Gateway). Made by [`GatewayConfig::new`], then changed
/// field by field.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// Where clients connect. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where `/healthz`, `/readyz`, `/metrics` and `/connz` are served, if anywhere. Not meant for strangers:
    /// keep it on loopback or inside.
    pub admin_listen: Option<SocketAddr>,
    /// The one Pulsar proxy or broker behind the gateway. Without it and without `brokers` nothing is forwarded
    /// and every upgrade is answered 503.
    pub upstream: Option<Upstream>,
    /// Brokers that clients may name in their CONNECT (`proxy_to_broker_url`), as they do with a Pulsar proxy. A
    /// client that names none is connected to `upstream`. Leave it empty in front of a Pulsar proxy.
    pub brokers: Option<Brokers>,
    /// Trust for upstreams that are reached by TLS; the system's trust store when `None`.
    pub upstream_tls: Option<UpstreamTls>,
    /// Resolves the names of upstreams; the system does unless set.
    pub resolver: Resolver,
    /// Whether close reasons sent to clients name the upstream's address. For development.
    pub reveal_upstream: bool,
    /// Origins whose pages may connect, besides same-origin ones. Exact.
    pub allow_origins: Vec<Origin>,
    /// Whether requests without an `Origin` header (programs, not browsers) may connect.
    pub allow_missing_origin: bool,
    /// Tokens that clients have to show at the upgrade. None are demanded when `None`; the client's own Pulsar
    /// authentication is passed through then.
    pub tokens: Option<Tokens>,
    /// What tokens and pages are narrowed to. The first that fits holds; where there are any, and none fits, nothing
    /// is permitted. Without any, clients may do whatever Pulsar lets them.
    pub narrow: Vec<Narrow>,
    /// Makes the public listener speak TLS (`wss://`).
    pub tls: Option<ListenTls>,
    /// How often certificates, keys and tokens are looked at, to be taken when they have been replaced on disk; never
    /// when zero, but at a reload. Default: 10 seconds.
    pub watch_files: Duration,
    /// Proxies before the gateway whose `X-Forwarded-For` says who the client is, for limits by address and for
    /// `/connz`. Without them nobody's does.
    pub trusted_proxies: Vec<Network>,
    /// The names that the gateway has, for same-origin pages and for the admin listener. Anybody may have a name of
    /// his own lead here (DNS rebinding): a `Host` that is no address, not `localhost` and none of these makes no
    /// page same-origin, and is refused by the admin listener.
    pub host_names: Vec<HostName>,
    /// TLS is ended before the gateway, by a proxy or by the server that it is mounted in: its own pages are `https`
    /// ones. With `tls` they always are.
    pub behind_tls: bool,
    /// Limits.
    pub limits: Limits,
}

impl GatewayConfig {
    /// A gateway that forwards nothing yet: no upstream, no origin beyond same-origin.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        GatewayConfig {
            listen,
            admin_listen: None,
            upstream: None,
            brokers: None,
            upstream_tls: None,
            resolver: Resolver::default(),
            reveal_upstream: false,
            allow_origins: Vec::new(),
            allow_missing_origin: false,
            tokens: None,
            narrow: Vec::new(),
            tls: None,
            watch_files: Duration::from_secs(10),
            trusted_proxies: Vec::new(),
            host_names: Vec::new(),
            behind_tls: false,
            limits: Limits::default(),
        }
    }

    /// Checks everything without listening, reading the certificate files too.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        Live::prepare(self).map(drop)
    }

    /// Checks everything, as [`validate`](Self::validate) does, beside what reading it has found wrong already.
    ///
    /// # Errors
    /// All that is wrong, at once: what was read, and what was found now and does not merely follow from it.
    pub fn validate_read(&self, wrong: Vec<ConfigError>) -> Result<(), ConfigErrors> {
        let found = self.validate().err().map(|errors| errors.0).unwrap_or_default();
        ConfigErrors::beside(wrong, found)
    }
}

/// The Pulsar proxy or broker behind the gateway: `pulsar://host[:port]` or `pulsar+ssl://host[:port]`,
/// with the default ports 6650 and 6651.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub(crate) tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Upstream {
    pub(crate) fn new(tls: bool, host: Host, port: u16) -> Self {
        Upstream { tls, host, port }
    }

    /// Whether it is a `pulsar+ssl://` one.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        self.host.bare()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pulsar{}://{}:{}", if self.tls { "+ssl" } else { "" }, self.host, self.port)
    }
}

/// Why a text is not an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamError {
    /// Neither `pulsar://` nor `pulsar+ssl://`.
    Scheme,
    /// A user name or password: credentials are the clients' own.
    UserInfo,
    /// Several hosts: the gateway has one upstream.
    SeveralHosts,
    /// A path, query or fragment.
    Path,
    /// No host.
    NoHost,
    /// Not a host name or address.
    BadHost,
    /// A port that is not between 1 and 65535.
    BadPort,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UpstreamError::Scheme => "expected pulsar://host:port or pulsar+ssl://host:port",
            UpstreamError::UserInfo => "credentials do not belong into the upstream, clients bring their own",
            UpstreamError::SeveralHosts => "several hosts, but the gateway has exactly one upstream",
            UpstreamError::Path => "something follows the host and port",
            UpstreamError::NoHost => "the host is missing",
            UpstreamError::BadHost => "the host is not a host name or address",
            UpstreamError::BadPort => "the port is not a number between 1 and 65535",
        })
    }
}

impl std::error::Error for UpstreamError {}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        // Before anything else: what holds credentials is not shown.
        if text.contains('@') {
            return Err(UpstreamError::UserInfo);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UpstreamError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "pulsar" => false,
            "pulsar+ssl" => true,
            _ => return Err(UpstreamError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(UpstreamError::Path);
        }
        if rest.contains(',') {
            return Err(UpstreamError::SeveralHosts);
        }
        let (host, port) = address::parse(rest).map_err(|error| match error {
            AddressError::NoHost => UpstreamError::NoHost,
            AddressError::BadHost => UpstreamError::BadHost,
            AddressError::BadPort => UpstreamError::BadPort,
        })?;
        Ok(Upstream { tls, host, port: port.unwrap_or(if tls { 6651 } else { 6650 }) })
    }
}

/// PEM text, or where to find it.
#[derive(Clone)]
#[non_exhaustive]
pub enum Pem {
    /// A file, read when the gateway is bound.
    File(PathBuf),
    /// The text itself. Never shown.
    Text(Vec<u8>),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => f.debug_tuple("File").field(path).finish(),
            Pem::Text(_) => f.write_str("Text(..)"),
        }
    }
}

/// TLS of the public listener.
#[derive(Debug, Clone)]
pub struct ListenTls {
    /// The certificate chain, the server's own first.
    pub certificates: Pem,
    /// The private key.
    pub key: Pem,
}

/// How a `pulsar+ssl://` upstream is verified. It always is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct UpstreamTls {
    /// The only certificate authorities to trust; the system's trust store when `None`.
    pub authorities: Option<Pem>,
    /// The name to verify in place of the upstream's host.
    pub server_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_urls() {
        for (text, canonical) in [
            ("pulsar://Broker:6650", "pulsar://broker:6650"),
            ("pulsar://broker", "pulsar://broker:6650"),
            ("PULSAR+SSL://broker/", "pulsar+ssl://broker:6651"),
            ("pulsar+ssl://[::1]:1", "pulsar+ssl://[::1]:1"),
        ] {
            assert_eq!(text.parse::<Upstream>().map(|u| u.to_string()), Ok(canonical.to_owned()));
        }
        for (text, error) in [
            ("http://broker:6650", UpstreamError::Scheme),
            ("broker:6650", UpstreamError::Scheme),
            ("pulsar://me:secret@broker", UpstreamError::UserInfo),
            ("pulsar://a:1,b:2", UpstreamError::SeveralHosts),
            ("pulsar://a/b", UpstreamError::Path),
            ("pulsar://", UpstreamError::NoHost),
            ("pulsar://a b", UpstreamError::BadHost),
            ("pulsar://a:0", UpstreamError::BadPort),
        ] {
            assert_eq!(text.parse::<Upstream>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_pem_text_is_never_shown() {
        let shown = format!("{:?}", Pem::Text(b"PRIVATE".to_vec()));
        assert_eq!(shown, "Text(..)");
    }
}
