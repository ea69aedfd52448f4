//! `cargo xtask test`: everything CI runs, cheap things first, and the sum of what was tested.
//!
//! The last line is `N passed, N failed`. A test that was not run may never count as passed: an
//! ignored test or one that was filtered out fails the whole, as does the first step that fails.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{docs, fmt, guests, layers, lint, tidy, workspace};

/// A name to show, and what to do.
type Step = (&'static str, fn() -> Result<()>);

/// What comes before the tests themselves.
const STEPS: &[Step] = &[
    ("formatting", fmt::check),
    ("tidy", tidy::run),
    ("layers", layers::run),
    ("clippy", lint::run),
    ("documentation", docs::run),
    ("what tests need", gristmill_testkit::setup::all),
    ("handlers", guests::run),
];

/// Groups of tests, from those that need nothing to those with brokers. A failure in one group
/// leaves out the later ones, but not the rest of the group.
const RINGS: &[(&str, &[&str])] = &[
    ("tests beside the code", &["--lib", "--bins"]),
    ("tests of crates and of the whole", &["--test", "*"]),
    ("examples in the documentation", &["--doc"]),
];

/// Runs everything. Prints its own error, so that the sum comes last.
pub(crate) fn run() -> ExitCode {
    let mut results = Results::default();
    let ended = run_all(&mut results);
    if let Err(error) = &ended {
        eprintln!("error: {error:#}");
    }
    for line in &results.lines {
        println!("{line}");
    }
    println!("{} passed, {} failed", results.passed, results.failed);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_all(results: &mut Results) -> Result<()> {
    for (name, step) in STEPS {
        eprintln!("== {name}");
        step().with_context(|| format!("the step {name} failed"))?;
    }
    for (name, targets) in RINGS {
        eprintln!("== {name}");
        let mut command = workspace::cargo();
        command.args(["test", "--workspace", "--no-fail-fast"]).args(*targets);
        // The step before has built the handlers; tests need not look again.
        command.env("GRISTMILL_GUESTS_BUILT", "1");
        run_tests(&mut command, results)?;
    }
    // The tests of handlers run natively, on the part of each that is plain Rust.
    for manifest in workspace::plugin_manifests()? {
        eprintln!("== tests of {}", manifest.display());
        let mut command = workspace::cargo();
        command.args(["test", "--no-fail-fast", "--lib", "--manifest-path"]).arg(manifest);
        command.arg("--target-dir").arg(workspace::target().join("plugins"));
        run_tests(&mut command, results)?;
    }
    ensure!(results.passed > 0, "no test was run");
    Ok(())
}

/// Runs one `cargo test`, shows its output as it comes and adds up its results.
fn run_tests(command: &mut Command, results: &mut Results) -> Result<()> {
    let line = workspace::line_of(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {line}"))?;
    let output = child.stdout.take().context("a child without an output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        results.add(&line);
    }
    let status = child.wait().with_context(|| format!("cannot wait for {line}"))?;
    ensure!(results.failed == 0, "{} tests failed in {line}", results.failed);
    ensure!(status.success(), "{line} failed with {status}; see its messages above");
    ensure!(
        results.left_out == 0,
        "{} tests were ignored or filtered out in {line}; run or remove them",
        results.left_out
    );
    Ok(())
}

/// The sum over all test programs.
#[derive(Debug, Default, PartialEq)]
struct Results {
    /// The summary lines of the test programs that had something to test.
    lines: Vec<String>,
    passed: u64,
    failed: u64,
    left_out: u64,
}

impl Results {
    /// Adds a line such as `test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| {
            let before = counts.split_once(what).map_or("", |(before, _)| before);
            before.rsplit([' ', ';']).next().and_then(|word| word.parse().ok()).unwrap_or(0_u64)
        };
        let (passed, failed) = (count(" passed"), count(" failed"));
        let left_out = count(" ignored") + count(" filtered out");
        self.passed += passed;
        self.failed += failed;
        self.left_out += left_out;
        if passed + failed + left_out > 0 {
            self.lines.push(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up_and_empty_ones_not_repeated() {
        let mut results = Results::default();
        for line in [
            "running 5 tests",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 1s",
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            results.add(line);
        }
        assert_eq!((results.passed, results.failed, results.left_out), (17, 3, 3));
        assert_eq!(results.lines.len(), 2);
    }
}
