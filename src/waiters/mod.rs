//! Which future waits for what.

mod sends;

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use pulsewire_proto::{
    ConsumerId, Error, ErrorKind, Event, MessageId, OpId, Output, ProducerId, SendOutcome, SendToken,
};

use crate::shared::Sink;
use sends::Sends;

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

#[derive(Default)]
struct Receivers {
    wakers: Vec<Waker>,
    failed: Option<Error>,
}

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
        self.sends.entry(producer).or_default().expect();
    }

    pub(crate) fn poll_send(
        &mut self,
        producer: ProducerId,
        token: SendToken,
        cx: &mut Context<'_>,
    ) -> Poll<Result<MessageId, Error>> {
        let ended = self.ended;
        let Some(sends) = self.sends.get_mut(&producer) else { return Poll::Ready(Err(gone())) };
        let mut polled = sends.poll(token, cx).map(|result| result.unwrap_or_else(|| Err(gone())));
        if ended && polled.is_pending() {
            sends.forget(token);
            polled = Poll::Ready(Err(gone()));
        }
        if polled.is_ready() && sends.is_settled() {
            self.sends.remove(&producer);
        }
        polled
    }

    pub(crate) fn forget_send(&mut self, producer: ProducerId, token: SendToken) {
        if let Some(sends) = self.sends.get_mut(&producer) {
            sends.forget(token);
            if sends.is_settled() {
                self.sends.remove(&producer);
            }
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

    /// The user let go of a consumer.
    pub(crate) fn forget_consumer(&mut self, consumer: ConsumerId) {
        self.receivers.remove(&consumer);
    }

    /// The user let go of a producer: those who wait for its last receipts still get them.
    pub(crate) fn forget_producer(&mut self, producer: ProducerId) {
        if let Some(sends) = self.sends.get_mut(&producer) {
            sends.close();
            if sends.is_settled() {
                self.sends.remove(&producer);
            }
        }
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
                self.receivers.entry(consumer).or_default().failed = Some(error);
                wakers.extend(self.wake_receivers(consumer));
            }
            Event::Writable => wakers.append(&mut self.writable),
            // The sends have failed with it; connections are the core's own business here.
            Event::ProducerEnded { .. } | Event::ConsumerReset(_) | Event::Connection { .. } => {}
        }
    }

    fn sent(&mut self, outcome: SendOutcome, wakers: &mut Vec<Waker>) {
        if let Some(sends) = self.sends.get_mut(&outcome.producer) {
            wakers.extend(sends.ended(outcome.token, outcome.result));
        }
    }

    fn ended(&mut self, wakers: &mut Vec<Waker>) {
        self.ended = true;
        wakers.append(&mut self.writable);
        for receivers in self.receivers.values_mut() {
            wakers.append(&mut receivers.wakers);
        }
        let ops = self.ops.values_mut().filter_map(|slot| match slot {
            Slot::Waiting(waker) => waker.take(),
            _ => None,
        });
        wakers.extend(ops);
        self.sends.values_mut().for_each(|sends| wakers.extend(sends.wakers()));
    }

    fn run(wakers: Vec<Waker>) {
        wakers.into_iter().for_each(Waker::wake);
    }
}
