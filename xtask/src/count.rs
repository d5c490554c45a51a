//! Reading the numbers of passed, failed and skipped tests out of what test runners print.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// They ran and held.
    pub passed: usize,
    /// They ran and did not hold.
    pub failed: usize,
    /// They did not run.
    pub skipped: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// What libtest says of a test that belongs to another suite, which counts it: `#[ignore = "run by the suite ..."]`.
const RUN_ELSEWHERE: &str = " ... ignored, run by the ";

/// How many lines of a failed suite are told once more at the end.
const SHOWN: usize = 25;

/// What a suite prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Nothing to count: the suite is one check, its exit code the answer.
    ExitCode,
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, as often as there are test binaries. What
    /// wasm-bindgen's runner prints looks the same.
    Libtest,
    /// Our own last line: `3 passed, 0 failed, 1 skipped`.
    Summary,
}

impl Count {
    /// The numbers in the output of a suite that ended so. An exit code that says failure is at least one failure,
    /// and a suite in which nothing ran has failed too.
    pub fn read(self, output: &str, success: bool) -> Tally {
        let mut tally = Tally::default();
        match self {
            Self::ExitCode => {
                tally.passed = usize::from(success);
            }
            Self::Libtest => {
                for line in output.lines().filter_map(|line| line.trim().strip_prefix("test result: ")) {
                    tally += words(line.split_once(". ").map_or(line, |(_, rest)| rest), ';');
                }
                let of_others = output.lines().filter(|line| line.contains(RUN_ELSEWHERE)).count();
                tally.skipped = tally.skipped.saturating_sub(of_others);
            }
            Self::Summary => {
                let last =
                    output.lines().rev().find(|line| line.contains(" passed, ") && line.contains(" failed"));
                tally = last.map(|line| words(line, ',')).unwrap_or_default();
            }
        }
        let nothing = tally == Tally::default();
        if (!success && tally.failed == 0) || (success && nothing) {
            tally.failed += 1;
        }
        tally
    }
}

/// The lines that say what failed; where none does, the last ones. At most [`SHOWN`].
pub(crate) fn failures(output: &str) -> Vec<&str> {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let says = |line: &str| {
        let line = line.trim_start();
        (line.starts_with("FAIL")
            || line.starts_with("AT SECOND TRY")
            || line.starts_with("not ok")
            || line.starts_with("error"))
            || (line.starts_with("test ") && line.ends_with("FAILED"))
            || line.contains("panicked at")
    };
    let mut found: Vec<&str> = lines.iter().copied().filter(|line| says(line)).collect();
    if found.is_empty() {
        found = lines[lines.len().saturating_sub(SHOWN)..].to_vec();
    }
    found.truncate(SHOWN);
    found
}

/// `3 passed, 1 failed`, with any separator.
fn words(text: &str, separator: char) -> Tally {
    let mut tally = Tally::default();
    for part in text.split(separator) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(word)) = (words.next().and_then(|n| n.parse::<usize>().ok()), words.next())
        else {
            continue;
        };
        match word {
            "passed" => tally.passed += number,
            "failed" => tally.failed += number,
            "ignored" | "skipped" | "todo" => tally.skipped += number,
            _ => {}
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: usize, failed: usize, skipped: usize) -> Tally {
        Tally { passed, failed, skipped }
    }

    #[test]
    fn libtest_lines_add_up() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out\n\
                      test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(Count::Libtest.read(output, false), tally(3, 2, 1));
    }

    #[test]
    fn what_another_suite_runs_is_not_skipped() {
        let output = "test python ... ignored, run by the suite foreign clients, which has that client\n\
                      test slow ... ignored, no time\n\
                      test result: ok. 2 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(Count::Libtest.read(output, true), tally(2, 0, 1));
    }

    #[test]
    fn the_last_summary_counts() {
        let output = "1 passed, 0 failed\n7 passed, 0 failed, 2 skipped\n";
        assert_eq!(Count::Summary.read(output, true), tally(7, 0, 2));
    }

    #[test]
    fn an_exit_code_is_never_outvoted() {
        let output = "test result: ok. 2 passed; 0 failed; 0 ignored\n";
        assert_eq!(Count::Libtest.read(output, false), tally(2, 1, 0));
        assert_eq!(Count::ExitCode.read("", true), tally(1, 0, 0));
        assert_eq!(Count::ExitCode.read("", false), tally(0, 1, 0));
    }

    #[test]
    fn a_suite_in_which_nothing_ran_has_failed() {
        assert_eq!(Count::Libtest.read("", true), tally(0, 1, 0));
        assert_eq!(Count::Summary.read("0 passed, 0 failed\n", true), tally(0, 1, 0));
    }

    #[test]
    fn failures_are_found_or_else_the_end_is_shown() {
        let output =
            "test a ... ok\ntest b ... FAILED\n\nFAILED c over tcp: why\nnot ok 3 - d\n1 passed, 3 failed\n";
        assert_eq!(failures(output), ["test b ... FAILED", "FAILED c over tcp: why", "not ok 3 - d"]);
        let long: String = (0..100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(failures(&long).first(), Some(&"line 75"));
        assert_eq!(failures(&long).len(), SHOWN);
    }

    #[test]
    fn skips_are_shown_only_when_there_are_any() {
        assert_eq!(tally(3, 0, 0).to_string(), "3 passed, 0 failed");
        assert_eq!(tally(3, 1, 2).to_string(), "3 passed, 1 failed, 2 skipped");
    }
}
