//! Bytes a second: a bucket that fills steadily and holds a second's worth.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    /// Below zero while more was taken than was there.
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: usize, now: Instant) -> Self {
        let per_second = per_second as f64;
        Bucket { per_second, level: per_second, at: now }
    }

    /// Takes as much, whether it is there or not, and says until when it was not.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let gone = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + gone * self.per_second).min(self.per_second) - bytes as f64;
        self.at = now;
        // One message is bounded, and so is the wait.
        let seconds = (-self.level / self.per_second).min(1e6);
        (seconds > 0.0).then(|| now + Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_may_come_at_once_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, start);
        assert_eq!(bucket.take(1000, start), None);
        assert_eq!(bucket.take(500, start), Some(start + Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take(0, later), None);
        let much_later = later + Duration::from_secs(60);
        assert_eq!(bucket.take(1000, much_later), None, "nothing is saved up");
        assert!(bucket.take(1, much_later).is_some());
    }
}
