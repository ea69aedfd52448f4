//! `gristmill compile`: native code ahead of time, for people and for the host itself.
//!
//! The host runs this in a child process of its own ([`crate::compiler`]), because the handler may be
//! a stranger's, and compiling it may take any time and any memory.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use gristmill_sandbox::precompile;

use crate::value::{duration, size};
use crate::{complain, exit};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The handler file, a component or a core module; `-` reads stdin.
    handler: PathBuf,
    /// Where to write the native code; `-` is stdout.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The most memory that compiling may take.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_max: Option<u64>,
    /// The longest that compiling may take on each processor.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// End with the process that started this one.
    #[arg(long, hide = true)]
    with_parent: bool,
}

/// Compiles, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let compiled = confine(arguments).and_then(|()| {
        let wasm = read(&arguments.handler)?;
        let native = precompile(&wasm)
            .with_context(|| format!("cannot compile {}", arguments.handler.display()))?;
        write(&arguments.output, &native)
    });
    match compiled {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&error);
            exit::CONFIGURATION
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut wasm = Vec::new();
        io::stdin().read_to_end(&mut wasm).context("cannot read the handler from stdin")?;
        return Ok(wasm);
    }
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file in one step: a host may be watching its folder.
fn write(path: &Path, native: &[u8]) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return io::stdout().write_all(native).context("cannot write to stdout");
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let written = fs::write(&partial, native).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        drop(fs::remove_file(&partial));
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Takes on the limits, as far as the operating system has them.
#[cfg(unix)]
fn confine(arguments: &Arguments) -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let limit =
        |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    #[cfg(target_os = "linux")]
    if arguments.with_parent {
        let kill = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(kill)
            .context("cannot tie this process to its parent")?;
        // Whoever waits for a handler has others that run.
        rustix::process::nice(10).unwrap_or_default();
    }
    if let Some(memory_max) = arguments.memory_max {
        limit(Resource::Data, memory_max).context("cannot limit the memory")?;
    }
    if let Some(timeout) = arguments.timeout {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        limit(Resource::Cpu, timeout.as_secs().max(1).saturating_mul(processors))
            .context("cannot limit the time")?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn confine(_: &Arguments) -> anyhow::Result<()> {
    Ok(())
}
