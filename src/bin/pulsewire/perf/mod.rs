//! `pulsewire perf`: how fast messages go out and come in, with nothing but the public API.
//!
//! ```text
//! produce.rs consume.rs   the options, and what each task does
//! payload.rs              what is sent
//! tally.rs                what tasks count, and the run that ends them
//! usage.rs                CPU time and memory of this process
//! report.rs               lines, summary, JSON
//! ```

mod consume;
mod payload;
mod produce;
mod report;
mod tally;
mod usage;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::connect::seconds;
use crate::failure::{Ended, Failure};

/// Measure how fast messages go out or come in.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    direction: Direction,
}

#[derive(Subcommand)]
enum Direction {
    Produce(produce::Arguments),
    Consume(consume::Arguments),
}

/// What both directions have in common.
#[derive(Args)]
#[command(next_help_heading = "Run")]
struct Run {
    /// End after so many messages. Default: go on until --duration or Ctrl-C
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// End after so long
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Count nothing of the first seconds
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    warm_up: Option<Duration>,
    /// Print a line so often
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "1")]
    interval: Duration,
    /// Print one line of JSON at the end, and nothing else: messages, bytes, wall_s, cpu_s (of this process,
    /// while it was measured), max_rss_mb, msg_per_s, p50_us, p99_us, p999_us
    #[arg(long)]
    json: bool,
    /// Where the tasks run
    #[arg(long, value_enum, default_value_t = Runtime::Current)]
    runtime: Runtime,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    /// All on one thread
    Current,
    /// On a thread for each processor
    Multi,
}

impl Arguments {
    /// Whether it wants more than one thread.
    pub(crate) fn threads(&self) -> bool {
        let run = match &self.direction {
            Direction::Produce(arguments) => &arguments.run,
            Direction::Consume(arguments) => &arguments.run,
        };
        run.runtime == Runtime::Multi
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<Ended, Failure> {
    match arguments.direction {
        Direction::Produce(arguments) => produce::run(arguments).await,
        Direction::Consume(arguments) => consume::run(arguments).await,
    }
}

/// The names of `count` topics: the name itself when there is one, else with a number each.
fn topics(name: &str, count: u32) -> Vec<String> {
    match count {
        1 => vec![name.to_owned()],
        _ => (0..count).map(|n| format!("{name}-{n}")).collect(),
    }
}
