//! The official Go client, in the script that the embedded broker's tests run.

use crate::util::{root, run};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The script in `broker/tests/foreign/go`, built.
pub fn script() -> Result<PathBuf> {
    let go = crate::setup::go()?;
    let program = root().join("target/foreign-go");
    println!(
        "building the Go script; its modules, the official client among them, are fetched the first time"
    );
    let sources = root().join("broker/tests/foreign/go");
    // A Go that is too old for the client fetches the one that is asked for.
    run(Command::new(go).current_dir(&sources).args(["build", "-o"]).arg(&program).arg("."))
        .with_context(|| format!("mend it with: cd {} && go mod download", sources.display()))?;
    Ok(program)
}
