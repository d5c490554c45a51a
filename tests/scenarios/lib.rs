//! Scenarios.
#![forbid(unsafe_code)]
