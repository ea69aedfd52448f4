//! Administration of a test server: virtual hosts, users, and what a queue holds.
//!
//! Changes go through the management plugin's HTTP interface, which takes 50 ms where
//! `rabbitmqctl` takes most of a second and does not make the server start slower. The numbers of a
//! queue come from `rabbitmqctl` nevertheless: the plugin's are up to five seconds old, and a test
//! must never judge by an old count.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{MANAGEMENT, RabbitServer, percent_encoded};

/// `guest:guest` in base64, for HTTP's basic authentication.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// What a queue holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages waiting to be delivered.
    pub ready: u64,
    /// Messages delivered and not settled.
    pub unacked: u64,
    /// Consumers subscribed.
    pub consumers: u64,
}

impl RabbitServer {
    /// Makes a virtual host that no other test has, open to `guest`, and returns its name.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn test_vhost(&self) -> Result<String> {
        let number = self.vhosts_made.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{number}");
        self.add_virtual_host(&name).await?;
        Ok(name)
    }

    /// Adds a virtual host and opens it to `guest`.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn add_virtual_host(&self, name: &str) -> Result<()> {
        self.put(&format!("vhosts/{}", percent_encoded(name)), &json!({})).await?;
        self.set_permissions(name, "guest", [".*", ".*", ".*"]).await
    }

    /// Adds a user without any permission, or changes its password.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn add_user(&self, user: &str, password: &str) -> Result<()> {
        let body = json!({ "password": password, "tags": "" });
        self.put(&format!("users/{}", percent_encoded(user)), &body).await
    }

    /// Lets a user into a virtual host; the patterns say which names it may configure, write to and
    /// read from, in this order.
    ///
    /// # Errors
    ///
    /// When the server refuses, for example because it knows no such user.
    pub async fn set_permissions(
        &self,
        virtual_host: &str,
        user: &str,
        [configure, write, read]: [&str; 3],
    ) -> Result<()> {
        let path =
            format!("permissions/{}/{}", percent_encoded(virtual_host), percent_encoded(user));
        self.put(&path, &json!({ "configure": configure, "write": write, "read": read })).await
    }

    /// What a queue holds now. Each call runs `rabbitmqctl`, which takes about a second; a passive
    /// declare of [`crate::amqp::Client`] is quicker where `unacked` does not matter.
    ///
    /// Right after a restart a quorum queue's numbers are wrong for some seconds in RabbitMQ 3.10.
    ///
    /// # Errors
    ///
    /// When the server does not answer or has no such queue.
    pub async fn queue_counts(&self, virtual_host: &str, queue: &str) -> Result<QueueCounts> {
        let columns = ["messages_ready", "messages_unacknowledged", "consumers"];
        let row = self.queue_row(virtual_host, queue, &columns).await?;
        let count = |column: &str| {
            row[column].as_u64().with_context(|| format!("rabbitmqctl gave no {column} of {queue}"))
        };
        Ok(QueueCounts {
            ready: count("messages_ready")?,
            unacked: count("messages_unacknowledged")?,
            consumers: count("consumers")?,
        })
    }

    /// How many nodes of its cluster run, itself among them.
    pub(super) async fn cluster_size(&self) -> Result<usize> {
        let answer = self.ctl(&["--formatter=json", "cluster_status"]).await?;
        let status: Value =
            serde_json::from_slice(&answer).context("rabbitmqctl did not answer in JSON")?;
        let running = status["running_nodes"].as_array();
        Ok(running.context("rabbitmqctl gave no running nodes")?.len())
    }

    /// The name of the node that leads a quorum queue.
    pub(super) async fn queue_leader(&self, virtual_host: &str, queue: &str) -> Result<String> {
        let row = self.queue_row(virtual_host, queue, &["leader"]).await?;
        let leader = row["leader"].as_str().filter(|leader| leader.contains('@'));
        leader.map(str::to_owned).with_context(|| format!("the queue {queue} has no leader"))
    }

    /// What `rabbitmqctl` says about a queue.
    async fn queue_row(&self, virtual_host: &str, queue: &str, columns: &[&str]) -> Result<Value> {
        let arguments = ["--formatter=json", "list_queues", "--vhost", virtual_host, "name"];
        let answer = self.ctl(&[&arguments[..], columns].concat()).await?;
        let queues: Vec<Value> =
            serde_json::from_slice(&answer).context("rabbitmqctl did not answer in JSON")?;
        let row = queues.into_iter().find(|row| row["name"] == queue);
        row.with_context(|| format!("no queue {queue} in the virtual host {virtual_host}"))
    }

    /// Asks for a queue's counts again and again until they are as wanted, and returns them.
    ///
    /// # Errors
    ///
    /// When `timeout` passes first; the message has the last counts.
    pub async fn wait_for_counts(
        &self,
        virtual_host: &str,
        queue: &str,
        timeout: Duration,
        wanted: impl Fn(QueueCounts) -> bool,
    ) -> Result<QueueCounts> {
        let deadline = Instant::now() + timeout;
        loop {
            // Each question takes so long that nothing else needs to slow the loop down.
            let counts = self.queue_counts(virtual_host, queue).await?;
            if wanted(counts) {
                return Ok(counts);
            }
            if Instant::now() > deadline {
                bail!("the queue {queue} still has {counts:?} after {timeout:?}");
            }
        }
    }

    /// Closes every connection to a virtual host, as an operator can.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn close_connections(&self, virtual_host: &str) -> Result<()> {
        let arguments = ["close_all_connections", "--vhost", virtual_host, "closed by a test"];
        self.ctl(&arguments).await.map(drop)
    }

    /// Evaluates an Erlang expression in the server, for settings that no configuration has.
    ///
    /// # Errors
    ///
    /// When the server does not answer or the expression fails.
    pub async fn eval(&self, expression: &str) -> Result<()> {
        self.ctl(&["eval", expression]).await.map(drop)
    }

    /// Waits until what was declared is on the disk. With Mnesia, RabbitMQ answers a declare before
    /// that, and a server killed within the next seconds comes back without the queue. Khepri, which
    /// has taken Mnesia's place in RabbitMQ 4, answers after it.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn sync_declarations(&self) -> Result<()> {
        self.eval("mnesia:system_info(is_running) == no orelse mnesia:sync_log().").await
    }

    /// Runs `rabbitmqctl` and returns what it prints.
    async fn ctl(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = Command::new(&self.programs.ctl)
            .arg("--quiet")
            .args(arguments)
            .env_clear()
            .envs(self.environment())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run rabbitmqctl")?;
        ensure!(
            output.status.success(),
            "rabbitmqctl {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(output.stdout)
    }

    async fn put(&self, path: &str, body: &Value) -> Result<()> {
        let body = body.to_string();
        let request = format!(
            "PUT /api/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Basic {GUEST}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let address = (Ipv4Addr::LOCALHOST, self.ports.port(MANAGEMENT));
        let exchange = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer =
            exchange.await.with_context(|| format!("cannot reach the server to put {path}"))?;
        // 201 when it is new, 204 when it was there and has been changed.
        let done = answer.starts_with(b"HTTP/1.1 201 ") || answer.starts_with(b"HTTP/1.1 204 ");
        ensure!(
            done,
            "the server refused to put {path}: {}",
            String::from_utf8_lossy(&answer).lines().next().unwrap_or("no answer")
        );
        Ok(())
    }
}
