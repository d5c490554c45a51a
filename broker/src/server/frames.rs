//! Bytes of a socket, cut where frames end.
//!
//! An entry that comes in several reads is read into one place, where it stays: handed on in pieces, it
//! would have to be put together again, which costs as much as all else that is done with it.
//! ```text
//!             whole frames: handed on                  one that is too large to wait for
//!   Cutting ---------------------------> Cutting ... ------------------------------------> Passing
//!      ^                                               all that came is handed on            |
//!      +-------------------------------------------------------------------------------------+
//!                                         its last byte came
//! ```

use bytes::{Bytes, BytesMut};

/// Bytes read at a time from a connection that says little, and from one that says much.
const READ: [usize; 2] = [16 * 1024, 256 * 1024];

/// Frames that are larger are handed on as they come: the core knows what is too large.
const WAITED_FOR: usize = 1 << 20;

/// What was read and not handed on yet.
#[derive(Default)]
pub(super) struct Frames {
    buffer: BytesMut,
    /// Bytes of a large frame that are still to come.
    passing: usize,
    /// The last read filled what there was.
    busy: bool,
    /// The length of the last frame: the next one may be like it.
    usual: usize,
}

impl Frames {
    /// Where the next bytes go.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let lacking = match self.frame_len(0) {
            Some(len) if self.passing == 0 && len <= WAITED_FOR => len - self.buffer.len(),
            // A frame that begins where there is no room for it would have to be moved.
            None if self.buffer.is_empty() => self.usual,
            _ => 0,
        };
        let read = READ[usize::from(self.busy)];
        if self.buffer.capacity() - self.buffer.len() < lacking.max(read / 8) {
            self.buffer.reserve(lacking.max(read));
        }
        &mut self.buffer
    }

    /// What can be handed on; nothing while a frame is not whole.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.busy = self.buffer.len() >= READ[0];
        let mut end = self.passing.min(self.buffer.len());
        self.passing -= end;
        while self.passing == 0
            && let Some(len) = self.frame_len(end)
        {
            let here = self.buffer.len() - end;
            if len > here && len <= WAITED_FOR {
                break;
            }
            end += len.min(here);
            self.passing = len - len.min(here);
            self.usual = len.min(WAITED_FOR);
        }
        (end > 0).then(|| self.buffer.split_to(end).freeze())
    }

    /// The length of the frame that begins there, once that is known.
    fn frame_len(&self, at: usize) -> Option<usize> {
        let prefix = self.buffer.get(at..)?.first_chunk::<4>()?;
        Some(4 + u32::from_be_bytes(*prefix) as usize)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::BufMut;

    fn frame(len: usize) -> Vec<u8> {
        let mut frame = (len as u32).to_be_bytes().to_vec();
        frame.extend((0..len).map(|n| n as u8));
        frame
    }

    /// Feeds a stream as a socket would, so many bytes at a time; what was handed on.
    fn handed_on(stream: &[u8], at_a_time: usize) -> Vec<Bytes> {
        let mut frames = Frames::default();
        let (mut rest, mut all) = (stream, Vec::new());
        while !rest.is_empty() {
            let room = frames.room();
            let count = at_a_time.min(room.capacity() - room.len()).min(rest.len());
            assert!(count > 0, "there is always room");
            room.put_slice(&rest[..count]);
            rest = &rest[count..];
            all.extend(frames.take());
        }
        all
    }

    #[test]
    fn frames_are_handed_on_whole() {
        let lengths = [1, 0, 300, 70_000, 5, 130_000, 110_000, 200_000, 4, (1 << 20) - 4, 9];
        let stream: Vec<u8> = lengths.iter().flat_map(|len| frame(*len)).collect();
        for at_a_time in [1 << 20, 65_536, 10_007, 3] {
            let all = handed_on(&stream, at_a_time);
            assert_eq!(all.concat(), stream);
            for bytes in all {
                let mut rest = &bytes[..];
                while let Some(prefix) = rest.first_chunk::<4>() {
                    rest = &rest[4 + u32::from_be_bytes(*prefix) as usize..];
                }
                assert!(rest.is_empty(), "{at_a_time}: a piece of a frame");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_handed_on_as_it_comes() {
        let mut frames = Frames::default();
        frames.room().put_slice(&[&frame(3)[..], &[0xff; 100]].concat());
        assert_eq!(frames.take().unwrap().len(), 107, "the core is to refuse it at once");
        frames.room().put_slice(&[1; 50]);
        assert_eq!(frames.take().unwrap().len(), 50);

        let stream = [frame(3 << 20), frame(10), frame(60_000)].concat();
        for at_a_time in [1 << 20, 50_000] {
            let all = handed_on(&stream, at_a_time);
            assert_eq!(all.concat(), stream);
            assert!(all.len() > 3 && all.last().unwrap().len() >= 60_004, "and then cut again");
        }
    }

    #[test]
    fn a_large_frame_does_not_begin_where_there_is_no_room_for_one() {
        let mut frames = Frames::default();
        let frame = frame(100_000);
        for number in 0..20 {
            frames.room().put_slice(&frame[..65_000]);
            assert_eq!(frames.take(), None);
            let at = frames.buffer.as_ptr();
            frames.room().put_slice(&frame[65_000..]);
            assert!(number == 0 || frames.buffer.as_ptr() == at, "it was moved");
            assert_eq!(frames.take().unwrap().len(), frame.len());
        }
    }

    #[test]
    fn a_connection_that_says_little_holds_little() {
        let mut frames = Frames::default();
        for _ in 0..10_000 {
            frames.room().put_slice(&frame(20));
            assert_eq!(frames.take().unwrap().len(), 24);
            assert!(frames.buffer.capacity() <= READ[0]);
        }
    }
}
