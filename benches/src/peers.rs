//! Clients beside each other against a real broker: `cargo xtask peers`, so that `cargo bench` prints that table too.
//!
//! What is said after `--` is handed on: `cargo bench -p pulsewire-benches --bench peers -- --workloads=single`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Cargo's own word comes first.
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut peers = Command::new(cargo);
    peers.args(["xtask", "peers"]).args(arguments).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    match peers.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("cargo xtask peers cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}
