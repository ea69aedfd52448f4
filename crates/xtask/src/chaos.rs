//! `cargo xtask chaos`: tries to break the promise that nothing is lost.
//!
//! A producer sends numbered messages and notes which were confirmed; hosts handle them with a handler that
//! fails and traps by chance; meanwhile hosts and broker are killed, frozen, cut off and changed. In the end
//! everything is healed, drained, and counted.
//!
//! ```text
//! producer ─confirmed─▶ ledger ◀─handled, dead letters─ hosts ◀─faults─ schedule (seed)
//! ```

mod ledger;
mod schedule;
mod server;
mod target;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use gristmill_testkit::guests;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::workspace;
use ledger::Ledger;
use schedule::Schedule;
use target::{Producer, Target};

/// How many messages are sent and confirmed together.
const GROUP: u64 = 50;
/// Between two of them.
const GROUP_PAUSE: Duration = Duration::from_millis(20);
/// Healed hosts have until then to come to rest.
const REST: Duration = Duration::from_secs(300);

/// What the queues are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Broker {
    Rabbitmq,
    Activemq,
    Embedded,
}

pub(crate) fn run(broker: Broker, length: Duration, seed: u64) -> Result<()> {
    println!("building the host and the handlers");
    workspace::run(workspace::cargo().args(["build", "--workspace", "--bin", "gristmill"]))?;
    let handler = guests::build_rust()?.join("chaotic.wasm");
    let runtime = Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(async {
        println!("{broker:?} for {} s, seed {seed}", length.as_secs());
        let mut target = Target::start(broker, &handler).await?;
        let ledger = Mutex::default();
        let began = Instant::now();
        let producing = produce(target.producer(), &ledger, began + length);
        let breaking = break_things(&mut target, &ledger, began, length, seed);
        let ((), faults) = tokio::join!(producing, breaking);
        let faults = faults?;
        println!("{:8.1} s  healed after {faults} faults", began.elapsed().as_secs_f64());
        target.heal();
        target.rest(REST).await?;
        let mut ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        target.end(&mut ledger).await?;
        let tally = ledger.tally();
        println!("{:8.1} s  {tally}", began.elapsed().as_secs_f64());
        ensure!(tally.lost == 0, "lost, among others: {:?}", ledger.missing());
        ensure!(tally.unexpected == 0, "messages that nobody sent");
        ensure!(tally.unexplained == 0, "duplicates without a fault");
        ensure!(tally.confirmed > 0 && tally.handled > 0, "nothing happened");
        Ok(())
    })
}

/// Sends until the time is over. What is not confirmed may be there or not.
async fn produce(mut producer: Producer, ledger: &Mutex<Ledger>, until: Instant) {
    let lock = || ledger.lock().unwrap_or_else(PoisonError::into_inner);
    while Instant::now() < until {
        let numbers = lock().attempt(GROUP);
        if producer.publish(numbers.clone()).await.is_ok() {
            lock().confirm(numbers);
        }
        sleep(GROUP_PAUSE).await;
    }
}

/// Does what the schedule says until the time is over; says how often.
async fn break_things(
    target: &mut Target,
    ledger: &Mutex<Ledger>,
    began: Instant,
    length: Duration,
    seed: u64,
) -> Result<usize> {
    let schedule = Schedule::new(seed, target.hosts(), target.has_broker());
    let mut count = 0;
    for (pause, fault) in schedule {
        let at = Instant::now() + pause;
        if at >= began + length {
            break;
        }
        sleep_until(at).await;
        println!("{:8.1} s  {fault:?}", began.elapsed().as_secs_f64());
        let lock = || ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = |number, at| lock().handle(number, at);
        let from = SystemTime::now();
        let done = timeout_at(began + length + REST, target.suffer(fault, noted)).await;
        done.with_context(|| format!("{fault:?} did not end"))??;
        lock().fault(from, SystemTime::now());
        count += 1;
    }
    sleep_until(began + length).await;
    Ok(count)
}
