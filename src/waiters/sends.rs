//! The sends of one producer that futures wait for.
//!
//! ```text
//! expected -> Waiting --polled--> Polled --ended--> Ended --polled--> Gone
//!                 \----------ended----------^   (dropped at any time: Gone)
//! slots:  [ Gone ][ Ended ][ Ended ][ Waiting ][ Polled ]     one a token, counted from `first`
//! runs:            [  outcome 1..2 ]                          one for all of a batch
//! ```
//!
//! A slot is small, as there are as many as sends in flight; how they ended is kept once for each batch.
//!
//! They have a lock of their own: whoever asks for receipts is not in the way of those who send and receive. It may
//! be taken under the core's, never the other way round.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pulsewire_proto::{Error, MessageId, SendToken};

use super::gone;

/// The sends of a producer, as its futures and its client hold them.
#[derive(Clone, Default)]
pub(crate) struct PendingSends(Arc<Mutex<Sends>>);

impl PendingSends {
    pub(super) fn lock(&self) -> MutexGuard<'_, Sends> {
        // A panic elsewhere does not make the state wrong: each change of it is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Someone will wait for the next token. Tokens of a producer follow one another.
    pub(crate) fn expect(&self) {
        self.lock().expect();
    }

    pub(crate) fn poll(&self, token: SendToken, cx: &mut Context<'_>) -> Poll<Result<MessageId, Error>> {
        let mut old = None;
        let polled = self.lock().poll(token, cx, &mut old);
        // What a waker drops may be of the user: never under the lock.
        drop(old);
        polled.map(|result| result.unwrap_or_else(|| Err(gone())))
    }

    /// Nobody waits for a send any more.
    pub(crate) fn forget(&self, token: SendToken) {
        let waker = self.lock().forget(token);
        drop(waker);
    }
}

#[derive(Default)]
pub(super) struct Sends {
    first: u64,
    slots: VecDeque<Slot>,
    /// By their tokens, which is the order in which they end but for failures and batches by key.
    runs: VecDeque<Run>,
    /// The driver is gone: nothing will end any more.
    over: bool,
}

enum Slot {
    Waiting,
    Polled(Waker),
    Ended,
    Gone,
}

/// Sends in a row that ended alike.
struct Run {
    tokens: std::ops::Range<u64>,
    /// Of the first one; the others follow it in its batch.
    result: Result<MessageId, Error>,
    /// Slots that are not asked yet.
    left: u64,
}

impl Run {
    /// Whether the next token ended as the next message of the same batch.
    #[inline]
    fn goes_on_with(&self, token: u64, next: &Result<MessageId, Error>) -> bool {
        let (Ok(first), Ok(next)) = (&self.result, next) else { return false };
        token == self.tokens.end && first.batch_size > 1 && at(*first, token - self.tokens.start) == *next
    }
}

/// The id of the message so many places further on in the batch.
#[inline]
fn at(first: MessageId, places: u64) -> MessageId {
    MessageId { batch_index: first.batch_index.wrapping_add(places as i32), ..first }
}

impl Sends {
    /// Someone will wait for the next token.
    #[inline]
    fn expect(&mut self) {
        self.slots.push_back(Slot::Waiting);
    }

    #[inline]
    fn slot(&mut self, token: SendToken) -> Option<&mut Slot> {
        let at = usize::try_from(token.0.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at)
    }

    /// How a send ended; `None` when it was told already. A waker that is not needed any more goes to `old`.
    #[inline]
    fn poll(
        &mut self,
        token: SendToken,
        cx: &mut Context<'_>,
        old: &mut Option<Waker>,
    ) -> Poll<Option<Result<MessageId, Error>>> {
        let over = self.over;
        match self.slot(token) {
            Some(slot @ (Slot::Waiting | Slot::Polled(_))) if over => {
                if let Slot::Polled(waker) = std::mem::replace(slot, Slot::Gone) {
                    *old = Some(waker);
                }
                self.trim();
                return Poll::Ready(None);
            }
            Some(slot @ Slot::Waiting) => *slot = Slot::Polled(cx.waker().clone()),
            Some(Slot::Polled(waker)) if waker.will_wake(cx.waker()) => {}
            Some(Slot::Polled(waker)) => *old = Some(std::mem::replace(waker, cx.waker().clone())),
            Some(slot @ Slot::Ended) => {
                *slot = Slot::Gone;
                let result = self.take(token.0);
                self.trim();
                return Poll::Ready(result);
            }
            Some(Slot::Gone) | None => return Poll::Ready(None),
        }
        Poll::Pending
    }

    /// Takes a token's part of its run.
    #[inline]
    fn take(&mut self, token: u64) -> Option<Result<MessageId, Error>> {
        // Most ask in order.
        let found = match self.runs.front() {
            Some(run) if run.tokens.contains(&token) => 0,
            _ => self.runs.partition_point(|run| run.tokens.end <= token),
        };
        let run = self.runs.get_mut(found).filter(|run| run.tokens.contains(&token))?;
        let result = run.result.clone().map(|first| at(first, token - run.tokens.start));
        run.left -= 1;
        while self.runs.front().is_some_and(|run| run.left == 0) {
            self.runs.pop_front();
        }
        Some(result)
    }

    fn forget(&mut self, token: SendToken) -> Option<Waker> {
        let forgotten = std::mem::replace(self.slot(token)?, Slot::Gone);
        if let Slot::Ended = forgotten {
            self.take(token.0);
        }
        self.trim();
        match forgotten {
            Slot::Polled(waker) => Some(waker),
            _ => None,
        }
    }

    /// A send has ended: who is to be woken.
    #[inline]
    pub(super) fn ended(&mut self, token: SendToken, result: Result<MessageId, Error>) -> Option<Waker> {
        let slot = self.slot(token)?;
        let waker = match slot {
            Slot::Ended | Slot::Gone => return None,
            Slot::Waiting | Slot::Polled(_) => match std::mem::replace(slot, Slot::Ended) {
                Slot::Polled(waker) => Some(waker),
                _ => None,
            },
        };
        if let Some(run) = self.runs.back_mut().filter(|run| run.goes_on_with(token.0, &result)) {
            run.tokens.end += 1;
            run.left += 1;
            return waker;
        }
        let run = Run { tokens: token.0..token.0 + 1, result, left: 1 };
        match self.runs.back() {
            Some(last) if last.tokens.end > token.0 => {
                let place = self.runs.partition_point(|other| other.tokens.end <= token.0);
                self.runs.insert(place, run);
            }
            _ => self.runs.push_back(run),
        }
        waker
    }

    /// Nothing will end any more: who is to be woken.
    pub(super) fn end_all(&mut self) -> impl Iterator<Item = Waker> {
        self.over = true;
        self.slots.iter_mut().filter_map(|slot| match std::mem::replace(slot, Slot::Gone) {
            Slot::Polled(waker) => {
                *slot = Slot::Waiting;
                Some(waker)
            }
            other => {
                *slot = other;
                None
            }
        })
    }

    #[inline]
    fn trim(&mut self) {
        while let Some(Slot::Gone) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulsewire_proto::ErrorKind;

    fn id(entry_id: u64, batch_index: i32, batch_size: i32) -> MessageId {
        MessageId { entry_id, batch_index, batch_size, ..MessageId::EARLIEST }
    }

    fn sends(count: u64) -> Sends {
        let mut sends = Sends::default();
        (0..count).for_each(|_| sends.expect());
        sends
    }

    fn poll(sends: &mut Sends, token: u64) -> Poll<Option<Result<MessageId, Error>>> {
        sends.poll(SendToken(token), &mut Context::from_waker(Waker::noop()), &mut None)
    }

    #[test]
    fn a_batch_is_kept_once_and_told_message_by_message_in_any_order() {
        let mut sends = sends(5);
        assert_eq!(poll(&mut sends, 1), Poll::Pending);
        assert!(sends.ended(SendToken(0), Ok(id(7, -1, 0))).is_none());
        for index in 0..3 {
            let waker = sends.ended(SendToken(1 + index), Ok(id(8, index as i32, 3)));
            assert_eq!(waker.is_some(), index == 0);
        }
        assert_eq!(sends.runs.len(), 2);
        for (token, ended) in [(3, id(8, 2, 3)), (1, id(8, 0, 3)), (0, id(7, -1, 0)), (2, id(8, 1, 3))] {
            assert_eq!(poll(&mut sends, token), Poll::Ready(Some(Ok(ended))), "{token}");
            assert_eq!(poll(&mut sends, token), Poll::Ready(None));
        }
        assert_eq!((sends.runs.len(), sends.slots.len()), (0, 1));
    }

    #[test]
    fn sends_that_end_out_of_turn_are_found() {
        let mut sends = sends(4);
        let failed = Error::new(ErrorKind::Timeout, "late");
        for (token, result) in [(2, Ok(id(5, 0, 2))), (0, Ok(id(5, 1, 2))), (3, Err(failed.clone()))] {
            sends.ended(SendToken(token), result);
        }
        assert_eq!(poll(&mut sends, 3), Poll::Ready(Some(Err(failed))));
        assert_eq!(poll(&mut sends, 0), Poll::Ready(Some(Ok(id(5, 1, 2)))));
        assert_eq!(poll(&mut sends, 1), Poll::Pending);
        assert_eq!(poll(&mut sends, 2), Poll::Ready(Some(Ok(id(5, 0, 2)))));
    }

    #[test]
    fn those_who_wait_when_all_is_over_hear_that_once_and_what_ended_before_is_told() {
        let mut sends = sends(3);
        assert_eq!(poll(&mut sends, 1), Poll::Pending);
        sends.ended(SendToken(0), Ok(id(9, -1, 0)));
        assert_eq!(sends.end_all().count(), 1);
        assert_eq!(poll(&mut sends, 0), Poll::Ready(Some(Ok(id(9, -1, 0)))));
        for token in [1, 2] {
            assert_eq!(poll(&mut sends, token), Poll::Ready(None));
        }
        assert!(sends.slots.is_empty());
    }

    #[test]
    fn what_nobody_waits_for_leaves_nothing() {
        let mut sends = sends(3);
        sends.forget(SendToken(1));
        for index in 0..3 {
            sends.ended(SendToken(index), Ok(id(9, index as i32, 3)));
        }
        sends.forget(SendToken(0));
        sends.forget(SendToken(2));
        assert!(sends.slots.is_empty() && sends.runs.is_empty());
    }
}
