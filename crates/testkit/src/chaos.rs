//! An attempt to break the promise that nothing is lost.
//!
//! A producer sends numbered messages to three queues and notes which were confirmed; hosts handle them
//! with handlers that do by chance all that handlers can do wrong; meanwhile hosts and broker are
//! killed, frozen, cut off, changed, left without room and with a wrong clock. In the end everything is
//! healed, drained, and counted.
//!
//! ```text
//! producer ─confirmed─▶ ledger ◀─handled, dead letters─ hosts ◀─faults─ schedule (seed)
//! ```

mod ledger;
mod schedule;
mod server;
mod target;

use std::iter;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::host::{Listener, resident_kib};
use ledger::Ledger;
use schedule::{CALM, CALM_AFTER_CHANGE, ROUND, Schedule};
use target::{Pids, Producer, QUEUES, Target};

pub use ledger::{Second, Tally};
pub use schedule::Fault;

/// How many messages are sent and confirmed together.
const GROUP: u64 = 50;
/// Between two of them.
const GROUP_PAUSE: Duration = Duration::from_millis(40);
/// The producer waits while the hosts are so many messages behind, which a mapping that keeps the order
/// soon is, and which it works off within [`REST`].
const BEHIND_MAX: u64 = 10_000;
/// Healed hosts have until then to come to rest.
const REST: Duration = Duration::from_secs(300);
/// They rest when they have been quiet for longer than any wait between two tries of a batch.
const QUIET: Duration = Duration::from_secs(15);
/// Between two looks at something.
const LOOK: Duration = Duration::from_secs(1);

/// What the queues are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    /// The host itself, one of them.
    Embedded,
    /// RabbitMQ, with two hosts, two classic queues and a quorum queue.
    RabbitMq,
    /// ActiveMQ, with two hosts.
    ActiveMq,
}

/// What to do, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the queues are on.
    pub broker: Broker,
    /// When it ends.
    pub length: Length,
    /// Gives the same schedule of faults again.
    pub seed: u64,
    /// The program.
    pub gristmill: PathBuf,
}

/// How long faults happen.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// So long, whatever happens in it.
    Time(Duration),
    /// One storm, the calm after it, and what is changed in that.
    Storm,
}

/// A fault that was, by the time since the run began.
#[derive(Debug, Clone, Copy)]
pub struct Happened {
    /// What happened.
    pub fault: Fault,
    /// When it began.
    pub from: Duration,
    /// When it was healed.
    pub to: Duration,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The sums.
    pub tally: Tally,
    /// What happened, in order.
    pub faults: Vec<Happened>,
    /// The run by its seconds.
    pub seconds: Vec<Second>,
    /// Some of the messages that were lost.
    missing: Vec<usize>,
    heard: Heard,
    /// Writes that a full disk has refused where it was sure to be written, on the embedded queue.
    refusals: Option<i64>,
}

/// What the hosts have said beside which messages they have handled.
#[derive(Debug, Clone, Default)]
struct Heard {
    /// What is no line of a log, as when they panic.
    strange: Vec<String>,
    /// When they took up a new handler or configuration.
    changes: Vec<Duration>,
}

/// Messages to send together.
struct Publishing {
    queue: &'static str,
    numbers: Range<u64>,
}

/// What the run's tasks and the hosts' readers share.
struct Record {
    began: Instant,
    ledger: Mutex<Ledger>,
    heard: Mutex<Heard>,
    is_over: AtomicBool,
    /// When a host last said something, in milliseconds.
    heard_ms: AtomicU64,
}

/// Does what `plan` says. `say` gets lines about what happens.
///
/// # Errors
///
/// When hosts or broker cannot be started, do not come back after a fault, or do not come to rest in
/// the end. What was lost is no error here but in [`Outcome::verdict`].
pub async fn run(plan: &Plan, say: &dyn Fn(&str)) -> Result<Outcome> {
    let record = Arc::new(Record {
        began: Instant::now(),
        ledger: Mutex::default(),
        heard: Mutex::default(),
        is_over: AtomicBool::new(false),
        heard_ms: AtomicU64::new(0),
    });
    let listener: Listener = {
        let record = Arc::clone(&record);
        Arc::new(move |line| record.hear(line))
    };
    let mut target = Target::start(plan.broker, &plan.gristmill, &listener).await?;
    let (producer, pids) = (target.producer(), target.pids());
    let producing = produce(producer, &record);
    let looking = look(&pids, &record);
    let breaking = async {
        let faults = break_things(&mut target, &record, plan, say).await;
        record.is_over.store(true, Ordering::Relaxed);
        faults
    };
    let ((), (), faults) = tokio::join!(producing, looking, breaking);
    let faults = faults?;
    say(&format!("{:8.1} s  healed after {} faults", record.now().as_secs_f64(), faults.len()));
    record.rest(Instant::now() + REST).await?;
    target.empty(REST).await?;
    for number in target.end().await? {
        record.ledger().bury(number);
    }
    let ledger = record.ledger();
    Ok(Outcome {
        tally: ledger.tally(&faults),
        seconds: ledger.seconds().to_vec(),
        missing: ledger.missing(),
        faults,
        heard: record.heard().clone(),
        refusals: (plan.broker == Broker::Embedded).then(|| target.refusals()).transpose()?,
    })
}

/// Sends until the time is over, to one queue after another. What is not confirmed may be there or not.
async fn produce(mut producer: Producer, record: &Record) {
    let is_over = || record.is_over.load(Ordering::Relaxed);
    for queue in QUEUES.into_iter().cycle() {
        while record.ledger().waiting() > BEHIND_MAX && !is_over() {
            sleep(GROUP_PAUSE).await;
        }
        if is_over() {
            return;
        }
        let numbers = record.ledger().attempt(GROUP);
        let publishing = Publishing { queue, numbers };
        let confirmed = producer.publish(publishing).await;
        record.ledger().confirm(&confirmed, record.now());
        sleep(GROUP_PAUSE).await;
    }
}

/// Notes the memory of the hosts until the time is over.
async fn look(pids: &Pids, record: &Record) {
    while !record.is_over.load(Ordering::Relaxed) {
        let memory: Vec<u64> =
            pids.iter().map(|pid| resident_kib(pid.load(Ordering::Relaxed)).unwrap_or(0)).collect();
        record.ledger().second(record.now()).memory_kib = memory;
        sleep(LOOK).await;
    }
}

/// Does what the schedule says until it is over.
async fn break_things(
    target: &mut Target,
    record: &Record,
    plan: &Plan,
    say: &dyn Fn(&str),
) -> Result<Vec<Happened>> {
    let (count, until) = match plan.length {
        Length::Time(length) => (usize::MAX, Some(Instant::now() + length)),
        Length::Storm => (ROUND, None),
    };
    let mut faults = Vec::new();
    let schedule = Schedule::new(plan.seed, target.hosts(), target.has_broker());
    for (pause, fault) in schedule.take(count) {
        let at = Instant::now() + pause;
        if until.is_some_and(|until| at >= until) {
            break;
        }
        sleep_until(at).await;
        let from = record.now();
        say(&format!("{:8.1} s  {fault:?}", from.as_secs_f64()));
        let suffered = timeout(REST, target.suffer(fault)).await;
        suffered.with_context(|| format!("{fault:?} did not end"))??;
        faults.push(Happened { fault, from, to: record.now() });
    }
    sleep_until(until.unwrap_or_else(|| Instant::now() + CALM_AFTER_CHANGE)).await;
    Ok(faults)
}

impl Record {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a line of a host says.
    fn hear(&self, line: &str) {
        let now = self.now();
        self.heard_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            // The host's own words; those of handlers come as its log lines. One of these is cut short
            // where the host was killed.
            if !line.starts_with('{') {
                self.heard().strange.push(line.to_owned());
            }
            return;
        };
        if ["handler reloaded", "configuration applied"].iter().any(|said| line["message"] == *said)
        {
            self.heard().changes.push(now);
        }
        let Some((first, last)) = handled(&line) else { return };
        let mut ledger = self.ledger();
        (first..=last).for_each(|number| ledger.handle(number, now));
    }

    /// Waits until the hosts have nothing to say any more.
    async fn rest(&self, deadline: Instant) -> Result<()> {
        let heard = || Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        while self.now().saturating_sub(heard()) < QUIET {
            ensure!(Instant::now() < deadline, "the hosts do not come to rest");
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// The numbers of the messages that a handler says it has handled.
fn handled(line: &Value) -> Option<(u64, u64)> {
    let (first, last) = line["message"].as_str()?.strip_prefix("handled ")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

impl Outcome {
    /// Whether the promise was kept.
    ///
    /// # Errors
    ///
    /// When messages were lost or came from nowhere, when one was handled again with no fault near it
    /// that has messages come again, when a host has panicked, when nothing happened, or when a fault
    /// had no effect that must have had one.
    pub fn verdict(&self) -> Result<()> {
        let tally = &self.tally;
        ensure!(tally.lost == 0, "{tally}; lost, among others: {:?}", self.missing);
        ensure!(tally.unexpected == 0, "{tally}; messages that nobody sent");
        ensure!(tally.unexplained == 0, "{tally}; duplicates without a fault near them");
        let strange = &self.heard.strange;
        ensure!(strange.is_empty(), "{tally}; hosts have said: {strange:?}");
        let has_happened = tally.confirmed > 0 && tally.handled > 0 && !self.faults.is_empty();
        ensure!(has_happened, "{tally}; nothing happened");
        let unnoticed: Vec<_> = self.unnoticed().collect();
        ensure!(unnoticed.is_empty(), "{tally}; without any effect: {unnoticed:?}");
        Ok(())
    }

    /// Faults that the hosts must have noticed and did not: what was changed in a calm, and a full disk
    /// that is written all the time.
    fn unnoticed(&self) -> impl Iterator<Item = &Happened> {
        let befores = iter::once(Duration::ZERO).chain(self.faults.iter().map(|before| before.to));
        let is_unnoticed = |(happened, before): &(&Happened, Duration)| {
            if happened.fault.is_change() {
                let time = happened.from..=happened.from + CALM_AFTER_CHANGE;
                happened.from.saturating_sub(*before) >= CALM
                    && !self.heard.changes.iter().any(|at| time.contains(at))
            } else {
                matches!(happened.fault, Fault::FillDisk(..)) && self.refusals == Some(0)
            }
        };
        self.faults.iter().zip(befores).filter(is_unnoticed).map(|(happened, _)| happened)
    }

    /// The resident memory of the last host, in KiB, at rest: in the first calm that ends a minute after
    /// the beginning or later, and in the last. `None` when there were not two.
    pub fn memory_kib(&self) -> Option<(u64, u64)> {
        let ends = self.faults.windows(2).filter_map(|pair| {
            let [before, after] = pair else { return None };
            (after.from.saturating_sub(before.to) >= CALM).then_some(after.from.as_secs())
        });
        let at_rest: Vec<u64> =
            ends.filter(|end| *end >= 60).filter_map(|end| self.median(end)).collect();
        let [first, .., last] = at_rest[..] else { return None };
        Some((first, last))
    }

    /// The median memory over the ten seconds before `end`.
    fn median(&self, end: u64) -> Option<u64> {
        let end = usize::try_from(end).ok()?;
        let seconds = self.seconds.get(end.checked_sub(10)?..end)?;
        let mut memory: Vec<u64> =
            seconds.iter().filter_map(|second| second.memory_kib.last().copied()).collect();
        memory.sort_unstable();
        memory.get(memory.len() / 2).copied()
    }
}
