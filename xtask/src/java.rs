//! The official Java client: its jars are those of the tested distribution.

use crate::util::{root, run};
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All jars of a directory, as class paths name them.
pub(crate) fn jars(dir: &Path) -> OsString {
    dir.join("*").into_os_string()
}

/// Compiles all sources of some directories against the jars of another.
pub(crate) fn compile(sources: &[PathBuf], lib: &Path, classes: &Path) -> Result<()> {
    crate::setup::jdk()?;
    let mut files: Vec<PathBuf> = Vec::new();
    for dir in sources {
        for entry in std::fs::read_dir(dir)? {
            files.push(entry?.path());
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "java"));
    files.sort();
    let mut javac = Command::new("javac");
    javac.args(["-encoding", "UTF-8", "-nowarn", "-proc:none", "-d"]).arg(classes);
    run(javac.arg("-cp").arg(jars(lib)).args(&files))
}

/// The class path of the client and of the witness in `tests/witness/java`, compiled, with what fills messages for the
/// golden vectors.
pub fn witness() -> Result<String> {
    let lib = crate::pulsar::distribution()?.join("lib");
    let classes = root().join("target/witness-java");
    let sources = ["tests/witness/java", "tests/golden/java"].map(|dir| root().join(dir));
    compile(&sources, &lib, &classes)?;
    Ok(format!("{}:{}", classes.display(), jars(&lib).display()))
}
