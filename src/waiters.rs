//! Which future waits for what.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};

use pulsewire_proto::{
    ConsumerId, Error, ErrorKind, Event, MessageId, OpId, Output, ProducerId, SendOutcome, SendToken,
};

use crate::consumer::ConsumerEvent;
use crate::shared::Sink;

/// The waiting futures of a client.
#[derive(Default)]
pub(crate) struct Waiters {
    ops: BTreeMap<OpId, Slot<Output>>,
    sends: BTreeMap<ProducerId, Sends>,
    receivers: BTreeMap<ConsumerId, Receivers>,
    /// Sends that wait for memory.
    writable: Vec<Waker>,
    ended: bool,
}

enum Slot<T> {
    Waiting(Option<Waker>),
    Done(Result<T, Error>),
    /// Nobody waits any more.
    Dropped,
}

impl<T> Slot<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        match std::mem::replace(self, Self::Dropped) {
            Self::Done(result) => Poll::Ready(result),
            _ => {
                *self = Self::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn fill(&mut self, result: Result<T, Error>, wakers: &mut Vec<Waker>) {
        if let Self::Waiting(waker) = self {
            wakers.extend(waker.take());
            *self = Self::Done(result);
        }
    }
}

/// Sends of one producer: the slot of a token is found by counting from the first.
#[derive(Default)]
struct Sends {
    first: u64,
    slots: VecDeque<Slot<MessageId>>,
    /// The user let go of the producer.
    closed: bool,
}

impl Sends {
    fn slot(&mut self, token: SendToken) -> Option<&mut Slot<MessageId>> {
        let at = usize::try_from(token.0.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at)
    }

    fn trim(&mut self) {
        while matches!(self.slots.front(), Some(Slot::Dropped)) {
            self.slots.pop_front();
            self.first += 1;
        }
    }
}

#[derive(Default)]
struct Receivers {
    wakers: Vec<Waker>,
    failed: Option<Error>,
    /// There for consumers that call code of the user's.
    attended: Option<Attended>,
}

#[derive(Default)]
struct Attended {
    happenings: VecDeque<Happening>,
    waker: Option<Waker>,
}

/// What a consumer's attendant is to tell.
pub(crate) enum Happening {
    Event(ConsumerEvent),
    /// Messages that were asked for again; whether because they were not acknowledged in time.
    Redelivered(Vec<MessageId>, bool),
}

/// Happenings that wait at most, should the user's code not come back; the oldest go.
const HAPPENINGS: usize = 1000;

impl Waiters {
    /// Someone will wait for `op`.
    pub(crate) fn expect(&mut self, op: OpId) {
        self.ops.insert(op, Slot::Waiting(None));
    }

    pub(crate) fn poll_op(&mut self, op: OpId, cx: &mut Context<'_>) -> Poll<Result<Output, Error>> {
        if self.ended && matches!(self.ops.get(&op), Some(Slot::Waiting(_))) {
            self.ops.remove(&op);
        }
        let Some(slot) = self.ops.get_mut(&op) else { return Poll::Ready(Err(gone())) };
        let polled = slot.poll(cx);
        if polled.is_ready() {
            self.ops.remove(&op);
        }
        polled
    }

    pub(crate) fn forget_op(&mut self, op: OpId) {
        self.ops.remove(&op);
    }

    /// Someone will wait for a send. Tokens of a producer follow one another.
    pub(crate) fn expect_send(&mut self, producer: ProducerId) {
        self.sends.entry(producer).or_default().slots.push_back(Slot::Waiting(None));
    }

    pub(crate) fn poll_send(
        &mut self,
        producer: ProducerId,
        token: SendToken,
        cx: &mut Context<'_>,
    ) -> Poll<Result<MessageId, Error>> {
        let ended = self.ended;
        let Some(sends) = self.sends.get_mut(&producer) else { return Poll::Ready(Err(gone())) };
        let Some(slot) = sends.slot(token) else { return Poll::Ready(Err(gone())) };
        let mut polled = slot.poll(cx);
        if ended && polled.is_pending() {
            *slot = Slot::Dropped;
            polled = Poll::Ready(Err(gone()));
        }
        if polled.is_ready() {
            sends.trim();
            self.drop_settled(producer);
        }
        polled
    }

    pub(crate) fn forget_send(&mut self, producer: ProducerId, token: SendToken) {
        if let Some(sends) = self.sends.get_mut(&producer) {
            if let Some(slot) = sends.slot(token) {
                *slot = Slot::Dropped;
            }
            sends.trim();
            self.drop_settled(producer);
        }
    }

    fn drop_settled(&mut self, producer: ProducerId) {
        if self.sends.get(&producer).is_some_and(|s| s.closed && s.slots.is_empty()) {
            self.sends.remove(&producer);
        }
    }

    pub(crate) fn wait_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.ended {
            return Poll::Ready(Err(gone()));
        }
        self.writable.push(cx.waker().clone());
        Poll::Pending
    }

    /// Enrols a receiver, or says why nothing will come.
    pub(crate) fn wait_message(&mut self, consumer: ConsumerId, cx: &mut Context<'_>) -> Poll<Error> {
        if self.ended {
            return Poll::Ready(gone());
        }
        let receivers = self.receivers.entry(consumer).or_default();
        if let Some(error) = &receivers.failed {
            return Poll::Ready(error.clone());
        }
        if !receivers.wakers.iter().any(|w| w.will_wake(cx.waker())) {
            receivers.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Why a consumer ended, if it has.
    pub(crate) fn consumer_error(&self, consumer: ConsumerId) -> Option<Error> {
        self.receivers.get(&consumer).and_then(|r| r.failed.clone())
    }

    /// Wakes the receivers of a consumer, whatever has happened to it.
    pub(crate) fn wake_receivers(&mut self, consumer: ConsumerId) -> Vec<Waker> {
        self.receivers.get_mut(&consumer).map(|r| std::mem::take(&mut r.wakers)).unwrap_or_default()
    }

    /// The user let go of a consumer: who is to be woken over that.
    pub(crate) fn forget_consumer(&mut self, consumer: ConsumerId) -> Vec<Waker> {
        let Some(mut receivers) = self.receivers.remove(&consumer) else { return Vec::new() };
        receivers.wakers.extend(receivers.attended.and_then(|attended| attended.waker));
        receivers.wakers
    }

    /// What happens to a consumer is to be kept for its attendant.
    pub(crate) fn attend(&mut self, consumer: ConsumerId) {
        self.receivers.entry(consumer).or_default().attended = Some(Attended::default());
    }

    /// Something has happened to a consumer: whom to wake.
    pub(crate) fn consumer_event(&mut self, consumer: ConsumerId, event: ConsumerEvent) -> Option<Waker> {
        self.happened(consumer, Happening::Event(event))
    }

    fn happened(&mut self, consumer: ConsumerId, happening: Happening) -> Option<Waker> {
        let attended = self.receivers.get_mut(&consumer)?.attended.as_mut()?;
        if attended.happenings.len() >= HAPPENINGS {
            attended.happenings.pop_front();
        }
        attended.happenings.push_back(happening);
        attended.waker.take()
    }

    /// The next that has happened to a consumer; enrols its attendant.
    pub(crate) fn poll_happening(&mut self, consumer: ConsumerId, cx: &mut Context<'_>) -> Option<Happening> {
        let attended = self.receivers.get_mut(&consumer)?.attended.as_mut()?;
        attended.waker = Some(cx.waker().clone());
        attended.happenings.pop_front()
    }

    /// The user let go of a producer: those who wait for its last receipts still get them.
    pub(crate) fn forget_producer(&mut self, producer: ProducerId) {
        if let Some(sends) = self.sends.get_mut(&producer) {
            sends.closed = true;
        }
        self.drop_settled(producer);
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::AlreadyClosed, "the client is closed")
}

impl Sink for Waiters {
    type Deferred = Vec<Waker>;

    fn event(&mut self, event: Event, wakers: &mut Vec<Waker>) {
        match event {
            Event::Completed { op, result } => {
                if let Some(slot) = self.ops.get_mut(&op) {
                    slot.fill(result, wakers);
                }
            }
            Event::Ready(consumer) => wakers.extend(self.wake_receivers(consumer)),
            Event::ConsumerEnded { consumer, error } => {
                let receivers = self.receivers.entry(consumer).or_default();
                receivers.failed = Some(error);
                wakers.extend(receivers.attended.as_mut().and_then(|attended| attended.waker.take()));
                wakers.extend(self.wake_receivers(consumer));
            }
            Event::ActiveConsumer { consumer, partition, active } => {
                let event = if active {
                    ConsumerEvent::BecameActive { partition }
                } else {
                    ConsumerEvent::BecameInactive { partition }
                };
                wakers.extend(self.consumer_event(consumer, event));
            }
            Event::Redelivering { consumer, ids, timed_out } => {
                wakers.extend(self.happened(consumer, Happening::Redelivered(ids, timed_out)));
            }
            Event::EndOfTopic(consumer) => {
                wakers.extend(self.consumer_event(consumer, ConsumerEvent::ReachedEndOfTopic));
            }
            Event::Writable => wakers.append(&mut self.writable),
            // The sends have failed with it; connections are the core's own business here.
            Event::ProducerEnded { .. } | Event::ConsumerReset(_) | Event::Connection { .. } => {}
        }
    }

    fn sent(&mut self, outcome: SendOutcome, wakers: &mut Vec<Waker>) {
        let Some(sends) = self.sends.get_mut(&outcome.producer) else { return };
        if let Some(slot) = sends.slot(outcome.token) {
            slot.fill(outcome.result, wakers);
        }
    }

    fn ended(&mut self, wakers: &mut Vec<Waker>) {
        self.ended = true;
        wakers.append(&mut self.writable);
        for receivers in self.receivers.values_mut() {
            wakers.append(&mut receivers.wakers);
            wakers.extend(receivers.attended.as_mut().and_then(|attended| attended.waker.take()));
        }
        let ops = self.ops.values_mut().filter_map(|slot| match slot {
            Slot::Waiting(waker) => waker.take(),
            _ => None,
        });
        wakers.extend(ops);
        let sends = self.sends.values_mut().flat_map(|s| &mut s.slots).filter_map(|slot| match slot {
            Slot::Waiting(waker) => waker.take(),
            _ => None,
        });
        wakers.extend(sends);
    }

    fn run(wakers: Vec<Waker>) {
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_event_queues_are_bounded() {
        let mut waiters = Waiters::default();
        let consumer = ConsumerId(1);
        // Nobody asked for them: nothing is kept.
        assert!(waiters.consumer_event(consumer, ConsumerEvent::ReachedEndOfTopic).is_none());
        assert!(waiters.receivers.is_empty());
        waiters.attend(consumer);
        for partition in 0..5000 {
            waiters.consumer_event(consumer, ConsumerEvent::BecameActive { partition });
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut kept = 0;
        while let Some(Happening::Event(event)) = waiters.poll_happening(consumer, &mut context) {
            assert_eq!(event, ConsumerEvent::BecameActive { partition: 4000 + kept });
            kept += 1;
        }
        assert_eq!(kept, 1000);
    }
}
