//! The official Python client (C++ inside), in a virtual environment that is kept between runs.

use crate::util::{cache_dir, run};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The witness's version.
pub const VERSION: &str = "3.13.0";

/// The version of `openapi-spec-validator`.
const VALIDATOR: &str = "0.9.0";

/// How the witness is named in results.
pub const WITNESS: &str = "pulsar-client (Python) 3.13.0";

/// A Python that can `import pulsar`.
pub fn python() -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("python-pulsar-client-{VERSION}"));
    let python = dir.join("bin/python");
    let ready = dir.join("ready");
    if ready.is_file() && python.is_file() {
        validator(&dir, &python)?;
        return Ok(python);
    }
    let system = crate::setup::python()?;
    println!("installing the Python package pulsar-client {VERSION}: the witness for interoperability");
    let _ = std::fs::remove_dir_all(&dir);
    run(Command::new(system).args(["-m", "venv"]).arg(&dir))?;
    let package = format!("pulsar-client=={VERSION}");
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "--disable-pip-version-check", &package]))
        .with_context(|| format!("mend it with: {} -m pip install {package}", python.display()))?;
    run(Command::new(&python).args(["-c", "import pulsar"]))?;
    std::fs::write(&ready, VERSION)?;
    validator(&dir, &python)?;
    Ok(python)
}

/// Beside it, what says whether a description of an API is one.
fn validator(dir: &Path, python: &Path) -> Result<()> {
    let ready = dir.join("ready-validator");
    if ready.is_file() {
        return Ok(());
    }
    let package = format!("openapi-spec-validator=={VALIDATOR}");
    println!("installing the Python package {package}");
    run(Command::new(python).args(["-m", "pip", "install", "-q", "--disable-pip-version-check", &package]))
        .with_context(|| format!("mend it with: {} -m pip install {package}", python.display()))?;
    std::fs::write(&ready, VALIDATOR)?;
    Ok(())
}
