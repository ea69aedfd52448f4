//! The program `gristmill`: what is typed, and what it exits with.
//!
//! One file for each command; this one only reads the command line and hands over.

mod check;
mod compile;
mod compiler;
mod dead_letters;
mod demo;
mod event;
mod inspect;
mod invoke;
mod log;
mod new;
mod publish;
mod run;
mod signals;
mod status;
mod value;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use gristmill::Config;
use gristmill::broker::with_causes;

/// What the program exits with. The numbers are part of its interface.
mod exit {
    /// Done.
    pub(crate) const OK: u8 = 0;
    /// The handler answered with an error; for other commands, anything else that went wrong.
    pub(crate) const FAILED: u8 = 1;
    /// Usage, configuration, or a handler that cannot be loaded.
    pub(crate) const CONFIGURATION: u8 = 2;
    /// The handler trapped.
    pub(crate) const TRAPPED: u8 = 3;
    /// The handler ran out of fuel or time.
    pub(crate) const TIMED_OUT: u8 = 4;
    /// The handler needed more memory than its limit.
    pub(crate) const OUT_OF_MEMORY: u8 = 5;
}

/// Runs WebAssembly handlers on batches of messages, as AWS Lambda does for Amazon MQ.
#[derive(Debug, Parser)]
#[command(name = "gristmill", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host: consume the queues and call the handlers, until Ctrl-C or SIGTERM.
    Run(run::Arguments),
    /// Check the configuration and the handlers it names; connects to nothing by itself.
    Check(check::Arguments),
    /// Show what a running host says about its mappings; it has to `listen`.
    Status(status::Arguments),
    /// Put messages on a queue of an embedded broker.
    Publish(publish::Arguments),
    /// Look after the messages that were given up into the store.
    DeadLetters(dead_letters::Arguments),
    /// Make a handler project that builds, in the language of your choice.
    New(new::Arguments),
    /// Call a handler once with an event, in the same sandbox as the host's.
    Invoke(invoke::Arguments),
    /// Print a sample event to call a handler with.
    Event(event::Arguments),
    /// Show what a handler file is, exports and imports.
    Inspect(inspect::Arguments),
    /// Compile a handler to native code ahead of time.
    Compile(compile::Arguments),
    /// See the main job done: ten thousand messages, a failing batch, and a dead letter.
    Demo(demo::Arguments),
}

/// Where the configuration is; the same for all commands that read one.
#[derive(Debug, Args)]
struct ConfigArgument {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "gristmill.toml")]
    config: PathBuf,
}

impl ConfigArgument {
    /// Reads the file; otherwise tells the user what is wrong with it, and says what to exit with.
    fn load(&self) -> Result<Config, u8> {
        Config::load(&self.config).map_err(|error| {
            complain(&error.into());
            exit::CONFIGURATION
        })
    }
}

fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::DeadLetters(arguments) => dead_letters::run(&arguments),
        Command::New(arguments) => new::run(&arguments),
        Command::Invoke(arguments) => invoke::run(&arguments),
        Command::Event(arguments) => event::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    };
    ExitCode::from(code)
}

/// Tells the user on stderr what went wrong, and everything that caused it.
#[expect(clippy::print_stderr, reason = "stderr is where a program's errors belong")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {}", with_causes(error.as_ref()));
}

/// Prints the answer of a command on stdout. Who no longer reads it, as `head`, has had enough.
fn answer(text: &str) {
    drop(io::stdout().write_all(text.as_bytes()));
}

/// Environment variables, for credentials that name one.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
