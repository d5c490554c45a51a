//! Bounds on how much passes in a time: of what producers send, and of what is delivered.
//!
//! ```text
//!            what passes is spent                       more was spent than a period's worth
//!   open --------------------------> open ... open --------------------------------------> shut
//!    ^                                                                                       |
//!    +------------------ time passes: as much as the rate says is there again ---------------+
//! ```
//! What is larger than what is left passes whole, and is made up for afterwards, as Apache Pulsar has it. Of
//! what producers send, time gives back bit by bit; of what is delivered, a period's worth at once.

use std::collections::BTreeMap;
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

/// Consumers whose coming is counted at most; beyond, all begin anew.
const MOST_COMINGS: usize = 10_000;

/// How often consumers came: by their host, name and id.
#[derive(Debug, Default)]
pub(super) struct Comings(BTreeMap<(String, String, u64), Bucket>);

impl Comings {
    /// Whether one may come now; it is counted.
    pub(super) fn admit(&mut self, rate: Rate, who: (&str, &str, u64), now: Now) -> bool {
        if rate.is_none() {
            self.0.clear();
            return true;
        }
        self.0.retain(|_, bucket| bucket.messages > now.mono);
        if self.0.len() >= MOST_COMINGS {
            self.0.clear();
        }
        let (host, name, id) = who;
        let bucket = self.0.entry((host.to_owned(), name.to_owned(), id)).or_default();
        // One whole coming must be there again.
        let may = bucket.messages.max(now.mono) + rate.share(1, rate.messages) <= now.mono + rate.period;
        if may {
            bucket.spend(rate, 1, 0, now);
        }
        may
    }
}

/// What of a rate is spent in the period that began at `start`, or before and is not made up for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    start: Duration,
    messages: u64,
    bytes: u64,
}

impl Window {
    fn spend(&mut self, messages: u64, bytes: u64) {
        self.messages = self.messages.saturating_add(messages);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// When something may pass again; nothing when it may now.
    fn opens(&mut self, rate: Rate, now: Now) -> Option<Duration> {
        if rate.is_none() {
            return None;
        }
        let past = now.mono.saturating_sub(self.start).as_nanos() / rate.period.as_nanos().max(1);
        if past > 0 {
            let past = u64::try_from(past).unwrap_or(u64::MAX);
            let left = |spent: u64, of: u64| match of {
                0 => 0,
                of => spent.saturating_sub(of.saturating_mul(past)),
            };
            (self.messages, self.bytes) = (left(self.messages, rate.messages), left(self.bytes, rate.bytes));
            let periods = u32::try_from(past).ok().and_then(|past| rate.period.checked_mul(past));
            // A period begins when something is asked for, where nothing was before.
            let idle = self.messages == 0 && self.bytes == 0;
            self.start = periods.filter(|_| !idle).map_or(now.mono, |periods| self.start + periods);
        }
        let over = |spent: u64, of: u64| of > 0 && spent >= of;
        (over(self.messages, rate.messages) || over(self.bytes, rate.bytes)).then(|| self.start + rate.period)
    }
}

/// The bounds on what a subscription delivers: its topic's and its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throttle {
    bounds: [(Rate, Window); 2],
    bounded: bool,
    /// When something may pass again, if it was asked for in vain.
    pub(super) opens: Option<Duration>,
}

impl Throttle {
    pub(super) fn new(topic: (Rate, Window), sub: (Rate, Window)) -> Self {
        Self { bounds: [topic, sub], bounded: !topic.0.is_none() || !sub.0.is_none(), opens: None }
    }

    /// What is spent now of the topic's and of the subscription's, where there are bounds.
    pub(super) fn spent(&self) -> Option<[Window; 2]> {
        self.bounded.then(|| self.bounds.map(|(_, window)| window))
    }

    pub(super) fn passes(&mut self, now: Now) -> bool {
        if !self.bounded {
            return true;
        }
        self.opens = self.bounds.iter_mut().filter_map(|(rate, window)| window.opens(*rate, now)).max();
        self.opens.is_none()
    }

    /// A batch counts as one message.
    pub(super) fn spend(&mut self, bytes: u64) {
        if self.bounded {
            self.bounds.iter_mut().for_each(|(_, window)| window.spend(1, bytes));
        }
    }
}
