//! Runs the scenarios natively: `pulsewire-scenarios [WORD...]`, in the world that
//! `PULSEWIRE_WORLD` (else `target/world.json`) describes; results go to `PULSEWIRE_RESULTS` (else
//! `target/results`), and what each client saw to `traces/` in there.
//!
//! All run concurrently, each on its own topic. With `PULSEWIRE_SECOND_TRY` the few that fail run once more when all
//! others are done, and are told apart: limits of time are for a machine that has time. The last line is `N passed, N failed`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::File;
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
/// Of so many failures at most each is tried a second time.
const SECOND_TRIES: usize = 60;

/// What the panics say that scenarios cause in hooks of an application.
const ON_PURPOSE: [&str; 2] = ["on purpose", "'s own fault"];

/// What `pulsewire-test-world` wrote.
#[derive(serde::Deserialize)]
struct World {
    endpoints: Vec<Endpoint>,
}

#[tokio::main]
async fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    // A line is enough: the check that it belongs to tells the rest.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string().replace('\n', " ");
        if !ON_PURPOSE.iter().any(|words| text.contains(words)) {
            eprintln!("{text}");
        }
    }));
    let words: Vec<String> = std::env::args().skip(1).collect();
    let world = std::env::var("PULSEWIRE_WORLD").unwrap_or_else(|_| "target/world.json".to_owned());
    let World { endpoints } = serde_json::from_str(&std::fs::read_to_string(world)?)?;
    // Others may run in the same world at the same time.
    let run = format!("{}-{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(), std::process::id());
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut set = JoinSet::new();
    for job in jobs(&endpoints, &words) {
        set.spawn(one(job, job.check(&endpoints, &run), slots.clone()));
    }
    let again = std::env::var_os("PULSEWIRE_SECOND_TRY").is_some();
    let mut results = Results::create()?;
    let mut failed = Vec::new();
    while let Some(joined) = set.join_next().await {
        let ended = joined?;
        match &ended.outcome {
            Err(_) if again => failed.push(ended),
            _ => results.take(ended)?,
        }
    }
    // More than fail when a broker stands still for a while.
    if failed.len() > SECOND_TRIES {
        failed.drain(..).try_for_each(|ended| results.take(ended))?;
    }
    let mut first = BTreeMap::new();
    for Ended { job, check, outcome, .. } in failed {
        first.insert((job.endpoint, check.name), outcome.err().unwrap_or_default());
        set.spawn(one(job, job.check(&endpoints, &format!("{run}-again")), slots.clone()));
    }
    while let Some(joined) = set.join_next().await {
        let ended = joined?;
        let why = first.get(&(ended.job.endpoint, ended.check.name)).cloned().unwrap_or_default();
        let Check { name, transport, witness, .. } = &ended.check;
        println!("AT SECOND TRY {name} over {transport} to {witness}; at the first: {why}");
        results.take(ended)?;
    }
    println!("{} passed, {} failed", results.passed, results.failed);
    Ok(std::process::ExitCode::from(u8::from(results.failed > 0 || results.passed == 0)))
}

/// A scenario or a check with the Python client, on one way to a broker.
#[derive(Clone, Copy)]
struct Job {
    endpoint: usize,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Scenario(&'static Scenario),
    Python(&'static str),
}

/// All that is to run.
fn jobs(endpoints: &[Endpoint], words: &[String]) -> Vec<Job> {
    let chosen = |name: &str| words.is_empty() || words.iter().any(|w| name.contains(w.as_str()));
    // A process each, so not on every way to a broker.
    let with_python = std::env::var_os("PULSEWIRE_PYTHON").is_some();
    let with_both = with_python && std::env::var_os("PULSEWIRE_JAVA").is_some();
    let mut jobs = Vec::new();
    for (at, endpoint) in endpoints.iter().enumerate() {
        let applies =
            |s: &&Scenario| s.applies(endpoint) && (s.with.is_none() || with_both && !endpoint.is_gateway());
        for scenario in ALL.iter().filter(applies).filter(|s| chosen(s.name)) {
            jobs.push(Job { endpoint: at, what: What::Scenario(scenario) });
        }
        let usual = endpoint.kind == Kind::Usual;
        let tried = usual && with_python && matches!(endpoint.transport.as_str(), "tcp" | "tls");
        for name in witness::ALL.into_iter().filter(|name| tried && chosen(name)) {
            jobs.push(Job { endpoint: at, what: What::Python(name) });
        }
    }
    jobs
}

impl Job {
    /// What it is called, and what runs. No other run has that `mark`.
    fn check(self, endpoints: &[Endpoint], mark: &str) -> (Check, Running) {
        let endpoint = &endpoints[self.endpoint];
        let env = |name: &str| {
            let unique = format!("{name}-n{mark}-{}", self.endpoint);
            Env { endpoint: endpoint.clone(), trace: Trace::new(&unique), unique }
        };
        match self.what {
            What::Scenario(scenario) => {
                let mut check = Check::new(scenario.name, endpoint, scenario.witness(endpoint));
                let env = env(scenario.name);
                check.trace = Some(env.trace.clone());
                (check, (scenario.run)(env))
            }
            What::Python(name) => {
                // Through our own broker this shows that the broker serves that client; the ledger counts the rest.
                let ours = endpoint.witness.starts_with("pulsewire");
                let through = if ours { &endpoint.witness } else { witness::WITNESS };
                (Check::new(name, endpoint, through), Box::pin(witness::run(name, env(name))))
            }
        }
    }
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

struct Ended {
    job: Job,
    check: Check,
    outcome: Outcome,
    seconds: f64,
}

async fn one(job: Job, (check, running): (Check, Running), slots: Arc<Semaphore>) -> Ended {
    let _slot = slots.acquire_owned().await;
    let start = Instant::now();
    // On a task of its own, so that a panic is a failure of this check alone.
    let limit = check.limit;
    let outcome = match tokio::time::timeout(limit, tokio::spawn(running)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(format!("it panicked: {panic}")),
        Err(_) => Err(format!("it was not done in {limit:?}")),
    };
    Ended { job, check, outcome, seconds: start.elapsed().as_secs_f64() }
}

/// The files of a run, and its counts.
struct Results {
    checks: File,
    traces: File,
    passed: usize,
    failed: usize,
}

impl Results {
    fn create() -> std::io::Result<Self> {
        let results = std::env::var("PULSEWIRE_RESULTS").unwrap_or_else(|_| "target/results".to_owned());
        std::fs::create_dir_all(format!("{results}/traces"))?;
        let checks = File::create(format!("{results}/rust-native.jsonl"))?;
        let traces = File::create(format!("{results}/traces/rust-native.ndjson"))?;
        Ok(Self { checks, traces, passed: 0, failed: 0 })
    }

    fn take(&mut self, Ended { check, outcome, seconds, .. }: Ended) -> std::io::Result<()> {
        match &outcome {
            Ok(()) => self.passed += 1,
            Err(why) => {
                self.failed += 1;
                println!("FAILED {} over {} to {}: {why}", check.name, check.transport, check.witness);
            }
        }
        if let Some(trace) = &check.trace {
            let line = json!({
                "name": check.name, "transport": check.transport, "witness": check.witness,
                "passed": outcome.is_ok(), "facts": trace.facts(),
            });
            writeln!(self.traces, "{line}")?;
        }
        let line = json!({
            "name": check.name, "row": check.name.split('_').next().unwrap_or("").to_uppercase(),
            "world": "rust-native", "transport": check.transport, "witness": check.witness,
            "status": if outcome.is_ok() { "passed" } else { "failed" },
            "seconds": seconds, "detail": outcome.err().unwrap_or_default(),
        });
        writeln!(self.checks, "{line}")
    }
}
