//! Sends that wait for their receipts, oldest first.
//!
//! A message is encoded once, into a block that it shares with its neighbours. The same bytes go to
//! the connection and stay here for replay, so a pending send costs its frame and one small entry,
//! and neither sending nor a receipt depends on how many others are pending.
//!
//! ```text
//! entries:  [ e0 ][ e1 ][ e2 ][ e3 ][ e4 ]      lengths, sequence ids, times
//! blocks:   [ e0 e1 ][ e2 ][ e3 e4 ...open      bytes; the first begins with e0
//!             handed out  ^ unsent blocks
//! ```

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::ids::SendToken;
use crate::time::Time;

/// Bytes that are allocated together, for as many frames as they hold.
const BLOCK: usize = 8 * 1024;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) sequence_id: u64,
    /// Of its last message.
    pub(crate) highest: u64,
    /// When it was sent; of a batch, its first message.
    pub(crate) since: Time,
    pub(crate) frame_len: u32,
    /// Metadata and payload: what the broker's limit is about.
    pub(crate) message_size: u32,
    /// Messages of the batch that it is; 0 when it is none.
    pub(crate) batch: u32,
    pub(crate) part: Part,
    /// Its messages were not sent in the order of their tokens: see `key_batches.rs`.
    pub(crate) reordered: bool,
}

/// Which part of a message an entry is. All chunks of a message have its token, which ends with the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it, or a batch.
    #[default]
    Whole,
    FirstChunk,
    Chunk,
    LastChunk,
}

impl Part {
    /// Whether more chunks of the message follow.
    pub(crate) fn goes_on(self) -> bool {
        matches!(self, Self::FirstChunk | Self::Chunk)
    }
}

impl Pending {
    /// Sends that end with it: each has a token of its own, in a row.
    #[inline]
    pub(crate) fn messages(&self) -> u64 {
        if self.part.goes_on() { 0 } else { u64::from(self.batch.max(1)) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct PendingRing {
    entries: VecDeque<Pending>,
    /// Token of the first entry's first message.
    head: u64,
    /// Token of the next message.
    next: u64,
    sealed: VecDeque<Bytes>,
    /// Blocks at the end of `sealed` that no connection has yet.
    unsent: usize,
    open: BytesMut,
    bytes: usize,
}

impl PendingRing {
    /// The buffer to which the next frame is encoded; [`PendingRing::push`] must follow.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        if self.open.capacity() == 0 {
            self.open = BytesMut::with_capacity(BLOCK);
        }
        &mut self.open
    }

    /// Enters a frame that was appended to the buffer, followed by `payload` when it was left out there.
    pub(crate) fn push(&mut self, pending: Pending, payload: Option<Bytes>) -> SendToken {
        if let Some(payload) = payload {
            self.seal();
            self.sealed.push_back(payload);
            self.unsent += 1;
        }
        self.bytes += pending.frame_len as usize;
        // Rather a new block than one that grows, which takes twice as much: the next may be as long.
        if self.open.len() + pending.frame_len as usize > BLOCK {
            self.seal();
        }
        self.entries.push_back(pending);
        let token = SendToken(self.next);
        self.next += pending.messages();
        token
    }

    /// The last entries hold messages that are not in the order of their tokens.
    pub(crate) fn reordered(&mut self, entries: usize) {
        self.entries.iter_mut().rev().take(entries).for_each(|pending| pending.reordered = true);
    }

    /// Token of the message that comes next.
    pub(crate) fn next_token(&self) -> u64 {
        self.next
    }

    /// Token of the oldest message that is pending, or of the next.
    pub(crate) fn head_token(&self) -> u64 {
        self.head
    }

    /// Bytes of all frames.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn front(&self) -> Option<&Pending> {
        self.entries.front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frame of the oldest send.
    pub(crate) fn front_frame(&mut self) -> Bytes {
        self.seal();
        let len = self.front().map_or(0, |oldest| oldest.frame_len as usize);
        let mut frame = BytesMut::with_capacity(len);
        for block in &self.sealed {
            frame.extend_from_slice(&block[..block.len().min(len - frame.len())]);
        }
        frame.freeze()
    }

    /// Whether there are bytes that no connection has yet.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent > 0 || !self.open.is_empty()
    }

    /// Takes out the oldest send.
    pub(crate) fn pop(&mut self) -> Option<(SendToken, Pending)> {
        let pending = self.entries.pop_front()?;
        let token = SendToken(self.head);
        self.head += pending.messages();
        self.bytes -= pending.frame_len as usize;
        self.drop_front(pending.frame_len as usize);
        self.trim();
        Some((token, pending))
    }

    /// Takes out the oldest send, with all chunks of its message that are left.
    pub(crate) fn pop_whole(&mut self) -> Option<(SendToken, Pending)> {
        let (token, mut whole) = self.pop()?;
        while whole.part.goes_on() {
            let Some((_, next)) = self.pop() else { break };
            whole = Pending { frame_len: whole.frame_len + next.frame_len, ..next };
        }
        Some((token, whole))
    }

    /// Hands over the blocks that no connection has yet.
    pub(crate) fn transmit(&mut self, mut send: impl FnMut(Bytes)) {
        self.seal();
        let from = self.sealed.len() - self.unsent;
        self.sealed.range(from..).for_each(|block| send(block.clone()));
        self.unsent = 0;
    }

    /// All of it must be sent again, on another connection.
    pub(crate) fn rewind(&mut self) {
        self.seal();
        self.unsent = self.sealed.len();
    }

    /// Takes out the sends whose message is larger than `limit`, or one of its chunks, wherever they
    /// stand. The others are all to be sent again.
    pub(crate) fn remove_larger(&mut self, limit: usize) -> Vec<(SendToken, Pending)> {
        if self.entries.iter().all(|p| p.message_size as usize <= limit) {
            return Vec::new();
        }
        self.seal();
        let mut all = BytesMut::with_capacity(self.bytes);
        self.sealed.drain(..).for_each(|block| all.extend_from_slice(&block));
        let mut removed: Vec<(SendToken, Pending)> = Vec::new();
        let mut next = self.head;
        let mut entries = self.entries.make_contiguous();
        while !entries.is_empty() {
            let last = entries.iter().position(|p| !p.part.goes_on()).unwrap_or(entries.len() - 1);
            let (whole, rest) = entries.split_at_mut(last + 1);
            entries = rest;
            let token = SendToken(next);
            next += whole.iter().map(Pending::messages).sum::<u64>();
            let frame_len = whole.iter().map(|p| p.frame_len).sum::<u32>();
            let bytes = all.split_to(frame_len as usize);
            let largest = whole.iter().map(|p| p.message_size).max().unwrap_or(0);
            if largest as usize <= limit {
                self.open.extend_from_slice(&bytes);
                continue;
            }
            removed.extend(whole.last().map(|p| (token, Pending { frame_len, message_size: largest, ..*p })));
            self.bytes -= frame_len as usize;
            // Its place stays, empty, so that the tokens of the others hold.
            whole.iter_mut().for_each(|p| (p.frame_len, p.message_size) = (0, 0));
        }
        self.unsent = 0;
        self.trim();
        removed
    }

    /// Takes away empty places at the front.
    fn trim(&mut self) {
        while let Some(empty) = self.entries.front().filter(|p| p.frame_len == 0) {
            self.head += empty.messages();
            self.entries.pop_front();
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.sealed.push_back(self.open.split().freeze());
            self.unsent += 1;
        }
    }

    fn drop_front(&mut self, mut len: usize) {
        while len > 0 {
            let Some(block) = self.sealed.front_mut() else {
                self.seal();
                if self.sealed.is_empty() {
                    return;
                }
                continue;
            };
            let n = len.min(block.len());
            block.advance(n);
            len -= n;
            if block.is_empty() {
                self.sealed.pop_front();
                self.unsent = self.unsent.min(self.sealed.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    const WHOLE: Pending = Pending {
        sequence_id: 0,
        highest: 0,
        since: Time::NEVER,
        frame_len: 0,
        message_size: 0,
        batch: 0,
        part: Part::Whole,
        reordered: false,
    };

    fn push(ring: &mut PendingRing, sequence_id: u64, frame: &[u8]) -> SendToken {
        ring.buffer().put_slice(frame);
        let pending = Pending {
            sequence_id,
            since: Time::NEVER,
            frame_len: frame.len() as u32,
            message_size: frame.len() as u32,
            ..WHOLE
        };
        ring.push(pending, None)
    }

    fn transmit(ring: &mut PendingRing) -> Vec<u8> {
        let mut out = Vec::new();
        ring.transmit(|block| out.extend_from_slice(&block));
        out
    }

    #[test]
    fn frames_go_out_once_and_again_after_a_rewind_without_those_receipted() {
        let mut ring = PendingRing::default();
        assert_eq!(push(&mut ring, 0, b"aaa"), SendToken(0));
        push(&mut ring, 1, b"bb");
        assert_eq!(transmit(&mut ring), b"aaabb");
        push(&mut ring, 2, b"c");
        assert_eq!(transmit(&mut ring), b"c");
        assert_eq!(transmit(&mut ring), b"");
        assert_eq!(ring.pop().map(|(token, p)| (token, p.sequence_id)), Some((SendToken(0), 0)));
        ring.rewind();
        assert_eq!(push(&mut ring, 3, b"dddd"), SendToken(3));
        assert_eq!(transmit(&mut ring), b"bbcdddd");
    }

    #[test]
    fn a_frame_that_is_dropped_before_it_was_sent_does_not_go_out() {
        let mut ring = PendingRing::default();
        push(&mut ring, 0, b"aaa");
        push(&mut ring, 1, b"bb");
        ring.pop();
        assert_eq!(transmit(&mut ring), b"bb");
        ring.pop();
        assert!(ring.is_empty());
        assert_eq!(transmit(&mut ring), b"");
    }

    #[test]
    fn a_payload_behind_its_head_is_part_of_its_frame() {
        let mut ring = PendingRing::default();
        ring.buffer().put_slice(b"head");
        let pending = Pending { frame_len: 8, message_size: 4, ..WHOLE };
        ring.push(pending, Some(Bytes::from_static(b"body")));
        push(&mut ring, 1, b"x");
        assert_eq!(transmit(&mut ring), b"headbodyx");
        ring.rewind();
        ring.pop();
        assert_eq!(transmit(&mut ring), b"x");
    }

    #[test]
    fn what_a_smaller_limit_forbids_is_removed_alone() {
        let mut ring = PendingRing::default();
        for (sequence_id, frame) in [b"aaaa".as_slice(), b"b", b"cccc", b"d"].iter().enumerate() {
            push(&mut ring, sequence_id as u64, frame);
        }
        transmit(&mut ring);
        let removed: Vec<_> =
            ring.remove_larger(2).iter().map(|(token, p)| (token.0, p.sequence_id)).collect();
        assert_eq!(removed, [(0, 0), (2, 2)]);
        assert_eq!(transmit(&mut ring), b"bd");
        assert_eq!(ring.pop().map(|(token, _)| token), Some(SendToken(1)));
        assert_eq!(ring.pop().map(|(token, _)| token), Some(SendToken(3)));
    }

    #[test]
    fn p05_chunks_have_one_token_and_go_together() {
        let mut ring = PendingRing::default();
        let chunk = |ring: &mut PendingRing, part, len: usize| {
            ring.buffer().put_slice(&b"cccccccc"[..len]);
            let (frame_len, message_size) = (len as u32, len as u32);
            ring.push(Pending { frame_len, message_size, part, ..WHOLE }, None).0
        };
        let chunks = |ring: &mut PendingRing, last| {
            [(Part::FirstChunk, 2), (Part::Chunk, 2), (Part::LastChunk, last)]
                .map(|(part, len)| chunk(ring, part, len))
        };
        assert_eq!(push(&mut ring, 0, b"a"), SendToken(0));
        assert_eq!(chunks(&mut ring, 1), [1, 1, 1]);
        assert_eq!(chunks(&mut ring, 8), [2, 2, 2]);
        assert_eq!(push(&mut ring, 3, b"bb"), SendToken(3));
        assert_eq!(
            ring.remove_larger(4).iter().map(|(t, p)| (t.0, p.frame_len)).collect::<Vec<_>>(),
            [(2, 12)]
        );
        assert_eq!(transmit(&mut ring), b"acccccbb");
        assert_eq!(ring.pop_whole().map(|(t, p)| (t.0, p.frame_len)), Some((0, 1)));
        assert_eq!(ring.pop().map(|(t, p)| (t.0, p.part)), Some((1, Part::FirstChunk)));
        assert_eq!(ring.pop_whole().map(|(t, p)| (t.0, p.frame_len)), Some((1, 3)));
        assert_eq!(ring.pop().map(|(t, _)| t.0), Some(3));
        assert!(ring.is_empty() && ring.bytes() == 0);
    }
}
