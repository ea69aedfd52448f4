//! `gristmill demo`: the main job in one command, with nothing to install: ten thousand orders on an
//! embedded queue, batches handled, one that fails and is called again, and one record that cannot be
//! handled and becomes a dead letter.
//!
//! All of it is the real thing: what is published is synced to the disk, the handler is a component in the
//! sandbox. What is left in the end is nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use gristmill::config::{BrokerConfig, Config, FunctionConfig, MappingConfig};
use gristmill::dead_letters::{Filter, dead_letter_store};
use gristmill::embedded::{BasicProperties, EmbeddedBroker, RabbitMqMessage};
use gristmill::{CancellationToken, Counts, Host, HostStatus, InProcess};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::{answer, complain, environment, exit};

const HANDLER: &str = include_str!("demo/handler.wat");

const ORDERS: u64 = 10_000;
/// The batch with this order fails twice.
const UNLUCKY: u64 = 4_242;
/// This order cannot be handled.
const POISON: u64 = 7_777;

/// How many are published at once.
const GROUP: u64 = 500;

const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// Shows it, and says what to exit with.
pub(crate) fn run(Arguments {}: &Arguments) -> u8 {
    match demonstrate() {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

fn demonstrate() -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder for temporary files")?;
    let handler = wat::parse_str(HANDLER).context("a bug of this program")?;
    let config = config(folder.path(), handler);
    say("starting a host with a queue of its own, and loading the handler into its sandbox");
    let store = dead_letter_store(&config.host);
    let host = Host::new(config, environment, InProcess)?;
    let handle = host.handle();
    let orders = handle.embedded("here").context("a bug of this program")?;
    let stop = CancellationToken::new();
    let runtime = Runtime::new().context("cannot start the threads for input and output")?;
    let story = runtime.block_on(async {
        let published = publish(&orders).await?;
        let began = Instant::now();
        let following = async {
            let counts = follow(&handle.status()).await;
            stop.cancel();
            counts
        };
        let ((), counts) = tokio::join!(host.run(stop.clone()), following);
        let (counts, handled) = (counts?, began.elapsed());
        let left = orders.counts("orders").await?;
        let left = left.ready + left.unsettled;
        ensure!(left == 0, "{left} orders are still there");
        anyhow::Ok(Story { published, handled, counts })
    })?;
    let letters = store.list(0, &Filter::default(), 10)?;
    let letter = letters.first().context("the poisonous order is not in the dead-letter store")?;
    let id = letter.message_id.as_deref().unwrap_or_default();
    story.tell(&format!("{id} ({}, {} tries)", letter.condition, tries(&letter.record)))
}

fn config(folder: &Path, handler: Vec<u8>) -> Config {
    let mapping = MappingConfig {
        maximum_retry_attempts: Some(2),
        report_batch_item_failures: true,
        ..MappingConfig::new("here", "orders", "order-handler")
    };
    Config::new(folder)
        .with_broker("here", BrokerConfig::embedded())
        .with_function("order-handler", FunctionConfig::new(handler))
        .with_mapping("orders", mapping)
}

/// How long it took until all were on the disk.
async fn publish(orders: &EmbeddedBroker) -> anyhow::Result<Duration> {
    let began = Instant::now();
    for group in 0..ORDERS / GROUP {
        let ids = group * GROUP..(group + 1) * GROUP;
        orders.publish("orders", ids.map(order).collect()).await?;
    }
    let took = began.elapsed();
    say(&format!("published {ORDERS} orders, synced to the disk, in {}", seconds(took)));
    Ok(took)
}

fn order(id: u64) -> RabbitMqMessage {
    let message_id = match id {
        UNLUCKY => format!("order-{id}-unlucky"),
        POISON => format!("order-{id}-poison"),
        _ => format!("order-{id}"),
    };
    let items = json!([{ "sku": "A-1", "quantity": 1 + id % 3, "price_cents": 100 + id % 900 }]);
    let properties = BasicProperties {
        content_type: Some("application/json".to_owned()),
        message_id: Some(message_id),
        ..BasicProperties::default()
    };
    let body = json!({ "id": id, "items": items }).to_string().into();
    RabbitMqMessage { properties, body, ..RabbitMqMessage::default() }
}

/// Shows how it goes until every order is handled or given up.
async fn follow(status: &HostStatus) -> anyhow::Result<Counts> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} orders, {elapsed}")?;
    let progress = ProgressBar::new(ORDERS).with_style(style);
    let began = Instant::now();
    let mut failed = 0;
    loop {
        ensure!(began.elapsed() < PATIENCE, "not done after {}", seconds(PATIENCE));
        sleep(Duration::from_millis(20)).await;
        // It is there as soon as the host runs.
        let Some(mapping) = status.mappings().pop() else { continue };
        let counts = mapping.counts;
        progress.set_position(counts.handled + counts.given_up);
        if counts.invocations_failed > failed {
            failed = counts.invocations_failed;
            let problem = mapping.status.last_processing_result();
            progress.suspend(|| say(&format!("a batch failed, and is called again: {problem}")));
        }
        if counts.handled + counts.given_up >= ORDERS {
            progress.finish_and_clear();
            return Ok(counts);
        }
    }
}

fn tries(record: &str) -> u64 {
    let record: serde_json::Value = serde_json::from_str(record).unwrap_or_default();
    record["requestContext"]["approximateInvokeCount"].as_u64().unwrap_or(0)
}

/// What has happened.
struct Story {
    published: Duration,
    handled: Duration,
    counts: Counts,
}

impl Story {
    fn tell(&self, letter: &str) -> anyhow::Result<()> {
        let Self { published, handled, counts } = self;
        let Counts { handled: orders, given_up, invocations_ok, invocations_failed, .. } = counts;
        answer(&format!(
            "\n\
             published   {ORDERS} orders in {}, each confirmed when it was on the disk\n\
             handled     {orders} orders in {} calls of up to 100, within {}\n\
             failed      {invocations_failed} calls; the same batch was called again until it succeeded\n\
             dead letter {letter}; `gristmill dead-letters` shows and replays such\n\
             left        nothing: the queue is empty, the host has drained, its folder goes now\n\n\
             Next: `gristmill new NAME --lang rust|js|python|c|go` makes a handler of your own.\n",
            seconds(*published),
            invocations_ok + invocations_failed,
            seconds(*handled),
        ));
        ensure!(*given_up == 1, "one order should have been given up, and {given_up} were");
        ensure!(*invocations_failed == 2, "one batch should have failed twice");
        Ok(())
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn say(text: &str) {
    answer(&format!("{text}\n"));
}
