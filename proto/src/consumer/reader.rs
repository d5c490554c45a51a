//! What a consumer asks its broker: the last message, and whether there is a message to read.
//!
//! ```text
//! asked: available? --a message waits, or one behind the place is known of--> true
//!   | asked: last id?                                              ^
//!   v                                                              |
//! Waiting --link open, no seek--> Asked --the last message-> behind the place? --no--> false
//!    ^                              |                           \
//!    +--------- link lost ----------+                            +- from the end, inclusive:
//!                                                                   seek to the last, then true
//! ```
//!
//! The place is after the message that was taken last, else where the subscription begins; when only
//! the broker knows that, it is what the broker has marked as done with.

use crate::client::Client;
use crate::consumer::start::Place;
use crate::ids::{ConsumerId, MessageId, OpId};
use crate::time::Now;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    LastId,
    Available,
}

/// Goes on when the link is open and no seek is under way; linked only into programs that ask.
type GoOn = fn(&mut Client, ConsumerId, Now);

#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// Those that are not out; a few at a time.
    waiting: Vec<(OpId, Question)>,
    /// Those that are out, by a number of their own: a late answer on an earlier link finds nothing.
    asked: Vec<(u64, OpId, Question)>,
    next: u64,
    go_on: Option<GoOn>,
    /// The last message that the broker told of on this link.
    known: Option<MessageId>,
}

impl Questions {
    pub(crate) fn wait(&mut self, op: OpId, question: Question, go_on: GoOn) {
        self.waiting.push((op, question));
        self.go_on = Some(go_on);
    }

    /// What goes on with those that wait, if any do.
    pub(crate) fn go_on(&self) -> Option<GoOn> {
        self.go_on.filter(|_| !self.waiting.is_empty())
    }

    /// The next that waits is out now, under this number.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        let (op, question) = self.waiting.remove(0);
        self.next += 1;
        self.asked.push((self.next, op, question));
        Some(self.next)
    }

    /// A question was answered, if it was out.
    pub(crate) fn answered(&mut self, number: u64) -> Option<(OpId, Question)> {
        let at = self.asked.iter().position(|(asked, ..)| *asked == number)?;
        let (_, op, question) = self.asked.swap_remove(at);
        Some((op, question))
    }

    /// An operation has ended: nobody asks any more.
    pub(crate) fn forget(&mut self, op: OpId) {
        self.waiting.retain(|(waiting, _)| *waiting != op);
        self.asked.retain(|(_, asked, _)| *asked != op);
    }

    /// The link is lost: all is asked again on the next.
    pub(crate) fn lost(&mut self) {
        self.waiting.extend(self.asked.drain(..).map(|(_, op, question)| (op, question)));
        self.known = None;
    }

    /// All who ask.
    pub(crate) fn take(&mut self) -> Vec<OpId> {
        self.lost();
        self.waiting.drain(..).map(|(op, _)| op).collect()
    }

    pub(crate) fn learned(&mut self, last: MessageId) {
        self.known = Some(last);
    }

    /// Whether a message at `place` or behind it is known of.
    pub(crate) fn know_of(&self, place: Place) -> bool {
        self.known.is_some_and(|last| verdict(place, last, None) == Verdict::Available(true))
    }
}

/// What a last message says of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Available(bool),
    /// The last message is wanted, and the subscription stands behind it.
    SeekTo(MessageId),
}

/// Whether there are messages at `place` or behind it, when `last` is the topic's last one and `marked`
/// the last that is done with.
pub(crate) fn verdict(place: Place, last: MessageId, marked: Option<MessageId>) -> Verdict {
    let entry = |id: MessageId| (id.ledger_id as i64, id.entry_id as i64);
    // Without an entry there is none.
    if entry(last).1 < 0 {
        return Verdict::Available(false);
    }
    let within = |id: MessageId| (entry(id), id.batch_index);
    let behind_mark = marked.is_some_and(|marked| entry(last) > entry(marked));
    match place {
        // An id without a place in the batch means all of its entry.
        Place::After(id) if id.batch_index < 0 => Verdict::Available(entry(last) > entry(id)),
        Place::After(id) => Verdict::Available(within(last) > within(id)),
        Place::From(id) => Verdict::Available(within(last) >= within(id)),
        Place::End { inclusive: true } => Verdict::SeekTo(last),
        Place::End { inclusive: false } | Place::Marked => Verdict::Available(behind_mark),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(entry_id: u64, batch_index: i32) -> MessageId {
        MessageId { ledger_id: 1, entry_id, partition: -1, batch_index, batch_size: 0, first_chunk: None }
    }

    #[test]
    fn c17_what_a_last_message_says() {
        let none = MessageId { entry_id: u64::MAX, ..id(0, -1) };
        for (place, last, marked, expected) in [
            (Place::From(MessageId::EARLIEST), none, None, false),
            (Place::From(MessageId::EARLIEST), id(0, -1), None, true),
            (Place::After(MessageId::EARLIEST), id(0, 0), None, true),
            (Place::After(id(4, -1)), id(4, -1), None, false),
            (Place::After(id(4, -1)), id(4, 2), None, false),
            (Place::From(id(4, -1)), id(4, -1), None, true),
            (Place::After(id(4, 1)), id(4, 2), None, true),
            (Place::After(id(4, 2)), id(4, 2), None, false),
            (Place::From(id(4, 2)), id(4, 2), None, true),
            (Place::From(id(5, 0)), id(4, 2), None, false),
            (Place::Marked, id(4, 2), None, false),
            (Place::Marked, id(4, 2), Some(id(4, -1)), false),
            (Place::Marked, id(4, 2), Some(id(3, -1)), true),
            (Place::Marked, id(4, 2), Some(MessageId { ledger_id: 2, ..none }), false),
            (Place::End { inclusive: false }, id(4, 2), Some(id(4, -1)), false),
            (Place::End { inclusive: true }, none, None, false),
        ] {
            assert_eq!(verdict(place, last, marked), Verdict::Available(expected), "{place:?} {last}");
        }
        assert_eq!(verdict(Place::End { inclusive: true }, id(4, 2), None), Verdict::SeekTo(id(4, 2)));
    }
}
