//! What quiet mappings notice of the others on their host: the time from publishing a message to the end
//! of its invocation, with others beside and without, turn by turn.
//!
//! Two kinds of others: handlers that spin ([`spinning`]), and a host with everything on it at once
//! ([`crowd`]). The figures depend on the machine; the ratio of the two counts.

mod crowd;
mod flow;
mod spinning;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::runtime::Runtime;

use super::running_host::release;
use crate::workspace;
use flow::{Flow, Flows};

const ROUNDS: usize = 5;
/// Of all quiet mappings together, one after another.
const MESSAGES: usize = 20_000;
/// Not measured: the first calls of a host, and the time until it knows which handlers compute for long.
const WARM_UP: Duration = Duration::from_secs(1);
/// What is to be reached.
const P99_RATIO_MAX: f64 = 2.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// A quiet mapping has one message at a time, and a handler that answers at once.
const QUIET: Manner =
    Manner { guest: "echo", settings: "batch_size = 1\nmaximum_batching_window = \"0s\"" };

/// How a mapping behaves.
#[derive(Debug, Clone, Copy)]
struct Manner {
    guest: &'static str,
    settings: &'static str,
}

/// One mapping with its queue and function, all of one name.
#[derive(Debug)]
struct Mapping {
    name: String,
    manner: Manner,
    /// What lies in the queue when the host starts.
    messages: usize,
    /// What comes all the time.
    flow: Option<Flow>,
}

impl Mapping {
    fn of(manner: Manner, kind: &str, number: usize) -> Self {
        Self { name: format!("{kind}-{number}"), manner, messages: 0, flow: None }
    }

    fn section(&self) -> String {
        let Self { name, manner: Manner { guest, settings }, .. } = self;
        let component = guests::component(guest);
        format!(
            "[function.{name}]\ncomponent = {component:?}\n\n\
             [mapping.{name}]\nbroker = \"bench\"\nqueue = \"{name}\"\nfunction = \"{name}\"\n{settings}\n\n"
        )
    }
}

/// Who is on the host.
#[derive(Debug)]
struct Scenario {
    what: String,
    quiet: Vec<Mapping>,
    others: Vec<Mapping>,
}

impl Scenario {
    fn has_traffic(&self) -> bool {
        self.others.iter().any(|mapping| mapping.flow.is_some())
    }
}

/// What the others do in a round.
#[derive(Debug, Clone, Copy)]
enum Others {
    Away,
    /// Their messages are published, and nobody takes them.
    Traffic,
    /// They are mappings of the same host.
    Beside,
}

/// The 50th and 99th percentile of a round, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
}

pub(crate) fn run() -> Result<()> {
    println!("building the host in release, and the handlers");
    let build = ["build", "--release", "--workspace", "--bin", "gristmill"];
    workspace::run(workspace::cargo().args(build))?;
    guests::build_rust()?;
    let runtime = Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(async {
        let server = RabbitServer::start().await?;
        let mut client = server.client("/").await?;
        client.confirm_select().await?;
        let mut stage = Stage { program: release("gristmill"), server, client };
        stage.compare(&spinning::scenario()).await?;
        stage.compare(&crowd::scenario()).await
    })
}

/// Where rounds are run.
struct Stage {
    program: PathBuf,
    server: RabbitServer,
    client: Client,
}

impl Stage {
    async fn compare(&mut self, scenario: &Scenario) -> Result<()> {
        println!(
            "\n{MESSAGES} messages one after another over {} quiet mappings, beside {}\n\n\
             round    alone: p50 ms   p99 ms     beside: p50 ms   p99 ms     p99 ratio{}",
            scenario.quiet.len(),
            scenario.what,
            if scenario.has_traffic() { "     traffic alone: p99 ratio" } else { "" }
        );
        let (mut ratios, mut of_traffic, mut of_host) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            let alone = self.of_round(scenario, Others::Away).await?;
            let beside = self.of_round(scenario, Others::Beside).await?;
            let ratio = beside.p99 / alone.p99;
            print!(
                "{round:5} {:16.2} {:8.2} {:18.2} {:8.2} {ratio:13.2}",
                alone.p50, alone.p99, beside.p50, beside.p99
            );
            ratios.push(ratio);
            if scenario.has_traffic() {
                let traffic = self.of_round(scenario, Others::Traffic).await?;
                print!(" {:28.2}", traffic.p99 / alone.p99);
                of_traffic.push(traffic.p99 / alone.p99);
                of_host.push(beside.p99 / traffic.p99);
            }
            println!();
        }
        println!("\np99 against alone, median (least to most), to reach: {P99_RATIO_MAX}");
        println!("  beside         {}", super::summary(&mut ratios));
        if scenario.has_traffic() {
            println!("  traffic alone  {}", super::summary(&mut of_traffic));
            println!(
                "beside against traffic alone, so the host's part: {}",
                super::summary(&mut of_host)
            );
        }
        Ok(())
    }

    async fn of_round(&mut self, scenario: &Scenario, others: Others) -> Result<Latency> {
        let quiet = scenario.quiet.as_slice();
        let (with_queues, on_host) = match others {
            Others::Away => (&[][..], &[][..]),
            Others::Traffic => (scenario.others.as_slice(), &[][..]),
            Others::Beside => (scenario.others.as_slice(), scenario.others.as_slice()),
        };
        for mapping in quiet.iter().chain(with_queues) {
            self.client.declare_queue(&mapping.name, &Table::new()).await?;
            for _ in 0..mapping.messages {
                self.client.publish(&mapping.name, &Properties::persistent(), b"{}").await?;
            }
        }
        self.client.wait_for_confirms().await?;
        let host = Host::start(&self.program, &self.configuration(quiet.iter().chain(on_host)))?;
        let mut left = quiet.len() + on_host.len();
        let all = |line: &serde_json::Value| {
            left -= usize::from(line["message"] == "subscribed");
            left == 0
        };
        host.wait_for(PATIENCE, all).await?;
        let flows = Flows::start(&self.server, with_queues).await?;
        let latency = self.latency(&host, quiet).await?;
        host.kill9().await?;
        flows.end().await?;
        for mapping in quiet.iter().chain(with_queues) {
            self.client.delete_queue(&mapping.name).await?;
        }
        Ok(latency)
    }

    async fn latency(&mut self, host: &Host, quiet: &[Mapping]) -> Result<Latency> {
        let mut times = Vec::with_capacity(MESSAGES);
        let began = Instant::now();
        let mut mappings = quiet.iter().cycle();
        while let Some(mapping) = mappings.next().filter(|_| times.len() < MESSAGES) {
            let published = Instant::now();
            self.client.publish(&mapping.name, &Properties::persistent(), b"{}").await?;
            let ended = |line: &serde_json::Value| {
                line["message"] == "REPORT" && line["mapping"] == mapping.name.as_str()
            };
            host.wait_for(PATIENCE, ended).await?;
            if published - began >= WARM_UP {
                times.push(published.elapsed().as_secs_f64() * 1e3);
            }
            self.client.wait_for_confirms().await?;
        }
        times.sort_by(f64::total_cmp);
        Ok(Latency { p50: times[MESSAGES / 2], p99: times[MESSAGES * 99 / 100] })
    }

    fn configuration<'a>(&self, mappings: impl Iterator<Item = &'a Mapping>) -> String {
        let broker = format!(
            "[broker.bench]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{}\"\n\n",
            self.server.amqp_port()
        );
        broker + &mappings.map(Mapping::section).collect::<String>()
    }
}
