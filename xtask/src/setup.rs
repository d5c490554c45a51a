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
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        *refreshed = true;
    }
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
    ]);
    match run(command.args(packages)) {
        Ok(()) => Ok(()),
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
    // The driver comes with it: wasm-bindgen's test runner talks to the browser through it.
    let browser = program(&names, &["chromium", "chromium-driver"], "tests in a page need Chromium")?;
    Ok(browser)
}

/// The WebDriver for Chromium, which the WebAssembly test runner needs.
pub fn chromedriver() -> Result<PathBuf> {
    chromium()?;
    program(&["chromedriver"], &["chromium-driver"], "WebAssembly tests in Chromium need its WebDriver")
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

/// Maven, which fetches Java artifacts.
pub fn maven() -> Result<()> {
    program(&["mvn"], &["maven"], "Apache Pulsar's distribution is fetched through Maven")?;
    Ok(())
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

/// How code for `wasm32-unknown-unknown` is compiled on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WasmToolchain {
    /// The usual toolchain has the target.
    Rustup,
    /// Debian's own Rust builds the standard library itself. It needs a target directory of its own.
    Debian {
        /// Debian's `wasm-ld`.
        linker: PathBuf,
    },
}

impl WasmToolchain {
    /// `cargo`, made ready to build for the target: give it a subcommand with [`WasmToolchain::arguments`] behind it.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        if let Self::Debian { linker } = self {
            command = Command::new("/usr/bin/cargo");
            let path = std::env::var("PATH").unwrap_or_default();
            command
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("PATH", format!("/usr/bin:{path}"))
                .env("CARGO_TARGET_DIR", crate::util::root().join("target/debian-wasm"))
                .env_remove("RUSTUP_TOOLCHAIN")
                .env_remove("RUSTC");
        }
        command
    }

    /// What follows the subcommand.
    pub fn arguments(&self) -> &'static [&'static str] {
        match self {
            Self::Rustup => &["--target", "wasm32-unknown-unknown"],
            Self::Debian { .. } => &["--target", "wasm32-unknown-unknown", "-Zbuild-std=std,panic_abort"],
        }
    }
}

/// The WebAssembly target: rustup's where it can be had, Debian's Rust otherwise.
pub fn wasm() -> Result<WasmToolchain> {
    let target = "wasm32-unknown-unknown";
    let usual = output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    if usual.is_ok_and(|dir| has_std(Path::new(dir.trim()))) {
        return Ok(WasmToolchain::Rustup);
    }
    if which("rustup").is_some() {
        println!("adding the Rust target {target}: pages run WebAssembly");
        if run(Command::new("rustup").args(["target", "add", target])).is_ok() {
            return Ok(WasmToolchain::Rustup);
        }
        println!("rustup could not fetch it; Debian's own Rust is the second way");
    }
    let linker = PathBuf::from("/usr/lib/llvm-22/bin/wasm-ld");
    let sources = output(Command::new("dpkg-query").args(["-W", "rust-web-src"])).is_ok();
    if !linker.is_file() || !Path::new("/usr/bin/cargo").is_file() || !sources {
        let packages = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
        install(&packages, "pages run WebAssembly, and rustup's target cannot be fetched")?;
    }
    if !linker.is_file() {
        bail!("no {}; mend it with: rustup target add {target}", linker.display());
    }
    Ok(WasmToolchain::Debian { linker })
}

fn has_std(libdir: &Path) -> bool {
    std::fs::read_dir(libdir).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    })
}
