//! Frames: `[u32 total][u32 command size][command]`, then, for some commands, an entry.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Command, DecodeError};

/// A frame, still encoded: the command, and the bytes of the entry after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// The encoded `BaseCommand`.
    pub command: Bytes,
    /// What follows the command: see [`super::entry::Entry::parse`]. Empty for most commands.
    pub entry: Bytes,
}

impl RawFrame {
    /// Decodes the command.
    ///
    /// # Errors
    /// Cut or malformed.
    pub fn decode(&self) -> Result<Command, DecodeError> {
        Command::decode(&self.command)
    }
}

/// Where the parts of a frame are: see [`FrameDecoder::peek`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peeked {
    command_end: usize,
    end: usize,
}

/// Bytes that are set aside for a frame on its word alone.
const MAX_RESERVE: usize = 256 * 1024;
/// Buffers of frames that came in pieces, kept for the next ones: about as many full batches as brokers send
/// at once, whatever the permits.
const SPARES: usize = 64;
/// The largest of them.
const MAX_SPARE: usize = 160 * 1024;
/// From this size on a frame gets a buffer of its own where it would hold much else that was read with it.
const MIN_OWN: usize = 16 * 1024;
/// Buffers are a multiple of this, so that they suit the next frame too.
const ROUND: usize = 16 * 1024;

/// Cuts a byte stream into frames.
///
/// ```
/// # use pulsewire_proto::wire::{Command, CommandPing, frame::{FrameDecoder, encode_command}};
/// # use bytes::BytesMut;
/// let mut out = BytesMut::new();
/// encode_command(&CommandPing::default().into(), &mut out);
/// let mut decoder = FrameDecoder::new(1024);
/// decoder.push(out.split_to(3).freeze());
/// assert_eq!(decoder.next_frame(), Ok(None));
/// decoder.push(out.freeze());
/// let frame = decoder.next_frame().unwrap().unwrap();
/// assert!(matches!(frame.decode(), Ok(Command::Ping(_))));
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    limit: usize,
    /// The bytes being cut; frames are slices of it.
    current: Bytes,
    /// How many there were when they came.
    read: usize,
    /// A frame that began in earlier bytes and is not whole yet.
    partial: BytesMut,
    /// Ends of earlier ones' buffers: each is free again once all who hold its frame have let go.
    spares: VecDeque<BytesMut>,
}

impl FrameDecoder {
    /// A decoder that refuses frames of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, current: Bytes::new(), read: 0, partial: BytesMut::new(), spares: VecDeque::new() }
    }

    /// Lets go of buffers that were kept.
    pub fn tidy(&mut self) {
        self.spares.clear();
    }

    /// Changes the largest frame, once the broker has named its largest message.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes of the stream. All frames of earlier bytes must have been taken out before:
    /// [`FrameDecoder::next_frame`] has answered `None`.
    pub fn push(&mut self, bytes: Bytes) {
        self.read = bytes.len();
        if self.current.is_empty() && self.partial.is_empty() {
            self.current = bytes;
        } else {
            // What is left of `current` is less than one frame; it moves to `partial` at once.
            self.join(bytes);
        }
    }

    fn join(&mut self, bytes: Bytes) {
        if self.partial.is_empty()
            && let Ok(Some(len)) = self.frame_len(&self.current)
        {
            self.partial = self.buffer(len.min(MAX_RESERVE));
        }
        self.partial.extend_from_slice(&self.current);
        self.current = bytes;
        self.complete_partial();
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// Lying sizes, or a frame over the limit. The stream cannot be read on after that.
    pub fn next_frame(&mut self) -> Result<Option<RawFrame>, DecodeError> {
        if !self.partial.is_empty() {
            let total = match self.frame_len(&self.partial)? {
                Some(len) if self.partial.len() >= len => len,
                // The four bytes of the length may only now be whole.
                Some(_) => {
                    self.complete_partial();
                    match self.frame_len(&self.partial)? {
                        Some(len) if self.partial.len() >= len => len,
                        _ => return Ok(None),
                    }
                }
                None => return Ok(None),
            };
            let frame = self.partial.split_to(total).freeze();
            if self.partial.is_empty() {
                let end = std::mem::take(&mut self.partial);
                if (ROUND..=MAX_SPARE).contains(&total) {
                    self.spare(end);
                }
            }
            return split(frame).map(Some);
        }
        match self.frame_len(&self.current)? {
            Some(len) if self.current.len() >= len => split(self.current.split_to(len)).map(Some),
            _ => Ok(None),
        }
    }

    /// The bounds of the next frame within the bytes at hand, when it is whole and its sizes agree.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Peeked> {
        if !self.partial.is_empty() {
            return None;
        }
        let [a, b, c, d, e, f, g, h, ..] = self.current[..] else { return None };
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        let command = u32::from_be_bytes([e, f, g, h]) as usize;
        let fits = size <= self.limit && size <= self.current.len() - 4 && command.checked_add(4)? <= size;
        fits.then_some(Peeked { command_end: 8 + command, end: 4 + size })
    }

    /// The encoded command of a frame that was peeked at.
    #[inline]
    pub(crate) fn peeked_command(&self, peeked: Peeked) -> &[u8] {
        &self.current[8..peeked.command_end]
    }

    /// Passes over a frame that was peeked at.
    #[inline]
    pub(crate) fn skip(&mut self, peeked: Peeked) {
        self.current.advance(peeked.end);
    }

    /// Takes the entry of a frame that was peeked at, and passes over it.
    #[inline]
    pub(crate) fn take_entry(&mut self, peeked: Peeked) -> Bytes {
        if (MIN_OWN..=MAX_SPARE).contains(&peeked.end) && peeked.end < self.read / 4 * 3 {
            return self.copy_entry(peeked);
        }
        let mut entry = self.current.split_to(peeked.end);
        entry.advance(peeked.command_end);
        entry
    }

    #[inline(never)]
    fn copy_entry(&mut self, peeked: Peeked) -> Bytes {
        let mut buffer = self.buffer(peeked.end - peeked.command_end);
        buffer.extend_from_slice(&self.current[peeked.command_end..peeked.end]);
        self.current.advance(peeked.end);
        let entry = buffer.split().freeze();
        self.spare(buffer);
        entry
    }

    /// Moves as much of `current` into `partial` as the frame there still lacks.
    fn complete_partial(&mut self) {
        if self.partial.len() < 4 {
            let n = (4 - self.partial.len()).min(self.current.len());
            self.partial.extend_from_slice(&self.current.split_to(n));
        }
        if let Ok(Some(len)) = self.frame_len(&self.partial) {
            let lacking = len.saturating_sub(self.partial.len());
            let n = lacking.min(self.current.len());
            // One reservation for an ordinary frame. A larger one grows as its bytes come: they may not.
            if self.partial.capacity() < len.min(MAX_RESERVE) {
                let mut buffer = self.buffer(len.min(MAX_RESERVE));
                buffer.extend_from_slice(&self.partial);
                self.partial = buffer;
            }
            self.partial.extend_from_slice(&self.current.split_to(n));
        }
    }

    /// A buffer for so many bytes: one that is free again, or a new one.
    fn buffer(&mut self, len: usize) -> BytesMut {
        match self.spares.iter_mut().position(|spare| spare.try_reclaim(len)) {
            Some(at) => self.spares.remove(at).unwrap_or_default(),
            None => BytesMut::with_capacity(len.next_multiple_of(ROUND)),
        }
    }

    /// Keeps the end of a frame's buffer, by which all of it will be free again.
    fn spare(&mut self, end: BytesMut) {
        if self.spares.len() == SPARES {
            self.spares.pop_front();
        }
        self.spares.push_back(end);
    }

    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Some(prefix) = bytes.first_chunk::<4>() else { return Ok(None) };
        let size = u32::from_be_bytes(*prefix) as usize;
        if size > self.limit {
            return Err(DecodeError::FrameTooLarge { size, limit: self.limit });
        }
        if size < 4 {
            return Err(DecodeError::FrameSizes);
        }
        Ok(Some(size + 4))
    }
}

fn split(mut frame: Bytes) -> Result<RawFrame, DecodeError> {
    frame.advance(4);
    let command_len = frame.get_u32() as usize;
    if command_len > frame.len() {
        return Err(DecodeError::FrameSizes);
    }
    let command = frame.split_to(command_len);
    Ok(RawFrame { command, entry: frame })
}

/// Appends a frame that is a command and nothing else.
pub fn encode_command(command: &Command, out: &mut BytesMut) {
    let len = command.encoded_len();
    out.reserve(len + 8);
    out.put_u32(len as u32 + 4);
    out.put_u32(len as u32);
    command.encode(out);
}

/// Appends a frame whose command is followed by an entry that is encoded already.
pub fn encode_with_entry(command: &Command, entry: &[u8], out: &mut BytesMut) {
    let len = command.encoded_len();
    out.reserve(len + 8 + entry.len());
    out.put_u32((len + 4 + entry.len()) as u32);
    out.put_u32(len as u32);
    command.encode(out);
    out.put_slice(entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CommandPing;

    #[test]
    fn buffers_that_are_used_again_change_no_frame_that_is_still_held() {
        let entry = |n: usize| vec![n as u8; 20_000 + n % 7 * 9_000];
        let mut stream = BytesMut::new();
        (0..300).for_each(|n| encode_with_entry(&CommandPing::default().into(), &entry(n), &mut stream));
        let mut decoder = FrameDecoder::new(1 << 20);
        let (mut held, mut seen) = (VecDeque::new(), 0);
        let stream = stream.freeze();
        for piece in stream.chunks(7_001) {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(frame) = decoder.next_frame().expect("a frame") {
                held.push_back((seen, frame.entry));
                seen += 1;
                // As a user who keeps some and lets others go.
                let keep = if seen % 50 < 25 { 3 } else { 20 };
                while held.len() > keep {
                    let (n, bytes): (usize, Bytes) = held.pop_front().expect("one");
                    assert!(bytes == entry(n), "{n}");
                }
            }
        }
        assert_eq!(seen, 300);
        assert!(decoder.spares.len() < 30, "{}", decoder.spares.len());
        decoder.tidy();
        assert!(held.iter().all(|(n, bytes)| *bytes == entry(*n)));
    }
}
