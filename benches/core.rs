//! Core benchmark.
#![forbid(unsafe_code)]
fn main() {}
