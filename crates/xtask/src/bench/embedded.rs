//! The embedded queue against RabbitMQ: starts a RabbitMQ for the benchmark `embedded` of the crate
//! `gristmill`.

use anyhow::{Context, Result};
use gristmill_testkit::amqp::{Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::runtime::Runtime;

use crate::workspace;

const QUEUE: &str = "bench";
const BODY_BYTES: usize = 1_000;
/// What the benchmark publishes again and again.
const MESSAGES: usize = 100;

pub(crate) fn run() -> Result<()> {
    let runtime = Runtime::new().context("cannot start a runtime")?;
    let server = runtime.block_on(prepare())?;
    let bench = ["bench", "--workspace", "--bench", "embedded"];
    workspace::run(workspace::cargo().args(bench).env("AMQP_PORT", server.amqp_port().to_string()))
}

async fn prepare() -> Result<RabbitServer> {
    let server = RabbitServer::start().await?;
    let mut client = server.client("/").await?;
    client.declare_queue(QUEUE, &Table::new()).await?;
    client.confirm_select().await?;
    for _ in 0..MESSAGES {
        client.publish(QUEUE, &Properties::persistent(), &vec![b'x'; BODY_BYTES]).await?;
    }
    client.wait_for_confirms().await?;
    client.close().await?;
    Ok(server)
}
