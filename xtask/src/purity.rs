//! The cores do no I/O, tell no time, and make up no numbers: everything comes in by a call. This checks it, in the
//! dependency tree and in the sources. (Clippy's `disallowed-types` in `proto/clippy.toml` checks it once more, by
//! types; this also sees what conditional compilation hides from it.)

use crate::count::Tally;
use crate::util::{output, root};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that a core must not bring along, directly or not. A `*` at the end stands for any rest.
const CRATES: &[&str] = &[
    "tokio*",
    "async-std",
    "smol",
    "async-io",
    "mio",
    "socket2",
    "polling",
    "hyper*",
    "reqwest",
    "rustls*",
    "tungstenite",
    "web-sys",
    "js-sys",
    "wasm-bindgen*",
    "gloo*",
    "wasm-timer",
    "web-time",
    "instant",
    "chrono",
    "time",
    "getrandom",
    "rand",
    "parking_lot*",
    "crossbeam*",
    "flume",
    "async-channel",
    "futures-channel",
    "futures-executor",
    "futures-util",
    "rayon",
    "num_cpus",
    "dirs",
    "tempfile",
];

/// Crates that are fine, but not with these features.
const FEATURES: &[(&str, &str)] = &[("fastrand", "std"), ("fastrand", "js"), ("ahash", "runtime-rng")];

/// Names out of the standard library, as the last parts of their paths.
const NAMES: &[&str] = &[
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "Mutex",
    "RwLock",
    "Condvar",
    "Barrier",
    "mpsc",
    "OnceLock",
    "LazyLock",
    "Waker",
    "RawWaker",
    "Context",
    "thread",
    "env",
    "net",
    "fs",
    "process",
    "RandomState",
    "stdin",
    "stdout",
    "stderr",
];

/// Whole pieces of text, wherever they stand.
const TEXTS: &[&str] =
    &["thread_local!", "println!", "eprintln!", "HashMap::new(", "HashSet::new(", "option_env!"];

/// Sources: folders, each of which may not be there yet, and files.
const SOURCES: &[&str] = &["proto/src", "broker/src/core", "broker/src/testing.rs"];

/// Runs all checks; each counts as one.
pub fn check() -> Result<Tally> {
    let mut tally = Tally::default();
    let mut report = |what: &str, problems: Vec<String>| {
        if problems.is_empty() {
            tally.passed += 1;
            println!("{what}: pure");
        } else {
            tally.failed += 1;
            println!("{what}:\n  {}", problems.join("\n  "));
        }
    };
    report("dependencies of pulsewire-proto", dependencies("pulsewire-proto", "--all-features")?);
    let broker = dependencies("pulsewire-broker", "--no-default-features")?;
    report("dependencies of the core of pulsewire-broker", broker);
    for folder in SOURCES {
        let dir = root().join(folder);
        if dir.exists() {
            let mut problems = Vec::new();
            let files = if dir.is_dir() { rust_files(&dir)? } else { vec![dir] };
            for file in files {
                let name = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
                let found = source(&std::fs::read_to_string(&file)?);
                problems.extend(found.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
            }
            report(folder, problems);
        }
    }
    Ok(tally)
}

fn dependencies(package: &str, features: &str) -> Result<Vec<String>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "-p", package, "-e", "normal", features, "--target", "all"]);
    cargo.args(["--prefix", "none", "--format", "{p} [{f}]"]).current_dir(root());
    Ok(tree(&output(&mut cargo)?))
}

/// Lines like `bytes v1.12.0 [default,std]`.
fn tree(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for line in text.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let features =
            line.rsplit_once('[').map_or("", |(_, rest)| rest.split(']').next().unwrap_or_default());
        let banned = CRATES.iter().any(|banned| match banned.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *banned,
        });
        if banned {
            problems.push(format!("{name} must not be there"));
        }
        for (_, feature) in FEATURES.iter().filter(|(of, _)| *of == name) {
            if features.split(',').any(|on| on == *feature) {
                problems.push(format!("{name} must not have its feature {feature}"));
            }
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Tests may measure and print what they like.
        if name == "tests" || name.ends_with("tests.rs") {
            continue;
        } else if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Line numbers with what is wrong there. Comments do not count, nor what follows a file's `#[cfg(test)] mod`.
fn source(text: &str) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    let mut import: Option<(usize, String)> = None;
    let mut test_next = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let code = line.split("//").next().unwrap_or_default().trim();
        if test_next && (code.starts_with("mod ") || code.starts_with("pub mod ")) && code.ends_with('{') {
            break;
        }
        test_next = code == "#[cfg(test)]" || (test_next && (code.is_empty() || code.starts_with('#')));
        problems.extend(
            TEXTS.iter().filter(|text| code.contains(*text)).map(|text| (number, (*text).to_owned())),
        );

        // An import may be spread over lines and braces: it is looked at as a whole.
        let statement = code.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        if statement.starts_with("use std::") || statement.starts_with("use core::") {
            import = Some((number, String::new()));
        }
        if let Some((_, whole)) = &mut import {
            whole.push_str(code);
            if code.ends_with(';')
                && let Some((start, whole)) = import.take()
            {
                let words = whole.split(|c: char| !c.is_alphanumeric() && c != '_');
                problems.extend(
                    words.filter(|word| NAMES.contains(word)).map(|word| (start, format!("use of {word}"))),
                );
            }
            continue;
        }
        for start in ["std::", "core::"] {
            for (at, _) in code.match_indices(start) {
                let path: Vec<&str> = code[at..]
                    .split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                    .next()
                    .unwrap_or_default()
                    .split("::")
                    .collect();
                if let Some(name) = path.iter().find(|part| NAMES.contains(*part)) {
                    problems
                        .push((number, path.join("::").trim_end_matches(':').to_owned() + " (" + name + ")"));
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_crates_and_features_are_found() {
        let text = "pulsewire-proto v0.1.0 (path) []\nbytes v1.12.0 [default,std]\nfastrand v2.5.0 []\n";
        assert_eq!(tree(text), Vec::<String>::new());
        let text = "tokio-util v0.7.0 []\ngetrandom v0.4.0 []\nfastrand v2.5.0 [alloc,std] (*)\n";
        assert_eq!(tree(text).len(), 3, "{:?}", tree(text));
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for line in [
            "use std::time::Instant;",
            "use std::{collections::BTreeMap, sync::{Arc, Mutex}};",
            "pub use std::task::Waker;",
            "let now = std::time::SystemTime::now();",
            "fn f(lock: &std::sync::RwLock<u8>) {}",
            "std::thread::spawn(f);",
            "let v = std::env::var(\"A\");",
            "let m = HashMap::new();",
            "println!(\"a\");",
        ] {
            assert_eq!(source(line).len(), 1, "{line}");
        }
        let spread = "use std::{\n    net::{\n        SocketAddr,\n    },\n};\n";
        assert_eq!(source(spread), vec![(1, "use of net".to_owned())]);
    }

    #[test]
    fn what_is_allowed_is_left_alone() {
        for line in [
            "use std::time::Duration;",
            "use std::sync::Arc;",
            "use crate::time::Instant;",
            "// std::thread::sleep would be wrong here",
            "let instant = Instant::from_millis(3);",
            "self.environment.thread_count()",
        ] {
            assert_eq!(source(line), vec![], "{line}");
        }
        assert_eq!(source("fn a() {}\n#[cfg(test)]\nmod tests {\n    use std::time::Instant;\n}\n"), vec![]);
    }
}
