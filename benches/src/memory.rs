//! Memory of the core, counted by the allocator: `cargo bench -p pulsewire-benches --bench memory`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

#[path = "../../proto/tests/memory/measure.rs"]
mod measure;
#[allow(dead_code, reason = "each bench uses its own part")]
mod results;

use std::alloc::System;
use std::fmt::Write as _;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// A million outstanding negative acknowledgements take less than this.
const LIMIT: f64 = 64.0;

fn main() {
    let mut table = String::from("| what | MiB |\n|---|--:|\n");
    for (step, counts, what) in [
        (1, 1, "every entry, one delay"),
        (1, 20, "every entry, 20 delays by their redelivery counts"),
        (64, 20, "every 64th entry, 20 delays"),
        (1000, 20, "every 1000th entry, 20 delays"),
        (1000, 1, "every 1000th entry, one delay"),
    ] {
        let most = mib(measure::negative_acks(step, counts, held));
        assert!(most < LIMIT, "{what}: {most} MiB");
        let _ = writeln!(table, "| 1,000,000 outstanding negative acks: {what} | {most:.1} |");
    }
    for (batch, what) in [(1, "unbatched"), (1000, "in batches of 1,000")] {
        let most = mib(measure::individual_acks(batch, held).0);
        let _ = writeln!(
            table,
            "| 1,000,000 messages of 10 B received and acknowledged one by one, {what}: the most at any time | {most:.2} |"
        );
    }
    println!("{table}");
    results::write(
        "memory",
        &format!(
            "# Memory\n\n\
             Written by `cargo bench -p pulsewire-benches --bench memory`: bytes that the core has allocated, counted by the\n\
             allocator, for a consumer with the default queue of 1,000. Negative acks come in over ten seconds and are due by the\n\
             8 ms of the default precision; the aim is less than {LIMIT} MiB.\n\n{table}"
        ),
    );
}
