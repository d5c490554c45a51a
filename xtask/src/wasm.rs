//! Builds the npm package and the console: cargo for wasm32, wasm-bindgen as a library (its version is
//! that of Cargo.lock, nothing to install), then the scripts of `js/` and `www/`.
//!
//! Each step is skipped while a hash over the contents of its inputs is unchanged.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::util::{output, run};

/// What the module is built with. Batching (4 KB) or a codec would take it over its limit of size: gzip, LZ4 and SNAPPY are 4 KB, ZLIB 6 KB
/// and ZSTD 19 KB.
const MODULE_FEATURES: &str = "js";

/// The target of the module.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the npm package in `js/`: the module, its bindings, the TypeScript. Returns whether anything was built.
///
/// # Errors
/// A tool is missing or fails; the message says what to do.
pub fn build_package(root: &Path) -> Result<bool> {
    let module = Step {
        root,
        name: "module",
        inputs: &[
            "Cargo.lock",
            "Cargo.toml",
            ".cargo/config.toml",
            "proto",
            "transport",
            "src",
            "js/scripts/pack-wasm.mjs",
            "xtask/src/wasm.rs",
        ],
        outputs: &["js/wasm/pulsewire.js", "js/wasm/pulsewire_bg.wasm", "js/wasm/inline.js"],
    }
    .run(|| {
        build_module(root, "pulsewire", MODULE_FEATURES)?;
        node(root, "js/scripts/pack-wasm.mjs", [bindgen(root, "pulsewire")])
    })?;
    let broker = Step {
        root,
        name: "testing",
        inputs: &[
            "Cargo.lock",
            "Cargo.toml",
            ".cargo/config.toml",
            "proto",
            "broker/Cargo.toml",
            "broker/src",
            "js/scripts/pack-wasm.mjs",
            "xtask/src/wasm.rs",
        ],
        outputs: &["js/wasm/testing.js", "js/wasm/testing_bg.wasm", "js/wasm/testing-inline.js"],
    }
    .run(|| {
        build_module(root, "pulsewire-broker", "js")?;
        node(
            root,
            "js/scripts/pack-wasm.mjs",
            [bindgen(root, "pulsewire-broker").as_os_str(), "testing".as_ref()],
        )
    })?;
    let types = Step {
        root,
        name: "package",
        inputs: &[
            "package-lock.json",
            "js/src",
            "js/tsconfig.json",
            "js/wasm/pulsewire.d.ts",
            "js/wasm/testing.d.ts",
        ],
        outputs: &["js/dist/index.js", "js/dist/index.d.ts", "js/dist/slim.js", "js/dist/testing/index.js"],
    }
    .run(|| node(root, "node_modules/typescript/bin/tsc", ["-p", "js/tsconfig.json"]))?;
    Ok(module || broker || types)
}

/// Builds the console into `www/dist`, after the package. Returns whether anything was built.
///
/// # Errors
/// As [`build_package`].
pub fn build_console(root: &Path) -> Result<bool> {
    let package = build_package(root)?;
    let console = Step {
        root,
        name: "console",
        inputs: &[
            "package-lock.json",
            "js/dist",
            "js/wasm",
            "www/package.json",
            "www/index.html",
            "www/tsconfig.json",
            "www/vite.config.ts",
            "www/public",
            "www/src",
        ],
        outputs: &["www/dist/index.html"],
    }
    .run(|| {
        node(root, "node_modules/typescript/bin/tsc", ["-p", "www/tsconfig.json", "--noEmit"])?;
        node(root, "node_modules/vite/bin/vite.js", ["build", "www", "--logLevel", "warn"])
    })?;
    Ok(package || console)
}

/// Where [`build_scenarios`] leaves the module and its bindings.
pub const SCENARIOS: &str = "target/wasm/scenarios";

/// Builds the scenarios of `tests/` for a page. Returns whether anything was built.
///
/// # Errors
/// As [`build_package`].
pub fn build_scenarios(root: &Path) -> Result<bool> {
    Step {
        root,
        name: "scenarios",
        inputs: &[
            "Cargo.lock",
            "Cargo.toml",
            ".cargo/config.toml",
            "proto",
            "transport",
            "src",
            "tests/scenarios",
        ],
        outputs: &["target/wasm/scenarios/scenarios.js", "target/wasm/scenarios/scenarios_bg.wasm"],
    }
    .run(|| {
        let target_dir = root.join("target/wasm");
        run(cargo_for_wasm(root)?
            .args(["build", "--target", TARGET, "--package", "pulsewire-tests", "--lib"])
            .arg("--target-dir")
            .arg(&target_dir))?;
        Bindgen::new()
            .input_path(target_dir.join(TARGET).join("debug/pulsewire_tests.wasm"))
            .out_name("scenarios")
            .web(true)?
            .typescript(false)
            .generate(root.join(SCENARIOS))
    })
}

/// Clippy over the client, the scenarios and the broker's core, for WebAssembly.
///
/// # Errors
/// It found something.
pub fn clippy(root: &Path) -> Result<()> {
    let lint = |packages: &[&str]| -> Result<()> {
        let mut cargo = cargo_for_wasm(root)?;
        cargo
            .args(["clippy", "--quiet", "--target", TARGET, "--lib", "--target-dir"])
            .arg(root.join("target/wasm"));
        run(cargo.args(packages).args(["--", "-D", "warnings"]))
    };
    lint(&["--package", "pulsewire", "--package", "pulsewire-tests", "--features", "pulsewire/js"])?;
    lint(&["--package", "pulsewire-broker", "--no-default-features"])?;
    lint(&["--package", "pulsewire-broker", "--no-default-features", "--features", "js"])?;
    lint(&["--package", "pulsewire", "--features", "testing"])
}

/// Prints the sizes of what a page loads; an error when the module with its bindings is over 140 KB gzip.
///
/// # Errors
/// Over the limit, or not built yet.
pub fn size_report(root: &Path) -> Result<()> {
    node(root, "js/scripts/size.mjs", [""; 0])
}

/// Compiles a library of ours as a module, with its bindings in [`bindgen`].
fn build_module(root: &Path, package: &str, features: &str) -> Result<()> {
    let target_dir = root.join("target/wasm");
    run(cargo_for_wasm(root)?
        .env("CARGO_ENCODED_RUSTFLAGS", remapped(root))
        .args(["rustc", "--target", TARGET, "--profile", "wasm"])
        // A cdylib here only: native builds would link one for nothing.
        .args(["--package", package, "--lib", "--crate-type", "cdylib"])
        .args(["--no-default-features", "--features", features])
        // A directory of its own: its profile and flags would evict what the native builds made.
        .arg("--target-dir")
        .arg(&target_dir))?;
    let module = format!("wasm/{}.wasm", package.replace('-', "_"));
    Bindgen::new()
        .input_path(target_dir.join(TARGET).join(module))
        .out_name("module")
        .web(true)?
        .omit_default_module_path(true)
        .typescript(true)
        .remove_producers_section(true)
        .remove_name_section(true)
        .generate(bindgen(root, package))
}

/// Where a module's bindings are before they are packed.
fn bindgen(root: &Path, package: &str) -> PathBuf {
    root.join("target/wasm/bindgen").join(package)
}

/// Panic messages name source files: without the directories of the machine that built them.
fn remapped(root: &Path) -> OsString {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home =
        cargo_home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut flags = OsString::new();
    let mut remap = |from: &Path, to: &str| {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    remap(root, "pulsewire");
    // Its registry has one directory for each index, in which the crates lie.
    let indexes = cargo_home.iter().filter_map(|home| fs::read_dir(home.join("registry/src")).ok());
    for index in indexes.flatten().flatten() {
        remap(&index.path(), "crates");
    }
    flags
}

/// Cargo for wasm32: the default toolchain's where its target is installed, else Debian's, which builds
/// the standard library itself.
fn cargo_for_wasm(root: &Path) -> Result<Command> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libdir = output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]));
    if libdir.is_ok_and(|libdir| Path::new(libdir.trim()).is_dir()) {
        return Ok(cargo);
    }
    let (debian, linker) = (Path::new("/usr/bin/cargo"), debian_linker());
    let (true, Some(linker)) = (debian.is_file(), linker) else {
        bail!(
            "Rust's standard library for {TARGET} is not installed; run: rustup target add {TARGET}\n\
             (or, on Debian: apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld-22)"
        );
    };
    let mut cargo = Command::new(debian);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(PathBuf::from("/usr/bin")).chain(std::env::split_paths(&path)))?;
    cargo
        .current_dir(root)
        .env("PATH", path)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .arg("-Zbuild-std=std,panic_abort");
    Ok(cargo)
}

/// The newest `wasm-ld` that Debian's LLVM packages brought.
fn debian_linker() -> Option<PathBuf> {
    let version =
        |path: &Path| -> Option<u32> { path.file_name()?.to_str()?.strip_prefix("llvm-")?.parse().ok() };
    fs::read_dir("/usr/lib")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/wasm-ld").is_file())
        .filter_map(|path| Some((version(&path)?, path.join("bin/wasm-ld"))))
        .max()
        .map(|(_, linker)| linker)
}

/// Something built from files.
struct Step<'a> {
    root: &'a Path,
    name: &'a str,
    /// Files and directories, relative to the root; one that does not exist counts as empty.
    inputs: &'a [&'a str],
    /// What must exist for the step to be skipped.
    outputs: &'a [&'a str],
}

impl Step<'_> {
    /// Runs `build` unless the outputs are there and were made from inputs with the same contents.
    fn run(&self, build: impl FnOnce() -> Result<()>) -> Result<bool> {
        let stamp = self.root.join("target/wasm").join(format!("{}.stamp", self.name));
        let hash = self.hash()?;
        let fresh = self.outputs.iter().all(|output| self.root.join(output).exists())
            && fs::read_to_string(&stamp).is_ok_and(|last| last == hash);
        if fresh {
            return Ok(false);
        }
        eprintln!("building {}", self.name);
        build()?;
        if let Some(directory) = stamp.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(stamp, hash)?;
        Ok(true)
    }

    fn hash(&self) -> Result<String> {
        let mut files = Vec::new();
        for input in self.inputs {
            collect(&self.root.join(input), &mut files)?;
        }
        files.sort();
        let mut hasher = DefaultHasher::new();
        for file in files {
            file.strip_prefix(self.root)?.hash(&mut hasher);
            fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
        }
        Ok(format!("{:016x}", hasher.finish()))
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?.path();
            if entry.file_name() != Some(OsStr::new("node_modules")) {
                collect(&entry, files)?;
            }
        }
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Runs a script of the workspace with Node.
fn node<A: AsRef<OsStr>>(root: &Path, script: &str, args: impl IntoIterator<Item = A>) -> Result<()> {
    if !root.join(script).is_file() {
        bail!("{script} is missing; run: npm ci");
    }
    run(Command::new("node").current_dir(root).arg(script).args(args))
}
