//! Sending and receiving with JMS, ActiveMQ's own client for Java: what an ordinary producer sends.
//!
//! A [`Peer`] is one connection in a Java program (`java/Peer.java`) of its own, told what to do over
//! pipes, a line of JSON each. It starts in about half a second. By another language and other
//! authors, it shows that the product does not merely agree with itself.

mod message;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::activemq::installation;
use crate::certificates::Certificates;

pub use message::{Body, Message, Received, Value};

/// What a client needs to connect.
#[derive(Debug, Clone)]
pub struct Login {
    url: String,
    user: Option<(String, Password)>,
    tls: Option<Tls>,
    redeliveries: i32,
    is_fast: bool,
}

#[derive(Clone)]
struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("…")
    }
}

#[derive(Debug, Clone)]
struct Tls {
    ca: PathBuf,
    own: Option<(PathBuf, PathBuf)>,
}

impl Login {
    /// To a URL as JMS clients know it, such as `tcp://127.0.0.1:61616`, without user and password.
    pub fn to(url: impl Into<String>) -> Self {
        Self { url: url.into(), user: None, tls: None, redeliveries: 6, is_fast: false }
    }

    /// As a user.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.to_owned(), Password(password.to_owned())));
        self
    }

    /// In TLS, trusting an authority of tests only, with its client's certificate or without. The
    /// URL has to begin with `ssl:`.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates, with_certificate: bool) -> Self {
        let own = with_certificate.then(|| certificates.client());
        self.tls = Some(Tls { ca: certificates.ca(), own });
        self
    }

    /// How often the client lets a message come back before it has the broker move it to the
    /// dead-letter queue: 6 as usual, and below zero for ever. It does not wait in between.
    #[must_use]
    pub fn redeliveries(mut self, count: i32) -> Self {
        self.redeliveries = count;
        self
    }

    /// For figures rather than for tests: code that Java compiles for speed.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.is_fast = true;
        self
    }

    fn question(&self) -> Json {
        let tls = self.tls.as_ref().map(|tls| {
            let (certificate, key) = tls.own.clone().unzip();
            json!({ "ca": tls.ca, "certificate": certificate, "key": key })
        });
        let (user, password) = self.user.clone().unzip();
        json!({
            "do": "connect",
            "url": self.url,
            "user": user,
            "password": password.map(|Password(password)| password),
            "tls": tls,
            "redeliveries": self.redeliveries,
        })
    }
}

/// How a consumer acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The client does so, when the test asks for the next message or closes.
    Auto,
    /// [`Peer::acknowledge`] does so for everything received before as well.
    Client,
    /// [`Peer::acknowledge`] does so for the last message only.
    Individual,
    /// [`Peer::commit`] does so.
    Transacted,
}

/// A consumer of a [`Peer`], which has a session of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumer(u64);

/// How many messages were handled together, and how long that took by Java's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The number of messages.
    pub count: u64,
    /// From before the first to after the last.
    pub took: Duration,
}

/// A connection of Java's client. Dropping it kills the client; [`Peer::close`] says farewell to the
/// broker first.
///
/// Methods of it may be cancelled: an answer that comes too late is passed over.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Of the last question.
    number: u64,
}

impl Peer {
    /// Starts the client and connects it.
    ///
    /// # Errors
    ///
    /// When Java or ActiveMQ is missing and cannot be had, or when the broker refuses; the message
    /// has the client's own.
    pub async fn connect(login: &Login) -> Result<Self> {
        let installation = installation::installation()?;
        let mut child = Command::new(&installation.java)
            .args(["-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx512m"])
            .arg(if login.is_fast { "-XX:TieredStopAtLevel=4" } else { "-XX:TieredStopAtLevel=1" })
            .args(["-Djava.net.preferIPv4Stack=true"])
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=off"])
            .args(["-cp", &installation.class_path, "Peer"])
            .env_clear()
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", installation.java.display()))?;
        let input = child.stdin.take().context("a child without an input")?;
        let output = child.stdout.take().context("a child without an output")?;
        let output = BufReader::new(output).lines();
        let mut peer = Self { child, input, output, number: 0 };
        peer.ask(login.question()).await?;
        Ok(peer)
    }

    /// The client's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends messages to a queue, or to a topic as in `topic://name`, and returns their ids once the
    /// broker has taken all of them.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn send(&mut self, queue: &str, messages: &[Message]) -> Result<Vec<String>> {
        self.send_as(json!({ "queue": queue }), messages).await
    }

    /// Sends messages with bodies that the client compresses with zlib.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn send_compressed(
        &mut self,
        queue: &str,
        messages: &[Message],
    ) -> Result<Vec<String>> {
        self.send_as(json!({ "queue": queue, "compressed": true }), messages).await
    }

    async fn send_as(&mut self, mut question: Json, messages: &[Message]) -> Result<Vec<String>> {
        question["do"] = json!("send");
        question["messages"] = messages.iter().map(Message::to_json).collect();
        let ids = self.ask(question).await?;
        serde_json::from_value(ids).context("Peer.java gave no list of ids")
    }

    /// Sends many messages of bytes of one size, a thousand in a transaction, for benchmarks.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn fill(
        &mut self,
        queue: &str,
        count: u64,
        size: usize,
        persistent: bool,
    ) -> Result<Timing> {
        let question = json!({
            "do": "fill",
            "queue": queue,
            "count": count,
            "size": size,
            "persistent": persistent,
        });
        let took = self.ask(question).await?;
        Ok(Timing { count, took: millis(&took)? })
    }

    /// Subscribes a consumer with a session of its own. Without a prefetch it has the client's, which
    /// is 1,000 messages.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn subscribe(
        &mut self,
        queue: &str,
        mode: Mode,
        prefetch: Option<u32>,
    ) -> Result<Consumer> {
        let mode = match mode {
            Mode::Auto => "auto",
            Mode::Client => "client",
            Mode::Individual => "individual",
            Mode::Transacted => "transacted",
        };
        let question =
            json!({ "do": "subscribe", "queue": queue, "mode": mode, "prefetch": prefetch });
        let consumer = self.ask(question).await?;
        consumer.as_u64().map(Consumer).context("Peer.java gave no consumer")
    }

    /// Waits for a consumer's next message, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn receive(
        &mut self,
        consumer: Consumer,
        timeout: Duration,
    ) -> Result<Option<Received>> {
        let message = self.ask_consumer("receive", consumer, timeout, 1).await?;
        if message.is_null() { Ok(None) } else { Received::from_json(&message).map(Some) }
    }

    /// Takes messages without looking at them and acknowledges them, until there are `count` or
    /// none has come for `timeout`: one by one if the mode is [`Mode::Individual`], each hundred if it
    /// is [`Mode::Client`], all at the end if it is [`Mode::Transacted`].
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn drain(
        &mut self,
        consumer: Consumer,
        count: u64,
        timeout: Duration,
    ) -> Result<Timing> {
        self.take_all("drain", consumer, count, timeout).await
    }

    /// Takes messages of bytes as [`Peer::drain`] does in [`Mode::Client`], and makes AWS Lambda's event
    /// of each hundred and reads it before it acknowledges them: what a Java program would do in the
    /// host's place.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn handle(
        &mut self,
        consumer: Consumer,
        count: u64,
        timeout: Duration,
    ) -> Result<Timing> {
        self.take_all("handle", consumer, count, timeout).await
    }

    async fn take_all(
        &mut self,
        what: &str,
        consumer: Consumer,
        count: u64,
        timeout: Duration,
    ) -> Result<Timing> {
        let answer = self.ask_consumer(what, consumer, timeout, count).await?;
        let count = answer["count"].as_u64().context("Peer.java gave no count")?;
        Ok(Timing { count, took: millis(&answer["ms"])? })
    }

    /// Acknowledges what the consumer's mode says.
    ///
    /// # Errors
    ///
    /// When the connection is lost or nothing was received.
    pub async fn acknowledge(&mut self, consumer: Consumer) -> Result<()> {
        self.tell_consumer("acknowledge", consumer).await
    }

    /// Has what was received and not acknowledged delivered again, by the client itself.
    ///
    /// # Errors
    ///
    /// When the consumer is transacted.
    pub async fn recover(&mut self, consumer: Consumer) -> Result<()> {
        self.tell_consumer("recover", consumer).await
    }

    /// Commits a transacted consumer's session.
    ///
    /// # Errors
    ///
    /// When the connection is lost or the consumer is not transacted.
    pub async fn commit(&mut self, consumer: Consumer) -> Result<()> {
        self.tell_consumer("commit", consumer).await
    }

    /// Rolls a transacted consumer's session back.
    ///
    /// # Errors
    ///
    /// When the connection is lost or the consumer is not transacted.
    pub async fn rollback(&mut self, consumer: Consumer) -> Result<()> {
        self.tell_consumer("rollback", consumer).await
    }

    /// Ends a consumer and its session, which gives back what it has not acknowledged.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn unsubscribe(&mut self, consumer: Consumer) -> Result<()> {
        self.tell_consumer("unsubscribe", consumer).await
    }

    /// Reads a queue's messages and leaves them there.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn browse(&mut self, queue: &str) -> Result<Vec<Received>> {
        let messages = self.ask(json!({ "do": "browse", "queue": queue })).await?;
        let messages = messages.as_array().context("Peer.java gave no list of messages")?;
        messages.iter().map(Received::from_json).collect()
    }

    /// Takes `count` messages out of a queue, or those that there are when none has come for
    /// `patience`, and acknowledges them.
    ///
    /// # Errors
    ///
    /// When the broker refuses.
    pub async fn take(
        &mut self,
        queue: &str,
        count: usize,
        patience: Duration,
    ) -> Result<Vec<Received>> {
        let consumer = self.subscribe(queue, Mode::Client, None).await?;
        let mut messages = Vec::new();
        while messages.len() < count {
            let Some(message) = self.receive(consumer, patience).await? else { break };
            messages.push(message);
        }
        if !messages.is_empty() {
            self.acknowledge(consumer).await?;
        }
        self.unsubscribe(consumer).await?;
        Ok(messages)
    }

    /// Closes the connection in order and waits for the client's end.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn close(mut self) -> Result<()> {
        self.ask(json!({ "do": "close" })).await?;
        drop(self.input);
        self.child.wait().await.context("cannot wait for Peer.java")?;
        Ok(())
    }

    /// Kills the client as `kill -9` does, and waits for its end: the broker sees the connection
    /// break.
    ///
    /// # Errors
    ///
    /// When the client has ended already.
    pub async fn kill9(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill Peer.java")
    }

    async fn tell_consumer(&mut self, what: &str, consumer: Consumer) -> Result<()> {
        self.ask_consumer(what, consumer, Duration::ZERO, 0).await.map(drop)
    }

    async fn ask_consumer(
        &mut self,
        what: &str,
        Consumer(consumer): Consumer,
        timeout: Duration,
        count: u64,
    ) -> Result<Json> {
        let timeout = u64::try_from(timeout.as_millis()).context("a timeout without end")?;
        self.ask(json!({ "do": what, "consumer": consumer, "timeout": timeout, "count": count }))
            .await
    }

    async fn ask(&mut self, mut question: Json) -> Result<Json> {
        self.number += 1;
        question["number"] = json!(self.number);
        let what = question["do"].as_str().unwrap_or_default().to_owned();
        let line = question.to_string() + "\n";
        self.input.write_all(line.as_bytes()).await.context("cannot write to Peer.java")?;
        loop {
            let line = self.output.next_line().await.context("cannot read from Peer.java")?;
            let line = line.with_context(|| format!("Peer.java ended, asked to {what}"))?;
            let mut answer: Json =
                serde_json::from_str(&line).context("Peer.java wrote no JSON")?;
            // An earlier number is of a question whose asker has gone.
            if answer["number"] != self.number {
                continue;
            }
            return match answer["error"].as_str() {
                Some(error) => bail!("the JMS client cannot {what}: {error}"),
                None => Ok(answer["ok"].take()),
            };
        }
    }
}

fn millis(json: &Json) -> Result<Duration> {
    json.as_u64().map(Duration::from_millis).context("Peer.java gave no time")
}
