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

/// A time of milliseconds since the Unix epoch, as ISO 8601 has it.
pub(crate) fn iso_8601(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    // Years that begin in March, in eras of 400.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let day = day - (153 * march + 2) / 5 + 1;
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    let ms = match rest % 1000 {
        0 => String::new(),
        ms => format!(".{ms:03}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{ms}Z")
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(super::iso_8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(super::iso_8601(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(super::iso_8601(1_795_247_387_495), "2026-11-21T07:49:47.495Z");
    }
}
