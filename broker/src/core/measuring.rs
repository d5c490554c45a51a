//! How much passes through producers and consumers: measured once a minute, as Apache Pulsar does. What
//! subscriptions and topics are said to pass is the sum of those who are there.

use std::time::Duration;

use super::subscription::Subscription;
use super::time::Now;
use super::{Broker, Timer};

/// How often.
const EVERY: Duration = Duration::from_secs(60);

/// What passed between the last two looks, by the second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Messages from producers.
    pub messages_in: f64,
    /// Their bytes.
    pub bytes_in: f64,
    /// Chunks of messages from producers.
    pub chunks_in: f64,
    /// Messages to consumers.
    pub messages_out: f64,
    /// Their bytes.
    pub bytes_out: f64,
    /// Chunks of messages to consumers.
    pub chunks_out: f64,
    /// Messages that consumers want to have again.
    pub redelivered: f64,
    /// Messages that consumers acknowledge.
    pub acknowledged: f64,
}

/// How many messages an entry has that goes to a consumer: what goes out together counts a tenth.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PerEntry {
    average: f64,
    /// Messages and entries that go out now.
    now: (u64, u64),
}

/// Entries that are read together at most.
const TOGETHER: u64 = 100;

impl PerEntry {
    /// An entry goes out, with so many messages.
    pub(super) fn sent(&mut self, messages: u64) {
        self.now = (self.now.0 + messages, self.now.1 + 1);
        if self.now.1 == TOGETHER {
            self.settle();
        }
    }

    /// What went out since the last time went out together.
    pub(super) fn settle(&mut self) {
        let (messages, entries) = std::mem::take(&mut self.now);
        if messages == 0 {
            return;
        }
        let these = messages as f64 / entries as f64;
        self.average = if self.average < 1.0 { these } else { self.average * 0.9 + these * 0.1 };
    }

    pub(super) fn average(&self) -> u64 {
        self.average.round() as u64
    }
}

impl Rates {
    /// Bytes of a message from producers.
    #[must_use]
    pub fn average_size(&self) -> f64 {
        if self.messages_in > 0.0 { self.bytes_in / self.messages_in } else { 0.0 }
    }

    fn all(&mut self) -> [&mut f64; 8] {
        [
            &mut self.messages_in,
            &mut self.bytes_in,
            &mut self.chunks_in,
            &mut self.messages_out,
            &mut self.bytes_out,
            &mut self.chunks_out,
            &mut self.redelivered,
            &mut self.acknowledged,
        ]
    }
}

impl std::iter::Sum for Rates {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::default(), |mut sum, mut more| {
            sum.all().into_iter().zip(more.all()).for_each(|(sum, more)| *sum += *more);
            sum
        })
    }
}

/// Counters when they were looked at last, and what came of it: of a producer its messages, bytes and chunks,
/// of a consumer the same and what it wanted again and acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured<const N: usize> {
    since: Duration,
    counted: [u64; N],
    by_second: [f64; N],
}

impl<const N: usize> Measured<N> {
    pub(super) fn since(now: Now) -> Self {
        Self { since: now.mono, counted: [0; N], by_second: [0.0; N] }
    }

    fn look(&mut self, counted: [u64; N], now: Now) {
        let seconds = now.mono.saturating_sub(self.since).as_secs_f64();
        let before = std::mem::replace(&mut self.counted, counted);
        self.since = now.mono;
        let rate = |at: usize| counted[at].saturating_sub(before[at]) as f64 / seconds;
        self.by_second = if seconds > 0.0 { std::array::from_fn(rate) } else { [0.0; N] };
    }

    fn is_still(&self) -> bool {
        self.by_second.iter().all(|rate| *rate == 0.0)
    }
}

impl Measured<3> {
    pub(super) fn rates(&self) -> Rates {
        let [messages_in, bytes_in, chunks_in] = self.by_second;
        Rates { messages_in, bytes_in, chunks_in, ..Rates::default() }
    }
}

impl Measured<5> {
    pub(super) fn rates(&self) -> Rates {
        let [messages_out, bytes_out, chunks_out, redelivered, acknowledged] = self.by_second;
        Rates { messages_out, bytes_out, chunks_out, redelivered, acknowledged, ..Rates::default() }
    }
}

impl Subscription {
    /// What passes through it to the consumers that it has.
    pub(super) fn rates(&self) -> Rates {
        self.consumers.iter().map(|consumer| consumer.measured.rates()).sum()
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
        let mut still = true;
        for producer in self.conns.producers_mut() {
            producer.measured.look(producer.sent.get(), now);
            still &= producer.measured.is_still();
        }
        let subs = self.topics.all_mut().flat_map(|topic| topic.subs.values_mut());
        for consumer in subs.flat_map(|sub| &mut sub.consumers) {
            let counted = [
                consumer.messages_out,
                consumer.bytes_out,
                consumer.chunks_out,
                consumer.redelivered,
                consumer.acknowledged,
            ];
            consumer.measured.look(counted, now);
            still &= consumer.measured.is_still();
        }
        if !still || self.conns.len() > 0 {
            self.schedule_measuring(now);
        }
    }
}
