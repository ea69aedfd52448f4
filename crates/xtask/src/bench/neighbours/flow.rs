//! Messages that come all the time.

use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_testkit::amqp::{Client, Properties};
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};

use super::Mapping;

/// So many at once, again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub(super) bytes: usize,
    pub(super) count: usize,
    pub(super) every: Duration,
}

/// What flows now. Dropping it ends it.
pub(super) struct Flows(JoinSet<Result<()>>);

impl Flows {
    /// Starts the flows of all mappings that have one, over a connection each, one after another within
    /// the time between two publications, so that they do not come all at once.
    pub(super) async fn start(server: &RabbitServer, mappings: &[Mapping]) -> Result<Self> {
        let flowing = mappings.iter().filter_map(|mapping| Some((&mapping.name, mapping.flow?)));
        let flowing: Vec<_> = flowing.collect();
        let mut flows = JoinSet::new();
        for (number, (queue, flow)) in (0_u32..).zip(&flowing) {
            let mut client = server.client("/").await?;
            client.confirm_select().await?;
            let number_of_all = u32::try_from(flowing.len())?;
            let first = Instant::now() + flow.every * number / number_of_all;
            flows.spawn(publish(client, (*queue).clone(), *flow, first));
        }
        Ok(Self(flows))
    }

    /// Fails if one had ended before.
    pub(super) async fn end(mut self) -> Result<()> {
        if let Some(ended) = self.0.try_join_next() {
            ended?.context("a flow of messages ended")?;
        }
        self.0.shutdown().await;
        Ok(())
    }
}

async fn publish(mut client: Client, queue: String, flow: Flow, first: Instant) -> Result<()> {
    let body = vec![b'x'; flow.bytes];
    let mut times = interval_at(first, flow.every);
    loop {
        times.tick().await;
        for _ in 0..flow.count {
            // Not persistent: the broker's disk is no part of this.
            client.publish(&queue, &Properties::default(), &body).await?;
        }
        client.wait_for_confirms().await?;
    }
}
