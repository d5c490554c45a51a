//! `cargo xtask TASK`: see `cargo xtask help`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command-line tool: its output is its purpose")]

use anyhow::Result;
use std::process::ExitCode;
use xtask::{
    artifacts, broker_bench, compat, dev, differential, gateway_bench, golden, java, mutants, peers, pulsar,
    purity, python, setup, test, world,
};

const HELP: &str = "\
cargo xtask TASK

  dev [ARGUMENTS]    builds what changed and runs `pulsewire dev` with the console (npm start)
  test [WORDS]       all suites, or those whose names contain a word (npm test)
  build              the npm package, the console and the scenarios as WebAssembly, what changed of them
  setup              installs what tests and builds need
  world              a real Pulsar, the embedded broker and gateways, in the foreground, for the scenarios
  pulsar             a real Apache Pulsar with its proxy, in the foreground; prints its URLs
  java               the class path that has the official client and our witness
  python             the interpreter that has the official client
  mutants            whether rows of COMPAT.md turn red when what they speak of is switched off
  differential       what the native scenarios saw of either broker, compared: target/results/differential.md
  compat [--check]   makes COMPAT.md from tests/ledger.toml and target/results/*.jsonl
  purity             checks that the cores do no I/O
  peers [OPTIONS]    other clients and ours against a real broker, into benches/RESULTS.md; a quarter of an hour
                     (--runs=3 --workloads=produce,lz4 --clients=pulsewire,java)
  broker             the embedded broker's speed and memory beside a real one's, into benches/RESULTS.md; two minutes
  gateway [PARTS]    the gateway under load and beside others, into benches/RESULTS.md; three minutes
  golden [--check]   makes tests/golden/*.json anew from Pulsar's own Java classes
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match task(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["dev", ..] => return dev::run(&arguments[1..]),
        ["test", ..] => return test::run(&arguments[1..]),
        ["setup"] => setup::everything()?,
        ["purity"] => {
            if purity::check()?.failed > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        ["compat"] => {
            let outcome = compat::run(false)?;
            println!("COMPAT.md: {} green, {} red", outcome.green, outcome.red);
        }
        ["compat", "--check"] => {
            if compat::run(true)?.changed {
                println!("COMPAT.md is not what the results say; make it anew with: cargo xtask compat");
                return Ok(ExitCode::FAILURE);
            }
        }
        ["mutants"] => {
            let tally = mutants::check()?;
            println!("{tally}");
            if tally.failed > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        ["differential"] => {
            let tally = differential::run()?;
            println!("{tally}");
            if tally.failed > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        ["golden", "--check"] => golden::check()?,
        ["golden"] => golden::generate()?,
        ["broker"] => broker_bench::measure()?,
        ["gateway", parts @ ..] => gateway_bench::measure(parts)?,
        ["peers", ..] => peers::run(&arguments[1..])?,
        ["pulsar"] => pulsar::foreground()?,
        ["world"] => return world::foreground(),
        ["build"] => {
            artifacts::scenarios()?;
            artifacts::console()?;
        }
        ["java"] => println!("{}", java::witness()?),
        ["python"] => println!("{}", python::python()?.display()),
        ["help" | "--help" | "-h"] | [] => print!("{HELP}"),
        _ => {
            eprint!("{HELP}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
