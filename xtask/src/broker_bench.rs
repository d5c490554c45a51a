//! `cargo xtask broker`: the embedded broker beside a real Pulsar, into `benches/RESULTS.md`. Two minutes, and building.

use crate::pulsar::RealPulsar;
use crate::util::{root, run};
use anyhow::Result;
use std::process::Command;
use std::time::Instant;

/// Builds the command, starts a real Pulsar and runs the bench `broker`.
pub fn measure() -> Result<()> {
    let cargo = || {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root());
        cargo
    };
    run(cargo().args([
        "build",
        "--release",
        "--package",
        "pulsewire",
        "--features",
        "cli",
        "--bin",
        "pulsewire",
    ]))?;
    run(cargo().args(["bench", "--package", "pulsewire-benches", "--bench", "broker", "--no-run"]))?;
    let began = Instant::now();
    let pulsar = RealPulsar::start()?;
    let ready = began.elapsed() - pulsar.proxy_start();
    let mut bench = cargo();
    bench.args(["bench", "--package", "pulsewire-benches", "--bench", "broker"]);
    bench.env("PULSAR_BROKER_URL", &pulsar.broker_url);
    bench.env("PULSAR_PID", pulsar.processes()[0].to_string());
    bench.env("PULSAR_READY_S", ready.as_secs_f64().to_string());
    run(&mut bench)
}
