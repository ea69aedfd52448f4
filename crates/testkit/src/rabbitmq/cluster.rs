//! Several RabbitMQ servers that are one: whose quorum queues outlive any one of them.
//!
//! Its nodes share the cookie and the port mapper of the first, and find each other by a list of their
//! names. Each is a [`RabbitServer`] that can be killed, stopped, frozen and started again by itself.
//! A node can be cut off from the others too, without touching the network: a node whose cookies for
//! the others are wrong neither reaches them nor is reached.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;

use super::{EPMD, RabbitServer, new_cookie, node_name};
use crate::ports::PortBlock;

/// How long the nodes may take to agree on who is there. One that has paused looks for the others every
/// second, and then starts anew.
const AGREE_TIMEOUT: Duration = Duration::from_secs(120);

/// A cluster of this test process. Dropping it ends its nodes and removes their data.
#[derive(Debug)]
pub struct RabbitCluster {
    nodes: Vec<RabbitServer>,
}

impl RabbitCluster {
    /// Starts so many nodes at once and waits until they are a cluster. Those in the minority pause
    /// when the cluster is cut, where a release knows that.
    ///
    /// # Errors
    ///
    /// As [`RabbitServer::start`], and when the nodes do not find each other.
    pub async fn start(count: usize) -> Result<Self> {
        let blocks = (0..count).map(|_| PortBlock::claim()).collect::<Result<Vec<_>>>()?;
        let epmd_port = blocks.first().context("a cluster of no nodes")?.port(EPMD);
        let mut lines = vec![
            "cluster_formation.peer_discovery_backend = classic_config".to_owned(),
            "cluster_partition_handling = pause_minority".to_owned(),
        ];
        lines.extend(blocks.iter().zip(1..).map(|(ports, number)| {
            format!("cluster_formation.classic_config.nodes.{number} = {}", node_name(ports))
        }));
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let cookie = new_cookie();
        let nodes = blocks
            .into_iter()
            .map(|ports| RabbitServer::prepare(ports, epmd_port, &cookie, &lines))
            .collect::<Result<Vec<_>>>()?;
        let mut cluster = Self { nodes };
        try_join_all(cluster.nodes.iter_mut().map(RabbitServer::launch)).await?;
        for node in &cluster.nodes {
            let found = node.cluster_size().await?;
            ensure!(found == count, "{} is in a cluster of {found} nodes", node.node_name);
        }
        Ok(cluster)
    }

    /// Its nodes, in the order of their indexes.
    pub fn nodes(&self) -> &[RabbitServer] {
        &self.nodes
    }

    /// A node, to be killed, frozen or started again.
    ///
    /// # Panics
    ///
    /// When there is none of that index.
    #[expect(clippy::indexing_slicing, reason = "it is for tests, which fail by panicking")]
    pub fn node_mut(&mut self, index: usize) -> &mut RabbitServer {
        &mut self.nodes[index]
    }

    /// Cuts a node off from all others until [`RabbitCluster::heal`], and waits until those have noticed.
    /// Clients still reach it, unless it pauses.
    ///
    /// # Errors
    ///
    /// When the node does not run, or the others do not notice.
    pub async fn partition(&self, index: usize) -> Result<()> {
        let node = self.nodes.get(index).context("no node of that index")?;
        // The others' cookies for it stay right, since two that are wrong alike would match.
        let mut expression = String::new();
        for other in self.nodes.iter().filter(|other| other.node_name != node.node_name) {
            let name = &other.node_name;
            write!(
                expression,
                "erlang:set_cookie('{name}', cut), erlang:disconnect_node('{name}'), "
            )?;
        }
        node.eval(&format!("{expression}ok.")).await?;
        let running = self.nodes.iter().filter(|other| other.pid().is_some());
        let others: Vec<_> = running.filter(|other| other.node_name != node.node_name).collect();
        agree(&others).await
    }

    /// Lets nodes that were cut off reach the others again, and waits until all that run are a cluster.
    ///
    /// # Errors
    ///
    /// When they do not find each other.
    pub async fn heal(&self) -> Result<()> {
        let names: Vec<_> = self.nodes.iter().map(|node| format!("'{}'", node.node_name)).collect();
        let names = names.join(", ");
        let expression = format!(
            "[erlang:set_cookie(Name, erlang:get_cookie()) || Name <- [{names}], Name =/= node()]."
        );
        let running: Vec<_> = self.nodes.iter().filter(|node| node.pid().is_some()).collect();
        try_join_all(running.iter().map(|node| node.eval(&expression))).await?;
        agree(&running).await
    }

    /// The index of the node that leads a quorum queue, as some node that runs sees it.
    ///
    /// # Errors
    ///
    /// When no node answers, or the queue has no leader.
    pub async fn leader(&self, virtual_host: &str, queue: &str) -> Result<usize> {
        let node = self.nodes.iter().find(|node| node.pid().is_some()).context("no node runs")?;
        let leader = node.queue_leader(virtual_host, queue).await?;
        let index = self.nodes.iter().position(|node| node.node_name == leader);
        index.with_context(|| format!("{leader}, which leads {queue}, is none of the cluster"))
    }
}

/// Waits until these nodes are a cluster of themselves.
async fn agree(nodes: &[&RabbitServer]) -> Result<()> {
    let deadline = Instant::now() + AGREE_TIMEOUT;
    for node in nodes {
        // Each question takes so long that nothing else needs to slow the loop down. A node that
        // has paused has no answer until it goes on.
        while node.cluster_size().await.ok() != Some(nodes.len()) {
            ensure!(
                Instant::now() < deadline,
                "{} is not in a cluster of {} nodes after {AGREE_TIMEOUT:?}",
                node.node_name,
                nodes.len()
            );
        }
    }
    Ok(())
}
