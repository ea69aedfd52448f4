//! Publishing and reading with pika, the Python client: what an ordinary producer sends.
//!
//! A program of another language and another author on the other side of the broker shows that the
//! product does not merely agree with itself. For what pika cannot say there is [`crate::amqp`].

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::setup;

const SCRIPT: &str = include_str!("pika.py");

/// A message as pika read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The body.
    pub body: Vec<u8>,
    /// Whether the message may have been delivered before.
    pub redelivered: bool,
    /// The properties that are set, by pika's names.
    pub properties: Value,
}

impl Received {
    /// The body as text, with the replacement character where it is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Publishes messages to a queue and returns when the broker has taken all of them.
///
/// `messages` is a JSON array of objects such as
/// `{"body": "text", "properties": {"content_type": "text/plain", "headers": {"n": 1}}}`; a body may
/// also be an array of byte values, and the properties have pika's names.
///
/// # Errors
///
/// When pika is missing, or the broker or the queue is, or pika does not like a message; the message
/// has the end of pika's own.
pub async fn publish(url: &str, queue: &str, messages: &Value) -> Result<()> {
    run("publish", &json!({ "url": url, "queue": queue, "messages": messages })).await?;
    Ok(())
}

/// Takes all waiting messages out of a queue.
///
/// # Errors
///
/// As [`publish`].
pub async fn drain(url: &str, queue: &str) -> Result<Vec<Received>> {
    read("drain", url, queue).await
}

/// Reads all waiting messages of a queue and puts them back, which marks them as redelivered.
///
/// # Errors
///
/// As [`publish`].
pub async fn peek(url: &str, queue: &str) -> Result<Vec<Received>> {
    read("peek", url, queue).await
}

async fn read(command: &str, url: &str, queue: &str) -> Result<Vec<Received>> {
    let answer = run(command, &json!({ "url": url, "queue": queue })).await?;
    let rows: Vec<Value> = serde_json::from_slice(&answer).context("pika.py wrote no JSON")?;
    let received = |row: Value| {
        let body = serde_json::from_value(row["body"].clone())?;
        let redelivered = serde_json::from_value(row["redelivered"].clone())?;
        anyhow::Ok(Received { body, redelivered, properties: row["properties"].clone() })
    };
    rows.into_iter()
        .map(received)
        .collect::<Result<_>>()
        .context("pika.py wrote JSON of another form")
}

async fn run(command: &str, request: &Value) -> Result<Vec<u8>> {
    let python = setup::python_with_pika()?;
    let mut child = Command::new(&python)
        .args(["-c", SCRIPT, command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", python.display()))?;
    let mut input = child.stdin.take().context("a child without an input")?;
    // The script reads all of its input before it writes anything.
    input.write_all(request.to_string().as_bytes()).await.context("cannot write to pika.py")?;
    drop(input);
    let output = child.wait_with_output().await.context("cannot wait for pika.py")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let reason = errors.lines().last().unwrap_or("no reason given");
    ensure!(output.status.success(), "pika.py {command} failed: {reason}");
    Ok(output.stdout)
}
