//! What waits to be written to a connection.

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::Command;
use pulsewire_proto::wire::frame::encode_command;

/// Entries up to this size are copied beside their neighbours; larger ones travel as segments of
/// their own, without a copy.
const COPY_UP_TO: usize = 2048;

/// Bytes for one connection, in the order in which they are to be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    segments: Vec<Bytes>,
    tail: BytesMut,
    queued: usize,
    in_flight: usize,
}

impl Outbox {
    pub(super) fn command(&mut self, command: &Command) {
        let before = self.tail.len();
        encode_command(command, &mut self.tail);
        self.queued += self.tail.len() - before;
    }

    /// A frame that `head` begins and `entry` ends.
    pub(super) fn frame(&mut self, entry: &Bytes, head: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        head(&mut self.tail);
        self.queued += self.tail.len() - before + entry.len();
        if entry.len() <= COPY_UP_TO {
            self.tail.extend_from_slice(entry);
        } else {
            self.segments.push(self.tail.split().freeze());
            self.segments.push(entry.clone());
        }
    }

    /// Bytes that are not written yet.
    pub(super) fn unwritten(&self) -> usize {
        self.queued + self.in_flight
    }

    pub(super) fn in_flight(&self) -> bool {
        self.in_flight > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Hands out all that is queued; it counts as unwritten until [`Outbox::written`] says so.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        if !self.tail.is_empty() {
            self.segments.push(self.tail.split().freeze());
        }
        self.in_flight += self.queued;
        self.queued = 0;
        std::mem::take(&mut self.segments)
    }

    pub(super) fn written(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }
}
