//! A host in release, which is measured from its subscription to its last invocation.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::clock::{Clock, Run};
use crate::workspace;

const PATIENCE: Duration = Duration::from_secs(300);

/// A host that has subscribed. Dropping it kills it.
pub(super) struct RunningHost {
    process: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl RunningHost {
    /// Starts the host with a configuration of one mapping.
    pub(super) async fn start(configuration: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the host")?;
        let config = folder.path().join("gristmill.toml");
        fs::write(&config, configuration).context("cannot write a configuration")?;
        // Into a file: whoever read a pipe would use the processors beside the host.
        let log = folder.path().join("log");
        let errors = fs::File::create(&log).context("cannot write a log")?;
        let process = Command::new(release("gristmill"))
            .args(["run", "--log-format", "json", "-c"])
            .arg(&config)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the host")?;
        let subscribed = || Ok(lines(&log)?.any(|line| is(&line, "subscribed")));
        wait_until(Duration::from_millis(2), subscribed).await?;
        Ok(Self { process, log, _folder: folder })
    }

    /// Waits until it has handled so many messages, and ends it.
    pub(super) async fn handle(mut self, messages: u32, broker: Option<u32>) -> Result<Run> {
        let clock = Clock::start(self.process.id().context("the host has ended")?, broker)?;
        wait_until(Duration::from_millis(200), || {
            let records = lines(&self.log)?.filter(|line| is(line, "REPORT"));
            let records = records.filter_map(|line| line["records"].as_u64());
            Ok(records.sum::<u64>() >= u64::from(messages))
        })
        .await?;
        let run = clock.stop(messages)?;
        // The last acks are on their way.
        sleep(Duration::from_millis(200)).await;
        self.process.kill().await.context("cannot end the host")?;
        // It has idled since its last line, whose time counts.
        Ok(Run { seconds: duration_s(&self.log)?, ..run })
    }
}

pub(super) fn release(program: &str) -> PathBuf {
    workspace::target().join("release").join(program)
}

async fn wait_until(pause: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let waiting = async {
        while !holds()? {
            sleep(pause).await;
        }
        Ok(())
    };
    timeout(PATIENCE, waiting).await.context("the host does not get on")?
}

/// The whole lines of a log, as JSON.
fn lines(log: &Path) -> Result<impl Iterator<Item = Value> + use<>> {
    let text = fs::read_to_string(log).context("the log is gone")?;
    let lines: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(lines.into_iter())
}

fn is(line: &Value, message: &str) -> bool {
    line["message"] == message
}

/// From the subscription to the last invocation's end, by the log's own times.
fn duration_s(log: &Path) -> Result<f64> {
    let counted = lines(log)?.filter(|line| is(line, "subscribed") || is(line, "REPORT"));
    let times = counted.filter_map(|line| seconds_of_day(line["timestamp"].as_str()?));
    let times: Vec<f64> = times.collect();
    let (first, last) = times.first().zip(times.last()).context("the log has no times")?;
    Ok((last - first).rem_euclid(24.0 * 3600.0))
}

/// The time in `2026-01-31T23:59:59.123456Z`.
fn seconds_of_day(timestamp: &str) -> Option<f64> {
    let (_, time) = timestamp.trim_end_matches('Z').split_once('T')?;
    let parts: Vec<f64> = time.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts.as_slice() else { return None };
    Some((hours * 60.0 + minutes) * 60.0 + seconds)
}
