//! Options of a client.

use std::time::Duration;

use bytes::Bytes;

use super::refuse;
use crate::error::Error;
use crate::service_url::ServiceUrl;

/// Options of a client. Defaults are those of Java's `ClientBuilder`.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where to begin.
    pub service_url: ServiceUrl,
    /// How long an operation other than a send may take: 30 s.
    pub operation_timeout: Duration,
    /// How long a connection may take to open, its handshake included: 10 s.
    pub connection_timeout: Duration,
    /// How often a quiet connection is asked whether it is alive: 30 s. After two of them without a
    /// byte it counts as lost.
    pub keep_alive_interval: Duration,
    /// The first delay before something is tried again: 100 ms.
    pub initial_backoff: Duration,
    /// The longest delay: 60 s.
    pub max_backoff: Duration,
    /// Redirects that one lookup may follow: 20.
    pub max_lookup_redirects: u32,
    /// What the rates and latencies of statistics are about: 60 s; zero means no statistics.
    pub stats_interval: Duration,
    /// Bytes of messages that may wait for their receipts, in all producers together: 64 MiB.
    pub memory_limit: usize,
    /// The advertised listener to ask brokers for.
    pub listener_name: Option<String>,
    /// What the broker shows as this client's version.
    pub client_version: String,
    /// What CONNECT carries to authenticate.
    pub authentication: Option<Authentication>,
}

/// Credentials that do not change: a token, for example.
#[derive(Clone, PartialEq, Eq)]
pub struct Authentication {
    /// The method's name on the wire: `token`, `basic`, ...
    pub method: String,
    /// Its data.
    pub data: Bytes,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authentication({}, hidden)", self.method)
    }
}

impl ClientConfig {
    /// The defaults, for `service_url`.
    #[must_use]
    pub fn new(service_url: ServiceUrl) -> Self {
        Self {
            service_url,
            operation_timeout: Duration::from_secs(30),
            connection_timeout: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(30),
            initial_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(60),
            max_lookup_redirects: 20,
            stats_interval: Duration::from_secs(60),
            memory_limit: 64 * 1024 * 1024,
            listener_name: None,
            client_version: concat!("pulsewire-", env!("CARGO_PKG_VERSION")).to_owned(),
            authentication: None,
        }
    }

    /// Checks all options together.
    ///
    /// # Errors
    /// `InvalidOption`, naming every option that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        for (name, value) in [
            ("operation_timeout", self.operation_timeout),
            ("connection_timeout", self.connection_timeout),
            ("keep_alive_interval", self.keep_alive_interval),
            ("initial_backoff", self.initial_backoff),
        ] {
            if value < Duration::from_millis(1) {
                wrong.push(format!("{name} is at least 1 ms"));
            }
        }
        if self.max_backoff < self.initial_backoff {
            wrong.push("max_backoff is at least initial_backoff".to_owned());
        }
        if !self.stats_interval.is_zero() && self.stats_interval < Duration::from_millis(1) {
            wrong.push("stats_interval is zero, or at least 1 ms".to_owned());
        }
        if self.memory_limit == 0 {
            wrong.push("memory_limit is at least 1 byte".to_owned());
        }
        refuse(wrong)
    }
}
