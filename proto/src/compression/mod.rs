//! The codecs of payloads, each behind a feature of its name.
//!
//! ```text
//! LZ4     a raw block            lz4_flex
//! ZLIB    RFC 1950               zlib-rs
//! ZSTD    one frame, or several  zstd (C) natively, unless the feature `zstd-c` is left out; ruzstd
//! SNAPPY  a raw block            snap
//! ```
//!
//! What a payload unpacks to is declared in its metadata. That size is checked before anything is
//! allocated, nothing is written beyond it, and an unpacked payload has exactly that size.

#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, ErrorKind};
use crate::wire::CompressionType;

/// Packs payloads, and keeps between them what its codecs work with.
#[derive(Default)]
pub(crate) struct Packer {
    #[cfg(feature = "lz4")]
    lz4: Option<lz4_flex::block::CompressTable>,
    #[cfg(feature = "zlib")]
    zlib: Option<zlib_rs::Deflate>,
    #[cfg(feature = "zstd")]
    zstd: zstd::Packer,
    #[cfg(feature = "snappy")]
    snappy: Option<snap::raw::Encoder>,
}

/// Unpacks payloads, and keeps between them what its codecs work with.
#[derive(Default)]
pub(crate) struct Unpacker {
    /// The end of the last payload's buffer: all of it is free again once nobody holds that payload.
    spare: BytesMut,
    #[cfg(feature = "zlib")]
    zlib: Option<zlib_rs::Inflate>,
    #[cfg(feature = "zstd")]
    zstd: zstd::Unpacker,
}

/// What Java's `Deflater` takes for its default.
#[cfg(feature = "zlib")]
const ZLIB_LEVEL: i32 = 6;
#[cfg(feature = "zlib")]
const ZLIB_WINDOW_BITS: u8 = 15;

/// Buffers of payloads are multiples of this many bytes, so that the next payload's size differs less often.
const ROUND: usize = 16 * 1024;
/// The largest payload whose buffer is used again.
const MAX_SPARE: usize = 1 << 20;

/// Whether this build has the codec.
pub(crate) fn is_built_in(codec: CompressionType) -> bool {
    let codecs = [
        (CompressionType::LZ4, cfg!(feature = "lz4")),
        (CompressionType::ZLIB, cfg!(feature = "zlib")),
        (CompressionType::ZSTD, cfg!(feature = "zstd")),
        (CompressionType::SNAPPY, cfg!(feature = "snappy")),
    ];
    codecs.contains(&(codec, true))
}

pub(crate) fn name(codec: CompressionType) -> String {
    codec.name().map_or_else(|| format!("codec {}", codec.0), str::to_owned)
}

impl Packer {
    /// Appends the packed form of `data` to `out`.
    pub(crate) fn pack(
        &mut self,
        codec: CompressionType,
        data: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Error> {
        let start = out.len();
        self.append(codec, data, out).map_err(|why| {
            out.truncate(start);
            let why = format!("{} cannot pack {} bytes: {why}", name(codec), data.len());
            Error::new(ErrorKind::NotSupported, why)
        })
    }

    fn append(&mut self, codec: CompressionType, data: &[u8], out: &mut BytesMut) -> Result<(), String> {
        let start = out.len();
        match codec {
            #[cfg(feature = "lz4")]
            CompressionType::LZ4 => {
                out.resize(start + lz4_flex::block::get_maximum_output_size(data.len()), 0);
                let table = self.lz4.get_or_insert_default();
                let n = lz4_flex::block::compress_into_with_table(data, &mut out[start..], table)
                    .map_err(|e| e.to_string())?;
                out.truncate(start + n);
                Ok(())
            }
            #[cfg(feature = "zlib")]
            CompressionType::ZLIB => {
                let fresh = || zlib_rs::Deflate::new(ZLIB_LEVEL, true, ZLIB_WINDOW_BITS);
                let deflate = self.zlib.get_or_insert_with(fresh);
                deflate.reset();
                // As a rule this is enough.
                let mut room = data.len() + data.len() / 16 + 64;
                loop {
                    out.resize(start + room, 0);
                    let (read, written) = (deflate.total_in() as usize, deflate.total_out() as usize);
                    let rest = &mut out[start + written..];
                    let status = deflate
                        .compress(&data[read..], rest, zlib_rs::DeflateFlush::Finish)
                        .map_err(|e| e.as_str().to_owned())?;
                    if status == zlib_rs::Status::StreamEnd {
                        break;
                    }
                    room += room / 2;
                }
                out.truncate(start + deflate.total_out() as usize);
                Ok(())
            }
            #[cfg(feature = "zstd")]
            CompressionType::ZSTD => self.zstd.pack(data, out),
            #[cfg(feature = "snappy")]
            CompressionType::SNAPPY => {
                out.resize(start + snap::raw::max_compress_len(data.len()), 0);
                let encoder = self.snappy.get_or_insert_with(snap::raw::Encoder::new);
                let n = encoder.compress(data, &mut out[start..]).map_err(|e| e.to_string())?;
                out.truncate(start + n);
                Ok(())
            }
            _ => Err(format!("this build leaves it out, at byte {start} of {}", data.len())),
        }
    }
}

impl Unpacker {
    /// Unpacks a payload that declares `size` bytes, which were found [possible].
    pub(crate) fn unpack(
        &mut self,
        codec: CompressionType,
        packed: &[u8],
        size: usize,
    ) -> Result<Bytes, Error> {
        let mut out = std::mem::take(&mut self.spare);
        // Java's ZLIB streams have no end, so that only one byte too many shows a lie.
        let room = size + usize::from(codec == CompressionType::ZLIB);
        if !out.try_reclaim(room) {
            out = BytesMut::with_capacity(room.next_multiple_of(ROUND));
        }
        out.resize(room, 0);
        match self.unpack_into(codec, packed, &mut out) {
            Ok(n) if n == size => {
                let unpacked = out.split_to(size).freeze();
                if size <= MAX_SPARE {
                    out.clear();
                    self.spare = out;
                }
                Ok(unpacked)
            }
            Ok(n) => Err(wrong(codec, &format!("declares {size} bytes and has {n}"))),
            Err(why) => Err(wrong(codec, &format!("of {size} declared bytes cannot be unpacked: {why}"))),
        }
    }

    /// How many bytes there are, or were until `out` was full.
    fn unpack_into(
        &mut self,
        codec: CompressionType,
        packed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, String> {
        match codec {
            #[cfg(feature = "lz4")]
            CompressionType::LZ4 => lz4_flex::block::decompress_into(packed, out).map_err(|e| e.to_string()),
            #[cfg(feature = "zlib")]
            CompressionType::ZLIB => {
                let inflate = self.zlib.get_or_insert_with(|| zlib_rs::Inflate::new(true, ZLIB_WINDOW_BITS));
                inflate.reset(true);
                inflate
                    .decompress(packed, out, zlib_rs::InflateFlush::SyncFlush)
                    .map_err(|e| e.as_str().to_owned())?;
                Ok(inflate.total_out() as usize)
            }
            #[cfg(feature = "zstd")]
            CompressionType::ZSTD => self.zstd.unpack(packed, out),
            #[cfg(feature = "snappy")]
            CompressionType::SNAPPY => {
                let claimed = snap::raw::decompress_len(packed).map_err(|e| e.to_string())?;
                if claimed != out.len() {
                    return Err(format!("its own header says {claimed} bytes"));
                }
                snap::raw::Decoder::new().decompress(packed, out).map_err(|e| e.to_string())
            }
            _ => Err(format!("no codec for {} bytes to {}", packed.len(), out.len())),
        }
    }
}

/// Refuses `packed` bytes that cannot be unpacked to `size`, or not by this build; `limit` is the most that may be.
pub(crate) fn possible(
    codec: CompressionType,
    packed: usize,
    size: usize,
    limit: usize,
) -> Result<(), Error> {
    if !is_built_in(codec) {
        let why = format!("it is compressed by {}, which this build leaves out", name(codec));
        return Err(Error::new(ErrorKind::NotSupported, why));
    }
    if size > limit {
        let why = format!("declares {size} bytes, more than the {limit} that are unpacked");
        return Err(wrong(codec, &why));
    }
    if size / expansion(codec) > packed + 64 {
        return Err(wrong(codec, &format!("declares {size} bytes, more than {packed} can hold")));
    }
    Ok(())
}

fn wrong(codec: CompressionType, why: &str) -> Error {
    Error::new(ErrorKind::Corrupted, format!("its {} payload {why}", name(codec)))
}

/// What a byte can unpack to at most, or a little more.
fn expansion(codec: CompressionType) -> usize {
    match codec {
        CompressionType::LZ4 => 256,
        CompressionType::ZLIB => 1100,
        CompressionType::SNAPPY => 64,
        _ => 64 * 1024,
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}
