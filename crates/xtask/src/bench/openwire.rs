//! Our OpenWire client against Java's: messages per second and CPU per message of each, on the same
//! ActiveMQ, turn by turn.
//!
//! Both figures of a round depend on the machine and on whatever else it does; their ratio does much
//! less, so the ratios count. The messages are not persistent and fit the broker's memory, so that
//! its disk is no ceiling. Java's client stays one process, which has drained as many messages in
//! each way before anything counts, so that its code is compiled.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_testkit::activemq::{ActiveMqServer, Settings};
use gristmill_testkit::jms::{Login, Mode, Peer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::runtime::Runtime;

use super::clock::{Clock, Run};
use crate::workspace;

const QUEUE: &str = "drain";
const MESSAGES: u32 = 100_000;
const BODY_BYTES: usize = 1_000;
/// That of Java's client. Ours takes one less, because brokers take exactly this for unset.
const PREFETCH: u32 = 1_000;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// How each client acks.
struct Way {
    name: &'static str,
    java: Mode,
    /// How many messages our client acks together.
    ours: u32,
}

const WAYS: [Way; 3] = [
    Way { name: "each by itself", java: Mode::Individual, ours: 1 },
    Way { name: "a hundred together", java: Mode::Client, ours: 100 },
    Way { name: "Java's default (auto), ours a hundred together", java: Mode::Auto, ours: 100 },
];

/// The ratios of one way in all rounds.
#[derive(Default)]
struct Ratios {
    rates: Vec<f64>,
    cpus: Vec<f64>,
}

pub(crate) fn run() -> Result<()> {
    println!("building our client in release");
    let build = ["build", "--release", "--package", "activemq-openwire", "--example", "drain"];
    workspace::run(workspace::cargo().args(build))?;
    Runtime::new().context("cannot start a runtime")?.block_on(measure())
}

async fn measure() -> Result<()> {
    let server = ActiveMqServer::start_with(&Settings::new().fast()).await?;
    let mut java = Peer::connect(&Login::to(server.url()).fast()).await?;
    // Another process than the one that is measured.
    let mut producer = Peer::connect(&Login::to(server.url()).fast()).await?;
    println!("warming up Java's client");
    for way in &WAYS {
        of_java(&server, &mut producer, &mut java, way).await?;
    }
    println!(
        "{MESSAGES} messages of {BODY_BYTES} bytes, not persistent, prefetch {PREFETCH}\n\n\
         round    java: msg/s   CPU us/msg     ours: msg/s   CPU us/msg      rate ratio   CPU ratio"
    );
    let mut all = WAYS.map(|way| (way, Ratios::default()));
    let mut last = String::new();
    for round in 1..=ROUNDS {
        last.clear();
        for (way, ratios) in &mut all {
            let (java, ours) = if round % 2 == 0 {
                let ours = of_ours(&server, &mut producer, way).await?;
                (of_java(&server, &mut producer, &mut java, way).await?, ours)
            } else {
                let java = of_java(&server, &mut producer, &mut java, way).await?;
                (java, of_ours(&server, &mut producer, way).await?)
            };
            let (rate, cpu) = (java.seconds / ours.seconds, ours.cpu_us / java.cpu_us);
            println!(
                "{round:5} {:14.0} {:12.1} {:15.0} {:12.1} {rate:15.2} {cpu:11.2}   {}",
                java.per_second(MESSAGES),
                java.cpu_us,
                ours.per_second(MESSAGES),
                ours.cpu_us,
                way.name
            );
            ratios.rates.push(rate);
            ratios.cpus.push(cpu);
            let (java, ours) = (java.broker_cpu_us, ours.broker_cpu_us);
            last += &format!("  {}: {java:.1} and {ours:.1} us/msg\n", way.name);
        }
    }
    println!("\nours against Java's, median of {ROUNDS} rounds (least to most):");
    for (way, ratios) in &mut all {
        println!("  {}", way.name);
        println!("    rate             {}", super::summary(&mut ratios.rates));
        println!("    CPU per message  {}", super::summary(&mut ratios.cpus));
    }
    println!(
        "the broker itself used, with Java's client and with ours, in the last round:\n{last}"
    );
    java.close().await?;
    producer.close().await
}

async fn fill(producer: &mut Peer) -> Result<()> {
    producer.fill(QUEUE, MESSAGES.into(), BODY_BYTES, false).await?;
    Ok(())
}

/// The last acks of either ask for no answer, or are on their way when it ends.
async fn is_drained(server: &ActiveMqServer) -> Result<()> {
    server.wait_for_counts(QUEUE, PATIENCE, |counts| counts.messages == 0).await?;
    Ok(())
}

async fn of_java(
    server: &ActiveMqServer,
    producer: &mut Peer,
    java: &mut Peer,
    way: &Way,
) -> Result<Run> {
    fill(producer).await?;
    let consumer = java.subscribe(QUEUE, way.java, Some(PREFETCH)).await?;
    let clock = Clock::start(java.pid().context("Java's client has ended")?, server.pid())?;
    let drained = java.drain(consumer, MESSAGES.into(), PATIENCE).await?;
    let run = clock.stop(MESSAGES)?;
    ensure!(drained.count == u64::from(MESSAGES), "Java's client got {} messages", drained.count);
    java.unsubscribe(consumer).await?;
    is_drained(server).await?;
    Ok(run)
}

async fn of_ours(server: &ActiveMqServer, producer: &mut Peer, way: &Way) -> Result<Run> {
    fill(producer).await?;
    let numbers = [MESSAGES, PREFETCH, way.ours].map(|number| number.to_string());
    let mut consumer = Command::new(workspace::target().join("release/examples/drain"))
        .args([&server.url(), QUEUE])
        .args(numbers)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start our client")?;
    let mut input = consumer.stdin.take().context("our client has no input")?;
    let output = consumer.stdout.take().context("our client has no output")?;
    let mut lines = BufReader::new(output).lines();
    let line = lines.next_line().await?;
    ensure!(line.as_deref() == Some("subscribed"), "our client said {line:?} and not subscribed");
    let clock = Clock::start(consumer.id().context("our client has ended")?, server.pid())?;
    input.write_all(b"go\n").await.context("our client takes no input")?;
    let line = lines.next_line().await?;
    let run = clock.stop(MESSAGES)?;
    ensure!(line.as_deref() == Some("done"), "our client said {line:?} and not done");
    drop(input);
    consumer.wait().await?;
    is_drained(server).await?;
    Ok(run)
}
