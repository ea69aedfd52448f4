//! The whole line with ActiveMQ: messages per second and CPU per message of the host, whose handler
//! reads the event, against a Java program that does the same, on the same broker, turn by turn.
//!
//! The ratios count, as in the benchmark with RabbitMQ. The messages are not persistent and fit the
//! broker's memory, so that its disk is no ceiling. The Java program stays one process, which has
//! handled as many messages before anything counts, so that its code is compiled.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_testkit::activemq::{ActiveMqServer, Settings};
use gristmill_testkit::guests;
use gristmill_testkit::jms::{Login, Mode, Peer};
use tokio::runtime::Runtime;

use super::clock::{Clock, Run};
use super::running_host::RunningHost;
use crate::workspace;

const QUEUE: &str = "line";
const MESSAGES: u32 = 100_000;
const BODY_BYTES: usize = 1_000;
const BATCH_SIZE: u32 = 100;
/// The host's default for this batch size and five batches at once, and the same for Java.
const PREFETCH: u32 = 600;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// The three clients of a round.
struct Clients {
    java: Peer,
    /// Another process than the one that is measured.
    producer: Peer,
}

pub(crate) fn run() -> Result<()> {
    println!("building the host in release, and the handlers");
    workspace::run(workspace::cargo().args(["build", "--release", "--bin", "gristmill"]))?;
    let handlers = guests::build_rust()?;
    let runtime = Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(measure(&handlers.join("reads.wasm")))
}

async fn measure(handler: &Path) -> Result<()> {
    let server = ActiveMqServer::start_with(&Settings::new().fast()).await?;
    let login = Login::to(server.url()).fast();
    let (java, producer) = (Peer::connect(&login).await?, Peer::connect(&login).await?);
    let mut clients = Clients { java, producer };
    println!("warming up the Java program");
    of_java(&server, &mut clients).await?;
    println!(
        "{MESSAGES} messages of {BODY_BYTES} bytes, batches of {BATCH_SIZE}, prefetch {PREFETCH}\n\n\
         round     java: msg/s   CPU us/msg     host: msg/s   CPU us/msg      rate ratio   CPU ratio"
    );
    let (mut rates, mut cpus, mut last) = (Vec::new(), Vec::new(), None);
    for round in 1..=ROUNDS {
        let (java, host);
        if round % 2 == 0 {
            host = of_host(&server, &mut clients, handler).await?;
            java = of_java(&server, &mut clients).await?;
        } else {
            java = of_java(&server, &mut clients).await?;
            host = of_host(&server, &mut clients, handler).await?;
        }
        let (rate, cpu) = (java.seconds / host.seconds, host.cpu_us / java.cpu_us);
        println!(
            "{round:5} {:15.0} {:12.1} {:15.0} {:12.1} {rate:15.2} {cpu:11.2}",
            java.per_second(MESSAGES),
            java.cpu_us,
            host.per_second(MESSAGES),
            host.cpu_us
        );
        rates.push(rate);
        cpus.push(cpu);
        last = Some((java, host));
    }
    println!("\nhost against Java, median of {ROUNDS} rounds (least to most):");
    println!("  rate             {}", super::summary(&mut rates));
    println!("  CPU per message  {}", super::summary(&mut cpus));
    if let Some((java, host)) = last {
        let (java, host) = (java.broker_cpu_us, host.broker_cpu_us);
        println!("  the broker itself used {java:.1} and {host:.1} us/msg in the last round");
    }
    clients.java.close().await?;
    clients.producer.close().await
}

async fn of_java(server: &ActiveMqServer, clients: &mut Clients) -> Result<Run> {
    clients.producer.fill(QUEUE, MESSAGES.into(), BODY_BYTES, false).await?;
    let java = &mut clients.java;
    let consumer = java.subscribe(QUEUE, Mode::Client, Some(PREFETCH)).await?;
    let clock = Clock::start(java.pid().context("the Java program has ended")?, server.pid())?;
    let handled = java.handle(consumer, MESSAGES.into(), PATIENCE).await?;
    let run = clock.stop(MESSAGES)?;
    ensure!(handled.count == u64::from(MESSAGES), "the Java program got {}", handled.count);
    java.unsubscribe(consumer).await?;
    is_drained(server).await?;
    Ok(run)
}

async fn of_host(server: &ActiveMqServer, clients: &mut Clients, handler: &Path) -> Result<Run> {
    clients.producer.fill(QUEUE, MESSAGES.into(), BODY_BYTES, false).await?;
    let host = RunningHost::start(&configuration(server, handler)).await?;
    let run = host.handle(MESSAGES, server.pid()).await?;
    is_drained(server).await?;
    Ok(run)
}

fn configuration(server: &ActiveMqServer, handler: &Path) -> String {
    format!(
        "[broker.bench]\ntype = \"activemq\"\nurl = \"{}\"\n\n\
         [function.reads]\ncomponent = {handler:?}\n\n\
         [mapping.line]\nbroker = \"bench\"\nqueue = \"{QUEUE}\"\nfunction = \"reads\"\n\
         batch_size = {BATCH_SIZE}\nprefetch = {PREFETCH}\n",
        server.url()
    )
}

/// The last acks of either ask for no answer, or are on their way when it ends.
async fn is_drained(server: &ActiveMqServer) -> Result<()> {
    server.wait_for_counts(QUEUE, PATIENCE, |counts| counts.messages == 0).await?;
    Ok(())
}
