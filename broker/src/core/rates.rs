//! Bounds on how much passes in a time: of what producers send, and of what is delivered.
//!
//! ```text
//!            what passes is spent                       more was spent than a period's worth
//!   open --------------------------> open ... open --------------------------------------> shut
//!    ^                                                                                       |
//!    +------------------ time passes: as much as the rate says is there again ---------------+
//! ```
//! What is larger than what is left passes whole, and is made up for afterwards, as Apache Pulsar has it.

use std::time::Duration;

use super::time::Now;

/// Nothing waits longer than this for its turn, however much passed before.
const LONGEST: Duration = Duration::from_secs(3600);

/// So many messages and bytes a period; 0 is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rate {
    messages: u64,
    bytes: u64,
    period: Duration,
}

impl Rate {
    /// As the admin API has it: 0 and below is no bound.
    pub(super) fn new(messages: i64, bytes: i64, seconds: i64) -> Self {
        let bound = |number: i64| u64::try_from(number).unwrap_or(0);
        Self {
            messages: bound(messages),
            bytes: bound(bytes),
            period: Duration::from_secs(bound(seconds).clamp(1, LONGEST.as_secs())),
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.messages == 0 && self.bytes == 0
    }

    /// How long so much takes at a rate of `of` a period.
    fn share(&self, used: u64, of: u64) -> Duration {
        let nanos = (self.period.as_nanos() * u128::from(used)).checked_div(u128::from(of)).unwrap_or(0);
        u64::try_from(nanos).map_or(LONGEST, Duration::from_nanos).min(LONGEST)
    }
}

/// What of a rate is spent: until when what passed would have taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    messages: Duration,
    bytes: Duration,
}

impl Bucket {
    pub(super) fn spend(&mut self, rate: Rate, messages: u64, bytes: u64, now: Now) {
        self.messages = self.messages.max(now.mono) + rate.share(messages, rate.messages);
        self.bytes = self.bytes.max(now.mono) + rate.share(bytes, rate.bytes);
    }

    /// When something may pass again; nothing when it may now.
    pub(super) fn opens(&self, rate: Rate, now: Now) -> Option<Duration> {
        if rate.is_none() {
            return None;
        }
        let spent = self.messages.max(self.bytes).min(now.mono + LONGEST);
        (spent >= now.mono + rate.period).then(|| spent - rate.period + Duration::from_millis(1))
    }
}

/// The bounds on what a subscription delivers: its topic's and its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throttle {
    bounds: [(Rate, Bucket); 2],
    bounded: bool,
    /// When something may pass again, if it was asked for in vain.
    pub(super) opens: Option<Duration>,
}

impl Throttle {
    pub(super) fn new(topic: (Rate, Bucket), sub: (Rate, Bucket)) -> Self {
        Self { bounds: [topic, sub], bounded: !topic.0.is_none() || !sub.0.is_none(), opens: None }
    }

    /// What is spent now of the topic's and of the subscription's, where there are bounds.
    pub(super) fn spent(&self) -> Option<[Bucket; 2]> {
        self.bounded.then(|| self.bounds.map(|(_, bucket)| bucket))
    }

    pub(super) fn passes(&mut self, now: Now) -> bool {
        if !self.bounded {
            return true;
        }
        self.opens = self.bounds.iter().filter_map(|(rate, bucket)| bucket.opens(*rate, now)).max();
        self.opens.is_none()
    }

    pub(super) fn spend(&mut self, messages: u64, bytes: u64, now: Now) {
        if self.bounded {
            self.bounds.iter_mut().for_each(|(rate, bucket)| bucket.spend(*rate, messages, bytes, now));
        }
    }
}
