//! The codecs of payloads, each behind a feature of its name.
//!
//! ```text
//! LZ4     a raw block            lz4_flex
//! ZLIB    RFC 1950               miniz_oxide
//! ZSTD    one frame, or several  ruzstd
//! SNAPPY  a raw block            snap
//! ```
//!
//! What a payload unpacks to is declared in its metadata. That size is checked before anything is
//! allocated, nothing is written beyond it, and an unpacked payload has exactly that size.

#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::wire::CompressionType;

/// Unpacks a payload that declares `size` bytes, which may be `limit` at most.
pub(crate) fn unpack(
    codec: CompressionType,
    packed: &[u8],
    size: usize,
    limit: usize,
) -> Result<Bytes, Error> {
    if !is_built_in(codec) {
        let why = format!("it is compressed by {}, which this build leaves out", name(codec));
        return Err(Error::new(ErrorKind::NotSupported, why));
    }
    let wrong = |why: String| Error::new(ErrorKind::Corrupted, format!("its {} payload {why}", name(codec)));
    if size > limit {
        return Err(wrong(format!("declares {size} bytes, more than the largest message of {limit}")));
    }
    match unpack_into(codec, packed, size) {
        Ok(unpacked) if unpacked.len() == size => Ok(Bytes::from(unpacked)),
        Ok(unpacked) => Err(wrong(format!("declares {size} bytes and has {}", unpacked.len()))),
        Err(why) => Err(wrong(format!("of {size} declared bytes cannot be unpacked: {why}"))),
    }
}

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

fn name(codec: CompressionType) -> String {
    codec.name().map_or_else(|| format!("codec {}", codec.0), str::to_owned)
}

/// The unpacked bytes, never more than `size`.
fn unpack_into(codec: CompressionType, packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    match codec {
        #[cfg(feature = "lz4")]
        CompressionType::LZ4 => {
            let mut out = vec![0; size];
            let n = lz4_flex::block::decompress_into(packed, &mut out).map_err(|e| e.to_string())?;
            out.truncate(n);
            Ok(out)
        }
        #[cfg(feature = "zlib")]
        CompressionType::ZLIB => {
            let mut out = vec![0; size];
            let input = std::iter::once(packed);
            let n = miniz_oxide::inflate::decompress_slice_iter_to_slice(&mut out, input, true, false)
                .map_err(|status| format!("inflate says {}", status as i32))?;
            out.truncate(n);
            Ok(out)
        }
        #[cfg(feature = "zstd")]
        CompressionType::ZSTD => zstd::unpack(packed, size),
        #[cfg(feature = "snappy")]
        CompressionType::SNAPPY => {
            let claimed = snap::raw::decompress_len(packed).map_err(|e| e.to_string())?;
            if claimed != size {
                return Err(format!("its own header says {claimed} bytes"));
            }
            let mut out = vec![0; size];
            let n = snap::raw::Decoder::new().decompress(packed, &mut out).map_err(|e| e.to_string())?;
            out.truncate(n);
            Ok(out)
        }
        _ => Err(format!("no codec for {} bytes to {size}", packed.len())),
    }
}
