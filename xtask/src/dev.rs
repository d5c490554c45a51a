//! `npm start`: builds the console and the binary, and becomes `pulsewire dev`.

use crate::artifacts;
use crate::util::root;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode};

/// Builds what changed, then runs the development server with the arguments given to us until it ends.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    artifacts::console()?;
    let binary = artifacts::binary()?;
    let mut command = Command::new(&binary);
    command.arg("dev").arg("--console").arg(root().join("www/dist")).args(arguments);
    become_it(command).with_context(|| format!("cannot run {}", binary.display()))
}

/// In place of this process, so that Ctrl-C and signals go straight to it.
#[cfg(unix)]
fn become_it(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> Result<ExitCode> {
    let status = command.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
