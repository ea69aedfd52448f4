//! `cargo xtask chaos`: the testkit's run of faults, as long as one likes, with a table row and a plot.

mod timeline;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use gristmill_testkit::chaos::{self, Length, Outcome, Plan};
use gristmill_testkit::guests;
use tokio::runtime::Runtime;

use crate::workspace;

/// What the queues are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Broker {
    Rabbitmq,
    Activemq,
    Embedded,
}

impl Broker {
    fn name(self) -> &'static str {
        match self {
            Broker::Rabbitmq => "rabbitmq",
            Broker::Activemq => "activemq",
            Broker::Embedded => "embedded",
        }
    }

    fn kind(self) -> chaos::Broker {
        match self {
            Broker::Rabbitmq => chaos::Broker::RabbitMq,
            Broker::Activemq => chaos::Broker::ActiveMq,
            Broker::Embedded => chaos::Broker::Embedded,
        }
    }
}

pub(crate) fn run(broker: Broker, length: Duration, seed: u64) -> Result<()> {
    println!("building the host and the handlers");
    workspace::run(workspace::cargo().args(["build", "--workspace", "--bin", "gristmill"]))?;
    guests::build_rust()?;
    let folder = workspace::target().join("chaos");
    let name = format!("{}-{seed}-{}", broker.name(), std::process::id());
    // One of its own: a build that comes meanwhile must not exchange it.
    let gristmill = folder.join(&name);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::copy(workspace::target().join("debug/gristmill"), &gristmill))
        .with_context(|| format!("cannot write {}", gristmill.display()))?;
    let plan = Plan {
        broker: broker.kind(),
        length: Length::Time(length),
        seed,
        gristmill: gristmill.clone(),
    };
    println!("{} for {} s, seed {seed}", broker.name(), length.as_secs());
    let runtime = Runtime::new().context("cannot start a runtime")?;
    let outcome = runtime.block_on(chaos::run(&plan, &|line| println!("{line}")));
    fs::remove_file(&gristmill)
        .with_context(|| format!("cannot remove {}", gristmill.display()))?;
    let outcome = outcome?;
    let plot = folder.join(name).with_extension("svg");
    fs::write(&plot, timeline::draw(&outcome))
        .with_context(|| format!("cannot write {}", plot.display()))?;
    println!("\n{}\n\n{}\nplot: {}", faults(&outcome), row(&outcome), plot.display());
    outcome.verdict()
}

/// How often each kind of fault happened.
fn faults(outcome: &Outcome) -> String {
    let kinds = timeline::kinds(outcome).into_iter().map(|kind| {
        let count = outcome.faults.iter().filter(|happened| happened.fault.kind() == kind).count();
        format!("{kind} {count}")
    });
    kinds.collect::<Vec<_>>().join(", ")
}

fn row(outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let memory = outcome.memory_kib().map_or("–".to_owned(), |(first, last)| {
        format!("{:.1} → {:.1} MiB", first as f64 / 1024.0, last as f64 / 1024.0)
    });
    let counts = [
        tally.attempted,
        tally.confirmed,
        tally.handled,
        tally.dead_lettered,
        tally.lost,
        tally.duplicated,
        tally.unexplained,
        tally.unexpected,
    ];
    let counts = counts.map(|count| count.to_string()).join(" | ");
    format!(
        "| faults | attempted | confirmed | handled | dead letters | lost | duplicated | of them \
         unexplained | unexpected | memory at rest |\n| {} | {counts} | {memory} |",
        outcome.faults.len()
    )
}
