//! Any bytes to the gateway: as a request, as the first frame, and through the narrowing filter. Nothing panics, nothing
//! reaches an upstream that was not let through, and pieces make no difference.
//!
//! Input: the first byte says which and seeds the size of the pieces, the rest is the stream.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pulsewire_gateway::fuzzing;

/// A secret that no input knows.
static SECRET: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("pulsewire-fuzz-{}", std::process::id()));
    std::fs::write(&path, b"a secret of thirty-two bytes, or more").expect("written");
    path
});

fuzz_target!(|data: &[u8]| {
    let Some((&seed, stream)) = data.split_first() else { return };
    let piece = usize::from(seed >> 2) + 1;
    match seed % 4 {
        0 => fuzzing::upgrade(stream, &SECRET),
        1 => fuzzing::first_frame(stream, piece),
        2 => fuzzing::filter(stream, piece),
        _ => fuzzing::filter_down(stream, piece),
    }
});
