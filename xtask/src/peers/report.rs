//! The tables, in a section of `benches/RESULTS.md`.

use super::clients::Client;
use super::run::Measured;
use super::workload::Workload;
use crate::util::{output, root};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::process::Command;

/// The section stands between these lines.
const BEGIN: &str = "<!-- peers -->";
const END: &str = "<!-- /peers -->";

const NOTES: &str = "\
Each client has the machine's broker for itself, runs come in turn, and numbers are medians. CPU is user and system
time of the client's process from the first send, or from subscribing, to the last receipt or message; Java has
half as many messages before that, so that its compiler is done. Memory is the most that the process ever had.
*One thread* and *threads* are tokio's current-thread and multi-thread runtimes. Payloads are made anew for each
message, half of each random. Those that consume read the same topic, each with a subscription of its own. The
programs are in `benches/peers`, ours is `pulsewire perf`.
magnetar is missing where messages of batches are acknowledged one by one: its acknowledgment of one takes the batch.
";

type Results<'a> = (&'a Workload, Vec<(&'a Client, Vec<Measured>)>);

fn median(measured: &[Measured], of: impl Fn(&Measured) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = measured.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn table((workload, clients): &Results<'_>) -> String {
    let mut text = format!("### {}\n\n", workload.title);
    text +=
        "| client | CPU, us a message | least to most | messages/s | max RSS, MB |\n|---|--:|--:|--:|--:|\n";
    for (client, measured) in clients {
        let Some(cpu) = median(measured, |m| m.cpu_us) else {
            let _ = writeln!(text, "| {} | failed | | | |", client.name);
            continue;
        };
        let least = measured.iter().map(|m| m.cpu_us).fold(f64::MAX, f64::min);
        let most = measured.iter().map(|m| m.cpu_us).fold(0.0, f64::max);
        let rate = median(measured, |m| m.rate).unwrap_or(0.0) / 1000.0;
        let rss = median(measured, |m| m.max_rss).unwrap_or(0.0);
        let _ = writeln!(
            text,
            "| {} | {cpu:.2} | {least:.2} - {most:.2} | {rate:.0},000 | {rss:.1} |",
            client.name
        );
    }
    text.push('\n');
    text += &ratios(workload, clients);
    text
}

/// Our CPU beside that of the client that the aim names; of its runtimes, the cheaper.
fn ratios(workload: &Workload, clients: &[(&Client, Vec<Measured>)]) -> String {
    let (aim, name) = workload.aim;
    let named = clients.iter().filter(|(client, _)| client.name.starts_with(name));
    let theirs = named.filter_map(|(_, measured)| median(measured, |m| m.cpu_us)).reduce(f64::min);
    let Some(theirs) = theirs else { return String::new() };
    let mut text = String::new();
    for (client, measured) in clients.iter().filter(|(client, _)| client.is_ours()) {
        let Some(ours) = median(measured, |m| m.cpu_us) else { continue };
        let ratio = ours / theirs;
        let met = if ratio <= aim { "" } else { ": missed" };
        let _ = writeln!(text, "- {}: {ratio:.2} x {name} (aim: at most {aim:.2}){met}", client.name);
    }
    text.push('\n');
    text
}

fn first_line(command: &mut Command) -> String {
    let text = output(command).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

/// Prints the tables; `keep`s them in the file when all was measured.
pub(super) fn write(results: &[Results<'_>], runs: usize, keep: bool) -> Result<()> {
    let date = first_line(Command::new("date").args(["-u", "+%Y-%m-%d"]));
    let rustc = first_line(Command::new("rustc").arg("--version"));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut section = format!(
        "{BEGIN}\n# Clients against a real broker\n\n\
         Written by `cargo xtask peers` on {date}: {cores} cores, load {load} at the end, {rustc}, {}, {runs} runs.\n\n{NOTES}\n",
        crate::pulsar::WITNESS,
    );
    for result in results {
        section += &table(result);
    }
    section = format!("{}\n{END}\n", section.trim_end());
    println!("{section}");
    if !keep {
        return Ok(());
    }
    let file = root().join("benches/RESULTS.md");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = match text.split_once(BEGIN).map(|(before, rest)| (before, rest.split_once(END))) {
        Some((before, Some((_, after)))) => format!("{before}{}{after}", section.trim_end()),
        _ => format!("{}\n\n{section}", text.trim_end()),
    };
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}
