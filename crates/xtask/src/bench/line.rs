//! The whole line: messages per second and CPU per message of the host, against a native consumer
//! that does nothing but ack, on the same broker, turn by turn.
//!
//! Both figures of a round depend on the machine and on whatever else it does; their ratio does much
//! less, so the ratios count. The broker does most of the work and is the ceiling of the rate, which
//! makes CPU per message the honest figure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::guests;
use gristmill_testkit::rabbitmq::RabbitServer;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::clock::{Clock, Run};
use crate::workspace;

const QUEUE: &str = "line";
const MESSAGES: u32 = 100_000;
const BODY_BYTES: usize = 1_000;
const BATCH_SIZE: u32 = 100;
/// The host's default for this batch size, and the same for the native consumer.
const PREFETCH: u32 = 200;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(300);

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
    let folder = tempfile::tempdir().context("cannot make a folder for the host")?;
    let config = folder.path().join("gristmill.toml");
    fs::write(&config, configuration(server, handler)).context("cannot write a configuration")?;
    // Into a file: whoever read a pipe would use the processors beside the host.
    let path = folder.path().join("log");
    let log = fs::File::create(&path).context("cannot write a log")?;
    let mut host = Command::new(release("gristmill"))
        .args(["run", "--log-format", "json", "-c"])
        .arg(&config)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the host")?;
    let pid = host.id().context("the host has ended")?;
    wait_until(Duration::from_millis(2), || Ok(lines(&path)?.any(|line| is(&line, "subscribed"))))
        .await?;
    let clock = Clock::start(pid, server.pid())?;
    wait_until(Duration::from_millis(200), || {
        let records = lines(&path)?.filter(|line| is(line, "REPORT"));
        Ok(records.filter_map(|line| line["records"].as_u64()).sum::<u64>() >= u64::from(MESSAGES))
    })
    .await?;
    let run = clock.stop(MESSAGES)?;
    host.kill().await.context("cannot end the host")?;
    is_drained(client).await?;
    // It has idled since its last line, whose time counts.
    Ok(Run { seconds: duration_s(&path)?, ..run })
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

fn release(program: &str) -> PathBuf {
    workspace::target().join("release").join(program)
}
