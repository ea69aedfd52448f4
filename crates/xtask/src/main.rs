//! `cargo xtask`: the one door to everything that people and CI run on this repository.
//!
//! Each command has a file of its own; here they are only listed and called. No command may need
//! anything that is neither in the repository nor installed by `cargo xtask test` itself.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool answers on its outputs"
)]

mod bench;
mod brokers;
mod chaos;
mod demo;
mod docs;
mod fmt;
mod guests;
mod layers;
mod lint;
mod releases;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use releases::Releases;

/// What people and CI run on the repository of Gristmill.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the main job: builds the program and runs `gristmill demo`
    Demo,
    /// Everything CI runs, cheap things first; ends with a line `N passed, N failed`
    Test(Releases),
    /// Formats all Rust code
    Fmt,
    /// Runs clippy on everything; a warning is an error
    Lint,
    /// Checks which crate uses which: direction and owners
    Layers,
    /// Checks what the compiler does not: file sizes, module docs, clocks, page numbers
    Tidy,
    /// Builds the documentation of the crates; a warning is an error
    Docs,
    /// Builds the handlers that tests run
    Guests,
    /// A private broker to play with
    #[command(subcommand)]
    Brokers(brokers::Command),
    /// Kills, freezes and cuts hosts and brokers under load, and counts whether anything is lost
    Chaos {
        /// What the queues are on
        #[arg(long)]
        broker: chaos::Broker,
        /// How long, in minutes
        #[arg(long, default_value_t = 1)]
        minutes: u64,
        /// Gives the same faults again
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        releases: Releases,
    },
    /// Runs all benchmarks, or one
    Bench {
        /// The benchmark's name, as in `encode`
        name: Option<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test(releases) => return releases.run_again().unwrap_or_else(test::run),
        Command::Demo => demo::run(),
        Command::Fmt => fmt::run(),
        Command::Lint => lint::run(),
        Command::Layers => layers::run(),
        Command::Tidy => tidy::run(),
        Command::Docs => docs::run(),
        Command::Guests => guests::run(),
        Command::Brokers(command) => brokers::run(command),
        Command::Chaos { broker, minutes, seed, releases } => {
            if let Some(ended) = releases.run_again() {
                return ended;
            }
            chaos::run(broker, Duration::from_secs(60 * minutes), seed)
        }
        Command::Bench { name } => bench::run(name.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
