//! `cargo xtask gateway [PART ...]`: the gateway under load, beside what others do, into `benches/RESULTS.md`. Two minutes,
//! and building.

use crate::pulsar::RealPulsar;
use crate::util::{root, run};
use anyhow::Result;
use std::process::Command;

/// Builds the command, starts a real Pulsar and runs the bench `gateway`, or parts of it.
pub fn measure(parts: &[&str]) -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root()).args(arguments);
        cargo
    };
    run(&mut cargo(&["build", "--release", "-p", "pulsewire", "--features", "cli", "--bin", "pulsewire"]))?;
    let bench = ["bench", "-p", "pulsewire-benches", "--bench", "gateway"];
    run(cargo(&bench).arg("--no-run"))?;
    let mut measured = cargo(&bench);
    measured.arg("--").args(parts);
    // Only this part asks for it, and others are measured on a machine where nothing else runs.
    let pulsar = if parts.is_empty() || parts.contains(&"stock") { Some(RealPulsar::start()?) } else { None };
    if let Some(pulsar) = &pulsar {
        measured.env("PULSAR_BROKER_URL", &pulsar.broker_url);
        measured.env("PULSAR_WEB_URL", &pulsar.web_url);
        measured.env("PULSAR_PID", pulsar.processes()[0].to_string());
    }
    run(&mut measured)
}
