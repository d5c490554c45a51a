//! How much passes through topics and subscriptions: measured once a minute, as Apache Pulsar does.

use std::time::Duration;

use super::time::Now;
use super::topic::Topic;
use super::{Broker, Timer};

/// How often.
const EVERY: Duration = Duration::from_secs(60);

/// What passed in the last whole minute, by the second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Messages from producers.
    pub messages_in: f64,
    /// Their bytes.
    pub bytes_in: f64,
    /// Messages to consumers.
    pub messages_out: f64,
    /// Their bytes.
    pub bytes_out: f64,
}

impl Rates {
    /// Bytes of a message from producers.
    #[must_use]
    pub fn average_size(&self) -> f64 {
        if self.messages_in > 0.0 { self.bytes_in / self.messages_in } else { 0.0 }
    }
}

/// Counters when they were looked at last, and what came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    counted: [u64; 4],
    pub(super) rates: Rates,
}

impl Measured {
    /// Looks at the counters; true where something passed.
    fn look(&mut self, counted: [u64; 4]) -> bool {
        let before = std::mem::replace(&mut self.counted, counted);
        let rate = |at: usize| counted[at].saturating_sub(before[at]) as f64 / EVERY.as_secs_f64();
        self.rates =
            Rates { messages_in: rate(0), bytes_in: rate(1), messages_out: rate(2), bytes_out: rate(3) };
        self.rates != Rates::default()
    }
}

impl Topic {
    fn measure(&mut self) -> bool {
        let mut any = false;
        let mut out = [0, 0];
        for sub in self.subs.values_mut() {
            let counted = [sub.messages_out, sub.bytes_out()];
            any |= sub.measured.look([0, 0, counted[0], counted[1]]);
            out = [out[0] + counted[0], out[1] + counted[1]];
        }
        any | self.measured.look([self.messages_in, self.bytes_in, out[0], out[1]])
    }
}

impl Broker {
    /// Somebody came who may send or receive: what passes is measured from now on.
    pub(super) fn schedule_measuring(&mut self, now: Now) {
        if !self.measuring {
            self.measuring = true;
            self.timers.insert((now.mono + EVERY, Timer::Measure));
        }
    }

    /// Looks at all counters, and again in a minute while there is somebody or something passed.
    pub(super) fn measure(&mut self, now: Now) {
        self.measuring = false;
        let mut any = false;
        for topic in self.topics.all_mut() {
            any |= topic.measure();
        }
        if any || self.conns.len() > 0 {
            self.schedule_measuring(now);
        }
    }
}
