//! Who is measured, and how each is built and called.
//!
//! A peer that cannot be built here is left out, saying why; the others are measured all the same.

use super::workload::{Work, Workload};
use crate::setup;
use crate::util::{root, run, which};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A client on a runtime.
#[derive(Debug)]
pub(super) struct Client {
    /// As the tables name it.
    pub(super) name: &'static str,
    kind: Kind,
    program: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pulsewire {
        runtime: &'static str,
    },
    /// A program that is told its work by variables; `RT` is one of them.
    Peer {
        runtime: &'static str,
    },
    Java,
}

/// What Pulsar's own scripts open for Netty.
const JAVA_OPTIONS: &[&str] = &[
    "-Xmx2g",
    "-XX:+UseG1GC",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-opens=java.base/sun.net=ALL-UNNAMED",
    "--add-opens=java.base/java.util.zip=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "-Dlog4j2.level=ERROR",
];

static OURS: OnceLock<PathBuf> = OnceLock::new();

/// The binary `pulsewire`, once it is built.
pub(super) fn ours() -> &'static Path {
    OURS.get().map_or(Path::new("pulsewire"), PathBuf::as_path)
}

/// Builds all, ours first.
pub(super) fn build() -> Result<Vec<Client>> {
    let target = target()?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--package", "pulsewire", "--features", "cli"]);
    run(cargo.args(["--bin", "pulsewire"]).current_dir(root()))?;
    let program = OURS.get_or_init(|| target.join("release/pulsewire")).clone();
    let ours = |name, runtime| Client { name, kind: Kind::Pulsewire { runtime }, program: program.clone() };
    let mut clients = vec![ours("pulsewire, one thread", "current"), ours("pulsewire, threads", "multi")];
    for (what, built) in [
        ("Java", java(&target)),
        ("Go", go(&target)),
        ("the crate pulsar", rust("pulsar-rs", &target)),
        ("magnetar", rust("magnetar", &target)),
    ] {
        match built {
            Ok(peers) => clients.extend(peers),
            Err(error) => println!("without {what}: {error:#}"),
        }
    }
    Ok(clients)
}

/// Where things are built: two directories above the running program.
fn target() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    Ok(here.ancestors().nth(2).context("no directory above our own")?.to_path_buf())
}

fn peers() -> PathBuf {
    root().join("benches/peers")
}

fn java(target: &Path) -> Result<Vec<Client>> {
    setup::jdk()?;
    let home = crate::pulsar::distribution()?;
    let classes = target.join("peers/java");
    std::fs::create_dir_all(&classes)?;
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-cp"]).arg(home.join("lib/*")).arg("-d").arg(&classes);
    run(javac.arg(peers().join("java/Bench.java")))?;
    Ok(vec![Client { name: "Java", kind: Kind::Java, program: classes }])
}

fn go(target: &Path) -> Result<Vec<Client>> {
    which("go").context("no go on PATH")?;
    let program = target.join("peers/go");
    run(Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(peers().join("go")))?;
    Ok(vec![Client { name: "Go", kind: Kind::Peer { runtime: "" }, program }])
}

fn rust(package: &str, target: &Path) -> Result<Vec<Client>> {
    let built = target.join("peers").join(package);
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--locked", "--target-dir"]).arg(&built);
    if package == "pulsar-rs" {
        cargo.env("PROTOC", setup::protoc()?);
    }
    run(cargo.current_dir(peers().join(package)))?;
    let program = built.join("release").join(format!("bench-{package}"));
    let names = match package {
        "magnetar" => ["magnetar, one thread", "magnetar, threads"],
        _ => ["crate pulsar, one thread", "crate pulsar, threads"],
    };
    let clients = names.into_iter().zip(["current", "multi"]);
    let client = |(name, runtime)| Client { name, kind: Kind::Peer { runtime }, program: program.clone() };
    Ok(clients.map(client).collect())
}

impl Client {
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Pulsewire { .. })
    }

    /// Whether it can do the work at all.
    pub(super) fn can(&self, workload: &Workload) -> bool {
        // Its grouped acknowledgments within a batch take the whole batch with them.
        !(self.name.starts_with("magnetar") && workload.work == Work::ConsumeIndividual)
    }

    /// The command that does the work and prints a line of JSON.
    pub(super) fn command(
        &self,
        workload: &Workload,
        broker: &str,
        topic: &str,
        subscription: &str,
    ) -> Result<Command> {
        let Kind::Pulsewire { runtime } = self.kind else {
            return self.peer(workload, broker, topic, subscription);
        };
        let (work, messages) = (workload.work, workload.messages.to_string());
        let mut command = Command::new(&self.program);
        command.args(["perf", if work.produces() { "produce" } else { "consume" }, "--json"]);
        command.args(["--url", broker, "--topic", topic, "--runtime", runtime, "--messages", &messages]);
        if work.produces() {
            let batch = if work.batched() { "1000" } else { "1" };
            command.args(["--size", &work.size().to_string(), "--pending", &work.pending().to_string()]);
            command.args(["--batching-max-messages", batch, "--batching-max-delay", "1"]);
            if workload.codec != "none" {
                command.args(["--compression", workload.codec]);
            }
        } else {
            let ack = if work == Work::ConsumeCumulative { "cumulative" } else { "individual" };
            command.args(["--subscription", subscription, "--receiver-queue-size", "1000", "--ack", ack]);
        }
        Ok(command)
    }

    fn peer(&self, workload: &Workload, broker: &str, topic: &str, subscription: &str) -> Result<Command> {
        let mut command = match self.kind {
            Kind::Java => {
                let home = crate::pulsar::distribution()?;
                let mut java = Command::new("java");
                let logging = peers().join("java/log4j2.xml");
                java.args(JAVA_OPTIONS).arg(format!("-Dlog4j.configurationFile={}", logging.display()));
                let classes = format!("{}:{}/lib/*", self.program.display(), home.display());
                java.args(["-cp", &classes, "Bench"]);
                // So that its compiler has seen all before it counts.
                java.env("WARM", (workload.messages / 2).to_string());
                java
            }
            _ => Command::new(&self.program),
        };
        if let Kind::Peer { runtime } = self.kind {
            command.env("RT", runtime);
        }
        let letter = match workload.work {
            Work::ProduceBatched => "A",
            Work::ProduceSingle => "B",
            Work::ConsumeIndividual | Work::ConsumeCumulative => "D",
            Work::ConsumeSingle => "E",
        };
        let ack = if workload.work == Work::ConsumeCumulative { "cumulative" } else { "" };
        command
            .env("PULSAR_URL", broker)
            .env("W", letter)
            .env("TOPIC", format!("persistent://public/default/{topic}"))
            .env("SUB", subscription)
            .env("N", workload.messages.to_string())
            .env("COMP", workload.codec)
            .env("ACK", ack);
        Ok(command)
    }
}
