//! One run of one client.

use super::admin::Admin;
use super::clients::Client;
use super::workload::Workload;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fmt;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Longer than any client takes that gets through.
const LIMIT: Duration = Duration::from_secs(150);
/// How often a client's memory is looked at: what it reads is the most that there ever was.
const LOOK: Duration = Duration::from_millis(10);

/// What a client printed.
#[derive(Debug, Deserialize)]
struct Line {
    messages: u64,
    wall_s: f64,
    cpu_s: f64,
    #[serde(default)]
    note: String,
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// CPU of the client, in microseconds a message.
    pub(super) cpu_us: f64,
    /// Messages a second.
    pub(super) rate: f64,
    /// In MB.
    pub(super) max_rss: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu_us, rate, max_rss } = self;
        write!(f, "{cpu_us:7.3} us CPU a message, {:6.0} thousand/s, {max_rss:5.1} MB", rate / 1000.0)
    }
}

/// Runs a client on a topic of its own, or with a subscription of its own on `topic`.
pub(super) fn one(
    client: &Client,
    workload: &Workload,
    broker: &str,
    admin: &Admin,
    topic: &Option<String>,
) -> Result<Measured> {
    let Some(filled) = topic else {
        let own = admin.create()?;
        let measured = measure(client, workload, broker, &own, "");
        admin.delete(&own)?;
        return measured;
    };
    let subscription = "reader";
    let measured = measure(client, workload, broker, filled, subscription);
    // A client that failed early may not have made it.
    let _ = admin.unsubscribe(filled, subscription);
    measured
}

fn measure(
    client: &Client,
    workload: &Workload,
    broker: &str,
    topic: &str,
    subscription: &str,
) -> Result<Measured> {
    let mut command = client.command(workload, broker, topic, subscription)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", client.name))?;
    let (status, max_rss) = match watch(&mut child) {
        Ok(ended) => ended,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    };
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().context("piped")?.read_to_string(&mut out)?;
    child.stderr.take().context("piped")?.read_to_string(&mut err)?;
    let line = out.lines().rfind(|line| line.starts_with('{')).unwrap_or_default();
    if !status.success() || line.is_empty() {
        bail!("ended with {status}: {line} {}", err.lines().last().unwrap_or_default());
    }
    let line: Line = serde_json::from_str(line).with_context(|| line.to_owned())?;
    // Peers say so when they count wrong sizes, disorder or failures.
    if line.messages != workload.messages || line.note.contains('=') {
        bail!("{} messages: {}", line.messages, line.note);
    }
    let messages = line.messages as f64;
    Ok(Measured { cpu_us: line.cpu_s * 1e6 / messages, rate: messages / line.wall_s, max_rss })
}

/// Waits for its end; the most memory that it had.
fn watch(child: &mut Child) -> Result<(std::process::ExitStatus, f64)> {
    let status_file = format!("/proc/{}/status", child.id());
    let (began, mut max_rss) = (Instant::now(), 0.0);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, max_rss));
        }
        if began.elapsed() > LIMIT {
            bail!("not done after {} s", LIMIT.as_secs());
        }
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        max_rss = kilobytes.map_or(max_rss, |kb| kb / 1024.0);
        std::thread::sleep(LOOK);
    }
}
