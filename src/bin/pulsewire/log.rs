//! Logs, on stderr.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Starts logging by `RUST_LOG`, or at `level`.
///
/// Only `tracing` is shown. The `log` crate is not bridged: the WebSocket library writes whole frames to
/// it, tokens and all.
pub(crate) fn start(level: &str) -> Result<(), Failure> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text)
            .map_err(|error| Failure::usage(format!("RUST_LOG is not a log filter: {error}")))?,
        _ => EnvFilter::new(level),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
    Ok(())
}
