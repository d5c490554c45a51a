//! `cargo xtask golden`: makes `tests/golden/*.json` anew, from Apache Pulsar's own Java classes.

use crate::util::{TempDir, cache_dir, root, run};
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version whose classes know commands and fields that the tested distribution does not.
const NEWER: &str = "5.0.0-M1";

fn jars(dir: &Path) -> OsString {
    dir.join("*").into_os_string()
}

fn class_path(classes: &Path, dir: &Path) -> OsString {
    let mut path = classes.as_os_str().to_owned();
    path.push(":");
    path.push(jars(dir));
    path
}

/// The newer version's client with all that it needs.
fn newer_jars(pom: &Path) -> Result<PathBuf> {
    let dir = cache_dir()?.join(format!("pulsar-client-original-{NEWER}"));
    let ready = dir.join("ready");
    if !ready.is_file() {
        crate::setup::maven()?;
        println!("fetching the jars of Apache Pulsar {NEWER}");
        let mut maven = Command::new("mvn");
        maven.arg("-q").arg("-f").arg(pom).args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        run(maven.arg(format!("-DoutputDirectory={}", dir.display())))?;
        std::fs::write(&ready, NEWER)?;
    }
    Ok(dir)
}

/// Compiles the generator, runs it against both versions and merges what they say.
pub fn generate() -> Result<()> {
    crate::setup::jdk()?;
    let home = crate::pulsar::distribution()?;
    let golden = root().join("tests/golden");
    let newer = newer_jars(&golden.join("newer.xml"))?;
    let work = TempDir::new("golden")?;
    let classes = work.path().join("classes");
    let lib = home.join("lib");

    let mut sources: Vec<PathBuf> = std::fs::read_dir(golden.join("java"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    sources.retain(|file| file.extension().is_some_and(|extension| extension == "java"));
    sources.sort();
    let mut javac = Command::new("javac");
    javac.args(["-encoding", "UTF-8", "-nowarn", "-proc:none", "-d"]).arg(&classes);
    run(javac.arg("-cp").arg(jars(&lib)).args(&sources))?;

    let base = crate::pulsar::VERSION;
    for (version, dir) in [(base, &lib), (NEWER, &newer)] {
        let mut java = Command::new("java");
        java.arg("-cp").arg(class_path(&classes, dir)).args(["Golden", "generate", version]);
        run(java.arg(work.path().join(version)))?;
    }
    let mut java = Command::new("java");
    java.arg("-cp").arg(class_path(&classes, &lib)).args(["Golden", "merge"]);
    run(java.arg(work.path().join(base)).arg(work.path().join(NEWER)).arg(golden))
}
