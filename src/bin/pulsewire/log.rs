//! Logs, on stderr.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// The variable that says how lines look.
const FORMAT: &str = "PULSEWIRE_LOG";

/// Starts logging by `RUST_LOG`, or at `level`; as text, or with `PULSEWIRE_LOG=json` an object a line.
///
/// Only `tracing` is shown. The `log` crate is not bridged: the WebSocket library writes whole frames to
/// it, tokens and all.
pub(crate) fn start(level: &str) -> Result<(), Failure> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text)
            .map_err(|error| Failure::usage(format!("RUST_LOG is not a log filter: {error}")))?,
        _ => EnvFilter::new(level),
    };
    let json = match std::env::var(FORMAT).as_deref() {
        Ok("json") => true,
        Err(_) | Ok("" | "text") => false,
        Ok(other) => return Err(Failure::usage(format!("{FORMAT} is \"json\" or \"text\", not {other:?}"))),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match json {
        true => lines.json().flatten_event(true).with_span_list(false).init(),
        false => lines.with_ansi(stderr().is_terminal()).init(),
    }
    Ok(())
}
