//! Build and test orchestration, as a library so that tests can start a real Pulsar themselves.
//!
//! - [`pulsar`], [`older`], [`python`], [`java`], [`go`]: the outside implementations that tests are checked against
//! - [`setup`]: what a machine needs, installed where it may be, with the one command that mends it elsewhere
//! - [`dev`]: `npm start`
//! - [`suites`], [`mod@test`]: `npm test`, the list and what runs it
//! - [`compat`]: the file COMPAT.md
//! - [`differential`]: what clients saw of the embedded broker beside what they saw of the real one
//! - [`golden`]: the vectors in `tests/golden`
//! - [`peers`]: other clients beside ours, for `benches/RESULTS.md`
//! - [`broker_bench`]: the embedded broker beside a real one, for `benches/RESULTS.md`
//! - [`gateway_bench`]: the gateway under load and beside others, for `benches/RESULTS.md`
//! - [`wasm`]: the compiled modules, the npm package, the console
//! - [`world`]: the brokers and gateways that scenarios run against
//! - [`mod@fuzz`]: three minutes of fuzzing
//! - [`mutants`]: rows turn red when what they speak of is switched off
//! - [`purity`]: what the cores must not use
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command-line tool: its output is its purpose")]

pub mod artifacts;
pub mod broker_bench;
pub mod compat;
mod count;
pub mod dev;
pub mod differential;
pub mod fuzz;
pub mod gateway_bench;
pub mod go;
pub mod golden;
pub mod java;
pub mod mutants;
pub mod older;
pub mod peers;
mod provide;
pub mod pulsar;
pub mod purity;
pub mod python;
pub mod setup;
pub mod suites;
pub mod test;
#[cfg(test)]
mod traps;
pub mod util;
pub mod wasm;
pub mod world;
