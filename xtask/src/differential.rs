//! What clients saw of the embedded broker beside what they saw of a real Pulsar, scenario by scenario.
//!
//! The native scenarios leave a trace of each run (`tests/scenarios/trace`): several against each broker, one
//! for each transport. What every run against one broker saw and no run against the other is a
//! difference; it fails the suite unless `tests/differences.toml` has it, with the reason. What only
//! some runs saw depends on the moment; the report counts it. Two or three runs may agree by chance, so scenarios that
//! seem to differ run again before that is said.

use crate::compat::RESULTS;
use crate::count::Tally;
use crate::util::{root, without_cargo};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const TRACES: &str = "traces/rust-native.ndjson";
const LIST: &str = "tests/differences.toml";
/// How often scenarios that seem to differ run again.
const ROUNDS: usize = 5;

/// One run of one scenario.
#[derive(Debug, Deserialize)]
struct Run {
    name: String,
    witness: String,
    passed: bool,
    facts: BTreeSet<String>,
}

/// Who says something that the other does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Real,
    Embedded,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    difference: Vec<Allowed>,
}

/// A difference that is known, and why it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    scenario: String,
    fact: String,
    only: Option<Side>,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Difference {
    only: Side,
    fact: String,
    /// Why it may be; nothing when it may not.
    reason: Option<String>,
}

/// What came of one scenario.
#[derive(Debug, Default, Serialize)]
struct Compared {
    scenario: String,
    /// Runs against the real broker and against ours.
    runs: (usize, usize),
    /// Facts that all runs share.
    equal: usize,
    /// Facts of some runs against a broker and not of others.
    wavering: usize,
    differences: Vec<Difference>,
}

impl Compared {
    fn unexplained(&self) -> usize {
        self.differences.iter().filter(|difference| difference.reason.is_none()).count()
    }
}

/// The suite: compares, writes `differential.md` and `differential.json` beside the results, and counts scenarios.
///
/// What only one broker said may be of the moment: the scenarios that seem to differ run again, until they do not or
/// have had a few more chances. That wants a world (`PULSEWIRE_WORLD`), as `npm test` has one; without it, what
/// the traces say counts.
pub fn run() -> Result<Tally> {
    let results = root().join(RESULTS);
    let mut traces = std::fs::read_to_string(results.join(TRACES))
        .with_context(|| format!("no {TRACES}; it is made by: npm test -- \"scenarios native\""))?;
    let list: List = toml::from_str(&std::fs::read_to_string(root().join(LIST))?).context(LIST)?;
    let (mut all, mut left_out) = compare_all(&traces, &list)?;
    if all.is_empty() {
        bail!("no scenario has passed against both brokers");
    }
    for round in 1..=ROUNDS {
        let suspects = suspects(&all);
        if suspects.is_empty() || std::env::var_os("PULSEWIRE_WORLD").is_none() {
            break;
        }
        println!("seem to differ, and run again ({round} of {ROUNDS}): {}", suspects.join(", "));
        traces += &again(&suspects, &results.join("again"))?;
        (all, left_out) = compare_all(&traces, &list)?;
    }
    let unused: Vec<&Allowed> = list.difference.iter().filter(|a| !a.fits_any(&all)).collect();
    std::fs::write(results.join("differential.md"), report(&all, &left_out, &unused)?)?;
    std::fs::write(results.join("differential.json"), serde_json::to_string_pretty(&all)?)?;
    for compared in &all {
        for difference in compared.differences.iter().filter(|d| d.reason.is_none()) {
            println!("{}: only {:?}: {}", compared.scenario, difference.only, difference.fact);
        }
    }
    println!("{}", summary(&all));
    let failed = suspects(&all).len();
    Ok(Tally { passed: all.len() - failed, failed, ..Tally::default() })
}

/// Scenarios with a difference that has no reason.
fn suspects(all: &[Compared]) -> Vec<&str> {
    all.iter().filter(|compared| compared.unexplained() > 0).map(|c| c.scenario.as_str()).collect()
}

/// Runs scenarios once more on every way to each broker; their traces.
fn again(scenarios: &[&str], results: &Path) -> Result<String> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--package", "pulsewire-tests", "--bin", "pulsewire-scenarios", "--"]);
    command.args(scenarios).env("PULSEWIRE_RESULTS", results).current_dir(root());
    // One that fails now has passed before, and is counted where it did: its trace is left out of the comparison.
    without_cargo(&mut command).status().context("cannot run the scenarios")?;
    std::fs::read_to_string(results.join(TRACES)).with_context(|| format!("no {TRACES} of the second run"))
}

/// Compares each scenario that passed against both; those that did not, or ran against one only, apart.
fn compare_all(traces: &str, list: &List) -> Result<(Vec<Compared>, Vec<String>)> {
    let mut scenarios: BTreeMap<String, (Vec<Run>, Vec<Run>)> = BTreeMap::new();
    for line in traces.lines() {
        let run: Run = serde_json::from_str(line).context(TRACES)?;
        let (real, embedded) = scenarios.entry(run.name.clone()).or_default();
        // A proxy answers for itself, so what is behind it is not all that its clients see.
        match run.witness.as_str() {
            _ if !run.passed => {}
            witness if witness.starts_with("pulsewire") => embedded.push(run),
            witness if !witness.ends_with("proxy") => real.push(run),
            _ => {}
        }
    }
    let (both, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        scenarios.into_iter().partition(|(_, (real, embedded))| !real.is_empty() && !embedded.is_empty());
    let compared = both.into_iter().map(|(name, (real, embedded))| compare(name, &real, &embedded, list));
    Ok((compared.collect(), others.into_keys().collect()))
}

fn compare(scenario: String, real: &[Run], embedded: &[Run], list: &List) -> Compared {
    let (every_real, some_real) = sets(real);
    let (every_embedded, some_embedded) = sets(embedded);
    let only_one = |every: &BTreeSet<&String>, other: &BTreeSet<&String>, only| -> Vec<Difference> {
        let facts = every.difference(other);
        let reason = |fact: &str| list.difference.iter().find(|a| a.fits(&scenario, only, fact));
        facts
            .map(|fact| Difference {
                only,
                fact: (*fact).clone(),
                reason: reason(fact).map(|allowed| allowed.reason.clone()),
            })
            .collect()
    };
    let mut differences = only_one(&every_real, &some_embedded, Side::Real);
    differences.extend(only_one(&every_embedded, &some_real, Side::Embedded));
    let equal = every_real.intersection(&every_embedded).count();
    let wavering = some_real.union(&some_embedded).count() - equal - differences.len();
    Compared { scenario, runs: (real.len(), embedded.len()), equal, wavering, differences }
}

/// What every run saw, and what at least one did.
fn sets(runs: &[Run]) -> (BTreeSet<&String>, BTreeSet<&String>) {
    let some: BTreeSet<&String> = runs.iter().flat_map(|run| &run.facts).collect();
    let every = some.iter().copied().filter(|fact| runs.iter().all(|run| run.facts.contains(*fact)));
    (every.collect(), some)
}

impl Allowed {
    fn fits(&self, scenario: &str, only: Side, fact: &str) -> bool {
        self.only.is_none_or(|side| side == only) && like(&self.scenario, scenario) && like(&self.fact, fact)
    }

    fn fits_any(&self, all: &[Compared]) -> bool {
        all.iter().any(|c| c.differences.iter().any(|d| self.fits(&c.scenario, d.only, &d.fact)))
    }
}

/// Whether a text is as a pattern says, in which `*` stands for anything.
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(end) = pattern.contains('*').then(|| parts.next_back().unwrap_or_default()) else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

fn summary(all: &[Compared]) -> String {
    let (mut equal, mut explained, mut differ, mut facts) = (0, 0, 0, 0);
    for compared in all {
        facts += compared.equal;
        match (compared.unexplained(), compared.differences.len()) {
            (0, 0) => equal += 1,
            (0, _) => explained += 1,
            _ => differ += 1,
        }
    }
    format!(
        "differential: of {} scenarios {equal} are equal ({facts} facts), {explained} differ with reason, {differ} differ",
        all.len()
    )
}

fn report(all: &[Compared], left_out: &[String], unused: &[&Allowed]) -> Result<String> {
    let mut out = String::from(
        "# The embedded broker beside Apache Pulsar 4.0.8\n\nMade by `cargo xtask differential` from the traces of the native scenarios: what their clients saw of either broker.\n\n",
    );
    writeln!(out, "{}\n", summary(all))?;
    out.push_str("*Runs*: against Pulsar and against the embedded broker; what seemed to differ ran again. *Equal*: what all of them saw. *Of the moment*: what some saw, whichever the broker.\n\n");
    out.push_str("| scenario | runs | equal | of the moment | |\n|---|--:|--:|--:|---|\n");
    for compared in all {
        let Compared { scenario, runs, equal, wavering, differences } = compared;
        let verdict = match (compared.unexplained(), differences.len()) {
            (0, 0) => "equal".to_owned(),
            (0, n) => format!("{n} differences with reason"),
            (unexplained, _) => format!("**{unexplained} differences**"),
        };
        writeln!(out, "| {scenario} | {}+{} | {equal} | {wavering} | {verdict} |", runs.0, runs.1)?;
    }
    out.push_str("\n## Differences\n");
    // The same facts of many scenarios, told once.
    let mut told: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for compared in all {
        for difference in &compared.differences {
            let reason = difference.reason.clone().unwrap_or_else(|| "**No reason is known.**".to_owned());
            let line = format!("only {:?}: `{}`", difference.only, difference.fact);
            told.entry((reason, line)).or_default().insert(&compared.scenario);
        }
    }
    let mut last = "";
    for ((reason, line), scenarios) in &told {
        if reason != last {
            writeln!(out, "\n{reason}\n")?;
            last = reason;
        }
        let shown: Vec<&str> = scenarios.iter().take(3).copied().collect();
        let more =
            if scenarios.len() > 3 { format!(" and {} more", scenarios.len() - 3) } else { String::new() };
        writeln!(out, "- {line} ({}{more})", shown.join(", "))?;
    }
    if told.is_empty() {
        out.push_str("\nNone.\n");
    }
    if !left_out.is_empty() {
        writeln!(
            out,
            "\n## Not compared\n\nNot passed against both, or not meant for both: {}.",
            left_out.join(", ")
        )?;
    }
    for allowed in unused {
        writeln!(out, "\nNot needed in {LIST} any more: `{}` of {}.", allowed.fact, allowed.scenario)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, witness: &str, facts: &[&str]) -> String {
        let run = serde_json::json!({
            "name": name, "transport": "tcp", "witness": witness, "passed": true, "facts": facts,
        });
        format!("{run}\n")
    }

    const REAL: &str = "Apache Pulsar 4.0.8";
    const OURS: &str = "pulsewire embedded broker";

    fn compared(lines: &[String], list: &str) -> Vec<Compared> {
        compare_all(&lines.concat(), &toml::from_str(list).expect("a list")).expect("traces").0
    }

    #[test]
    fn what_one_broker_always_says_and_the_other_never_is_a_difference() {
        let lines = [
            line("a", REAL, &["x", "error 1", "sometimes"]),
            line("a", REAL, &["x", "error 1"]),
            line("a", OURS, &["x", "error 2"]),
            line("a", OURS, &["x", "error 2", "also sometimes"]),
            // Through a proxy it may be anything.
            line("a", "Apache Pulsar 4.0.8 proxy", &["error 2"]),
        ];
        let all = compared(&lines, "");
        let found: Vec<(Side, &str)> = all[0].differences.iter().map(|d| (d.only, d.fact.as_str())).collect();
        assert_eq!(found, [(Side::Real, "error 1"), (Side::Embedded, "error 2")]);
        assert_eq!((all[0].equal, all[0].wavering, all[0].unexplained()), (1, 2, 2));
    }

    #[test]
    fn a_known_difference_has_its_reason_and_side() {
        let lines = [line("a", REAL, &["field one"]), line("a", OURS, &["field two"])];
        let list = "[[difference]]\nscenario = \"*\"\nfact = \"field *\"\nonly = \"real\"\nreason = \"so\"\n";
        let all = compared(&lines, list);
        assert_eq!(all[0].unexplained(), 1);
        assert_eq!(all[0].differences[0].reason.as_deref(), Some("so"));
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, fits) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acd", false),
            ("*", "", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*b*d*", "abcde", true),
            ("*b*d", "dcb", false),
        ] {
            assert_eq!(like(pattern, text), fits, "{pattern} {text}");
        }
    }
}
