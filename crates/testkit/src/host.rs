//! The program `gristmill`, running as a user would run it, for tests of the whole.
//!
//! A test sees what an operator sees: log lines, signals, the exit status. The program gets a
//! folder of its own with `gristmill.toml` in it, logs JSON, and ends at the latest when the test
//! process does.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{Supervised, Watchdog};

pub use crate::process::Listener;

const KILL_TIMEOUT: Duration = Duration::from_secs(30);

/// A running host. Dropping it kills it and removes its folder.
// Fields are dropped in this order: the process first, then the watchdog with the folder.
pub struct Host {
    process: Supervised,
    watchdog: Watchdog,
    binary: PathBuf,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    listener: Listener,
}

impl Host {
    /// Starts `binary run` with this configuration, and does not wait until it is ready.
    ///
    /// # Errors
    ///
    /// When the program cannot be started or its folder not be made.
    pub fn start(binary: &Path, configuration: &str) -> Result<Self> {
        Self::start_with(binary, configuration, &[])
    }

    /// Starts it with further environment variables, such as those that credentials come from.
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub fn start_with(
        binary: &Path,
        configuration: &str,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_heard(binary, configuration, environment, Arc::new(|_| {}))
    }

    /// Starts it with a listener for every line that it logs, now and after each restart, where
    /// [`Host::logs`] keeps a hundred thousand of one start.
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub fn start_heard(
        binary: &Path,
        configuration: &str,
        environment: &[(&str, &str)],
        listener: Listener,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("gristmill-host-")
            .tempdir()
            .context("cannot make a folder for a host")?;
        fs::write(folder.path().join(CONFIGURATION_FILE), configuration)
            .context("cannot write a host's configuration")?;
        let mut watchdog = Watchdog::start(folder.path())?;
        // From here on the watchdog removes the folder, because it does so in every case.
        let folder = folder.keep();

        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let process = launch(binary, &folder, &environment, &listener)?;
        watchdog.watch(&[process.pid()])?;
        Ok(Self { process, watchdog, binary: binary.to_owned(), folder, environment, listener })
    }

    /// The folder with `gristmill.toml`, which relative paths in it start from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// All log lines since the last start, oldest first. A line that is not JSON, as a panic
    /// writes it, is a JSON string.
    pub fn logs(&self) -> Vec<Value> {
        self.process.lines().iter().map(|line| parsed(line)).collect()
    }

    /// Waits for a log line. `wanted` is shown one line after another, from the one behind the last
    /// that an earlier call was shown; so it may count.
    ///
    /// # Errors
    ///
    /// When the program ends or `timeout` passes first; the message has the last lines.
    pub async fn wait_for(
        &self,
        timeout: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let pick = |line: &str| {
            let value = parsed(line);
            wanted(&value).then_some(value)
        };
        self.process.find("the awaited log line", timeout, pick).await
    }

    /// Sends a signal by its name: `INT`, `TERM`, `HUP`, `STOP`, `CONT`.
    ///
    /// # Errors
    ///
    /// When the program has ended.
    pub fn signal(&self, signal: &str) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits until the program has ended.
    ///
    /// # Errors
    ///
    /// When it still runs after `timeout`; the message has the last lines.
    pub async fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        self.process.wait_exit(timeout).await
    }

    /// Kills the program as `kill -9` does and waits for its end. Its folder stays.
    ///
    /// # Errors
    ///
    /// When the program has ended already.
    pub async fn kill9(&self) -> Result<()> {
        self.process.signal("KILL")?;
        self.process.wait_exit(KILL_TIMEOUT).await?;
        Ok(())
    }

    /// Starts the program anew in the same folder. One that still runs is killed first.
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub async fn restart(&mut self) -> Result<()> {
        if self.process.is_running() {
            self.kill9().await?;
        }
        let process = launch(&self.binary, &self.folder, &self.environment, &self.listener)?;
        self.watchdog.watch(&[process.pid()])?;
        self.process = process;
        Ok(())
    }
}

/// The resident memory of a process, as Linux tells it (proc(5), `status`); `None` when there is none.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

const CONFIGURATION_FILE: &str = "gristmill.toml";

fn launch(
    binary: &Path,
    folder: &Path,
    environment: &[(String, String)],
    listener: &Listener,
) -> Result<Supervised> {
    let mut command = Command::new(binary);
    command.arg("run").arg("-c").arg(folder.join(CONFIGURATION_FILE));
    command.args(["--log-format", "json"]).current_dir(folder);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Supervised::spawn_heard("gristmill", command, Arc::clone(listener))
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("process", &self.process).finish_non_exhaustive()
    }
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()))
}
