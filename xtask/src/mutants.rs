//! Does a row of COMPAT.md turn red when what it speaks of is switched off? A sample of rows is tried so.
//!
//! `tests/mutants.toml` lists changes to the client that each switch one thing off. They are made together in a copy of
//! the sources, each behind a switch of its own that an environment variable sets, so that one build serves all. Then
//! the scenarios of those rows run once with nothing switched off, and once for each change.

use crate::compat::{self, Colour};
use crate::count::Tally;
use crate::util::{output, root, run};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the row whose change is switched on.
const SWITCH: &str = "PULSEWIRE_MUTANT";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

/// One thing that is switched off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// The row that must turn red.
    row: String,
    /// What no longer happens.
    off: String,
    /// The source file.
    file: PathBuf,
    /// An expression, or whole statements, that stand there once.
    find: String,
    /// What stands in their place.
    replace: String,
}

impl List {
    fn read(root: &Path) -> Result<Self> {
        let list: Self = toml::from_str(&std::fs::read_to_string(root.join("tests/mutants.toml"))?)
            .context("tests/mutants.toml")?;
        let rows: BTreeSet<&str> = list.mutant.iter().map(|mutant| mutant.row.as_str()).collect();
        if rows.len() != list.mutant.len() {
            bail!("tests/mutants.toml: a row stands there twice");
        }
        Ok(list)
    }

    /// The changed files of the whole list.
    fn apply(&self, root: &Path) -> Result<BTreeMap<PathBuf, String>> {
        let mut files = BTreeMap::new();
        for mutant in &self.mutant {
            let crate_root = crate_root(&mutant.file)?;
            for file in [&mutant.file, &crate_root] {
                if !files.contains_key(file) {
                    let text = std::fs::read_to_string(root.join(file))
                        .with_context(|| format!("tests/mutants.toml: {}", file.display()))?;
                    files.insert(file.clone(), text);
                }
            }
            let Mutant { row, find, replace, file, .. } = mutant;
            let text = files.get_mut(file).context("read above")?;
            if text.matches(find.as_str()).count() != 1 {
                bail!("tests/mutants.toml, {row}: what to find does not stand once in {}", file.display());
            }
            let switched = format!("if crate::mutant(\"{row}\") {{ {replace} }} else {{ {find} }}");
            *text = text.replace(find.as_str(), &switched);
        }
        let roots: BTreeSet<PathBuf> =
            self.mutant.iter().map(|mutant| crate_root(&mutant.file)).collect::<Result<_>>()?;
        for file in roots {
            let text = files.get_mut(&file).context("read above")?;
            text.push_str(&format!(
                "\npub(crate) fn mutant(row: &str) -> bool {{\n    \
                 static SET: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();\n    \
                 SET.get_or_init(|| std::env::var(\"{SWITCH}\").ok()).as_deref() == Some(row)\n}}\n"
            ));
        }
        Ok(files)
    }
}

/// `proto/src/lib.rs`, for a file below `proto/src`.
fn crate_root(file: &Path) -> Result<PathBuf> {
    let source =
        file.ancestors().find(|dir| dir.ends_with("src")).context("a mutant changes a file below src")?;
    Ok(source.join("lib.rs"))
}

/// Builds and runs; each row counts as a check. `world` is where the brokers are.
pub fn check() -> Result<Tally> {
    let root = root();
    let list = List::read(&root)?;
    let home = root.join("target/mutants");
    let binary = build(&root, &home, &list)?;
    let rows: Vec<String> = list.mutant.iter().map(|mutant| mutant.row.clone()).collect();

    let mut tally = Tally::default();
    let before = scenarios(&binary, &home, None, &rows)?.finish()?;
    let runs: Vec<Started> = rows
        .iter()
        .map(|row| scenarios(&binary, &home, Some(row), std::slice::from_ref(row)))
        .collect::<Result<_>>()?;
    for (mutant, started) in list.mutant.iter().zip(runs) {
        let after = started.finish()?;
        let Mutant { row, off, .. } = mutant;
        let (was, is) = (compat::colour(row, &before)?, compat::colour(row, &after)?);
        let well = was == Colour::Green && matches!(is, Colour::Red(_));
        println!("{} {row} is {was}; {off}: {is}", if well { "      " } else { "FAILED" });
        if well {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    }
    Ok(tally)
}

/// A copy of the sources with the changes in it, built.
fn build(root: &Path, home: &Path, list: &List) -> Result<PathBuf> {
    let tree = home.join("tree");
    let listed = output(Command::new("git").args(["ls-files", "-z"]).current_dir(root))?;
    let mut changed = list.apply(root)?;
    let names: BTreeSet<&Path> = listed.split('\0').map(Path::new).collect();
    remove_others(&tree, &tree, &names)?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), tree.join(name));
        if !from.is_file() {
            continue;
        }
        let bytes = match changed.remove(Path::new(name)) {
            Some(text) => text.into_bytes(),
            None => std::fs::read(&from)?,
        };
        // Untouched where it is the same, so that only what changed is built again.
        if std::fs::read(&to).ok().as_ref() != Some(&bytes) {
            std::fs::create_dir_all(to.parent().unwrap_or(&tree))?;
            std::fs::write(&to, bytes)?;
        }
    }
    run(Command::new("cargo")
        .args(["build", "--quiet", "--package", "pulsewire-tests", "--bin", "pulsewire-scenarios"])
        .current_dir(&tree)
        .env("CARGO_TARGET_DIR", home.join("build"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
    Ok(home.join("build/debug/pulsewire-scenarios"))
}

/// Removes what an earlier copy had and this one has not.
fn remove_others(tree: &Path, dir: &Path, names: &BTreeSet<&Path>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, names)?;
        } else if path
            .strip_prefix(tree)
            .is_ok_and(|name| !names.contains(name) && name != Path::new("Cargo.lock"))
        {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A run of scenarios.
struct Started {
    child: std::process::Child,
    results: PathBuf,
}

fn scenarios(binary: &Path, home: &Path, switched: Option<&str>, rows: &[String]) -> Result<Started> {
    let results = home.join("results").join(switched.unwrap_or("none"));
    let _ = std::fs::remove_dir_all(&results);
    std::fs::create_dir_all(&results)?;
    let mut command = Command::new(binary);
    command.args(rows.iter().map(|row| format!("{}_", row.to_ascii_lowercase())));
    command.env("PULSEWIRE_RESULTS", &results).env_remove("PULSEWIRE_PYTHON").env_remove(SWITCH);
    command.envs(switched.map(|row| (SWITCH, row))).current_dir(root());
    // What fails with nothing switched off is not a mutant's doing, and its row is to be green.
    if switched.is_none() {
        command.env("PULSEWIRE_SECOND_TRY", "1");
    }
    let log = std::fs::File::create(results.join("output.log"))?;
    let child = command.stdout(log.try_clone()?).stderr(log).spawn().context("cannot run the scenarios")?;
    Ok(Started { child, results })
}

impl Started {
    fn finish(mut self) -> Result<Vec<compat::Check>> {
        // It bounds each scenario itself; some of them are meant to fail.
        self.child.wait()?;
        compat::results(&self.results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_finds_its_place_and_its_row() {
        let root = root();
        let list = List::read(&root).expect("the list");
        assert!(list.mutant.len() >= 10, "ten rows are tried");
        list.apply(&root).expect("every place is there once");
        for mutant in &list.mutant {
            compat::colour(&mutant.row, &[]).expect("the row is in the ledger");
        }
    }
}
