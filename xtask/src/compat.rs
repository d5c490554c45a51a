//! The parity ledger: `tests/ledger.toml` and `target/results/*.jsonl` become COMPAT.md.
//!
//! A row is green in a world only if checks of it passed there against an outside implementation, every check that
//! the row needs among them, and no check of it failed or was skipped there. Everything else is red.

use crate::util::root;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Where checks write their results, one file per suite, one line per check.
pub const RESULTS: &str = "target/results";

/// Where a client runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// The Rust API, natively.
    RustNative,
    /// The Rust API, compiled to WebAssembly, in a browser.
    RustWasm,
    /// The npm package.
    Js,
}

const WORLDS: [(World, &str); 3] =
    [(World::RustNative, "Rust, native"), (World::RustWasm, "Rust, WebAssembly"), (World::Js, "JavaScript")];

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It ran and held.
    Passed,
    /// It ran and did not hold.
    Failed,
    /// It did not run.
    Skipped,
}

/// One line of a results file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Begins with the row's id in lower case: `p01_send_awaited`.
    pub name: String,
    /// The row of the ledger.
    pub row: String,
    /// Where the client ran.
    pub world: World,
    /// What carried the bytes: `tcp`, `tls`, `ws`, ...
    #[serde(default)]
    pub transport: String,
    /// The other side: an outside implementation with its version, or `pulsewire embedded broker`.
    #[serde(default)]
    pub witness: String,
    /// How it ended.
    pub status: Status,
    /// How long it took.
    #[serde(default)]
    pub seconds: f64,
    /// What went wrong, or why it was skipped.
    #[serde(default)]
    pub detail: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    outside: Vec<String>,
    row: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    group: String,
    title: String,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    worlds: Option<Vec<World>>,
    /// What the row says and no check shows yet, in any world.
    #[serde(default)]
    open: Option<String>,
    /// The same for single worlds.
    #[serde(default)]
    open_in: BTreeMap<World, String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Per witness, the checks with the transports that they passed on.
    Green(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>),
    /// Why not.
    Red(String),
    /// The row does not concern this world.
    Elsewhere,
}

impl Ledger {
    fn parse(text: &str) -> Result<Self> {
        let ledger: Self = toml::from_str(text).context("tests/ledger.toml")?;
        let mut seen = BTreeSet::new();
        for row in &ledger.row {
            if !seen.insert(&row.id) {
                bail!("tests/ledger.toml: row {} is there twice", row.id);
            }
            for need in &row.needs {
                if !belongs(need, &row.id) {
                    bail!(
                        "tests/ledger.toml: row {} needs {need}, whose name does not begin with the row",
                        row.id
                    );
                }
            }
        }
        if ledger.outside.iter().any(|witness| witness.starts_with("pulsewire") || witness.is_empty()) {
            bail!("tests/ledger.toml: our own broker is no outside witness");
        }
        Ok(ledger)
    }

    fn is_outside(&self, witness: &str) -> bool {
        self.outside.iter().any(|outside| witness.starts_with(outside.as_str()))
    }

    fn verify(&self, checks: &[Check]) -> Result<()> {
        // A check without a row bears on none: of a page's looks, for example.
        for check in checks.iter().filter(|check| !check.row.is_empty()) {
            if !self.row.iter().any(|row| row.id == check.row) {
                bail!("check {} names row {}, which the ledger does not have", check.name, check.row);
            }
            if !belongs(&check.name, &check.row) {
                bail!("check {} is for row {}: its name must begin with the row's id", check.name, check.row);
            }
        }
        Ok(())
    }

    fn judge(&self, row: &Row, world: World, checks: &[Check]) -> Verdict {
        if row.worlds.as_ref().is_some_and(|worlds| !worlds.contains(&world)) {
            return Verdict::Elsewhere;
        }
        let ours: Vec<&Check> =
            checks.iter().filter(|check| check.row == row.id && check.world == world).collect();
        for (status, word) in [(Status::Failed, "failed"), (Status::Skipped, "skipped")] {
            let names: BTreeSet<String> = ours
                .iter()
                .filter(|check| check.status == status)
                .map(|check| {
                    format!("`{}`{}", check.name, transports(std::iter::once(check.transport.as_str())))
                })
                .collect();
            if !names.is_empty() {
                return Verdict::Red(format!("{word}: {}", join(names)));
            }
        }
        let passed: Vec<&&Check> = ours.iter().filter(|check| self.is_outside(&check.witness)).collect();
        if passed.is_empty() {
            let reason = if ours.is_empty() { "no check" } else { "no outside witness" };
            return Verdict::Red(reason.to_owned());
        }
        let missing: BTreeSet<String> = row
            .needs
            .iter()
            .filter(|need| passed.iter().all(|check| check.name != **need))
            .map(|need| format!("`{need}`"))
            .collect();
        if !missing.is_empty() {
            return Verdict::Red(format!("needs {}", join(missing)));
        }
        if let Some(open) = row.open_in.get(&world).or(row.open.as_ref()) {
            return Verdict::Red(format!("not yet: {open}"));
        }
        let mut shown = BTreeMap::<String, BTreeMap<String, BTreeSet<String>>>::new();
        for check in passed {
            let by_name = shown.entry(check.witness.clone()).or_default();
            by_name.entry(check.name.clone()).or_default().insert(check.transport.clone());
        }
        Verdict::Green(shown)
    }

    fn render(&self, checks: &[Check]) -> String {
        let mut text = String::from(
            "# What works, and how we know\n\n\
             Made by `cargo xtask compat` from `tests/ledger.toml` and the results of a test run; not edited by hand.\n\
             Green (✅) is only what a check has shown against an implementation that is not ours, named beside the check.\n\
             A check that failed, was skipped, or had only our own broker to talk to leaves its row red (❌).\n\n",
        );
        let verdicts: Vec<Vec<Verdict>> = self
            .row
            .iter()
            .map(|row| WORLDS.iter().map(|(world, _)| self.judge(row, *world, checks)).collect())
            .collect();
        text.push_str("| | green | red |\n|---|---:|---:|\n");
        for (index, (_, name)) in WORLDS.iter().enumerate() {
            let column = || verdicts.iter().map(|row| &row[index]);
            let green = column().filter(|verdict| matches!(verdict, Verdict::Green(_))).count();
            let red = column().filter(|verdict| matches!(verdict, Verdict::Red(_))).count();
            let _ = writeln!(text, "| {name} | {green} | {red} |");
        }
        let mut group = "";
        for (row, verdicts) in self.row.iter().zip(&verdicts) {
            if row.group != group {
                group = &row.group;
                let _ = write!(text, "\n## {group}\n\n| | |");
                for (_, name) in WORLDS {
                    let _ = write!(text, " {name} |");
                }
                text.push_str("\n|---|---|---|---|---|\n");
            }
            let _ = write!(text, "| {} | {} |", row.id, row.title.replace('|', "\\|"));
            for verdict in verdicts {
                let _ = write!(text, " {} |", cell(verdict));
            }
            text.push('\n');
        }
        text
    }
}

fn belongs(check: &str, row: &str) -> bool {
    check
        .strip_prefix(row.to_ascii_lowercase().as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

fn join(names: BTreeSet<String>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn transports<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

fn cell(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Elsewhere => "–".to_owned(),
        Verdict::Red(reason) => format!("❌ {reason}"),
        Verdict::Green(witnesses) => {
            let lines: Vec<String> = witnesses
                .iter()
                .map(|(witness, checks)| {
                    let names: BTreeSet<String> = checks
                        .iter()
                        .map(|(name, on)| format!("`{name}`{}", transports(on.iter().map(String::as_str))))
                        .collect();
                    format!("{witness}: {}", join(names))
                })
                .collect();
            format!("✅ {}", lines.join("<br>"))
        }
    }
}

/// What a row of the ledger is, natively, by some results.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    /// And why.
    Red(String),
}

impl std::fmt::Display for Colour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Green => f.write_str("green"),
            Self::Red(why) => write!(f, "red ({why})"),
        }
    }
}

/// The colour of one row.
pub(crate) fn colour(row: &str, checks: &[Check]) -> Result<Colour> {
    let ledger = Ledger::parse(&std::fs::read_to_string(root().join("tests/ledger.toml"))?)?;
    let row = ledger.row.iter().find(|r| r.id == row).with_context(|| format!("no row {row}"))?;
    match ledger.judge(row, World::RustNative, checks) {
        Verdict::Green(_) => Ok(Colour::Green),
        Verdict::Red(why) => Ok(Colour::Red(why)),
        Verdict::Elsewhere => bail!("row {} is not for Rust", row.id),
    }
}

pub(crate) fn results(dir: &Path) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(checks) };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let check = serde_json::from_str(line)
                .with_context(|| format!("{}, line {}", path.display(), number + 1))?;
            checks.push(check);
        }
    }
    Ok(checks)
}

/// What a run of the ledger came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Pairs of row and world that are green.
    pub green: usize,
    /// Pairs that are red.
    pub red: usize,
    /// Whether COMPAT.md says something else than it did.
    pub changed: bool,
}

/// Makes COMPAT.md from the results that are there; with `check`, only says whether it would change.
pub fn run(check: bool) -> Result<Outcome> {
    let root = root();
    let ledger = Ledger::parse(&std::fs::read_to_string(root.join("tests/ledger.toml"))?)?;
    let checks = results(&root.join(RESULTS))?;
    ledger.verify(&checks)?;
    let text = ledger.render(&checks);
    let file = root.join("COMPAT.md");
    let changed = std::fs::read_to_string(&file).ok().as_deref() != Some(text.as_str());
    if changed && !check {
        std::fs::write(&file, text)?;
    }
    let mut outcome = Outcome { green: 0, red: 0, changed };
    for row in &ledger.row {
        for (world, _) in WORLDS {
            match ledger.judge(row, world, &checks) {
                Verdict::Green(_) => outcome.green += 1,
                Verdict::Red(_) => outcome.red += 1,
                Verdict::Elsewhere => {}
            }
        }
    }
    Ok(outcome)
}

#[cfg(test)]
#[path = "compat_tests.rs"]
mod tests;
