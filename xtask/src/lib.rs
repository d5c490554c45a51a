//! Build and test orchestration, as a library so that tests can start a real Pulsar themselves.
//!
//! - [`pulsar`], [`python`]: the outside implementations that tests are checked against
//! - [`setup`]: what a machine needs, installed where it may be, with the one command that mends it elsewhere
//! - `dev`: `npm start`; [`test`] and [`suites`]: `npm test`; [`compat`]: COMPAT.md
//! - [`golden`]: the vectors in `tests/golden`; [`purity`]: what the core must not use
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command-line tool: its output is its purpose")]

pub mod compat;
pub mod golden;
pub mod pulsar;
pub mod python;
pub mod setup;
pub mod stamp;
pub mod util;
