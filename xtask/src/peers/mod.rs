//! `cargo xtask peers`: clients of Apache Pulsar doing the same work in the same run, against a real broker.
//!
//! The peers' programs are in `benches/peers`; ours is `pulsewire perf`. Each workload is run by all in turn,
//! several times; medians and their ratios become a section of `benches/RESULTS.md`.
//!
//! ```text
//! workload.rs   what is measured, and the aims
//! clients.rs    who does it: how each is built and called
//! admin.rs      topics and subscriptions, by the broker's admin API
//! run.rs        one client's run
//! report.rs     tables
//! ```

mod admin;
mod clients;
mod report;
mod run;
mod workload;

use crate::pulsar::RealPulsar;
use admin::Admin;
use anyhow::{Context, Result, bail};
use clients::Client;
use run::Measured;
use workload::Workload;

/// Runs of each client, unless told otherwise: each writes about 2.5 GB, which the broker frees late.
const RUNS: usize = 3;

/// What is said after `cargo xtask peers`.
struct Options {
    runs: usize,
    /// Parts of names of workloads and clients; all when there are none.
    workloads: Vec<String>,
    clients: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { runs: RUNS, workloads: Vec::new(), clients: Vec::new() };
        let words = |value: &str| value.split(',').map(str::to_owned).collect();
        for argument in arguments {
            match argument.split_once('=') {
                Some(("--runs", n)) => options.runs = n.parse().context("--runs=NUMBER")?,
                Some(("--workloads", names)) => options.workloads = words(names),
                Some(("--clients", names)) => options.clients = words(names),
                _ => bail!("{argument}? --runs=3 --workloads=produce,lz4 --clients=pulsewire,java"),
            }
        }
        Ok(options)
    }
}

fn chosen(words: &[String], name: &str) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
}

/// Builds all clients, runs all workloads, writes the tables.
pub fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let mut clients = clients::build()?;
    clients.retain(|client| chosen(&options.clients, client.name));
    // One that runs already, or one of our own.
    let given = std::env::var("PULSAR_BROKER_URL").ok().zip(std::env::var("PULSAR_WEB_URL").ok());
    let (started, urls) = match given {
        Some(urls) => (None, urls),
        None => {
            let pulsar = RealPulsar::start_with(&[("gcWaitTime", "30000")])?;
            let urls = (pulsar.broker_url.clone(), pulsar.web_url.clone());
            (Some(pulsar), urls)
        }
    };
    let (broker, web) = urls;
    let admin = Admin::new(&web)?;
    let mut results = Vec::new();
    for workload in Workload::all().iter().filter(|workload| chosen(&options.workloads, workload.name)) {
        println!("{}", workload.title);
        results.push((workload, rounds(workload, &clients, options.runs, &broker, &admin)?));
    }
    drop(started);
    report::write(&results, options.runs, options.workloads.is_empty() && options.clients.is_empty())
}

/// All clients in turn, so often. One that fails is not asked again.
fn rounds<'a>(
    workload: &Workload,
    clients: &'a [Client],
    runs: usize,
    broker: &str,
    admin: &Admin,
) -> Result<Vec<(&'a Client, Vec<Measured>)>> {
    let mut results: Vec<_> =
        clients.iter().filter(|client| client.can(workload)).map(|client| (client, Vec::new())).collect();
    let topic = workload.prepare(clients::ours(), broker, admin)?;
    for round in 1..=runs {
        results.retain_mut(|(client, measured)| match run::one(client, workload, broker, admin, &topic) {
            Ok(run) => {
                println!("  {round} {:26} {run}", client.name);
                measured.push(run);
                true
            }
            Err(error) => {
                println!("  {round} {:26} {error:#}", client.name);
                false
            }
        });
    }
    if let Some(topic) = topic {
        admin.delete(&topic)?;
    }
    Ok(results)
}
