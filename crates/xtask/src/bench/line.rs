//! The whole line: messages per second and CPU per message of the host, against a native consumer
//! that does nothing but ack, on the same broker, turn by turn.
//!
//! Both figures of a round depend on the machine and on whatever else it does; their ratio does much
//! less, so the ratios count. The broker does most of the work and is the ceiling of the rate, which
//! makes CPU per message the honest figure.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::guests;
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::runtime::Runtime;

use super::clock::{Clock, Run};
use super::running_host::{RunningHost, release};
use crate::workspace;

const QUEUE: &str = "line";
const MESSAGES: u32 = 100_000;
const BODY_BYTES: usize = 1_000;
const BATCH_SIZE: u32 = 100;
/// The host's default for this batch size, and the same for the native consumer.
const PREFETCH: u32 = 200;
const ROUNDS: usize = 5;

pub(crate) fn run() -> Result<()> {
    println!("building the host and the native consumer in release, and the handlers");
    let build = ["build", "--release", "--workspace", "--bin", "gristmill"];
    workspace::run(workspace::cargo().args(build).args(["--example", "native_consumer"]))?;
    let handlers = guests::build_rust()?;
    let runtime = Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(measure(&handlers.join("reads.wasm")))
}

async fn measure(handler: &Path) -> Result<()> {
    let server = RabbitServer::start().await?;
    let mut client = server.client("/").await?;
    client.declare_queue(QUEUE, &Table::new()).await?;
    client.confirm_select().await?;
    println!(
        "{MESSAGES} messages of {BODY_BYTES} bytes, batches of {BATCH_SIZE}, prefetch {PREFETCH}\n\n\
         round   native: msg/s   CPU us/msg     host: msg/s   CPU us/msg      rate ratio   CPU ratio"
    );
    let (mut rates, mut cpus, mut last) = (Vec::new(), Vec::new(), None);
    for round in 1..=ROUNDS {
        let (native, host);
        // Who comes first changes, so that neither has the warmer broker every time.
        if round % 2 == 0 {
            host = of_host(&server, &mut client, handler).await?;
            native = of_native(&server, &mut client).await?;
        } else {
            native = of_native(&server, &mut client).await?;
            host = of_host(&server, &mut client, handler).await?;
        }
        let (rate, cpu) = (native.seconds / host.seconds, host.cpu_us / native.cpu_us);
        println!(
            "{round:5} {:15.0} {:12.1} {:15.0} {:12.1} {rate:15.2} {cpu:11.2}",
            native.per_second(MESSAGES),
            native.cpu_us,
            host.per_second(MESSAGES),
            host.cpu_us
        );
        rates.push(rate);
        cpus.push(cpu);
        last = Some((native, host));
    }
    client.close().await?;
    println!("\nhost against native, median of {ROUNDS} rounds (least to most):");
    println!("  rate             {}", super::summary(&mut rates));
    println!("  CPU per message  {}", super::summary(&mut cpus));
    if let Some((native, host)) = last {
        let (native, host) = (native.broker_cpu_us, host.broker_cpu_us);
        println!("  the broker itself used {native:.1} and {host:.1} us/msg in the last round");
    }
    Ok(())
}

async fn publish(client: &mut Client) -> Result<()> {
    let body = vec![b'x'; BODY_BYTES];
    for _ in 0..MESSAGES {
        client.publish(QUEUE, &Properties::persistent(), &body).await?;
    }
    client.wait_for_confirms().await
}

async fn is_drained(client: &mut Client) -> Result<()> {
    let left = client.queue_status(QUEUE).await?.messages;
    ensure!(left == 0, "{left} messages are still in the queue");
    Ok(())
}

async fn of_host(server: &RabbitServer, client: &mut Client, handler: &Path) -> Result<Run> {
    publish(client).await?;
    let host = RunningHost::start(&configuration(server, handler)).await?;
    let run = host.handle(MESSAGES, server.pid()).await?;
    is_drained(client).await?;
    Ok(run)
}

fn configuration(server: &RabbitServer, handler: &Path) -> String {
    format!(
        "[broker.bench]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{}\"\n\n\
         [function.reads]\ncomponent = {handler:?}\n\n\
         [mapping.line]\nbroker = \"bench\"\nqueue = \"{QUEUE}\"\nfunction = \"reads\"\n\
         batch_size = {BATCH_SIZE}\nprefetch = {PREFETCH}\n",
        server.amqp_port()
    )
}

async fn of_native(server: &RabbitServer, client: &mut Client) -> Result<Run> {
    publish(client).await?;
    let mut consumer = Command::new(release("examples/native_consumer"))
        .args([&server.url("/"), QUEUE, &MESSAGES.to_string(), &PREFETCH.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the native consumer")?;
    let pid = consumer.id().context("the native consumer has ended")?;
    let output = consumer.stdout.take().context("the native consumer has no output")?;
    let mut lines = BufReader::new(output).lines();
    expect(lines.next_line().await?, "subscribed")?;
    let clock = Clock::start(pid, server.pid())?;
    expect(lines.next_line().await?, "done")?;
    let run = clock.stop(MESSAGES)?;
    drop(consumer.stdin.take());
    consumer.wait().await?;
    is_drained(client).await?;
    Ok(run)
}

fn expect(line: Option<String>, wanted: &str) -> Result<()> {
    match line {
        Some(line) if line == wanted => Ok(()),
        other => bail!("the native consumer said {other:?} and not {wanted}"),
    }
}
