//! `cargo xtask golden`: makes `tests/golden/*.json` anew, from Apache Pulsar's own Java classes.

use crate::java::jars;
use crate::util::{TempDir, cache_dir, root, run};
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version whose classes know commands and fields that the tested distribution does not.
const NEWER: &str = "5.0.0-M1";

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

/// The files that the vectors are kept in.
const FILES: [&str; 4] = ["vectors.json", "schema.json", "keys.json", "defaults.json"];

/// Makes the files anew in `tests/golden`.
pub fn generate() -> Result<()> {
    generate_into(&root().join("tests/golden"))
}

/// Makes them anew elsewhere, and says whether they are the same as those in `tests/golden`.
pub fn check() -> Result<()> {
    let fresh = TempDir::new("golden-check")?;
    generate_into(fresh.path())?;
    for name in FILES {
        let kept = std::fs::read(root().join("tests/golden").join(name))?;
        if kept != std::fs::read(fresh.path().join(name))? {
            bail!("tests/golden/{name} is not what Java makes; make it anew with: cargo xtask golden");
        }
    }
    Ok(())
}

/// Compiles the generator, runs it against both versions and merges what they say.
fn generate_into(target: &Path) -> Result<()> {
    let home = crate::pulsar::distribution()?;
    let golden = root().join("tests/golden");
    let newer = newer_jars(&golden.join("newer.xml"))?;
    let work = TempDir::new("golden")?;
    let classes = work.path().join("classes");
    let lib = home.join("lib");

    crate::java::compile(&[golden.join("java")], &lib, &classes)?;

    let base = crate::pulsar::VERSION;
    for (version, dir) in [(base, &lib), (NEWER, &newer)] {
        let mut java = Command::new("java");
        java.arg("-cp").arg(class_path(&classes, dir)).args(["Golden", "generate", version]);
        run(java.arg(work.path().join(version)))?;
    }
    let mut java = Command::new("java");
    java.arg("-cp").arg(class_path(&classes, &lib)).args(["Golden", "merge"]);
    run(java.arg(work.path().join(base)).arg(work.path().join(NEWER)).arg(target))?;
    for (class, file) in [("Keys", "keys.json"), ("Defaults", "defaults.json")] {
        let mut java = Command::new("java");
        java.arg("-cp").arg(class_path(&classes, &lib)).arg(class);
        run(java.arg(target.join(file)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn read(name: &str) -> Value {
        let text = std::fs::read_to_string(root().join("tests/golden").join(name)).expect("the file");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Whoever makes the vectors anew with less in them is told here.
    #[test]
    fn every_command_and_every_message_has_vectors() {
        let schema = read("schema.json");
        let vectors = read("vectors.json");
        let vectors = vectors.as_array().expect("an array");
        let names: BTreeSet<&str> = vectors.iter().filter_map(|vector| vector["name"].as_str()).collect();
        assert_eq!(names.len(), vectors.len(), "names are unique");

        let types = schema["enums"]["BaseCommand.Type"]["values"].as_array().expect("the types");
        let numbers: Vec<u64> = types.iter().filter_map(|value| value["number"].as_u64()).collect();
        let expected = (2..=40).chain(50..=68).chain(70..=81);
        assert_eq!(numbers, expected.collect::<Vec<u64>>());

        let commands =
            types.iter().map(|value| format!("BaseCommand.{}", value["name"].as_str().expect("a name")));
        let messages = schema["messages"].as_object().expect("messages").keys().cloned();
        for subject in commands.chain(messages.filter(|name| name != "BaseCommand")) {
            for variant in ["minimal", "maximal", "extreme", "zero"] {
                let plain = format!("{subject}/{variant}");
                let with_member = format!("{plain}_");
                assert!(
                    names.contains(plain.as_str()) || names.iter().any(|name| name.starts_with(&with_member)),
                    "{plain}"
                );
            }
        }
        for vector in vectors {
            let hex = vector["hex"].as_str().expect("hex");
            assert!(
                hex.len() % 2 == 0 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()),
                "{}",
                vector["name"]
            );
        }
    }
}
