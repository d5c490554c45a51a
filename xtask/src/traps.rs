//! `tests/traps.toml`: what others fell into has tests, and those are there.

use crate::util::root;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    trap: Vec<Trap>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trap {
    about: String,
    #[serde(default)]
    tests: Vec<String>,
    #[serde(default)]
    elsewhere: Option<String>,
}

/// Names of functions that are tests.
fn names(dir: &Path, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            names(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                marked |= line == "#[test]" || line.starts_with("#[tokio::test");
                let Some((_, after)) = line.split_once("fn ") else { continue };
                let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if std::mem::take(&mut marked) {
                    into.insert(name);
                }
            }
        }
    }
}

#[test]
fn every_trap_has_a_test_that_is_there() {
    let root = root();
    let mut known = BTreeSet::new();
    for dir in ["proto/src", "proto/tests", "src", "tests"] {
        names(&root.join(dir), &mut known);
    }
    // Scenarios, and checks with the official clients: those alone that are run.
    let list = std::fs::read_to_string(root.join("tests/scenarios/lib.rs")).expect("a source");
    let list = list.split_once("\nscenarios! {\n").expect("the list of scenarios").1;
    let entries = list.lines().map(str::trim).filter_map(|line| line.strip_suffix(','));
    known.extend(entries.filter_map(|entry| Some(entry.split(' ').next()?.to_owned())));
    let text = std::fs::read_to_string(root.join("tests/traps.toml")).expect("the list");
    let list: List = toml::from_str(&text).expect("TOML");
    for Trap { about, tests, elsewhere } in &list.trap {
        assert_eq!(tests.is_empty(), elsewhere.is_some(), "{about}");
        for test in tests {
            assert!(known.contains(test), "{about}: no test is called {test}");
        }
    }
}
