use super::*;

const CODECS: [CompressionType; 4] =
    [CompressionType::LZ4, CompressionType::ZLIB, CompressionType::ZSTD, CompressionType::SNAPPY];

fn pack(codec: CompressionType, data: &[u8]) -> Vec<u8> {
    match codec {
        CompressionType::LZ4 => lz4_flex::block::compress(data),
        CompressionType::ZLIB => miniz_oxide::deflate::compress_to_vec_zlib(data, 6),
        CompressionType::ZSTD => {
            ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
        }
        _ => snap::raw::Encoder::new().compress_vec(data).expect("packed"),
    }
}

fn unpack(codec: CompressionType, packed: &[u8], size: usize, limit: usize) -> Result<Bytes, Error> {
    possible(codec, packed.len(), size, limit)?;
    Unpacker::default().unpack(codec, packed, size)
}

#[test]
fn p03_what_others_packed_is_unpacked() {
    for codec in CODECS {
        for len in [0, 1, 5, 100, 4096, 300_000] {
            let data: Vec<u8> = (0..len).map(|i: usize| (i / 7 % 200) as u8).collect();
            let unpacked = unpack(codec, &pack(codec, &data), len, 1 << 20);
            assert_eq!(unpacked.as_deref().map_err(ToString::to_string), Ok(&data[..]), "{codec:?} {len}");
        }
    }
}

#[test]
fn p03_a_packer_goes_from_payload_to_payload() {
    let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
    let mut random = fastrand::Rng::with_seed(5);
    for codec in CODECS {
        for len in [1, 100, 300_000, 5, 70_000, 65_535, 4096] {
            let dense: Vec<u8> = (0..len).map(|i: usize| (i / 7 % 200) as u8).collect();
            let noise: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
            for data in [dense, noise] {
                let mut out = BytesMut::from(&b"before"[..]);
                packer.pack(codec, &data, &mut out).expect("packed");
                assert_eq!(&out[..6], b"before");
                let unpacked = unpacker.unpack(codec, &out[6..], len).expect("unpacked");
                assert_eq!(unpacked, data, "{codec:?} {len}");
            }
        }
    }
    let mut out = BytesMut::new();
    zstd::pure::Packer.pack(&[7; 5000], &mut out).expect("packed");
    assert_eq!(unpack(CompressionType::ZSTD, &out, 5000, 5000).expect("unpacked"), vec![7; 5000]);
}

#[test]
fn p03_a_payload_that_is_held_keeps_its_bytes_and_one_that_is_not_gives_its_buffer() {
    let mut unpacker = Unpacker::default();
    let mut unpack = |byte: u8, size: usize| {
        let packed = pack(CompressionType::LZ4, &vec![byte; size]);
        unpacker.unpack(CompressionType::LZ4, &packed, size).expect("unpacked")
    };
    let held = unpack(1, 50_000);
    let other = unpack(2, 50_000);
    assert!(held == vec![1; 50_000] && other == vec![2; 50_000]);
    let buffer = other.as_ptr();
    drop(other);
    let third = unpack(3, 50_100);
    assert!(third.as_ptr() == buffer && third == vec![3; 50_100]);
    assert!(held == vec![1; 50_000]);
}

#[test]
fn p03_a_zlib_stream_without_its_end_is_javas() {
    let data = vec![9u8; 30_000];
    let mut out = vec![0; 1000];
    let mut deflate = zlib_rs::Deflate::new(6, true, 15);
    deflate.compress(&data, &mut out, zlib_rs::DeflateFlush::SyncFlush).expect("packed");
    let packed = &out[..deflate.total_out() as usize];
    assert_eq!(unpack(CompressionType::ZLIB, packed, 30_000, 30_000).expect("unpacked"), data);
    for size in [29_999, 30_001] {
        let error = unpack(CompressionType::ZLIB, packed, size, 40_000).expect_err("a lie");
        assert_eq!(error.kind(), ErrorKind::Corrupted);
    }
}

#[test]
fn p03_a_declared_size_that_lies_is_corrupted() {
    let data = vec![7u8; 50_000];
    for codec in CODECS {
        let packed = pack(codec, &data);
        for size in [0, 1, 49_999, 50_001, 100_000, 200_000, u32::MAX as usize] {
            let error = unpack(codec, &packed, size, 100_000).expect_err("a lie");
            assert_eq!(error.kind(), ErrorKind::Corrupted, "{codec:?} {size}: {error}");
        }
    }
}

#[test]
fn p03_bytes_of_any_sort_are_an_error_and_no_panic() {
    let mut random = fastrand::Rng::with_seed(3);
    for codec in CODECS {
        let good = pack(codec, &(0..2000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        for _ in 0..3000 {
            let mut bad = good.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bad.len());
                bad[at] = random.u8(..);
            }
            bad.truncate(random.usize(..=bad.len()));
            if let Ok(unpacked) = unpack(codec, &bad, 8000, 8000) {
                assert_eq!(unpacked.len(), 8000);
            }
        }
    }
}

#[test]
fn p03_a_window_beyond_reason_is_refused() {
    let huge = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
    let error = zstd::pure::Unpacker.unpack(&huge, &mut [0; 10]).expect_err("a window of 128 MiB");
    assert!(error.contains("window"), "{error}");
    let error = unpack(CompressionType::ZSTD, &huge, 10, 1000).expect_err("a window of 128 MiB");
    assert_eq!(error.kind(), ErrorKind::Corrupted);
}

#[test]
fn p03_a_codec_that_is_not_there_is_not_supported() {
    let error = unpack(CompressionType(9), b"?", 1, 1000).expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NotSupported);
}
