//! A quiet mapping beside twice as many spinning handlers as there are processors: the time from
//! publishing a message to the end of its invocation, with and without them, turn by turn.
//!
//! The figures depend on the machine; the ratio of the two counts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::runtime::Runtime;

use crate::workspace;

const ROUNDS: usize = 5;
const MESSAGES: usize = 4_000;
/// Not measured: the first calls of a host, and the time until it knows which handlers compute for long.
const WARM_UP: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// The 50th and 99th percentile of a round, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
}

pub(crate) fn run() -> Result<()> {
    println!("building the host in release, and the handlers");
    workspace::run(workspace::cargo().args(["build", "--release", "--bin", "gristmill"]))?;
    guests::build_rust()?;
    let runtime = Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(measure(&workspace::target().join("release/gristmill")))
}

async fn measure(program: &Path) -> Result<()> {
    let server = RabbitServer::start().await?;
    let mut client = server.client("/").await?;
    let spinners = 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "{MESSAGES} messages one after another, beside {spinners} spinning handlers\n\n\
         round   quiet: p50 ms   p99 ms     beside: p50 ms   p99 ms     p99 ratio"
    );
    for queue in ["quiet", "spin"] {
        client.declare_queue(queue, &Table::new()).await?;
    }
    client.confirm_select().await?;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let quiet = of_round(program, &server, &mut client, 0).await?;
        let beside = of_round(program, &server, &mut client, spinners).await?;
        let ratio = beside.p99 / quiet.p99;
        println!(
            "{round:5} {:15.2} {:8.2} {:18.2} {:8.2} {ratio:13.2}",
            quiet.p50, quiet.p99, beside.p50, beside.p99
        );
        ratios.push(ratio);
    }
    println!("\np99 beside against quiet, median (least to most): {}", super::summary(&mut ratios));
    client.close().await
}

async fn of_round(
    program: &Path,
    server: &RabbitServer,
    client: &mut Client,
    spinners: usize,
) -> Result<Latency> {
    for _ in 0..spinners {
        client.publish("spin", &Properties::persistent(), b"{}").await?;
    }
    client.wait_for_confirms().await?;
    let host = Host::start(program, &configuration(server, spinners))?;
    let subscribed = |mapping: &'static str| {
        host.wait_for(PATIENCE, move |line| {
            line["message"] == "subscribed" && line["mapping"] == mapping
        })
    };
    subscribed("quiet").await?;
    let mut times = Vec::with_capacity(MESSAGES);
    let began = Instant::now();
    while times.len() < MESSAGES {
        let published = Instant::now();
        client.publish("quiet", &Properties::persistent(), b"{}").await?;
        let ended =
            |line: &serde_json::Value| line["message"] == "REPORT" && line["mapping"] == "quiet";
        host.wait_for(PATIENCE, ended).await?;
        if published - began >= WARM_UP {
            times.push(published.elapsed().as_secs_f64() * 1e3);
        }
        client.wait_for_confirms().await?;
    }
    host.kill9().await?;
    client.purge_queue("spin").await?;
    times.sort_by(f64::total_cmp);
    Ok(Latency { p50: times[MESSAGES / 2], p99: times[MESSAGES * 99 / 100] })
}

fn configuration(server: &RabbitServer, spinners: usize) -> String {
    let mapping = |name: &str, guest: &str, more: &str| {
        let component = guests::component(guest);
        format!(
            "[function.{guest}]\ncomponent = {component:?}\n\n\
             [mapping.{name}]\nbroker = \"bench\"\nqueue = \"{name}\"\nfunction = \"{guest}\"\n\
             batch_size = 1\nmaximum_batching_window = \"0s\"\n{more}\n"
        )
    };
    let broker = format!(
        "[broker.bench]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{}\"\n\n",
        server.amqp_port()
    );
    let quiet = mapping("quiet", "echo", "");
    if spinners == 0 {
        return broker + &quiet;
    }
    broker + &quiet + &mapping("spin", "spins", &format!("maximum_concurrency = {spinners}"))
}
