//! The whole line: messages per second and CPU per message of the host, against a native consumer
//! that does nothing but ack, on the same broker, turn by turn.
//!
//! Both figures of a round depend on the machine and on whatever else it does; their ratio does much
//! less, so the ratios count. The broker does most of the work and is the ceiling of the rate, which
//! makes CPU per message the honest figure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::rabbitmq::RabbitServer;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::runtime::Runtime;

use crate::workspace;

const QUEUE: &str = "line";
const MESSAGES: u32 = 100_000;
const BODY_BYTES: usize = 1_000;
const BATCH_SIZE: u32 = 100;
/// The host's default for this batch size, and the same for the native consumer.
const PREFETCH: u32 = 200;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(300);

/// Processor time in `/proc` is counted in these (Linux, `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run of one consumer took.
#[derive(Debug, Clone, Copy)]
struct Run {
    seconds: f64,
    cpu_us: f64,
    broker_cpu_us: f64,
}

pub(crate) fn run() -> Result<()> {
    println!("building the host and the native consumer in release, and the handlers");
    let build = ["build", "--release", "--workspace", "--bin", "gristmill"];
    workspace::run(workspace::cargo().args(build).args(["--example", "native_consumer"]))?;
    let handlers = guests::build_all()?;
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
            native.per_second(),
            native.cpu_us,
            host.per_second(),
            host.cpu_us
        );
        rates.push(rate);
        cpus.push(cpu);
        last = Some((native, host));
    }
    client.close().await?;
    println!("\nhost against native, median of {ROUNDS} rounds (least to most):");
    println!("  rate             {}", summary(&mut rates));
    println!("  CPU per message  {}", summary(&mut cpus));
    if let Some((native, host)) = last {
        let (native, host) = (native.broker_cpu_us, host.broker_cpu_us);
        println!("  the broker itself used {native:.1} and {host:.1} us/msg in the last round");
    }
    Ok(())
}

impl Run {
    fn per_second(&self) -> f64 {
        f64::from(MESSAGES) / self.seconds
    }
}

fn summary(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    format!("{:.2} ({least:.2} to {most:.2})", values[values.len() / 2])
}

/// What has been used up to now, by a consumer and by the broker.
struct Clock {
    began: Instant,
    cpu_s: f64,
    broker_cpu_s: f64,
}

impl Clock {
    fn start(pid: u32, server: &RabbitServer) -> Result<Self> {
        let broker = server.pid().context("the broker has ended")?;
        Ok(Self { began: Instant::now(), cpu_s: cpu_s(pid)?, broker_cpu_s: cpu_s(broker)? })
    }

    fn stop(&self, pid: u32, server: &RabbitServer) -> Result<Run> {
        let now = Self::start(pid, server)?;
        let per_message = |seconds: f64| seconds * 1e6 / f64::from(MESSAGES);
        Ok(Run {
            seconds: now.began.duration_since(self.began).as_secs_f64(),
            cpu_us: per_message(now.cpu_s - self.cpu_s),
            broker_cpu_us: per_message(now.broker_cpu_s - self.broker_cpu_s),
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
    let binary = release("gristmill");
    let config = format!(
        "[broker.bench]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{}\"\n\n\
         [function.reads]\ncomponent = {handler:?}\n\n\
         [mapping.line]\nbroker = \"bench\"\nqueue = \"{QUEUE}\"\nfunction = \"reads\"\n\
         batch_size = {BATCH_SIZE}\nprefetch = {PREFETCH}\n",
        server.amqp_port()
    );
    let host = Host::start(&binary, &config)?;
    host.wait_for(PATIENCE, |line| line["message"] == "subscribed").await?;
    let clock = Clock::start(host.pid(), server)?;
    let mut handled = 0;
    let all_handled = |line: &Value| {
        if line["message"] == "REPORT" && line["outcome"] == "succeeded" {
            handled += line["records"].as_u64().unwrap_or(0);
        }
        handled >= u64::from(MESSAGES)
    };
    host.wait_for(PATIENCE, all_handled).await?;
    let run = clock.stop(host.pid(), server)?;
    host.signal("TERM")?;
    host.wait_exit(PATIENCE).await?;
    is_drained(client).await?;
    Ok(run)
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
    let clock = Clock::start(pid, server)?;
    expect(lines.next_line().await?, "done")?;
    let run = clock.stop(pid, server)?;
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
