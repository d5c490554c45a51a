//! Time, as the host hands it in.

use std::time::Duration;

/// The moment at which the host calls: the core has no clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Now {
    /// Since some fixed start; never goes back. Timers run by it.
    pub mono: Duration,
    /// Milliseconds since the Unix epoch, for what the wire calls time.
    pub wall_ms: u64,
}

impl Now {
    /// A moment: monotonic time since a fixed start, and milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(mono: Duration, wall_ms: u64) -> Self {
        Self { mono, wall_ms }
    }

    /// The monotonic moment at which the wall clock will show `wall_ms`.
    pub(super) fn mono_at(self, wall_ms: u64) -> Duration {
        self.mono + Duration::from_millis(wall_ms.saturating_sub(self.wall_ms))
    }
}
