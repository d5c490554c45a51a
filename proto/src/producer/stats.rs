//! What a producer has done, as Java's `ProducerStats` has it.
//!
//! ```text
//! | interval | interval | interval | now ...
//!            \- its rates and latencies are told -\- its counts are told
//! ```
//!
//! An interval ends with the first thing that happens after it, so that nothing wakes for it. Counting takes no
//! memory and no clock: the time is that of the command or fact under way.

use std::time::Duration;

use crate::time::Time;

/// What a producer has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProducerStats {
    /// Messages that were sent in the interval under way.
    pub num_msgs_sent: u64,
    /// Bytes of their payloads.
    pub num_bytes_sent: u64,
    /// Messages that were not stored, of those whose end came in it.
    pub num_send_failed: u64,
    /// Messages that were stored, of those.
    pub num_acks_received: u64,
    /// Messages a second in the interval before.
    pub send_msgs_rate: f64,
    /// Bytes of payloads a second in the interval before.
    pub send_bytes_rate: f64,
    /// Messages that were sent.
    pub total_msgs_sent: u64,
    /// Bytes of their payloads.
    pub total_bytes_sent: u64,
    /// Messages that were not stored.
    pub total_send_failed: u64,
    /// Messages that were stored.
    pub total_acks_received: u64,
    /// Messages that are on their way.
    pub pending_queue_size: u64,
    latency: Histogram,
}

impl ProducerStats {
    /// Within how many milliseconds so many percent of the messages were stored that were so in the interval
    /// before; those of a batch count from its first. 0 when there were none. Exact to 3 %.
    #[must_use]
    pub fn send_latency_millis(&self, percentile: f64) -> f64 {
        self.latency.at(percentile)
    }

    /// The longest that a message took in the interval before, in milliseconds.
    #[must_use]
    pub fn send_latency_millis_max(&self) -> f64 {
        f64::from(self.latency.max) / 1000.0
    }

    /// Of two producers as one, as Java has it for partitions.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (ours, theirs) in [
            (&mut self.num_msgs_sent, other.num_msgs_sent),
            (&mut self.num_bytes_sent, other.num_bytes_sent),
            (&mut self.num_send_failed, other.num_send_failed),
            (&mut self.num_acks_received, other.num_acks_received),
            (&mut self.total_msgs_sent, other.total_msgs_sent),
            (&mut self.total_bytes_sent, other.total_bytes_sent),
            (&mut self.total_send_failed, other.total_send_failed),
            (&mut self.total_acks_received, other.total_acks_received),
            (&mut self.pending_queue_size, other.pending_queue_size),
        ] {
            *ours += theirs;
        }
        self.send_msgs_rate += other.send_msgs_rate;
        self.send_bytes_rate += other.send_bytes_rate;
        self.latency.add(&other.latency);
        self
    }
}

/// Messages, bytes, failures, acknowledgements.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    sent: u64,
    bytes: u64,
    failed: u64,
    acked: u64,
}

/// Counts what a producer does, where that is wanted.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Option<Box<Window>>);

#[derive(Debug)]
struct Window {
    interval: Duration,
    began: Time,
    /// Since ever, and when the interval began.
    total: Counts,
    before: Counts,
    latency: Histogram,
    /// Messages and bytes in the interval before, and its latencies.
    last: (u64, u64, Histogram),
}

impl Recorder {
    /// Begins to count, unless the interval is zero.
    pub(crate) fn start(interval: Duration, now: Time) -> Self {
        if !cfg!(feature = "stats") || interval.is_zero() {
            return Self(None);
        }
        Self(Some(Box::new(Window {
            interval,
            began: now,
            total: Counts::default(),
            before: Counts::default(),
            latency: Histogram::default(),
            last: (0, 0, Histogram::default()),
        })))
    }

    /// A message was sent.
    #[inline]
    pub(crate) fn sent(&mut self, bytes: usize, now: Time) {
        if let Some(window) = self.window(now) {
            window.total.sent += 1;
            window.total.bytes += bytes as u64;
        }
    }

    /// A message was refused.
    #[inline]
    pub(crate) fn refused(&mut self, now: Time) {
        if let Some(window) = self.window(now) {
            window.total.failed += 1;
        }
    }

    /// So many messages that were sent at `since` have ended.
    #[inline]
    pub(crate) fn ended(&mut self, messages: u64, since: Time, stored: bool, now: Time) {
        let Some(window) = self.window(now) else { return };
        if stored {
            window.total.acked += messages;
            window.latency.record(now - since, messages);
        } else {
            window.total.failed += messages;
        }
    }

    /// What was counted; nothing where that is not wanted.
    pub(crate) fn read(&mut self, pending: u64, now: Time) -> ProducerStats {
        let Some(Window { interval, total, before, last, .. }) = self.window(now) else {
            return ProducerStats { pending_queue_size: pending, ..ProducerStats::default() };
        };
        ProducerStats {
            num_msgs_sent: total.sent - before.sent,
            num_bytes_sent: total.bytes - before.bytes,
            num_send_failed: total.failed - before.failed,
            num_acks_received: total.acked - before.acked,
            send_msgs_rate: last.0 as f64 / interval.as_secs_f64(),
            send_bytes_rate: last.1 as f64 / interval.as_secs_f64(),
            total_msgs_sent: total.sent,
            total_bytes_sent: total.bytes,
            total_send_failed: total.failed,
            total_acks_received: total.acked,
            pending_queue_size: pending,
            latency: last.2.clone(),
        }
    }

    #[inline]
    fn window(&mut self, now: Time) -> Option<&mut Window> {
        if !cfg!(feature = "stats") {
            return None;
        }
        let window = self.0.as_deref_mut()?;
        if now - window.began >= window.interval {
            window.turn(now);
        }
        Some(window)
    }
}

impl Window {
    /// The interval has ended; if others did too, nothing happened in the last of them.
    #[cold]
    fn turn(&mut self, now: Time) {
        std::mem::swap(&mut self.last.2, &mut self.latency);
        self.latency.clear();
        (self.last.0, self.last.1) =
            (self.total.sent - self.before.sent, self.total.bytes - self.before.bytes);
        self.before = self.total;
        self.began = self.began + self.interval;
        let interval = self.interval.as_micros().max(1);
        let others = (now - self.began).as_micros() / interval;
        if others > 0 {
            (self.last.0, self.last.1) = (0, 0);
            self.last.2.clear();
            let passed = u64::try_from(others * interval).unwrap_or(u64::MAX);
            self.began = self.began + Duration::from_micros(passed);
        }
    }
}

/// Times in microseconds by their size: exact up to 64, and 32 steps to each doubling from there. What takes
/// longer than an hour counts as that long.
#[derive(Debug, Clone, Default, PartialEq)]
struct Histogram {
    /// Empty until something is recorded.
    counts: Vec<u32>,
    total: u64,
    max: u32,
}

const EXACT: u32 = 64;
const STEPS: u32 = 32;
const BUCKETS: usize = (EXACT + (32 - EXACT.ilog2()) * STEPS) as usize;

fn bucket(micros: u32) -> usize {
    if micros < EXACT {
        return micros as usize;
    }
    let shift = micros.ilog2() - STEPS.ilog2();
    (EXACT + (shift - 1) * STEPS + (micros >> shift) - STEPS) as usize
}

/// The largest time of a bucket.
fn largest(bucket: usize) -> u32 {
    let bucket = bucket as u32;
    if bucket < EXACT {
        return bucket;
    }
    let (shift, step) = ((bucket - EXACT) / STEPS + 1, (bucket - EXACT) % STEPS);
    ((STEPS + step) << shift) | ((1 << shift) - 1)
}

impl Histogram {
    fn record(&mut self, took: Duration, times: u64) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        let count = &mut self.counts[bucket(micros)];
        *count = count.saturating_add(u32::try_from(times).unwrap_or(u32::MAX));
        self.total += times;
        self.max = self.max.max(micros);
    }

    /// Within how many milliseconds so many percent are.
    fn at(&self, percentile: f64) -> f64 {
        let wanted = (self.total as f64 * percentile.clamp(0.0, 100.0) / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return f64::from(largest(bucket).min(self.max)) / 1000.0;
            }
        }
        f64::from(self.max) / 1000.0
    }

    fn add(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
        } else {
            self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a = a.saturating_add(*b));
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.max) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    #[test]
    fn every_time_is_in_a_bucket_whose_largest_is_close_above() {
        let around = |bit: u32| [1u32 << bit, (1u32 << bit) + 7, u32::MAX >> (31 - bit)];
        for micros in (0..2000).chain((11..32).flat_map(around)) {
            let largest = largest(bucket(micros));
            assert!(largest >= micros && u64::from(largest) <= u64::from(micros) * 33 / 32, "{micros}");
        }
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_interval_before() {
        let mut recorder = Recorder::start(Duration::from_secs(1), at(0));
        for millis in 1..=100 {
            recorder.sent(10, at(500));
            recorder.ended(1, at(0), true, at(millis));
        }
        recorder.refused(at(600));
        recorder.ended(3, at(0), false, at(900));
        let now = recorder.read(7, at(999));
        assert_eq!((now.num_msgs_sent, now.num_bytes_sent), (100, 1000));
        assert_eq!((now.num_acks_received, now.num_send_failed, now.pending_queue_size), (100, 4, 7));
        assert_eq!((now.send_msgs_rate, now.send_latency_millis(50.0)), (0.0, 0.0));
        let then = recorder.read(0, at(1000));
        assert_eq!((then.num_msgs_sent, then.total_msgs_sent, then.total_send_failed), (0, 100, 4));
        assert_eq!((then.send_msgs_rate, then.send_bytes_rate), (100.0, 1000.0));
        for (percentile, expected) in [(50.0, 50.0), (99.0, 99.0), (0.0, 1.0), (100.0, 100.0)] {
            let found = then.send_latency_millis(percentile);
            assert!((expected..=expected * 1.032).contains(&found), "{percentile}: {found}");
        }
        assert_eq!(then.send_latency_millis_max(), 100.0);
        let twice = then.clone().and(&then);
        assert_eq!((twice.total_acks_received, twice.send_msgs_rate), (200, 200.0));
        assert_eq!(twice.send_latency_millis(50.0), then.send_latency_millis(50.0));
        let later = recorder.read(0, at(2000));
        assert_eq!(
            (later.send_msgs_rate, later.send_latency_millis_max(), later.total_msgs_sent),
            (0.0, 0.0, 100)
        );
    }

    #[test]
    fn after_a_long_silence_the_interval_before_was_empty() {
        let mut recorder = Recorder::start(Duration::from_secs(1), at(0));
        recorder.sent(1, at(10));
        recorder.sent(1, at(7300));
        let seen = recorder.read(0, at(7400));
        assert_eq!((seen.send_msgs_rate, seen.num_msgs_sent, seen.total_msgs_sent), (0.0, 1, 2));
        assert_eq!(recorder.read(0, at(8000)).send_msgs_rate, 1.0);
        assert_eq!(Recorder::start(Duration::ZERO, at(0)).read(3, at(9)).pending_queue_size, 3);
    }
}
