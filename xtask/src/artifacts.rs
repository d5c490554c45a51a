//! What is built from the sources before something else can run. Each is quick when nothing changed.

use crate::util::{root, run};
use crate::wasm;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The npm package in `js/`, with its WebAssembly module.
pub fn package() -> Result<()> {
    crate::setup::wasm_target()?;
    wasm::build_package(&root()).map(drop)
}

/// The console in `www/dist`, and the package that it uses.
pub fn console() -> Result<()> {
    crate::setup::wasm_target()?;
    wasm::build_console(&root()).map(drop)
}

/// The scenarios as a WebAssembly module.
pub fn scenarios() -> Result<()> {
    crate::setup::wasm_target()?;
    wasm::build_scenarios(&root()).map(drop)
}

/// The native binary `pulsewire`.
pub fn binary() -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "pulsewire", "--features", "cli", "--bin", "pulsewire"]);
    run(cargo.current_dir(root()))?;
    // It is beside us, whatever the target directory is called.
    let here = std::env::current_exe()?;
    Ok(here.parent().context("no directory of our own")?.join("pulsewire"))
}

/// Clippy over what is compiled to WebAssembly.
pub fn clippy_wasm() -> Result<crate::count::Tally> {
    wasm::clippy(&root())?;
    Ok(crate::count::Tally { passed: 1, ..Default::default() })
}
