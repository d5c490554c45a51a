//! Runs the scenarios natively: `pulsewire-scenarios [WORD...]`, in the world that
//! `PULSEWIRE_WORLD` (else `target/world.json`) describes; results go to `PULSEWIRE_RESULTS` (else
//! `target/results`), and what each client saw to `traces/` in there.
//!
//! All run concurrently, each on its own topic. The last line is `N passed, N failed`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

mod witness;

use pulsewire_tests::{ALL, Endpoint, Env, Kind, Outcome, Running, Scenario, Trace};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A scenario that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);
/// Scenarios at a time.
const AT_ONCE: usize = 48;

/// What `pulsewire-test-world` wrote.
#[derive(serde::Deserialize)]
struct World {
    endpoints: Vec<Endpoint>,
}

#[tokio::main]
async fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    // A line is enough: the check that it belongs to tells the rest, and some panics are on purpose.
    std::panic::set_hook(Box::new(|panic| eprintln!("{}", panic.to_string().replace('\n', " "))));
    let words: Vec<String> = std::env::args().skip(1).collect();
    let world = std::env::var("PULSEWIRE_WORLD").unwrap_or_else(|_| "target/world.json".to_owned());
    let World { endpoints } = serde_json::from_str(&std::fs::read_to_string(world)?)?;
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut set = JoinSet::new();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|w| name.contains(w.as_str()));
    // A process each, so not on every way to a broker.
    let with_python = std::env::var_os("PULSEWIRE_PYTHON").is_some();
    let with_both = with_python && std::env::var_os("PULSEWIRE_JAVA").is_some();
    for (e, endpoint) in endpoints.iter().enumerate() {
        let env = |name: &str| {
            let unique = format!("{name}-n{run}-{e}");
            Env { endpoint: endpoint.clone(), trace: Trace::new(&unique), unique }
        };
        let applies =
            |s: &&Scenario| s.applies(endpoint) && (s.with.is_none() || with_both && !endpoint.is_gateway());
        for scenario in ALL.iter().filter(applies).filter(|s| chosen(s.name)) {
            let mut check = Check::new(scenario.name, endpoint, scenario.witness(endpoint));
            let env = env(scenario.name);
            check.trace = Some(env.trace.clone());
            set.spawn(one(check, (scenario.run)(env), slots.clone()));
        }
        let usual = endpoint.kind == Kind::Usual;
        let tried = usual && with_python && matches!(endpoint.transport.as_str(), "tcp" | "tls");
        for name in witness::ALL.into_iter().filter(|name| tried && chosen(name)) {
            // Through our own broker this shows that the broker serves that client; the ledger counts the rest.
            let through =
                if endpoint.witness.starts_with("pulsewire") { &endpoint.witness } else { witness::WITNESS };
            let check = Check::new(name, endpoint, through);
            set.spawn(one(check, Box::pin(witness::run(name, env(name))), slots.clone()));
        }
    }
    let results = std::env::var("PULSEWIRE_RESULTS").unwrap_or_else(|_| "target/results".to_owned());
    std::fs::create_dir_all(&results)?;
    let mut file = std::fs::File::create(format!("{results}/rust-native.jsonl"))?;
    std::fs::create_dir_all(format!("{results}/traces"))?;
    let mut traces = std::fs::File::create(format!("{results}/traces/rust-native.ndjson"))?;
    let mut counts: BTreeMap<bool, usize> = BTreeMap::new();
    while let Some(joined) = set.join_next().await {
        let (check, outcome, seconds) = joined?;
        *counts.entry(outcome.is_ok()).or_default() += 1;
        if let Err(why) = &outcome {
            println!("FAILED {} over {} to {}: {why}", check.name, check.transport, check.witness);
        }
        if let Some(trace) = &check.trace {
            let line = json!({
                "name": check.name, "transport": check.transport, "witness": check.witness,
                "passed": outcome.is_ok(), "facts": trace.facts(),
            });
            writeln!(traces, "{line}")?;
        }
        let line = json!({
            "name": check.name, "row": check.name.split('_').next().unwrap_or("").to_uppercase(),
            "world": "rust-native", "transport": check.transport, "witness": check.witness,
            "status": if outcome.is_ok() { "passed" } else { "failed" },
            "seconds": seconds, "detail": outcome.err().unwrap_or_default(),
        });
        writeln!(file, "{line}")?;
    }
    let count = |ok| counts.get(&ok).copied().unwrap_or(0);
    println!("{} passed, {} failed", count(true), count(false));
    Ok(std::process::ExitCode::from(u8::from(count(false) > 0 || count(true) == 0)))
}

/// What a line of the results is about.
struct Check {
    name: &'static str,
    transport: String,
    witness: String,
    trace: Option<Trace>,
    limit: Duration,
}

impl Check {
    fn new(name: &'static str, endpoint: &Endpoint, witness: &str) -> Self {
        // A Pulsar that is killed takes its time to come back.
        let limit = if endpoint.kind == Kind::Restarted { 3 * LIMIT } else { LIMIT };
        Self { name, transport: endpoint.transport.clone(), witness: witness.to_owned(), trace: None, limit }
    }
}

async fn one(check: Check, running: Running, slots: Arc<Semaphore>) -> (Check, Outcome, f64) {
    let _slot = slots.acquire_owned().await;
    let start = Instant::now();
    // On a task of its own, so that a panic is a failure of this check alone.
    let limit = check.limit;
    let outcome = match tokio::time::timeout(limit, tokio::spawn(running)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(format!("it panicked: {panic}")),
        Err(_) => Err(format!("it was not done in {limit:?}")),
    };
    (check, outcome, start.elapsed().as_secs_f64())
}
