//! When a message comes again, by how often it has come.

use std::time::Duration;

/// A delay that grows with every redelivery: Java's `MultiplierRedeliveryBackoff`, with the defaults of its builder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RedeliveryBackoff {
    /// The delay of a message that came for the first time. Default: 10 s, as Java's `minDelayMs`; at least 1 ms.
    pub min_delay: Duration,
    /// The longest delay. Default: 10 minutes, as Java's `maxDelayMs`; not less than the first.
    pub max_delay: Duration,
    /// What the delay is multiplied by for every redelivery. Default: 2, as Java's `multiplier`; at least 1.
    pub multiplier: f64,
}

impl Default for RedeliveryBackoff {
    fn default() -> Self {
        let (min_delay, max_delay) = (Duration::from_secs(10), Duration::from_secs(600));
        Self { min_delay, max_delay, multiplier: 2.0 }
    }
}

impl RedeliveryBackoff {
    /// The delay of a message that was redelivered so often.
    #[must_use]
    pub fn delay(&self, redelivery_count: u32) -> Duration {
        let (mut ms, max) = (self.min_delay.as_millis() as f64, self.max_delay.as_millis() as f64);
        for _ in 0..redelivery_count {
            if ms >= max || self.multiplier <= 1.0 {
                break;
            }
            ms *= self.multiplier;
        }
        Duration::from_millis(ms.min(max) as u64)
    }

    pub(crate) fn is_sound(&self) -> bool {
        let ms = Duration::from_millis(1);
        self.min_delay >= ms
            && self.max_delay >= self.min_delay
            && self.multiplier >= 1.0
            && self.multiplier.is_finite()
    }
}
