//! What the transports do with queues of segments.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// At most this much of the stream leaves as one WebSocket message.
pub(crate) const MAX_MESSAGE: usize = 256 * 1024;
/// Longer segments leave as messages of their own: gathering would copy them once more.
const OWN_MESSAGE: usize = 32 * 1024;

/// Drops `count` bytes from the front of `segments`, and the empty ones there.
pub(crate) fn advance(segments: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = segments.front_mut() {
        if front.len() > count {
            front.advance(count);
            return;
        }
        count -= front.len();
        segments.pop_front();
    }
}

/// Takes from the front the bytes that leave as one WebSocket message. Short segments are copied
/// together, long ones are not.
pub(crate) fn next_message(segments: &mut VecDeque<Bytes>, gathered: &mut BytesMut) -> Bytes {
    if let Some(first) = segments.front_mut() {
        if first.len() > MAX_MESSAGE {
            return first.split_to(MAX_MESSAGE);
        }
        if first.len() >= OWN_MESSAGE || segments.len() == 1 {
            return segments.pop_front().unwrap_or_default();
        }
    }
    while let Some(first) = segments.front() {
        if first.len() >= OWN_MESSAGE || gathered.len() + first.len() > MAX_MESSAGE {
            break;
        }
        gathered.extend_from_slice(first);
        segments.pop_front();
    }
    gathered.split().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(segments: &VecDeque<Bytes>) -> Vec<usize> {
        segments.iter().map(Bytes::len).collect()
    }

    #[test]
    fn advance_stops_within_a_segment_and_drops_empty_ones() {
        let mut segments =
            VecDeque::from([Bytes::new(), Bytes::from("abc"), Bytes::new(), Bytes::from("de")]);
        advance(&mut segments, 0);
        assert_eq!(lengths(&segments), [3, 0, 2]);
        advance(&mut segments, 3);
        assert_eq!(lengths(&segments), [2]);
        advance(&mut segments, 1);
        assert_eq!(segments[0], "e");
    }

    #[test]
    fn messages_gather_short_segments_and_leave_long_ones_alone() {
        let of = |length| Bytes::from(vec![7u8; length]);
        let mut segments =
            VecDeque::from([of(10), of(20), of(OWN_MESSAGE), of(MAX_MESSAGE + 5), of(1), of(0), of(2)]);
        let mut gathered = BytesMut::new();
        let mut taken = Vec::new();
        while !segments.is_empty() {
            taken.push(next_message(&mut segments, &mut gathered).len());
        }
        assert_eq!(taken, [30, OWN_MESSAGE, MAX_MESSAGE, 8]);
    }

    #[test]
    fn a_gathered_message_is_bounded() {
        let mut segments: VecDeque<_> = (0..100).map(|_| Bytes::from(vec![1; OWN_MESSAGE - 1])).collect();
        let message = next_message(&mut segments, &mut BytesMut::new());
        assert!(message.len() <= MAX_MESSAGE && message.len() > MAX_MESSAGE - OWN_MESSAGE);
    }
}
