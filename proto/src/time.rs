//! Time as it is handed in: the core has no clock of its own.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic time in microseconds since an origin that the host chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(u64);

impl Time {
    /// A time that never comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// A time from microseconds since the host's origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the host's origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Both clocks, read together by the host for every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic, for deadlines.
    pub time: Time,
    /// Milliseconds since the Unix epoch, where the wire wants it.
    pub wall_ms: u64,
}
