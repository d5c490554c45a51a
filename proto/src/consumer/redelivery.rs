//! When a message comes again, by how often it has come.

use std::time::Duration;

/// A delay that grows with every redelivery: Java's `MultiplierRedeliveryBackoff`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RedeliveryBackoff {
    /// The delay of a message that came for the first time.
    pub min_delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
    /// What the delay is multiplied by for every redelivery; at least 1.
    pub multiplier: f64,
}

impl RedeliveryBackoff {
    /// The delay of a message that was redelivered so often.
    #[must_use]
    pub fn delay(&self, redelivery_count: u32) -> Duration {
        let (min, max) = (self.min_delay.as_millis() as f64, self.max_delay.as_millis() as f64);
        // The count is the broker's word: it may be any. What overflows is infinite, and capped.
        let ms = min * self.multiplier.max(1.0).powf(f64::from(redelivery_count));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c10_any_redelivery_count_has_its_delay_at_once() {
        let longest = Duration::from_secs(1 << 40);
        let slow = RedeliveryBackoff {
            min_delay: Duration::from_secs(1),
            max_delay: longest,
            multiplier: 1.000_000_1,
        };
        // Step by step, these would take an hour.
        for _ in 0..1000 {
            assert_eq!(slow.delay(u32::MAX), longest);
            let e = slow.delay(10_000_000).as_secs_f64();
            assert!((e - std::f64::consts::E).abs() < 0.001, "{e}");
        }
        let doubled = RedeliveryBackoff { multiplier: 2.0, ..slow };
        for (count, seconds) in
            [(0, 1), (1, 2), (10, 1024), (40, 1 << 40), (41, 1 << 40), (u32::MAX, 1 << 40)]
        {
            assert_eq!(doubled.delay(count), Duration::from_secs(seconds), "{count}");
        }
        let constant = RedeliveryBackoff { multiplier: 1.0, ..slow };
        assert_eq!(constant.delay(u32::MAX), slow.min_delay);
    }
}
