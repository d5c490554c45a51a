//! The protocol of Apache Pulsar, with no I/O at all.
#![forbid(unsafe_code)]

pub mod wire;
