//! Frames: `[u32 total][u32 command size][command]`, then, for some commands, an entry.

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
    /// A frame that began in earlier bytes and is not whole yet.
    partial: BytesMut,
}

impl FrameDecoder {
    /// A decoder that refuses frames of more than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, current: Bytes::new(), partial: BytesMut::new() }
    }

    /// Changes the largest frame, once the broker has named its largest message.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes of the stream. All frames of earlier bytes must have been taken out before:
    /// [`FrameDecoder::next_frame`] has answered `None`.
    pub fn push(&mut self, bytes: Bytes) {
        if self.current.is_empty() && self.partial.is_empty() {
            self.current = bytes;
        } else {
            // What is left of `current` is less than one frame; it moves to `partial` at once.
            self.partial.extend_from_slice(&self.current);
            self.current = bytes;
            self.complete_partial();
        }
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
                self.partial = BytesMut::new();
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
        let mut entry = self.current.split_to(peeked.end);
        entry.advance(peeked.command_end);
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
            self.partial.reserve(lacking.min(MAX_RESERVE));
            self.partial.extend_from_slice(&self.current.split_to(n));
        }
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
