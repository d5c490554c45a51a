//! Delays between attempts: doubling, with jitter, up to a limit.

use std::time::Duration;

use crate::config::ClientConfig;

/// Where a series of attempts is.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next delay: between 80 and 100 % of its step, as Java's `Backoff`.
    pub(crate) fn next(&mut self, config: &ClientConfig, rng: &mut fastrand::Rng) -> Duration {
        let step = config.initial_backoff.saturating_mul(1 << self.attempts.min(20)).min(config.max_backoff);
        self.attempts = self.attempts.saturating_add(1);
        step.mul_f64(0.8 + 0.2 * rng.f64())
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_url::ServiceUrl;

    #[test]
    fn delays_double_up_to_the_limit_and_start_again_after_a_reset() {
        let config = ClientConfig::new(ServiceUrl::parse("pulsar://h").expect("a URL"));
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::default();
        let mut step = config.initial_backoff;
        for _ in 0..40 {
            let delay = backoff.next(&config, &mut rng);
            assert!(delay <= step && delay >= step.mul_f64(0.8), "{delay:?} of {step:?}");
            step = (step * 2).min(config.max_backoff);
        }
        backoff.reset();
        assert!(backoff.next(&config, &mut rng) <= config.initial_backoff);
    }
}
