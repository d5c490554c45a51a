//! A minute of fuzzing: each target in `fuzz/` for its share, from seeds that are made out of the golden vectors.

use crate::count::Tally;
use crate::util::{describe, root, run, which};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// The targets and the first bytes of their seeds: how each wants a frame, and a command without one.
const TARGETS: &[(&str, &[u8], &[u8])] =
    &[("frames", &[7], &[0]), ("client", &[0, 0], &[16, 0]), ("broker", &[200], &[200])];

/// Seconds that each target runs; building takes as long again the first time.
const SECONDS: u32 = 30;

/// Runs every target, and says which have found something.
pub fn minute() -> Result<Tally> {
    install()?;
    let mut tally = Tally::default();
    for (target, before_frame, before_command) in TARGETS {
        let corpus = root().join("fuzz/corpus").join(target);
        seeds(&corpus, before_frame, before_command)?;
        let mut fuzz = Command::new("cargo");
        fuzz.current_dir(root()).args(["fuzz", "run", "--sanitizer", "none", target]);
        fuzz.args(["--", &format!("-max_total_time={SECONDS}"), "-timeout=10", "-verbosity=0"]);
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
                println!("{target} has found something: {error:#}");
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
