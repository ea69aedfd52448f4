//! `cargo xtask demo`: the main job, from nothing: a private RabbitMQ, ten thousand orders, the
//! host, a handler that fails one batch twice, and nothing left behind.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::rabbitmq::RabbitServer;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::workspace;

const QUEUE: &str = "orders";
const ORDERS: u64 = 10_000;
/// The batch with this order fails twice.
const UNLUCKY: u64 = 4_242;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run() -> Result<()> {
    println!("building the host and the handlers; the first time takes some minutes");
    workspace::run(workspace::cargo().args(["build", "--workspace", "--bin", "gristmill"]))?;
    let handlers = guests::build_rust()?;
    Runtime::new().context("cannot start a runtime")?.block_on(demonstrate(&handlers))
}

async fn demonstrate(handlers: &Path) -> Result<()> {
    println!("starting a private RabbitMQ");
    let server = RabbitServer::start().await?;
    let mut client = server.client("/").await?;
    client.declare_queue(QUEUE, &Table::new()).await?;
    publish(&mut client).await?;

    let config = configuration(&server, &handlers.join("fails-twice.wasm"));
    println!("running the host with this configuration:\n\n{}", indented(&config));
    let binary = workspace::target().join("debug/gristmill");
    let began = Instant::now();
    let host = Host::start(&binary, &config)?;
    let story = follow(&host).await?;
    let took = began.elapsed();

    host.signal("TERM")?;
    let status = host.wait_exit(PATIENCE).await?;
    ensure!(status.success(), "the host did not end in order: {status}");
    let left = client.queue_status(QUEUE).await?.messages;
    ensure!(left == 0, "{left} messages are still in the queue");
    client.close().await?;
    story.tell(took)
}

async fn publish(client: &mut Client) -> Result<()> {
    println!("publishing {ORDERS} orders");
    client.confirm_select().await?;
    for id in 0..ORDERS {
        let items =
            json!([{ "sku": "A-1", "quantity": 1 + id % 3, "price_cents": 100 + id % 900 }]);
        let order = json!({ "id": id, "items": items, "fail_twice": id == UNLUCKY });
        client.publish(QUEUE, &Properties::persistent(), order.to_string().as_bytes()).await?;
    }
    client.wait_for_confirms().await
}

fn configuration(server: &RabbitServer, component: &Path) -> String {
    let port = server.amqp_port();
    format!(
        "[broker.demo]\ntype = \"rabbitmq\"\nurl = \"amqp://127.0.0.1:{port}\"\n\n\
         [function.order-totals]\ncomponent = {component:?}\n\n\
         [mapping.orders]\nbroker = \"demo\"\nqueue = \"{QUEUE}\"\nfunction = \"order-totals\"\n"
    )
}

/// What the host's log says has happened.
#[derive(Debug, Default)]
struct Story {
    invocations: u64,
    handled: u64,
    failures: Vec<String>,
    last_line: String,
}

/// Reads the host's log until every order is handled.
async fn follow(host: &Host) -> Result<Story> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} orders handled, {elapsed}")?;
    let progress = ProgressBar::new(ORDERS).with_style(style);
    let mut story = Story::default();
    let all_handled = |line: &Value| {
        story.note(line, &progress);
        story.handled >= ORDERS
    };
    host.wait_for(PATIENCE, all_handled).await?;
    progress.finish();
    Ok(story)
}

impl Story {
    fn note(&mut self, line: &Value, progress: &ProgressBar) {
        let records = line["records"].as_u64().unwrap_or(0);
        match line["message"].as_str() {
            Some("REPORT") => {
                self.invocations += 1;
                if line["outcome"] == "succeeded" {
                    self.handled += records;
                    progress.set_position(self.handled);
                }
            }
            Some("batch failed; will call again") => {
                let (attempt, reason) = (&line["attempt"], &line["reason"]);
                let failure = format!("a batch of {records} failed, attempt {attempt}: {reason}");
                progress.println(failure.as_str());
                self.failures.push(failure);
            }
            Some(text) if line["stream"] == "stdout" => text.clone_into(&mut self.last_line),
            Some(_) | None => {}
        }
    }

    fn tell(&self, took: Duration) -> Result<()> {
        let Self { invocations, handled, failures, last_line } = self;
        println!(
            "\n{handled} orders handled in {invocations} invocations, {:.1} s with the start of the \
             host",
            took.as_secs_f64()
        );
        println!("{} of them failed and were called again with the same batch", failures.len());
        println!("the handler's last line: {last_line}");
        println!("the queue is empty, the host has drained, RabbitMQ and its data are gone");
        ensure!(failures.len() == 2, "one batch should have failed twice: {failures:?}");
        ensure!(*handled == ORDERS, "each order should have been handled once");
        Ok(())
    }
}

fn indented(text: &str) -> String {
    let indent = |line: &str| if line.is_empty() { "\n".into() } else { format!("    {line}\n") };
    text.lines().map(indent).collect()
}
