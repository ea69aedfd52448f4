//! `gristmill invoke`: one call of a handler, under the same sandbox as the host's.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use gristmill::{InProcess, Loader};
use gristmill_invocation::{Function, Invocation, Outcome, Report, Uuid};
use gristmill_sandbox::{
    Address, DirGrant, Engine, EngineSettings, FUEL_PER_SECOND, FunctionSettings, Grants, HttpHost,
    Limits, LoadedFunction,
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::log::{self, Format};
use crate::value::{duration, pair, size};
use crate::{answer, complain, event, exit};

/// What a handler inside a blocking call may delay the exit.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);

/// Places in the pool: more than the largest handler takes.
const PLACES: u32 = 100;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The handler file.
    handler: PathBuf,
    /// A file with the event JSON; `-` reads stdin. Without it the event is that of `gristmill event
    /// rabbitmq`: one order.
    #[arg(short, long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// The longest that the call may run.
    #[arg(long, value_name = "DURATION", default_value = "14m", value_parser = duration)]
    timeout: Duration,
    /// The most memory that the handler may hold.
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = size)]
    memory: u64,
    /// The fuel that one second of the timeout buys.
    #[arg(long, value_name = "FUEL", default_value_t = FUEL_PER_SECOND)]
    fuel_per_second: u64,
    /// An environment variable of the handler.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// A directory that the handler may read, and write with `:write`.
    #[arg(long, value_name = "HOST::GUEST[:write]", value_parser = dir)]
    dir: Vec<DirGrant>,
    /// Where the handler may connect to.
    #[arg(long, value_name = "HOST:PORT")]
    network: Vec<Address>,
    /// Where the handler may send HTTP requests to.
    #[arg(long, value_name = "HOST[:PORT]")]
    http: Vec<HttpHost>,
    /// Take native code (.cwasm) from this file, which can do anything that you can.
    #[arg(long)]
    trusted: bool,
    /// Print the REPORT line, and log what the handler prints, as JSON.
    #[arg(long)]
    json: bool,
}

/// Calls the handler once, prints its answer, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let logging = log::start(if arguments.json { Format::Json } else { Format::Text });
    match logging.and_then(|()| invoke(arguments)) {
        Ok(report) => {
            print(&report, arguments.json);
            exit_code(&report.outcome)
        }
        Err(error) => {
            complain(&error);
            exit::CONFIGURATION
        }
    }
}

fn invoke(arguments: &Arguments) -> anyhow::Result<Report> {
    let event = match &arguments.event {
        Some(path) => read_event(path)?,
        None => event::sample(),
    };
    note_unless_json(&event);
    let limits = Limits {
        timeout: arguments.timeout,
        fuel_per_second: arguments.fuel_per_second,
        memory_max_bytes: arguments.memory,
        instance_reuse: false,
        instance_max_invocations: None,
    };
    let name = arguments.handler.file_stem().unwrap_or_default().to_string_lossy();
    let settings = FunctionSettings {
        name: name.into_owned(),
        limits,
        grants: Grants {
            dirs: arguments.dir.clone(),
            network: arguments.network.clone(),
            http: arguments.http.clone(),
        },
        environment: arguments.env.clone(),
        ..FunctionSettings::default()
    };
    let engine =
        Engine::new(EngineSettings { instances_max: PLACES, ..EngineSettings::default() })?;
    note_compiling(&arguments.handler);
    let loader = Loader::new(engine, InProcess, crate::environment, "");
    let function = loader.load_file(&arguments.handler, arguments.trusted, settings)?;
    call(&function, &event)
}

fn call(function: &LoadedFunction, event: &str) -> anyhow::Result<Report> {
    let runtime = Runtime::new().context("cannot start the threads for the handler")?;
    let wait_max = Duration::ZERO;
    let invocation = Invocation { request_id: Uuid::new_v4(), event, attempt: 1, wait_max };
    let report = runtime.block_on(function.invoke(invocation));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    Ok(report)
}

fn read_event(path: &Path) -> anyhow::Result<String> {
    let event = if path == Path::new("-") {
        let mut event = String::new();
        io::stdin()
            .read_to_string(&mut event)
            .context("cannot read the event from stdin as text in UTF-8")?;
        event
    } else {
        fs::read_to_string(path).with_context(|| {
            format!("cannot read the event file {} as text in UTF-8", path.display())
        })?
    };
    let hint = "print one with `gristmill event rabbitmq` or `gristmill event activemq`";
    ensure!(!event.trim().is_empty(), "the event is empty; {hint}");
    Ok(event)
}

/// Says why nothing seems to happen, where somebody watches: handlers that bring an engine along take
/// seconds.
#[expect(clippy::print_stderr, reason = "a word to the user beside the answer")]
fn note_compiling(handler: &Path) {
    const SHORT_BYTES: u64 = 4 * 1024 * 1024;

    let is_native = handler.extension().is_some_and(|extension| extension == "cwasm");
    let is_long = fs::metadata(handler).is_ok_and(|metadata| metadata.len() > SHORT_BYTES);
    if is_long && !is_native && io::stderr().is_terminal() {
        let handler = handler.display();
        eprintln!("compiling {handler} …; `gristmill compile` and --trusted spare this next time");
    }
}

/// Whoever tries how a handler takes other text may; by mistake it would be hard to see.
#[expect(clippy::print_stderr, reason = "a word to the user beside the answer")]
fn note_unless_json(event: &str) {
    let event = event.strip_prefix('\u{feff}').unwrap_or(event);
    if let Err(error) = serde_json::from_str::<Value>(event) {
        eprintln!("note: the event is not JSON, which the host would never send: {error}");
    }
}

#[expect(clippy::print_stderr, reason = "the report belongs to stderr, the response to stdout")]
fn print(report: &Report, json: bool) {
    let Report { outcome, duration, fuel, memory_bytes, .. } = report;
    if let Outcome::Succeeded(Some(response)) = outcome {
        answer(&format!("{response}\n"));
        if let Err(error) = serde_json::from_str::<Value>(response) {
            eprintln!("note: the response is not JSON, as a response of a function is: {error}");
        }
    }
    let duration_ms = duration.as_secs_f64() * 1e3;
    if json {
        let line = serde_json::json!({
            "message": "REPORT",
            "outcome": outcome.name(),
            "reason": (!outcome.is_success()).then(|| outcome.to_string()),
            "duration_ms": duration_ms,
            "fuel": fuel,
            "memory_bytes": memory_bytes,
        });
        eprintln!("{line}");
    } else {
        let memory_kib = memory_bytes / 1024;
        let outcome = printable(&outcome.to_string());
        eprintln!(
            "REPORT {outcome}; duration {duration_ms:.3} ms, fuel {fuel}, memory {memory_kib} KiB"
        );
    }
}

/// A handler's words without what would move the cursor; they may have several lines.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() && !matches!(letter, '\n' | '\t') {
            printable.extend(letter.escape_default());
        } else {
            printable.push(letter);
        }
    }
    printable
}

fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Succeeded(_) => exit::OK,
        Outcome::HandlerError(_)
        | Outcome::RetryAfter(..)
        | Outcome::GaveUp(_)
        | Outcome::ResponseTooLarge
        | Outcome::NotStarted => exit::FAILED,
        Outcome::Trapped(_) => exit::TRAPPED,
        Outcome::OutOfFuel | Outcome::TimedOut => exit::TIMED_OUT,
        Outcome::OutOfMemory => exit::OUT_OF_MEMORY,
    }
}

fn dir(text: &str) -> Result<DirGrant, String> {
    match text.split_once("::") {
        Some((host, guest)) if !host.is_empty() && guest.starts_with('/') => {
            let (guest, write) = match guest.strip_suffix(":write") {
                Some(guest) => (guest, true),
                None => (guest, false),
            };
            Ok(DirGrant { host: host.into(), guest: guest.to_owned(), write })
        }
        _ => Err("write HOST::GUEST, such as ./orders::/data, or ./orders::/data:write".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_says_moves_no_cursor() {
        assert_eq!(printable("a\n\tb\r\u{1b}[2Jé\u{9b}"), "a\n\tb\\r\\u{1b}[2Jé\\u{9b}");
    }
}
