//! Runs the scenarios natively: `pulsewire-scenarios [WORD...]`, in the world that
//! `PULSEWIRE_WORLD` (else `target/world.json`) describes; results go to `target/results`.
//!
//! All run concurrently, each on its own topic. The last line is `N passed, N failed`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pulsewire_tests::{ALL, Endpoint, Env, Outcome, Scenario};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A scenario that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);
/// Scenarios at a time.
const AT_ONCE: usize = 64;

/// What `pulsewire-test-world` wrote.
#[derive(serde::Deserialize)]
struct World {
    endpoints: Vec<Endpoint>,
}

#[tokio::main]
async fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let world = std::env::var("PULSEWIRE_WORLD").unwrap_or_else(|_| "target/world.json".to_owned());
    let World { endpoints } = serde_json::from_str(&std::fs::read_to_string(world)?)?;
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut set = JoinSet::new();
    for (e, endpoint) in endpoints.iter().enumerate() {
        for scenario in ALL.iter().filter(|s| (s.applies)(endpoint)) {
            let chosen = words.is_empty() || words.iter().any(|w| scenario.name.contains(w.as_str()));
            if chosen {
                let env = Env { endpoint: endpoint.clone(), unique: format!("{}-n{run}-{e}", scenario.name) };
                set.spawn(one(*scenario, env, slots.clone()));
            }
        }
    }
    std::fs::create_dir_all("target/results")?;
    let mut file = std::fs::File::create("target/results/rust-native.jsonl")?;
    let mut counts: BTreeMap<bool, usize> = BTreeMap::new();
    while let Some(joined) = set.join_next().await {
        let (scenario, endpoint, outcome, seconds) = joined?;
        *counts.entry(outcome.is_ok()).or_default() += 1;
        if let Err(why) = &outcome {
            println!("FAILED {} over {} to {}: {why}", scenario.name, endpoint.transport, endpoint.witness);
        }
        let line = json!({
            "name": scenario.name, "row": scenario.row(), "world": "rust-native",
            "transport": endpoint.transport, "witness": endpoint.witness,
            "status": if outcome.is_ok() { "passed" } else { "failed" },
            "seconds": seconds, "detail": outcome.err().unwrap_or_default(),
        });
        writeln!(file, "{line}")?;
    }
    let count = |ok| counts.get(&ok).copied().unwrap_or(0);
    println!("{} passed, {} failed", count(true), count(false));
    Ok(std::process::ExitCode::from(u8::from(count(false) > 0 || count(true) == 0)))
}

async fn one(scenario: Scenario, env: Env, slots: Arc<Semaphore>) -> (Scenario, Endpoint, Outcome, f64) {
    let endpoint = env.endpoint.clone();
    let _slot = slots.acquire_owned().await;
    let start = Instant::now();
    // On a task of its own, so that a panic is a failure of this scenario alone.
    let outcome = match tokio::time::timeout(LIMIT, tokio::spawn((scenario.run)(env))).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(format!("it panicked: {panic}")),
        Err(_) => Err(format!("it was not done in {LIMIT:?}")),
    };
    (scenario, endpoint, outcome, start.elapsed().as_secs_f64())
}
