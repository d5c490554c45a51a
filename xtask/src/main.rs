//! Build and test orchestration.
#![forbid(unsafe_code)]
fn main() {}
