//! What a machine needs. Each part is looked for first, so that the next time is quick; what is missing is
//! installed through the system's packages where we may, saying what and why; otherwise the error names the one
//! command that mends it.

use crate::util::{output, run, which};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Packages refreshed once in a run.
static REFRESHED: Mutex<bool> = Mutex::new(false);

fn may_install() -> bool {
    let root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    root && which("apt-get").is_some()
}

/// Installs Debian packages, or stops with the command that does it.
fn install(packages: &[&str], why: &str) -> Result<()> {
    let mend = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !may_install() {
        bail!("{why}; mend it with: sudo {mend}");
    }
    println!("installing {}: {why}", packages.join(", "));
    let mut refreshed = REFRESHED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !*refreshed {
        output(Command::new("apt-get").args(["update", "-qq"]))?;
        *refreshed = true;
    }
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
    ]);
    match output(command.args(packages)) {
        Ok(_) => Ok(()),
        Err(error) => bail!("{why}, and installing failed ({error}); mend it with: {mend}"),
    }
}

fn program(names: &[&str], packages: &[&str], why: &str) -> Result<PathBuf> {
    let find = || names.iter().find_map(|name| which(name));
    if let Some(path) = find() {
        return Ok(path);
    }
    install(packages, why)?;
    match find() {
        Some(path) => Ok(path),
        None => bail!("{} installed, but no {} on PATH", packages.join(", "), names.join(" or ")),
    }
}

/// A Chromium: `$CHROMIUM`, one on `PATH`, or Debian's.
pub fn chromium() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM").map(PathBuf::from) {
        if path.is_file() {
            return Ok(path);
        }
        bail!("CHROMIUM={} is not a file; mend it with: unset CHROMIUM", path.display());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    program(&names, &["chromium"], "tests in a page need Chromium")
}

/// A Java that runs and compiles for Pulsar 4.0 (17 or later).
pub fn jdk() -> Result<()> {
    let why = "a real Apache Pulsar needs a JDK, 17 or later";
    program(&["javac"], &["default-jdk-headless"], why)?;
    let version = output(Command::new("javac").arg("-version"))?;
    let major = version.trim().strip_prefix("javac ").and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(major) if major >= 17 => Ok(()),
        _ => {
            bail!("{why}, found {}; mend it with: apt-get install -y openjdk-17-jdk-headless", version.trim())
        }
    }
}

/// Go, which the official Go client is built with.
pub fn go() -> Result<PathBuf> {
    let usual = Path::new("/usr/local/go/bin/go");
    if which("go").is_none() && usual.is_file() {
        return Ok(usual.to_path_buf());
    }
    program(&["go"], &["golang-go"], "the official Go client shows that the embedded broker serves it")
}

/// Maven, which fetches Java artifacts.
pub fn maven() -> Result<()> {
    program(&["mvn"], &["maven"], "Apache Pulsar's distribution is fetched through Maven")?;
    Ok(())
}

/// The compiler of Protocol Buffers, which the crate `pulsar` is built with.
pub fn protoc() -> Result<PathBuf> {
    let why = "the crate `pulsar` is built with protoc";
    match std::env::var_os("PROTOC").map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(path),
        _ => program(&["protoc"], &["protobuf-compiler"], why),
    }
}

/// Python with its `venv` module.
pub fn python() -> Result<PathBuf> {
    let why = "the official Python client is the witness for interoperability";
    let python = program(&["python3"], &["python3", "python3-venv"], why)?;
    let venv = Command::new(&python).args(["-c", "import ensurepip, venv"]).output();
    if !venv.is_ok_and(|check| check.status.success()) {
        install(&["python3-venv"], why)?;
    }
    Ok(python)
}

/// The WebAssembly target: rustup's where it can be had, otherwise Debian's Rust, which builds the standard library
/// itself. The build finds out by itself which of the two is there.
pub fn wasm_target() -> Result<()> {
    let target = "wasm32-unknown-unknown";
    let usual = output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    if usual.is_ok_and(|dir| has_std(Path::new(dir.trim()))) {
        return Ok(());
    }
    if which("rustup").is_some() {
        println!("adding the Rust target {target}: pages run WebAssembly");
        if run(Command::new("rustup").args(["target", "add", target])).is_ok() {
            return Ok(());
        }
        println!("rustup could not fetch it; Debian's own Rust is the second way");
    }
    let packages = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
    let installed = output(Command::new("dpkg-query").args(["-W", "-f", "${Status}\n"]).args(packages))
        .is_ok_and(|states| {
            states.lines().filter(|state| state.ends_with(" installed")).count() == packages.len()
        });
    if installed {
        return Ok(());
    }
    install(&packages, "pages run WebAssembly, and rustup cannot add its target")
        .map_err(|error| error.context(format!("rustup target add {target} failed")))
}

fn has_std(libdir: &Path) -> bool {
    std::fs::read_dir(libdir).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

/// All of it, ahead of time: afterwards tests need no network.
pub fn everything() -> Result<()> {
    wasm_target()?;
    chromium()?;
    jdk()?;
    crate::pulsar::distribution()?;
    crate::older::jars()?;
    crate::python::python()?;
    crate::go::script()?;
    println!("everything is there");
    Ok(())
}
