//! Frames and their commands before they are decoded: only those that are written in the one usual way.

use bytes::Buf as _;

use crate::ending::Ending;

/// The largest command, without its payload: a schema, or very many acknowledgements.
const MAX_COMMAND: usize = 1024 * 1024;
/// Sizes of frame and command, and the command's type: what tells a list.
pub(super) const HEAD: usize = 10;

/// Commands that act on what was permitted before, or on nothing: they go on as they came.
pub(super) const HARMLESS: [i32; 15] = [6, 10, 11, 12, 15, 16, 18, 19, 20, 25, 28, 29, 37, 62, 67];

/// Of a frame that begins here, the length of its command and of what follows that; `None` if eight bytes are not
/// there yet.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, Ending> {
    if bytes.len() < 8 {
        return Ok(None);
    }
    let mut bytes = bytes;
    let (total, command) = (bytes.get_u32() as usize, bytes.get_u32() as usize);
    if command > MAX_COMMAND {
        return Err(Ending::BadFrame);
    }
    let rest = total.checked_sub(4).and_then(|total| total.checked_sub(command)).ok_or(Ending::BadFrame)?;
    Ok(Some((command, rest)))
}

/// Whether a command is harmless, whole, and written as nearly all of a busy client are: type and length in a byte each.
pub(super) fn plainly_harmless(command: &[u8]) -> bool {
    let [0x08, number @ ..16, tag, length @ ..0x80, body @ ..] = command else { return false };
    *tag == number << 3 | 2 && usize::from(*length) == body.len() && HARMLESS.contains(&i32::from(*number))
}

/// The number of a command that is written as all clients write it: its type, then its body, which is the one that
/// belongs to the type, and nothing else. `None` for numbers over 127, which are none that is known.
pub(super) fn canonical(mut command: &[u8]) -> Result<Option<i32>, Ending> {
    let mut byte = || {
        let (first, rest) = command.split_first()?;
        command = rest;
        Some(*first)
    };
    let number = match (byte(), byte()) {
        (Some(0x08), Some(number @ 0..0x80)) => number,
        (Some(0x08), Some(_)) => {
            // Not a smaller one, written longer than it is.
            return if matches!(byte(), Some(1..0x80)) { Ok(None) } else { Err(Ending::BadFrame) };
        }
        _ => return Err(Ending::BadFrame),
    };
    let tag = u32::from(number) << 3 | 2;
    let same = if tag < 0x80 {
        byte().map(u32::from) == Some(tag)
    } else {
        byte().map(u32::from) == Some(tag & 0x7f | 0x80) && byte().map(u32::from) == Some(tag >> 7)
    };
    let mut length = 0usize;
    for shift in [0, 7, 14, 21] {
        let Some(byte) = byte() else { break };
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let well = same && length == command.len();
            return if well { Ok(Some(i32::from(number))) } else { Err(Ending::BadFrame) };
        }
    }
    Err(Ending::BadFrame)
}

/// Whether a frame whose head is whole brings a list of topics or tells of a transaction, as brokers write them.
pub(super) fn is_held(head: &[u8]) -> bool {
    // GET_TOPICS_OF_NAMESPACE_RESPONSE, WATCH_TOPIC_LIST_SUCCESS, WATCH_TOPIC_UPDATE, NEW_TXN_RESPONSE,
    // END_TXN_RESPONSE.
    matches!(head[8..HEAD], [0x08, 33 | 65 | 66 | 51 | 57])
}

pub(super) fn is_connected(head: &[u8]) -> bool {
    head[8..HEAD] == [0x08, 3]
}
