//! Which future waits for what.

mod sends;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pulsewire_proto::{
    Client, ConsumerId, Error, ErrorKind, Event, MessageId, Now, OpId, Output, ProducerId, SendOutcome,
    SendToken, TopicName,
};

use crate::consumer::ConsumerEvent;
use crate::producer::{Interceptors, OwnedMessage};
use crate::shared::Sink;
pub(crate) use sends::PendingSends;

/// The waiting futures of a client.
#[derive(Default)]
pub(crate) struct Waiters {
    ops: BTreeMap<OpId, Slot<Output>>,
    sends: BTreeMap<ProducerId, PendingSends>,
    receivers: BTreeMap<ConsumerId, Receivers>,
    parked: Parking,
    /// Messages whose ends interceptors are told, where there are any.
    intercepted: BTreeMap<ProducerId, VecDeque<(SendToken, Told)>>,
    /// The interceptors of producers, where there are any.
    interceptors: BTreeMap<ProducerId, Arc<Interceptors>>,
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

#[derive(Default)]
struct Receivers {
    wakers: Vec<Waker>,
    failed: Option<Error>,
    /// There for consumers that call code of the user's.
    attended: Option<Attended>,
}

#[derive(Default)]
struct Attended {
    /// [`HAPPENINGS`] at most.
    happenings: VecDeque<Happening>,
    /// How many before them were not kept.
    missed: u64,
    waker: Option<Waker>,
}

/// What a consumer's attendant is to tell.
pub(crate) enum Happening {
    Event(ConsumerEvent),
    /// Messages that were asked for again; whether because they were not acknowledged in time.
    Redelivered(Vec<MessageId>, bool),
    /// A topic has so many partitions now.
    Partitions(TopicName, u32),
}

/// Happenings that wait at most, should the user's code not come back; the oldest go, and are counted.
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

    /// Where a producer's sends end.
    pub(crate) fn open_sends(&mut self, producer: ProducerId, sends: PendingSends) {
        if self.ended {
            drop(sends.lock().end_all());
        }
        self.sends.insert(producer, sends);
    }

    /// Interceptors are told how a send ends.
    pub(crate) fn intercept(
        &mut self,
        producer: ProducerId,
        token: SendToken,
        interceptors: Arc<Interceptors>,
        message: OwnedMessage,
    ) {
        self.intercepted.entry(producer).or_default().push_back((token, (interceptors, message)));
    }

    /// Interceptors are told what becomes of a producer.
    pub(crate) fn install(&mut self, producer: ProducerId, interceptors: Arc<Interceptors>) {
        self.interceptors.insert(producer, interceptors);
    }

    fn told(&mut self, producer: ProducerId, token: SendToken) -> Option<Told> {
        let waiting = self.intercepted.get_mut(&producer)?;
        let at = waiting.iter().position(|(waits, _)| *waits == token)?;
        let told = waiting.remove(at).map(|(_, told)| told);
        if waiting.is_empty() {
            self.intercepted.remove(&producer);
        }
        told
    }

    /// Whether sends of a producer wait for room: none may overtake them.
    pub(crate) fn is_parked(&self, producer: ProducerId) -> bool {
        self.parked.queues.contains_key(&producer)
    }

    /// A send waits for room.
    pub(crate) fn park(
        &mut self,
        producer: ProducerId,
        message: OwnedMessage,
        interceptors: Option<Arc<Interceptors>>,
    ) -> Turn {
        let turn = Turn(self.parked.next);
        self.parked.next += 1;
        self.parked.turns.insert(turn, Slot::Waiting(None));
        self.parked.queues.entry(producer).or_default().push_back((turn, message, interceptors));
        turn
    }

    pub(crate) fn poll_turn(&mut self, turn: Turn, cx: &mut Context<'_>) -> Poll<Result<SendToken, Error>> {
        let Some(slot) = self.parked.turns.get_mut(&turn) else { return Poll::Ready(Err(gone())) };
        let polled = slot.poll(cx);
        if polled.is_ready() {
            self.parked.turns.remove(&turn);
        } else if self.ended {
            self.parked.turns.remove(&turn);
            return Poll::Ready(Err(gone()));
        }
        polled
    }

    /// The user took a send back: what it was about, if it has not been sent yet.
    pub(crate) fn forget_turn(&mut self, producer: ProducerId, turn: Turn) -> Option<OwnedMessage> {
        if let Some(Slot::Done(Ok(token))) = self.parked.turns.remove(&turn) {
            self.sends.get(&producer)?.forget(token);
            return None;
        }
        let queue = self.parked.queues.get_mut(&producer)?;
        let at = queue.iter().position(|(waits, ..)| *waits == turn)?;
        let message = queue.remove(at).map(|(_, message, _)| message);
        if queue.is_empty() {
            self.parked.queues.remove(&producer);
        }
        message
    }

    /// Sends that wait for room are tried again.
    fn retry(&mut self) {
        self.parked.retry = !self.parked.queues.is_empty();
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
            attended.missed += 1;
        }
        attended.happenings.push_back(happening);
        attended.waker.take()
    }

    /// The next that has happened to a consumer; enrols its attendant.
    pub(crate) fn poll_happening(&mut self, consumer: ConsumerId, cx: &mut Context<'_>) -> Option<Happening> {
        let attended = self.receivers.get_mut(&consumer)?.attended.as_mut()?;
        attended.waker = Some(cx.waker().clone());
        match std::mem::take(&mut attended.missed) {
            0 => attended.happenings.pop_front(),
            missed => Some(Happening::Event(ConsumerEvent::Missed(missed))),
        }
    }

    /// The user let go of a producer and of all its sends.
    pub(crate) fn forget_producer(&mut self, producer: ProducerId) {
        self.interceptors.remove(&producer);
        self.sends.remove(&producer);
    }
}

/// A send that waits, and who is told of its end.
type ParkedSend = (Turn, OwnedMessage, Option<Arc<Interceptors>>);

/// Sends that wait for room, those of a producer in their order.
#[derive(Default)]
struct Parking {
    queues: BTreeMap<ProducerId, VecDeque<ParkedSend>>,
    turns: BTreeMap<Turn, Slot<SendToken>>,
    next: u64,
    /// There may be room.
    retry: bool,
}

/// The place of a send among those that wait for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u64);

/// Who is told of the end of a send, and what was sent.
type Told = (Arc<Interceptors>, OwnedMessage);

/// What is done once the lock is released.
#[derive(Default)]
pub(crate) struct Deferred {
    wakers: Vec<Waker>,
    told: Vec<(Told, Result<MessageId, Error>)>,
    grown: Vec<(Arc<Interceptors>, TopicName, u32)>,
}

fn gone() -> Error {
    Error::new(ErrorKind::AlreadyClosed, "the client is closed")
}

impl Sink for Waiters {
    type Deferred = Deferred;

    fn event(&mut self, event: Event, deferred: &mut Deferred) {
        let wakers = &mut deferred.wakers;
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
            Event::PartitionsChanged { consumer, topic, partitions } => {
                wakers.extend(self.happened(consumer, Happening::Partitions(topic, partitions)));
            }
            Event::ProducerPartitionsChanged { producer, topic, partitions } => {
                let interceptors = self.interceptors.get(&producer).cloned();
                deferred.grown.extend(interceptors.map(|told| (told, topic, partitions)));
            }
            Event::EndOfTopic(consumer) => {
                wakers.extend(self.consumer_event(consumer, ConsumerEvent::ReachedEndOfTopic));
            }
            // The sends of one that has ended have failed with it, but for those that wait for room.
            Event::Writable | Event::ProducerEnded { .. } => self.retry(),
            // Connections are the core's own business here.
            Event::ConsumerReset(_) | Event::Connection { .. } => {}
        }
    }

    fn sent(&mut self, outcome: SendOutcome, deferred: &mut Deferred) {
        if !self.intercepted.is_empty()
            && let Some(told) = self.told(outcome.producer, outcome.token)
        {
            deferred.told.push((told, outcome.result.clone()));
        }
        if let Some(sends) = self.sends.get(&outcome.producer) {
            deferred.wakers.extend(sends.lock().ended(outcome.token, outcome.result));
        }
    }

    fn turn(&mut self, core: &mut Client, now: Now, deferred: &mut Deferred) -> bool {
        if !std::mem::take(&mut self.parked.retry) {
            return false;
        }
        // One of each producer in turn, so that none takes all the room.
        let mut trying: Vec<ProducerId> = self.parked.queues.keys().copied().collect();
        while !trying.is_empty() {
            trying.retain(|&producer| {
                let Some(queue) = self.parked.queues.get_mut(&producer) else { return false };
                let Some((_, message, _)) = queue.front() else { return false };
                let sent = message.send_on(core, producer, now);
                if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::QueueFull) {
                    return false;
                }
                let Some((turn, message, interceptors)) = queue.pop_front() else { return false };
                if queue.is_empty() {
                    self.parked.queues.remove(&producer);
                }
                match (&sent, interceptors) {
                    (Ok(token), interceptors) => {
                        if let Some(sends) = self.sends.get(&producer) {
                            sends.expect();
                        }
                        if let Some(interceptors) = interceptors {
                            let waiting = self.intercepted.entry(producer).or_default();
                            waiting.push_back((*token, (interceptors, message)));
                        }
                    }
                    (Err(error), Some(interceptors)) => {
                        deferred.told.push(((interceptors, message), Err(error.clone())));
                    }
                    (Err(_), None) => {}
                }
                if let Some(slot) = self.parked.turns.get_mut(&turn) {
                    slot.fill(sent, &mut deferred.wakers);
                }
                true
            });
        }
        true
    }

    fn ended(&mut self, deferred: &mut Deferred) {
        self.ended = true;
        let wakers = &mut deferred.wakers;
        let turns = self.parked.turns.values_mut().filter_map(|slot| match slot {
            Slot::Waiting(waker) => waker.take(),
            _ => None,
        });
        wakers.extend(turns);
        for (_, message, interceptors) in std::mem::take(&mut self.parked.queues).into_values().flatten() {
            deferred.told.extend(interceptors.map(|told| ((told, message), Err(gone()))));
        }
        for (_, told) in std::mem::take(&mut self.intercepted).into_values().flatten() {
            deferred.told.push((told, Err(gone())));
        }
        for receivers in self.receivers.values_mut() {
            wakers.append(&mut receivers.wakers);
            wakers.extend(receivers.attended.as_mut().and_then(|attended| attended.waker.take()));
        }
        let ops = self.ops.values_mut().filter_map(|slot| match slot {
            Slot::Waiting(waker) => waker.take(),
            _ => None,
        });
        wakers.extend(ops);
        self.sends.values().for_each(|sends| wakers.extend(sends.lock().end_all()));
    }

    fn run(deferred: Deferred) {
        for ((interceptors, message), result) in deferred.told {
            interceptors.acknowledged(&message, &result);
        }
        for (interceptors, topic, partitions) in deferred.grown {
            interceptors.partitions_changed(topic.as_str(), partitions);
        }
        deferred.wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c34_events_that_nobody_hears_are_bounded_and_those_missed_are_counted() {
        let mut waiters = Waiters::default();
        let consumer = ConsumerId(1);
        // Nobody asked for them: nothing is kept.
        assert!(waiters.consumer_event(consumer, ConsumerEvent::ReachedEndOfTopic).is_none());
        assert!(waiters.receivers.is_empty());
        waiters.attend(consumer);
        for partition in 0..5000 {
            waiters.consumer_event(consumer, ConsumerEvent::BecameActive { partition });
        }
        let kept = &waiters.receivers[&consumer].attended.as_ref().expect("an attendant").happenings;
        assert_eq!(kept.len(), HAPPENINGS);
        let mut context = Context::from_waker(Waker::noop());
        let first = waiters.poll_happening(consumer, &mut context);
        assert!(matches!(first, Some(Happening::Event(ConsumerEvent::Missed(4000)))));
        let mut kept = 0;
        while let Some(Happening::Event(event)) = waiters.poll_happening(consumer, &mut context) {
            assert_eq!(event, ConsumerEvent::BecameActive { partition: 4000 + kept });
            kept += 1;
        }
        assert_eq!(kept, 1000);
        // What comes after that is whole again.
        waiters.consumer_event(consumer, ConsumerEvent::ReachedEndOfTopic);
        let next = waiters.poll_happening(consumer, &mut context);
        assert!(matches!(next, Some(Happening::Event(ConsumerEvent::ReachedEndOfTopic))));
    }
}
