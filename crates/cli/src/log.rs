//! Log lines on stderr: text for people, or one JSON object a line.

use std::env;
use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::ValueEnum;
use gristmill::config;
use tracing_subscriber::EnvFilter;

/// The variable that says what is logged, in the syntax of tracing's `EnvFilter`.
const FILTER_VARIABLE: &str = "GRISTMILL_LOG";

/// The broker's client reports every closed channel by itself; the host says what there is to say.
const FILTER_DEFAULT: &str = "info,lapin=off";

/// Never logged, whatever the filter: messages that came back unroutable, with their bodies; and what a
/// handler calls, as often as it likes.
const NEVER: [&str; 2] = ["lapin::returned_messages=off", "wasmtime_wasi=off"];

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<config::LogFormat> for Format {
    fn from(format: config::LogFormat) -> Self {
        match format {
            config::LogFormat::Text => Format::Text,
            config::LogFormat::Json => Format::Json,
        }
    }
}

/// Starts logging. To be called once.
pub(crate) fn start(format: Format) -> anyhow::Result<()> {
    let filter = env::var(FILTER_VARIABLE).unwrap_or_else(|_unset| FILTER_DEFAULT.to_owned());
    let mut filter = EnvFilter::builder()
        .parse(&filter)
        .with_context(|| format!("{FILTER_VARIABLE} is no filter, such as `info,lapin=debug`"))?;
    for never in NEVER {
        filter = filter.add_directive(never.parse().context("a bug of this program")?);
    }
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        Format::Text => lines.with_writer(|| Tame(io::stderr())).init(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).init(),
    }
    Ok(())
}

/// Replaces control characters that could make a line look like something else. The formatter
/// escapes ESC, and a line's end is its own; what is left is what moves the cursor.
struct Tame<W>(W);

impl<W: Write> Write for Tame<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let moves = |byte: &u8| matches!(byte, 0x07 | 0x08 | 0x0B..=0x0D | 0x7F);
        if bytes.iter().any(moves) {
            let tame: Vec<u8> =
                bytes.iter().map(|byte| if moves(byte) { b'?' } else { *byte }).collect();
            self.0.write_all(&tame)?;
        } else {
            self.0.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
