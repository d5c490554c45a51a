//! Bytes of keys and values: numbers big-endian, texts and lists with their length before them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pulsewire_proto::wire::KeyValue;

pub(in crate::core) fn text(out: &mut BytesMut, text: &[u8]) {
    out.put_u32(text.len() as u32);
    out.put_slice(text);
}

pub(in crate::core) fn number(out: &mut BytesMut, number: Option<i64>) {
    match number {
        None => out.put_u8(0),
        Some(number) => {
            out.put_u8(1);
            out.put_i64(number);
        }
    }
}

pub(in crate::core) fn pairs(out: &mut BytesMut, pairs: &[KeyValue]) {
    out.put_u32(pairs.len() as u32);
    for pair in pairs {
        text(out, pair.key.as_bytes());
        text(out, pair.value.as_bytes());
    }
}

/// Reads what the above wrote; `None` when it is something else.
pub(in crate::core) struct Reader(pub(in crate::core) Bytes);

impl Reader {
    pub(in crate::core) fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub(in crate::core) fn u32(&mut self) -> Option<u32> {
        self.0.try_get_u32().ok()
    }

    pub(in crate::core) fn u64(&mut self) -> Option<u64> {
        self.0.try_get_u64().ok()
    }

    pub(in crate::core) fn number(&mut self) -> Option<Option<i64>> {
        match self.u8()? {
            0 => Some(None),
            _ => Some(Some(self.0.try_get_i64().ok()?)),
        }
    }

    pub(in crate::core) fn bytes(&mut self) -> Option<Bytes> {
        let len = self.u32()? as usize;
        (len <= self.0.len()).then(|| self.0.split_to(len))
    }

    pub(in crate::core) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub(in crate::core) fn pairs(&mut self) -> Option<Vec<KeyValue>> {
        let count = self.u32()?;
        (0..count).map(|_| Some(KeyValue { key: self.text()?, value: self.text()? })).collect()
    }

    pub(in crate::core) fn list(&mut self) -> Option<Vec<u64>> {
        let count = self.u32()?;
        (0..count).map(|_| self.u64()).collect()
    }
}

pub(in crate::core) fn list(out: &mut BytesMut, numbers: impl ExactSizeIterator<Item = u64>) {
    out.put_u32(numbers.len() as u32);
    numbers.for_each(|number| out.put_u64(number));
}
