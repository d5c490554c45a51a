//! `npm test`: runs the suites one after the other and counts. The last line is `N passed, N failed`.

use crate::compat::RESULTS;
use crate::count::{Tally, failures};
use crate::provide::Provider;
use crate::suites::{Run, SUITES, Suite};
use crate::util::{cache_dir, ci, describe, root, without_cargo};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What the last run's failed suites printed, and its last lines; in the folder of downloads.
const LOG: &str = "last-test.log";

/// The process group of the suite that runs now, for Ctrl-C; 0 when there is none.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// Runs the suites whose names contain one of the words; all of them without words.
pub fn run(words: &[String]) -> Result<ExitCode> {
    let chosen: Vec<&Suite> = SUITES
        .iter()
        .filter(|suite| words.is_empty() || words.iter().any(|word| suite.name.contains(word.as_str())))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        anyhow::bail!("no suite is called so; there are: {}", names.join(", "));
    }
    ctrlc::set_handler(|| {
        end_group(RUNNING.load(Ordering::SeqCst));
        std::process::exit(130);
    })?;
    // A whole run proves the ledger anew; what an earlier one left must not speak in it.
    if words.is_empty() {
        let _ = std::fs::remove_dir_all(root().join(RESULTS));
    }
    std::fs::create_dir_all(root().join(RESULTS))?;

    let mut provider = Provider::default();
    let mut lines = Vec::new();
    let mut causes = Vec::new();
    let mut total = Tally::default();
    let mut log = String::new();
    for suite in chosen {
        println!("\n=== {} ===", suite.name);
        let start = Instant::now();
        let (tally, output) = one(suite, &mut provider, ci());
        if tally.failed > 0 {
            causes.extend(failures(&output).into_iter().map(|line| format!("{}: {line}", suite.name)));
            log += &format!("=== {} ===\n{output}\n", suite.name);
        }
        let line = format!("{:<24} {tally} ({:.1} s)", suite.name, start.elapsed().as_secs_f64());
        println!("=== {line}");
        lines.push((tally.failed > 0, line));
        total += tally;
    }
    drop(provider);
    // Here too, because what came before is long.
    let mut summary = causes;
    summary.extend(
        lines.iter().map(|(failed, line)| format!("{} {line}", if *failed { "FAILED" } else { "      " })),
    );
    summary.push(total.to_string());
    let summary = summary.join("\n");
    // And outside the clone, which a CI server throws away. What was found stands, kept or not.
    if let Err(error) =
        cache_dir().and_then(|dir| Ok(std::fs::write(dir.join(LOG), format!("{log}{summary}\n"))?))
    {
        eprintln!("{LOG} was not written: {error:#}");
    }
    println!("\n{summary}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a suite, and what it printed, as far as it is a command.
fn one(suite: &Suite, provider: &mut Provider, strict: bool) -> (Tally, String) {
    let variables = match provider.provide(suite.needs) {
        Ok(variables) => variables,
        Err(reason) if strict => return broken(&format!("{} cannot run: {reason}", suite.name)),
        Err(reason) => {
            println!("SKIPPED: {} cannot run here: {reason}", suite.name);
            return (Tally { skipped: 1, ..Tally::default() }, String::new());
        }
    };
    let result = match suite.run {
        Run::Task(task) => task().map(|tally| (tally, String::new())),
        Run::Command(words, extra) => {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).current_dir(root()).envs(variables).envs(extra.iter().copied());
            execute(&mut command, Duration::from_secs(60 * suite.minutes))
                .map(|(output, success)| (suite.count.read(&output, success), output))
        }
    };
    result.unwrap_or_else(|error| broken(&format!("{error:#}")))
}

/// A suite that could not do its work.
fn broken(why: &str) -> (Tally, String) {
    let line = format!("FAILED: {why}");
    println!("{line}");
    (Tally { failed: 1, ..Tally::default() }, line)
}

/// Runs a command, shows what it prints and returns it, with whether it ended well and in time.
fn execute(command: &mut Command, limit: Duration) -> Result<(String, bool)> {
    without_cargo(command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that a suite that hangs can be ended with all that it started.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = command.spawn().with_context(|| format!("cannot run {}", describe(command)))?;
    RUNNING.store(child.id(), Ordering::SeqCst);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (output, success) = std::thread::scope(|scope| {
        let readers = [
            out.map(|pipe| scope.spawn(move || echo(pipe, false))),
            err.map(|pipe| scope.spawn(move || echo(pipe, true))),
        ];
        let success = wait(&mut child, limit);
        let texts: Vec<String> =
            readers.into_iter().flatten().map(|reader| reader.join().unwrap_or_default()).collect();
        (texts.concat(), success)
    });
    RUNNING.store(0, Ordering::SeqCst);
    Ok((output, success?))
}

fn wait(child: &mut Child, limit: Duration) -> Result<bool> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                println!("it ended with {status}");
            }
            // A process that it left behind would hold the pipes open.
            end_group(child.id());
            return Ok(status.success());
        }
        if start.elapsed() > limit {
            println!("FAILED: not done after {} min; ending it", limit.as_secs() / 60);
            end_group(child.id());
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends what is left of a process group that we made.
fn end_group(id: u32) {
    if id > 0 {
        let group = format!("-{id}");
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }
}

fn echo(pipe: impl Read, to_stderr: bool) -> String {
    let mut all = String::new();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        if to_stderr {
            eprint!("{text}");
        } else {
            print!("{text}");
        }
        all.push_str(&text);
        line.clear();
    }
    if !all.is_empty() && !all.ends_with('\n') {
        all.push('\n');
    }
    all
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::suites::{Count, Need};

    fn shell(script: &str, limit: Duration) -> (String, bool) {
        execute(Command::new("sh").args(["-c", script]), limit).expect("a shell")
    }

    #[test]
    fn both_streams_are_kept_and_the_exit_code_too() {
        let (output, success) = shell("echo one; echo two >&2; exit 3", Duration::from_secs(20));
        assert!(output.contains("one\n") && output.contains("two\n"), "{output}");
        assert!(!success);
    }

    #[test]
    fn a_suite_that_hangs_is_ended_with_its_children() {
        let start = Instant::now();
        let (_, success) = shell("sleep 60 & sleep 60", Duration::from_millis(300));
        assert!(!success);
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_need_that_cannot_be_met_is_one_skip_or_one_failure() {
        let mut provider = Provider::without(Need::Chromium, "no browser; mend it with: ...");
        let run = Run::Task(|| Ok(Tally { passed: 1, ..Tally::default() }));
        let suite = |needs| Suite { name: "x", run, count: Count::ExitCode, needs, minutes: 1 };
        let needy = suite(&[Need::Chromium]);
        assert_eq!(one(&needy, &mut provider, false).0, Tally { skipped: 1, ..Tally::default() });
        assert_eq!(one(&needy, &mut provider, true).0, Tally { failed: 1, ..Tally::default() });
        assert_eq!(one(&suite(&[]), &mut provider, true).0, Tally { passed: 1, ..Tally::default() });
    }

    #[test]
    fn a_task_that_breaks_is_one_failure() {
        let run = Run::Task(|| anyhow::bail!("broken"));
        let suite = Suite { name: "x", run, count: Count::ExitCode, needs: &[], minutes: 1 };
        let (tally, output) = one(&suite, &mut Provider::default(), false);
        assert_eq!(tally, Tally { failed: 1, ..Tally::default() });
        assert_eq!(failures(&output), ["FAILED: broken"]);
    }
}
