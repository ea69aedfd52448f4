//! What the program costs before and between its work: the time from its start to the end of its first
//! batch, with a handler that was compiled before, and the memory of a host that waits for messages.
//!
//! The time has that of the broker in it, which is asked for a connection, a channel and a hundred
//! messages; a native consumer that does the same and nothing else is started turn by turn, to show
//! what is the broker's. Memory is what is resident, the pages of the program's file included: once
//! when every mapping has subscribed, and once when each has handled a batch, so that every buffer
//! and an instance of the handler is there.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::guests;
use gristmill_testkit::host::{Host, resident_kib};
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::running_host::release;
use crate::workspace;

const ROUNDS: usize = 11;
const BATCH_SIZE: usize = 100;
const BODY_BYTES: usize = 1_000;
/// Beside the first mapping.
const FURTHER: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// After this a host that was just busy has given back what it gives back.
const REST: Duration = Duration::from_secs(2);

/// What is to be reached.
const FIRST_BATCH_MS_MAX: f64 = 60.0;
const MEMORY_MIB_MAX: f64 = 30.0;
const FURTHER_KIB_MAX: f64 = 300.0;

pub(crate) fn run() -> Result<()> {
    println!("building the host and the native consumer in release, and the handlers");
    let build = ["build", "--release", "--workspace", "--bin", "gristmill"];
    workspace::run(workspace::cargo().args(build).args(["--example", "native_consumer"]))?;
    guests::build_rust()?;
    Runtime::new().context("cannot start a runtime")?.block_on(measure())
}

async fn measure() -> Result<()> {
    let server = RabbitServer::start().await?;
    let mut client = server.client("/").await?;
    for number in 0..=FURTHER {
        client.declare_queue(&queue(number), &Table::new()).await?;
    }
    client.confirm_select().await?;
    measure_start(&server, &mut client).await?;
    measure_memory(&server, &mut client).await?;
    client.close().await
}

async fn measure_start(server: &RabbitServer, client: &mut Client) -> Result<()> {
    let program = release("gristmill");
    let mut host = Host::start(&program, &configuration(server, 1))?;
    // Compiles the handler.
    subscribed(&host, 1).await?;
    println!(
        "from the start of the program to the end of {BATCH_SIZE} messages of {BODY_BYTES} bytes\n\n\
         round   native: ms     host: subscribed ms   first batch ms"
    );
    let (mut natives, mut hosts) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        end(&host).await?;
        publish(client, 0).await?;
        let native = of_native(server).await?;
        publish(client, 0).await?;
        let started = Instant::now();
        host.restart().await?;
        subscribed(&host, 1).await?;
        let to_subscription = milliseconds(started);
        handled(&host).await?;
        let to_batch = milliseconds(started);
        println!("{round:5} {native:12.1} {to_subscription:23.1} {to_batch:16.1}");
        natives.push(native);
        hosts.push(to_batch);
    }
    end(&host).await?;
    println!(
        "\nmedian (least to most), ms: native {}, host {}; to reach: {FIRST_BATCH_MS_MAX}\n",
        super::summary(&mut natives),
        super::summary(&mut hosts)
    );
    Ok(())
}

async fn measure_memory(server: &RabbitServer, client: &mut Client) -> Result<()> {
    let one = Memory::of_host(server, client, 1).await?;
    let many = Memory::of_host(server, client, 1 + FURTHER).await?;
    println!("resident memory                    when subscribed   after a batch each   to reach");
    println!(
        "a host with one mapping     {:18.1} MiB {:16.1} MiB {MEMORY_MIB_MAX:6.0} MiB",
        one.subscribed_kib / 1024.0,
        one.worked_kib / 1024.0
    );
    let each = |one: f64, many: f64| (many - one) / f64::from(FURTHER);
    println!(
        "each of {FURTHER} further mappings {:18.0} KiB {:16.0} KiB {FURTHER_KIB_MAX:6.0} KiB",
        each(one.subscribed_kib, many.subscribed_kib),
        each(one.worked_kib, many.worked_kib)
    );
    Ok(())
}

/// Of an idle host.
struct Memory {
    subscribed_kib: f64,
    worked_kib: f64,
}

impl Memory {
    async fn of_host(server: &RabbitServer, client: &mut Client, mappings: u32) -> Result<Self> {
        let mut host = Host::start(&release("gristmill"), &configuration(server, mappings))?;
        subscribed(&host, mappings).await?;
        // The second time nothing is compiled.
        end(&host).await?;
        host.restart().await?;
        subscribed(&host, mappings).await?;
        sleep(REST).await;
        let subscribed_kib = resident(&host)?;
        for number in 0..mappings {
            publish(client, number).await?;
            handled(&host).await?;
        }
        sleep(REST).await;
        let worked_kib = resident(&host)?;
        end(&host).await?;
        Ok(Self { subscribed_kib, worked_kib })
    }
}

fn queue(number: u32) -> String {
    format!("queue-{number}")
}

fn configuration(server: &RabbitServer, mappings: u32) -> String {
    let mapping = |number| {
        let queue = queue(number);
        format!(
            "[mapping.{queue}]\nbroker = \"bench\"\nqueue = \"{queue}\"\nfunction = \"reads\"\n\
             batch_size = {BATCH_SIZE}\n\n"
        )
    };
    let mappings: String = (0..mappings).map(mapping).collect();
    format!(
        "[broker.bench]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{}\"\n\n\
         [function.reads]\ncomponent = {:?}\n\n{mappings}",
        server.amqp_port(),
        guests::component("reads")
    )
}

/// One full batch.
async fn publish(client: &mut Client, number: u32) -> Result<()> {
    let body = vec![b'x'; BODY_BYTES];
    for _ in 0..BATCH_SIZE {
        client.publish(&queue(number), &Properties::persistent(), &body).await?;
    }
    client.wait_for_confirms().await
}

async fn subscribed(host: &Host, mut mappings: u32) -> Result<()> {
    let all = |line: &serde_json::Value| {
        mappings -= u32::from(line["message"] == "subscribed");
        mappings == 0
    };
    host.wait_for(PATIENCE, all).await.map(drop)
}

async fn handled(host: &Host) -> Result<()> {
    let report = host.wait_for(PATIENCE, |line| line["message"] == "REPORT").await?;
    ensure!(report["records"] == BATCH_SIZE, "a batch of another size: {report}");
    Ok(())
}

/// In order, so that everything is acked.
async fn end(host: &Host) -> Result<()> {
    host.signal("TERM")?;
    host.wait_exit(PATIENCE).await.map(drop)
}

async fn of_native(server: &RabbitServer) -> Result<f64> {
    let count = BATCH_SIZE.to_string();
    let started = Instant::now();
    let mut consumer = Command::new(release("examples/native_consumer"))
        .args([&server.url("/"), &queue(0), &count, &count])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the native consumer")?;
    let output = consumer.stdout.take().context("the native consumer has no output")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        if line == "done" {
            break;
        }
    }
    let taken = milliseconds(started);
    drop(consumer.stdin.take());
    consumer.wait().await.context("cannot wait for the native consumer")?;
    Ok(taken)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn resident(host: &Host) -> Result<f64> {
    let kib = resident_kib(host.pid()).context("the memory of the host is not told")?;
    Ok(f64::from(u32::try_from(kib)?))
}
