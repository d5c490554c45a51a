//! How much memory the core takes, counted by the allocator. One test, so that nothing else runs beside it.

mod measure;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn c09_a_million_negative_acks_and_a_million_acks_stay_small() {
    // No two of them are neighbours, and they are due at many times: the bench has the kinder cases.
    let bytes = measure::negative_acks(1000, 20, held);
    assert!(bytes < 64 << 20, "{bytes} bytes");
    for batch in [1, 1000] {
        let (most, left) = measure::individual_acks(batch, held);
        assert!(most < 2 << 20 && left < 1 << 20, "batches of {batch}: {most} bytes, and {left} in the end");
    }
}
