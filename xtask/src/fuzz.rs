//! Some minutes of fuzzing: each target in `fuzz/` for its share, from seeds that are made out of the golden vectors.

use crate::count::Tally;
use crate::util::{describe, root, run, which};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// A target of `fuzz/`.
struct Target {
    name: &'static str,
    /// How long it runs; building takes as long again the first time.
    seconds: u32,
    /// What stands before a frame in its seeds, and before a command without one.
    before: (&'static [u8], &'static [u8]),
}

const TARGETS: &[Target] = &[
    Target { name: "frames", seconds: 30, before: (&[7], &[0]) },
    Target { name: "client", seconds: 30, before: (&[0, 0], &[16, 0]) },
    Target { name: "broker", seconds: 120, before: (&[200], &[200]) },
    Target { name: "gateway", seconds: 30, before: (&[30], &[30]) },
];

/// Runs every target, and says which have found something.
pub fn all() -> Result<Tally> {
    install()?;
    let mut tally = Tally::default();
    for Target { name, seconds, before } in TARGETS {
        let corpus = root().join("fuzz/corpus").join(name);
        seeds(&corpus, before.0, before.1)?;
        let mut fuzz = Command::new("cargo");
        fuzz.current_dir(root()).args(["fuzz", "run", "--sanitizer", "none", name]);
        fuzz.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10", "-verbosity=0"]);
        fuzz.args([
            "-rss_limit_mb=1024",
            "-malloc_limit_mb=64",
            "-print_final_stats=1",
            "-use_value_profile=1",
        ]);
        println!("{}", describe(&fuzz));
        match run(&mut fuzz) {
            Ok(()) => tally.passed += 1,
            Err(error) => {
                println!("{name} has found something: {error:#}");
                tally.failed += 1;
            }
        }
    }
    println!("{tally}");
    Ok(tally)
}

fn install() -> Result<()> {
    if which("cargo-fuzz").is_none() {
        println!("installing cargo-fuzz, which runs the fuzz targets (about 18 s, once)");
        run(Command::new("cargo").args(["install", "cargo-fuzz", "--locked", "--quiet"]))
            .context("mend it with: cargo install cargo-fuzz --locked")?;
    }
    Ok(())
}

/// Writes the frames and commands that Java made as seeds, beside what earlier runs have found.
fn seeds(corpus: &Path, before_frame: &[u8], before_command: &[u8]) -> Result<()> {
    std::fs::create_dir_all(corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let vectors = std::fs::read_to_string(root().join("tests/golden/vectors.json"))?;
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&vectors)?;
    for vector in &vectors {
        let before = match (vector["kind"].as_str(), vector["message"].as_str()) {
            (Some("frame"), _) => before_frame,
            (Some("message"), Some("BaseCommand")) => before_command,
            _ => continue,
        };
        let name = vector["name"].as_str().context("a vector's name")?.replace('/', "-");
        let seed = [before, &unhex(vector["hex"].as_str().context("a vector's bytes")?)?].concat();
        std::fs::write(corpus.join(name), seed)?;
    }
    Ok(())
}

fn unhex(hex: &str) -> Result<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&hex[at..at + 2], 16)?)).collect()
}
