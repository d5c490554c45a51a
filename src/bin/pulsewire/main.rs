//! The command `pulsewire`: produce and consume messages, run the gateway, the embedded broker, or all
//! that a developer needs at once.
//!
//! ```text
//! main.rs      arguments, runtime, exit code
//! produce.rs   consume.rs   gateway.rs   broker.rs   dev.rs   one file a subcommand
//! perf/        how fast messages go out and come in
//! connect.rs   the options by which produce and consume reach a broker
//! console.rs   the web console over HTTP, for dev
//! failure.rs   errors as sentences, and exit codes
//! interrupt.rs output.rs progress.rs log.rs ports.rs   what they share
//! ```
#![forbid(unsafe_code)]
#![allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments at arguments are the text of --help, not Markdown"
)]

mod broker;
mod connect;
mod console;
mod consume;
mod dev;
mod failure;
mod gateway;
mod interrupt;
mod log;
mod output;
mod perf;
mod ports;
mod produce;
mod progress;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Ended, Failure};

const AFTER_HELP: &str = "\
Exit codes:
  0    done
  1    it failed: a message is not stored, the broker cannot be reached, ...
  2    the arguments or the configuration are wrong; nothing was begun
  130  interrupted by Ctrl-C or SIGTERM (servers end with 0 then)

Examples:
  pulsewire dev
  pulsewire produce news 'hello world'
  pulsewire consume news -s me --follow

RUST_LOG=debug makes it talk about what it does, on stderr.";

/// Apache Pulsar from the command line: produce, consume, and run what a browser needs to do so.
#[derive(Parser)]
#[command(name = "pulsewire", version, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Produce(produce::Arguments),
    Consume(consume::Arguments),
    Perf(perf::Arguments),
    Gateway(gateway::Arguments),
    Broker(broker::Arguments),
    Dev(dev::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        // One thread is enough for one client, and quickest.
        Command::Produce(arguments) => block_on(false, "warn", produce::run(arguments)),
        Command::Consume(arguments) => block_on(false, "warn", consume::run(arguments)),
        Command::Perf(arguments) => block_on(arguments.threads(), "warn", perf::run(arguments)),
        Command::Gateway(arguments) => block_on(true, "info", gateway::run(arguments)),
        // Its core is one task anyway: each hop between threads costs more than the work.
        Command::Broker(arguments) => block_on(false, "info", broker::run(arguments)),
        Command::Dev(arguments) => block_on(true, "warn", dev::run(arguments)),
    };
    match result {
        Ok(ended) => ended.exit_code(),
        Err(failure) => failure.report(),
    }
}

fn block_on(
    threads: bool,
    log_level: &str,
    command: impl Future<Output = Result<Ended, Failure>>,
) -> Result<Ended, Failure> {
    log::start(log_level)?;
    let mut builder = match threads {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    let result = runtime.block_on(command);
    // A thread may still be reading stdin, and will until there is a line.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        super::Cli::command().debug_assert();
    }
}
