//! What a consumer's process and a broker use: time, and processors by `/proc`.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

/// Processor time in `/proc` is counted in these (Linux, `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run of one consumer took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) seconds: f64,
    /// Of the consumer, per message.
    pub(super) cpu_us: f64,
    /// Of the broker, per message.
    pub(super) broker_cpu_us: f64,
}

impl Run {
    pub(super) fn per_second(&self, messages: u32) -> f64 {
        f64::from(messages) / self.seconds
    }
}

/// What had been used by a consumer and by the broker when a run began.
pub(super) struct Clock {
    pid: u32,
    broker: u32,
    began: Instant,
    cpu_s: f64,
    broker_cpu_s: f64,
}

impl Clock {
    pub(super) fn start(pid: u32, broker: Option<u32>) -> Result<Self> {
        let broker = broker.context("the broker has ended")?;
        let (cpu_s, broker_cpu_s) = (cpu_s(pid)?, cpu_s(broker)?);
        Ok(Self { pid, broker, began: Instant::now(), cpu_s, broker_cpu_s })
    }

    pub(super) fn stop(&self, messages: u32) -> Result<Run> {
        let seconds = self.began.elapsed().as_secs_f64();
        let per_message = |seconds: f64| seconds * 1e6 / f64::from(messages);
        Ok(Run {
            seconds,
            cpu_us: per_message(cpu_s(self.pid)? - self.cpu_s),
            broker_cpu_us: per_message(cpu_s(self.broker)? - self.broker_cpu_s),
        })
    }
}

/// What a process has used of the processors, in user and system mode (proc(5), `stat`).
fn cpu_s(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    // The name before the last parenthesis may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>().context("/proc/PID/stat has no times")? / TICKS_PER_SECOND)
}
