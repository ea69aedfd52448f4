//! `cargo xtask brokers up|down`: a private RabbitMQ or ActiveMQ that stays until it is told to go.
//!
//! A server of the testkit ends with its process, so `up` leaves a process behind that does nothing
//! but hold one, and `down` ends that process. It holds a lock on the file with its id, which tells
//! a running one from a leftover: no process is ever ended by a stale id.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::rabbitmq::RabbitServer;

use crate::workspace;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts a broker and prints its URL
    Up {
        #[arg(default_value = "rabbitmq")]
        kind: Kind,
    },
    /// Ends it and removes its data
    Down,
    /// Holds the server for `up`
    #[command(hide = true)]
    Hold { kind: Kind },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    #[value(name = "rabbitmq")]
    RabbitMq,
    #[value(name = "activemq")]
    ActiveMq,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq",
            Self::ActiveMq => "activemq",
        }
    }
}

/// Begins the line with which the holding process says that the server is ready.
const READY: &str = "ready: ";

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Up { kind } => up(kind),
        Command::Down => down(),
        Command::Hold { kind } => hold(kind),
    }
}

fn up(kind: Kind) -> Result<()> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if let Some(id) = running()? {
        bail!("a broker runs already, held by process {id}; end it with: cargo xtask brokers down");
    }
    let log = folder.join("log");
    let errors = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let program = std::env::current_exe().context("cannot find this program to run it again")?;
    let mut holder = std::process::Command::new(program)
        .args(["brokers", "hold", kind.name()])
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .process_group(0)
        .spawn()
        .context("cannot start the process that holds the broker")?;
    let output = holder.stdout.take().context("a child without an output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read from the process that holds the broker")?;
        if let Some(url) = line.strip_prefix(READY) {
            println!("{}: {url}\nend it with: cargo xtask brokers down", kind.name());
            return Ok(());
        }
    }
    bail!("the broker did not start; see {}", log.display())
}

fn down() -> Result<()> {
    let Some(id) = running()? else {
        println!("no broker runs");
        return Ok(());
    };
    workspace::run(std::process::Command::new("sh").args(["-c", "kill \"$1\"", "sh", &id]))?;
    // The lock is free once the process has ended.
    let file = File::open(id_file()).context("cannot open the file with the broker's process")?;
    file.lock().context("cannot wait for the end of the broker")?;
    println!("the broker ends");
    Ok(())
}

fn hold(kind: Kind) -> Result<()> {
    let path = id_file();
    let mut lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    lock.try_lock().context("another broker runs already")?;
    lock.set_len(0)
        .and_then(|()| write!(lock, "{}", std::process::id()))
        .with_context(|| format!("cannot write {}", path.display()))?;

    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(async {
        match kind {
            Kind::RabbitMq => {
                let server = RabbitServer::start().await?;
                println!("{READY}{}", server.url("/"));
                std::future::pending().await
            }
            Kind::ActiveMq => {
                let server = ActiveMqServer::start().await?;
                println!("{READY}{}", server.url());
                std::future::pending().await
            }
        }
    })
}

/// The id of the process that holds a broker, if there is one.
fn running() -> Result<Option<String>> {
    let path = id_file();
    let Ok(mut file) = File::open(&path) else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut id = String::new();
            file.read_to_string(&mut id)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some(id))
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn folder() -> PathBuf {
    workspace::target().join("brokers")
}

fn id_file() -> PathBuf {
    folder().join("pid")
}
