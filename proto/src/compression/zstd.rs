//! ZSTD frames: by the library in C where there is one, else by `ruzstd`.

#[cfg(all(feature = "zstd-c", not(target_family = "wasm")))]
pub(super) use native::{Packer, Unpacker};
#[cfg(not(all(feature = "zstd-c", not(target_family = "wasm"))))]
pub(super) use pure::{Packer, Unpacker};

#[cfg(all(feature = "zstd-c", not(target_family = "wasm")))]
mod native {
    use bytes::BytesMut;
    use zstd::bulk::{Compressor, Decompressor};

    /// Java's.
    const LEVEL: i32 = 3;

    #[derive(Default)]
    pub(crate) struct Packer(Option<Compressor<'static>>);

    impl Packer {
        pub(crate) fn pack(&mut self, data: &[u8], out: &mut BytesMut) -> Result<(), String> {
            let compressor = match &mut self.0 {
                Some(compressor) => compressor,
                none => none.insert(Compressor::new(LEVEL).map_err(|e| e.to_string())?),
            };
            let start = out.len();
            out.resize(start + zstd::zstd_safe::compress_bound(data.len()), 0);
            let n = compressor.compress_to_buffer(data, &mut out[start..]).map_err(|e| e.to_string())?;
            out.truncate(start + n);
            Ok(())
        }
    }

    #[derive(Default)]
    pub(crate) struct Unpacker(Option<Decompressor<'static>>);

    impl Unpacker {
        /// All at once into its place, so that no frame's window is allocated.
        pub(crate) fn unpack(&mut self, packed: &[u8], out: &mut [u8]) -> Result<usize, String> {
            let decompressor = match &mut self.0 {
                Some(decompressor) => decompressor,
                none => none.insert(Decompressor::new().map_err(|e| e.to_string())?),
            };
            decompressor.decompress_to_buffer(packed, out).map_err(|e| e.to_string())
        }
    }
}

#[cfg(any(test, not(all(feature = "zstd-c", not(target_family = "wasm")))))]
pub(super) mod pure {
    //! A decoder keeps a window of what it has written, and its size is the sender's word.

    use bytes::{BufMut as _, BytesMut};
    use ruzstd::decoding::FrameDecoder;
    use ruzstd::encoding::{CompressionLevel, compress};

    /// The largest window that RFC 8878 asks decoders to support.
    const MAX_WINDOW: u64 = 8 * 1024 * 1024;

    #[derive(Default)]
    pub(crate) struct Packer;

    impl Packer {
        pub(crate) fn pack(&mut self, data: &[u8], out: &mut BytesMut) -> Result<(), String> {
            compress(data, out.writer(), CompressionLevel::Fastest);
            Ok(())
        }
    }

    #[derive(Default)]
    pub(crate) struct Unpacker;

    impl Unpacker {
        pub(crate) fn unpack(&mut self, packed: &[u8], out: &mut [u8]) -> Result<usize, String> {
            let window = window(packed).ok_or("it does not begin with a frame")?;
            if window > MAX_WINDOW.max(out.len() as u64) {
                return Err(format!("it wants a window of {window} bytes"));
            }
            FrameDecoder::new().decode_all(packed, out).map_err(|e| e.to_string())
        }
    }

    /// What the header of the first frame asks for, RFC 8878, 3.1.1.1.
    fn window(frame: &[u8]) -> Option<u64> {
        let header = frame.strip_prefix(&0xfd2f_b528u32.to_le_bytes())?;
        let (&descriptor, rest) = header.split_first()?;
        let single_segment = descriptor & 0x20 != 0;
        if !single_segment {
            let window = u64::from(*rest.first()?);
            let base = 1u64 << (10 + (window >> 3));
            return Some(base + base / 8 * (window & 7));
        }
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content = rest.get(dictionary..)?;
        match descriptor >> 6 {
            0 => content.first().map(|n| u64::from(*n)),
            1 => content.first_chunk().map(|n| u64::from(u16::from_le_bytes(*n)) + 256),
            2 => content.first_chunk().map(|n| u64::from(u32::from_le_bytes(*n))),
            _ => content.first_chunk().map(|n| u64::from_le_bytes(*n)),
        }
    }
}
