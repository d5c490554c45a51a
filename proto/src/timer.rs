//! All deadlines of a client, in one queue.

use std::collections::BTreeSet;

use crate::client::link::Owner;
use crate::id_map::IdMap;
use crate::ids::{ConnId, ConsumerId, OpId, ProducerId};
use crate::time::Time;

/// What a deadline is for. Each variant with its id stands at most once in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A connection must be ready by then.
    Handshake(ConnId),
    /// Time to look whether a connection is alive.
    Keepalive(ConnId),
    /// A request must have its answer by then.
    Request(u64),
    /// An operation of the user must be done by then.
    Operation(OpId),
    /// A task is tried again.
    RetryTask(u64),
    /// A producer or consumer is opened again.
    Reopen(Owner),
    /// The oldest pending send of a producer fails.
    SendTimeout(ProducerId),
    /// Acknowledgements go out.
    Acks(ConsumerId),
    /// The open batch of a producer goes out.
    Batch(ProducerId),
    /// Negative acknowledgements are due.
    Nack(ConsumerId),
    /// Chunks of a message that is not whole are past their time.
    Chunks(ConsumerId),
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Time, Timer)>,
    armed: IdMap<Timer, Time>,
}

impl Timers {
    /// Arms `timer`, in place of an earlier deadline of its own.
    pub(crate) fn arm(&mut self, timer: Timer, at: Time) {
        if let Some(earlier) = self.armed.insert(timer, at) {
            self.by_time.remove(&(earlier, timer));
        }
        self.by_time.insert((at, timer));
    }

    /// Arms `timer` unless it is armed already.
    pub(crate) fn arm_if_idle(&mut self, timer: Timer, at: Time) {
        if !self.armed.contains_key(&timer) {
            self.arm(timer, at);
        }
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.armed.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out a timer that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let &(at, timer) = self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&(at, timer));
        self.armed.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_timer_armed_again_fires_once_at_its_last_deadline() {
        let mut timers = Timers::default();
        let start = Time::default();
        timers.arm(Timer::Request(1), start + Duration::from_secs(1));
        timers.arm(Timer::Request(1), start + Duration::from_secs(3));
        timers.arm(Timer::Request(2), start + Duration::from_secs(2));
        assert_eq!(timers.pop_due(start + Duration::from_secs(1)), None);
        assert_eq!(timers.pop_due(start + Duration::from_secs(9)), Some(Timer::Request(2)));
        assert_eq!(timers.pop_due(start + Duration::from_secs(9)), Some(Timer::Request(1)));
        assert_eq!(timers.next(), None);
    }
}
