//! What a connection still has to write, in order.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Segments to write; small commands gather in a common tail.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    segments: VecDeque<Bytes>,
    tail: BytesMut,
}

impl Outbox {
    /// The buffer to which commands are appended.
    pub(crate) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Adds bytes that are shared with a replay ring.
    pub(crate) fn push(&mut self, segment: Bytes) {
        self.seal();
        self.segments.push_back(segment);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.tail.is_empty()
    }

    /// Moves all of it to `out`.
    pub(crate) fn take(&mut self, out: &mut VecDeque<Bytes>) {
        self.seal();
        out.append(&mut self.segments);
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.segments.push_back(self.tail.split().freeze());
        }
    }
}
