//! Protocol Buffers encoding, the part that Pulsar's protocol uses.
//!
//! One loop decodes every message: it reads a tag and a value and hands them to the message's own
//! `set`. Only that `match` is generated per message, which keeps the compiled module small.

use bytes::{BufMut, Bytes, BytesMut};

use super::DecodeError;

/// Messages nest at most this deep (`MessageIdData` contains itself).
const MAX_DEPTH: u32 = 8;

/// A value as it stands on the wire, before its field's type is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Len { buf: &'a Bytes, start: usize, end: usize, depth: u32 },
}

impl<'a> Value<'a> {
    pub(crate) fn varint(self) -> Result<u64, DecodeError> {
        match self {
            Self::Varint(v) => Ok(v),
            _ => Err(DecodeError::WireType),
        }
    }

    pub(crate) fn slice(self) -> Result<&'a [u8], DecodeError> {
        match self {
            Self::Len { buf, start, end, .. } => Ok(&buf[start..end]),
            _ => Err(DecodeError::WireType),
        }
    }

    pub(crate) fn bytes(self) -> Result<Bytes, DecodeError> {
        match self {
            Self::Len { buf, start, end, .. } => Ok(buf.slice(start..end)),
            _ => Err(DecodeError::WireType),
        }
    }
}

/// A cursor over a buffer.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    buf: &'a [u8],
    pos: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(buf: &'a [u8], start: usize, end: usize) -> Self {
        Self { buf, pos: start, end }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pos >= self.end
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.buf[self.pos..self.end] {
            [b, ..] if b < 0x80 => {
                self.pos += 1;
                Ok(u64::from(b))
            }
            [a, b, ..] if b < 0x80 => {
                self.pos += 2;
                Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        let bytes = &self.buf[self.pos..self.end];
        let Some(ten) = bytes.first_chunk::<10>() else { return self.short_varint() };
        let [word @ .., ninth, tenth] = *ten;
        let word = u64::from_le_bytes(word);
        // The high bit of a byte says that another follows.
        let ends = !word & 0x8080_8080_8080_8080;
        if ends != 0 {
            self.pos += ends.trailing_zeros() as usize / 8 + 1;
            return Ok(pack(word & (ends ^ (ends - 1))));
        }
        let low = pack(word) | u64::from(ninth & 0x7f) << 56;
        if ninth < 0x80 {
            self.pos += 9;
            return Ok(low);
        }
        if tenth >= 0x80 {
            return Err(DecodeError::Varint);
        }
        self.pos += 10;
        Ok(low | u64::from(tenth) << 63)
    }

    /// Near the end of the buffer.
    #[cold]
    fn short_varint(&mut self) -> Result<u64, DecodeError> {
        let bytes = &self.buf[self.pos..self.end];
        let mut value = 0u64;
        for (i, &b) in bytes.iter().enumerate() {
            value |= u64::from(b & 0x7f) << (7 * i);
            if b < 0x80 {
                self.pos += i + 1;
                return Ok(value);
            }
        }
        Err(DecodeError::Truncated)
    }

    /// A tag: field number and wire type.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<(u32, u8), DecodeError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| DecodeError::Varint)?;
        Ok((number, (tag & 7) as u8))
    }

    /// The bounds of a length-delimited value, checked.
    #[inline]
    pub(crate) fn len_bounds(&mut self) -> Result<(usize, usize), DecodeError> {
        let len = self.varint()?;
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
        self.skip(len).map(|start| (start, start + len))
    }

    /// Passes `len` bytes; returns where they began.
    pub(crate) fn skip(&mut self, len: usize) -> Result<usize, DecodeError> {
        if len > self.end - self.pos {
            return Err(DecodeError::Truncated);
        }
        let start = self.pos;
        self.pos += len;
        Ok(start)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let start = self.skip(N)?;
        let mut out = [0; N];
        out.copy_from_slice(&self.buf[start..start + N]);
        Ok(out)
    }

    #[inline]
    pub(crate) fn skip_varint(&mut self) -> Result<(), DecodeError> {
        let bytes = &self.buf[self.pos..self.end];
        if let Some(word) = bytes.first_chunk::<8>() {
            let ends = !u64::from_le_bytes(*word) & 0x8080_8080_8080_8080;
            if ends != 0 {
                self.pos += ends.trailing_zeros() as usize / 8 + 1;
                return Ok(());
            }
        }
        let Some(last) = bytes.iter().take(10).position(|b| *b < 0x80) else {
            return Err(if bytes.len() >= 10 { DecodeError::Varint } else { DecodeError::Truncated });
        };
        self.pos += last + 1;
        Ok(())
    }

    /// Passes a value whose field is not known here.
    pub(crate) fn skip_value(&mut self, wire: u8) -> Result<(), DecodeError> {
        match wire {
            0 => self.skip_varint(),
            1 => self.skip(8).map(drop),
            2 => self.len_bounds().map(drop),
            5 => self.skip(4).map(drop),
            _ => Err(DecodeError::WireType),
        }
    }
}

/// Joins the low seven bits of eight bytes, the first byte lowest.
#[inline]
fn pack(word: u64) -> u64 {
    let word = word & 0x7f7f_7f7f_7f7f_7f7f;
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4
}

/// A message: its fields, one by one. Implemented by the `message!` macro.
pub(crate) trait Fields {
    /// Bit `n` is set when field number `n` is required.
    fn required(&self) -> u64;
    /// Takes one value; unknown field numbers are ignored.
    fn set(&mut self, number: u32, value: Value<'_>) -> Result<(), DecodeError>;
    /// Encodes all set fields.
    fn write(&self, out: &mut BytesMut);
    /// Bytes that [`Fields::write`] will append.
    fn len(&self) -> usize;
}

/// Decodes `buf[start..end]` into `message`.
pub(crate) fn merge(
    message: &mut dyn Fields,
    buf: &Bytes,
    start: usize,
    end: usize,
    depth: u32,
) -> Result<(), DecodeError> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::TooDeep);
    }
    let mut reader = Reader::new(buf, start, end);
    let mut seen = 0u64;
    while !reader.is_empty() {
        let (number, wire) = reader.tag()?;
        let value = match wire {
            0 => Value::Varint(reader.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(reader.fixed()?)),
            2 => {
                let (start, end) = reader.len_bounds()?;
                Value::Len { buf, start, end, depth: depth + 1 }
            }
            5 => {
                reader.skip(4)?;
                Value::Fixed32
            }
            _ => return Err(DecodeError::WireType),
        };
        if number < 64 {
            seen |= 1 << number;
        }
        message.set(number, value)?;
    }
    let missing = message.required() & !seen;
    if missing != 0 {
        return Err(DecodeError::MissingField { number: missing.trailing_zeros() });
    }
    Ok(())
}

/// A field's type.
pub(crate) trait Type: Sized {
    const WIRE: u8;
    fn from_value(value: Value<'_>) -> Result<Self, DecodeError>;
    /// Bytes of the value, with its length prefix where it has one.
    fn value_len(&self) -> usize;
    fn write_value(&self, out: &mut BytesMut);

    fn write_field(&self, number: u32, out: &mut BytesMut) {
        put_varint(out, u64::from(number << 3 | u32::from(Self::WIRE)));
        self.write_value(out);
    }

    fn field_len(&self, number: u32) -> usize {
        varint_len(u64::from(number) << 3) + self.value_len()
    }
}

macro_rules! varint_type {
    ($($type:ty: $from:expr, $to:expr;)*) => {$(
        impl Type for $type {
            const WIRE: u8 = 0;
            fn from_value(value: Value<'_>) -> Result<Self, DecodeError> {
                value.varint().map($from)
            }
            fn value_len(&self) -> usize {
                varint_len($to(*self))
            }
            fn write_value(&self, out: &mut BytesMut) {
                put_varint(out, $to(*self));
            }
        }
    )*};
}

varint_type! {
    u64: |v| v, |v| v;
    u32: |v| v as u32, u64::from;
    i64: |v| v as i64, |v| v as u64;
    i32: |v| v as i32, |v| i64::from(v) as u64;
    bool: |v| v != 0, u64::from;
}

impl Type for f64 {
    const WIRE: u8 = 1;
    fn from_value(value: Value<'_>) -> Result<Self, DecodeError> {
        match value {
            Value::Fixed64(v) => Ok(f64::from_bits(v)),
            _ => Err(DecodeError::WireType),
        }
    }
    fn value_len(&self) -> usize {
        8
    }
    fn write_value(&self, out: &mut BytesMut) {
        out.put_u64_le(self.to_bits());
    }
}

impl Type for String {
    const WIRE: u8 = 2;
    fn from_value(value: Value<'_>) -> Result<Self, DecodeError> {
        std::str::from_utf8(value.slice()?).map(str::to_owned).map_err(|_| DecodeError::Utf8)
    }
    fn value_len(&self) -> usize {
        varint_len(self.len() as u64) + self.len()
    }
    fn write_value(&self, out: &mut BytesMut) {
        put_varint(out, self.len() as u64);
        out.put_slice(self.as_bytes());
    }
}

impl Type for Bytes {
    const WIRE: u8 = 2;
    fn from_value(value: Value<'_>) -> Result<Self, DecodeError> {
        value.bytes()
    }
    fn value_len(&self) -> usize {
        varint_len(self.len() as u64) + self.len()
    }
    fn write_value(&self, out: &mut BytesMut) {
        put_varint(out, self.len() as u64);
        out.put_slice(self);
    }
}

impl<T: Type> Type for Box<T> {
    const WIRE: u8 = T::WIRE;
    fn from_value(value: Value<'_>) -> Result<Self, DecodeError> {
        T::from_value(value).map(Box::new)
    }
    fn value_len(&self) -> usize {
        T::value_len(self)
    }
    fn write_value(&self, out: &mut BytesMut) {
        T::write_value(self, out);
    }
}

/// Decodes a message that is itself a field.
pub(crate) fn merge_value(message: &mut dyn Fields, value: Value<'_>) -> Result<(), DecodeError> {
    match value {
        Value::Len { buf, start, end, depth } => merge(message, buf, start, end, depth),
        _ => Err(DecodeError::WireType),
    }
}

/// Adds one value of a repeated field, or a packed run of them.
pub(crate) fn extend<T: Type>(list: &mut Vec<T>, value: Value<'_>) -> Result<(), DecodeError> {
    match value {
        Value::Len { buf, start, end, .. } if T::WIRE == 0 => {
            let mut reader = Reader::new(buf, start, end);
            while !reader.is_empty() {
                list.push(T::from_value(Value::Varint(reader.varint()?))?);
            }
        }
        value => list.push(T::from_value(value)?),
    }
    Ok(())
}

/// A few bytes that are put together before they are appended, at one check for room in all.
pub(crate) struct Scratch {
    bytes: [u8; 64],
    len: usize,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; 64], len: 0 }
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[inline]
    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Bytes of `value` as a varint.
#[inline]
pub(crate) fn varint_len(value: u64) -> usize {
    // 9/64 approximates 1/7 exactly enough over 1..=64 bits.
    ((64 - (value | 1).leading_zeros() as usize) * 9 + 64) / 64
}

#[inline]
pub(crate) fn put_varint(out: &mut BytesMut, mut value: u64) {
    let mut bytes = [0u8; 10];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    out.put_slice(&bytes[..=len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_width_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = BytesMut::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                for padding in [0, 9] {
                    let end = out.len();
                    out.resize(end + padding, 0xff);
                    let mut reader = Reader::new(&out, 0, out.len());
                    assert_eq!(reader.varint(), Ok(value));
                    assert_eq!(reader.pos, end);
                    out.truncate(end);
                }
            }
        }
    }

    #[test]
    fn varint_cut_or_endless_is_an_error() {
        assert_eq!(Reader::new(&[0x80], 0, 1).varint(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(&[0xff; 11], 0, 11).varint(), Err(DecodeError::Varint));
    }
}
