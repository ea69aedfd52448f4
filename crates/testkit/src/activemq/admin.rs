//! Administration of a test server: queues, what they hold, and who is connected.
//!
//! Questions go to a socket of our program in the server's process, a line of JSON each. An answer
//! takes about a millisecond and is what the broker itself counts with, never an old number.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ADMIN, ActiveMqServer};

/// A frozen server would never answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a closed consumer may take to be gone.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two questions that are asked until the answer is as wanted, to leave the server its core.
const PAUSE: Duration = Duration::from_millis(10);

/// What a queue holds at one moment, and what has gone through it since the server's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages that the queue holds, those given to consumers and not acknowledged included.
    pub messages: u64,
    /// Messages given to consumers and not acknowledged: also those that a client has only taken in
    /// advance.
    pub in_flight: u64,
    /// Consumers subscribed.
    pub consumers: u64,
    /// Producers.
    pub producers: u64,
    /// Messages that have come in.
    pub enqueued: u64,
    /// Messages given to a consumer, again included.
    pub dispatched: u64,
    /// Messages that have left: acknowledged, expired or moved to a dead-letter queue.
    pub dequeued: u64,
    /// Messages that have expired.
    pub expired: u64,
}

/// A consumer as the broker sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerState {
    /// The id of the client's connection.
    pub client_id: String,
    /// How many messages it wants in advance.
    pub prefetch: u64,
    /// How many it has not acknowledged.
    pub in_flight: u64,
}

impl ActiveMqServer {
    /// Makes a queue that no other test has, and returns its name.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn test_queue(&self) -> Result<String> {
        let number = self.queues_made.fetch_add(1, Ordering::Relaxed);
        let name = format!("test.{number}");
        self.create_queue(&name).await?;
        Ok(name)
    }

    /// Makes a queue, as the first use of it would.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn create_queue(&self, queue: &str) -> Result<()> {
        self.ask("create", queue).await.map(drop)
    }

    /// Removes a queue with all that it holds, as soon as its consumers have left, which the server may
    /// not know yet of one that is closed.
    ///
    /// # Errors
    ///
    /// When the server refuses, for example because the queue still has consumers after ten seconds.
    pub async fn delete_queue(&self, queue: &str) -> Result<()> {
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        loop {
            match self.ask("delete", queue).await {
                Err(refused)
                    if refused.to_string().contains("active subscription")
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer.map(drop),
            }
        }
    }

    /// Removes the messages of a queue that no consumer has.
    ///
    /// # Errors
    ///
    /// When there is no such queue.
    pub async fn purge(&self, queue: &str) -> Result<()> {
        self.ask("purge", queue).await.map(drop)
    }

    /// The names of all queues but temporary ones.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn queues(&self) -> Result<Vec<String>> {
        let names = self.ask("queues", "").await?;
        serde_json::from_value(names).context("the server gave no names of queues")
    }

    /// What a queue holds now.
    ///
    /// # Errors
    ///
    /// When the server does not answer or has no such queue.
    pub async fn queue_counts(&self, queue: &str) -> Result<QueueCounts> {
        let answer = self.ask("counts", queue).await?;
        Ok(QueueCounts {
            messages: number(&answer, "messages")?,
            in_flight: number(&answer, "inFlight")?,
            consumers: number(&answer, "consumers")?,
            producers: number(&answer, "producers")?,
            enqueued: number(&answer, "enqueued")?,
            dispatched: number(&answer, "dispatched")?,
            dequeued: number(&answer, "dequeued")?,
            expired: number(&answer, "expired")?,
        })
    }

    /// Asks for a queue's counts again and again until they are as wanted, and returns them.
    ///
    /// # Errors
    ///
    /// When `timeout` passes first; the message has the last counts.
    pub async fn wait_for_counts(
        &self,
        queue: &str,
        timeout: Duration,
        wanted: impl Fn(QueueCounts) -> bool,
    ) -> Result<QueueCounts> {
        let deadline = Instant::now() + timeout;
        loop {
            let counts = self.queue_counts(queue).await?;
            if wanted(counts) {
                return Ok(counts);
            }
            if Instant::now() > deadline {
                bail!("the queue {queue} still has {counts:?} after {timeout:?}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The consumers of a queue.
    ///
    /// # Errors
    ///
    /// When the server does not answer or has no such queue.
    pub async fn consumers(&self, queue: &str) -> Result<Vec<ConsumerState>> {
        let answer = self.ask("consumers", queue).await?;
        let rows = answer.as_array().context("the server gave no list of consumers")?;
        let consumer = |row: &Value| {
            Ok(ConsumerState {
                client_id: row["clientId"].as_str().unwrap_or_default().to_owned(),
                prefetch: number(row, "prefetch")?,
                in_flight: number(row, "inFlight")?,
            })
        };
        rows.iter().map(consumer).collect()
    }

    /// Asks the consumers of a queue to close, as a broker does with those that are too slow.
    ///
    /// # Errors
    ///
    /// When the server does not answer or has no such queue.
    pub async fn close_consumers(&self, queue: &str) -> Result<()> {
        self.ask("closeConsumers", queue).await.map(drop)
    }

    /// How many connections there are.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn connections(&self) -> Result<u64> {
        let answer = self.ask("connections", "").await?;
        answer.as_u64().context("the server gave no number of connections")
    }

    /// Closes every connection, as an operator can.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn close_connections(&self) -> Result<()> {
        self.ask("closeConnections", "").await.map(drop)
    }

    async fn ask(&self, what: &str, queue: &str) -> Result<Value> {
        let question = json!({ "do": what, "queue": queue }).to_string() + "\n";
        let exchange = async {
            let mut stream =
                TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.port(ADMIN))).await?;
            stream.write_all(question.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .with_context(|| format!("the server does not answer: {what} {queue}"))?
            .with_context(|| format!("cannot ask the server: {what} {queue}"))?;
        let mut answer: Value = serde_json::from_str(&answer)
            .with_context(|| format!("the server gave no answer to {what} {queue}"))?;
        match answer["error"].as_str() {
            Some(error) => bail!("the server refuses to {what} {queue}: {error}"),
            None => Ok(answer["ok"].take()),
        }
    }
}

fn number(answer: &Value, name: &str) -> Result<u64> {
    // A count that is taken while it changes may be below zero for a moment.
    let number = answer[name].as_i64().with_context(|| format!("the server gave no {name}"))?;
    Ok(u64::try_from(number).unwrap_or(0))
}
