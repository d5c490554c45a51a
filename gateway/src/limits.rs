//! What one client, or all of them, may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{ConfigError, Problem};

/// What one client, or all of them, may take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Open WebSockets at once. One more is closed with 1013 `too-many-connections`.
    pub max_connections: usize,
    /// Open WebSockets at once from one address (of IPv6, one /64 network). One more is closed with 1013
    /// `too-many-from-address`. Behind a load balancer that does not pass TCP through, all clients have its
    /// address: make it as large as `max_connections` there.
    pub max_connections_per_address: usize,
    /// Open WebSockets at once of one origin's pages. One more is closed with 1013 `too-many-from-origin`.
    /// As many as `max_connections` when `None`.
    pub max_connections_per_origin: Option<usize>,
    /// From accepting a connection to the end of the upgrade: TLS and HTTP. Where the gateway reads the client's
    /// first Pulsar frame, that has the same time again.
    pub handshake_timeout: Duration,
    /// To resolve and reach the upstream, its TLS handshake included.
    pub connect_timeout: Duration,
    /// Without a byte carried either way.
    pub idle_timeout: Duration,
    /// How long a client may take to send one message, from its first bytes to its last. The client is closed with
    /// 1008 `slow-message` then: what has come of a message takes memory.
    pub message_timeout: Duration,
    /// How long a client may take to accept one buffer.
    pub slow_client_timeout: Duration,
    /// How long a closing connection may take to end in order.
    pub close_timeout: Duration,
    /// When the gateway stops, the time over which it spreads the closing of connections.
    pub lame_duck: Duration,
    /// Bytes from the upstream gathered into one WebSocket message, and so the most that is held for
    /// a client that does not read.
    pub buffer_bytes: usize,
    /// The largest WebSocket message from a client, whole or in fragments, and so the most that is
    /// held for an upstream that does not read.
    pub max_frame_bytes: usize,
    /// Bytes a second of one connection, each way for itself; a second's worth may come at once. Unlimited when
    /// `None`.
    pub bytes_per_second: Option<usize>,
    /// What happens to a connection that has used up its bytes.
    pub over_rate: OverRate,
}

/// What happens to a connection that has used up [`Limits::bytes_per_second`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OverRate {
    /// It waits until there are more (`"pace"`): whoever sends is slowed down by TCP.
    #[default]
    Pace,
    /// It is closed with 1008 `rate-limit` (`"close"`) if it is the client that sends too much. What the upstream
    /// sends is paced all the same: that is not the client's doing.
    Close,
}

/// A text is neither `pace` nor `close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverRateError;

impl fmt::Display for OverRateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected \"pace\" or \"close\"")
    }
}

impl std::error::Error for OverRateError {}

impl FromStr for OverRate {
    type Err = OverRateError;

    fn from_str(text: &str) -> Result<Self, OverRateError> {
        match text {
            "pace" => Ok(OverRate::Pace),
            "close" => Ok(OverRate::Close),
            _ => Err(OverRateError),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 10_000,
            max_connections_per_address: 1000,
            max_connections_per_origin: None,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            message_timeout: Duration::from_secs(60),
            slow_client_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            lame_duck: Duration::from_secs(10),
            buffer_bytes: 64 * 1024,
            // One whole Pulsar frame of the default largest message, and some.
            max_frame_bytes: 6 * 1024 * 1024,
            bytes_per_second: None,
            over_rate: OverRate::Pace,
        }
    }
}

impl Limits {
    pub(crate) fn check(&self, errors: &mut Vec<ConfigError>) {
        const MOST: usize = 1_000_000;
        let numbers = [
            ("limits.max_connections", Some(self.max_connections), 1, MOST),
            ("limits.max_connections_per_address", Some(self.max_connections_per_address), 1, MOST),
            ("limits.max_connections_per_origin", self.max_connections_per_origin, 1, MOST),
            ("limits.buffer_bytes", Some(self.buffer_bytes), 4 * 1024, 16 * 1024 * 1024),
            ("limits.max_frame_bytes", Some(self.max_frame_bytes), 1024, 256 * 1024 * 1024),
            ("limits.bytes_per_second", self.bytes_per_second, 1024, usize::MAX / 4),
        ];
        for (key, value, low, high) in numbers {
            if let Some(value) = value.filter(|value| !(low..=high).contains(value)) {
                errors.push(ConfigError::at(key, Problem::OutOfRange { value, low, high }));
            }
        }
        if let Some(per_origin) = self.max_connections_per_origin.filter(|it| *it > self.max_connections) {
            errors.push(ConfigError::at(
                "limits.max_connections_per_origin",
                Problem::Contradicts { value: per_origin.to_string(), other: "limits.max_connections" },
            ));
        }
        // The upper bound also keeps `Instant + Duration` from overflowing.
        let (low, high) = (Duration::from_millis(10), Duration::from_secs(7 * 24 * 3600));
        let durations = [
            ("limits.handshake_timeout", self.handshake_timeout, low),
            ("limits.connect_timeout", self.connect_timeout, low),
            ("limits.idle_timeout", self.idle_timeout, low),
            ("limits.message_timeout", self.message_timeout, low),
            ("limits.slow_client_timeout", self.slow_client_timeout, low),
            ("limits.close_timeout", self.close_timeout, low),
            ("limits.lame_duck", self.lame_duck, Duration::ZERO),
        ];
        for (key, value, low) in durations {
            if !(low..=high).contains(&value) {
                errors.push(ConfigError::at(key, Problem::DurationOutOfRange { value, low, high }));
            }
        }
        if let Some(most) = self.bytes_per_second.filter(|most| *most < self.max_frame_bytes)
            && self.over_rate == OverRate::Close
        {
            // One message that is allowed would close the connection.
            let (value, other) = (most.to_string(), "limits.max_frame_bytes");
            errors.push(ConfigError::at("limits.bytes_per_second", Problem::Contradicts { value, other }));
        }
    }
}
