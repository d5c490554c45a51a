//! The brokers and gateways that scenarios run against: `pulsewire-test-world`, as a process.

use crate::older::OlderPulsar;
use crate::pulsar::RealPulsar;
use crate::util::{root, run};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// A running world. It ends with this value.
pub struct World {
    process: Child,
    file: PathBuf,
}

impl World {
    /// Builds and starts it, with gateways in front of `pulsar` and of `older` if there is one.
    pub fn start(pulsar: Option<&RealPulsar>, older: Option<&OlderPulsar>) -> Result<Self> {
        let mut cargo = Command::new("cargo");
        run(cargo.current_dir(root()).args(["build", "--quiet", "--package", "pulsewire-tests", "--bins"]))?;
        let program = std::env::current_exe()?.with_file_name("pulsewire-test-world");
        let file = root().join("target/world.json");
        let mut command = Command::new(&program);
        command.arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(pulsar) = pulsar {
            command.envs(pulsar.environment());
        }
        if let Some(older) = older {
            command.envs(older.environment());
        }
        let mut process = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let world = Self { process, file };
        if line.trim() != "ready" {
            bail!("the world of the scenarios did not start");
        }
        Ok(world)
    }

    /// Where all of it is.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// `cargo xtask world`: real Pulsars and the world around them, until Ctrl-C.
pub fn foreground() -> Result<ExitCode> {
    let pulsar = RealPulsar::start_for_scenarios()?;
    let older = OlderPulsar::start()?;
    let world = World::start(Some(&pulsar), Some(&older))?;
    println!("PULSEWIRE_WORLD={}", world.file().display());
    println!("Ctrl-C ends it.");
    let (ended, wait) = std::sync::mpsc::channel();
    ctrlc::set_handler(move || {
        let _ = ended.send(());
    })?;
    wait.recv()?;
    Ok(ExitCode::SUCCESS)
}
