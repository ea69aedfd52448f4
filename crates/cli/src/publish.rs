//! `gristmill publish`: puts messages on a queue of an embedded broker, beside a running host or without
//! one.
//!
//! What must never happen: a message that is said to be published and is not on the disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use gristmill::embedded::{
    BasicProperties, EmbeddedError, HeaderValue, Publisher, PublisherError, RabbitMqMessage,
};
use gristmill::with_drop_ins;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Runtime;

use crate::{ConfigArgument, answer, complain, exit};

/// How much goes into one transaction, which is synced once.
const GROUP_MESSAGES: usize = 1_000;
const GROUP_BYTES: usize = 4 << 20;

/// More than any event can hold; what is longer is refused before it fills the memory.
const LINE_BYTES_MAX: u64 = 8 << 20;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// The queue.
    queue: String,
    /// Files, each one message; `-` or none: stdin, which must not be empty.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The embedded broker, if there are several.
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// The message itself, in place of a file.
    #[arg(long, value_name = "TEXT", conflicts_with = "files")]
    body: Option<String>,
    /// Take every line for a message, as in NDJSON; empty ones are passed over.
    #[arg(long, conflicts_with = "body")]
    lines: bool,
    /// What the messages are, such as application/json.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// A header of every message.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The messages' identifier.
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Which request the messages belong to.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// 0 to 255; a higher one comes first, as far as the queue's `priority_max` goes.
    #[arg(long)]
    priority: Option<u8>,
    /// After how many milliseconds in the queue the messages expire.
    #[arg(long, value_name = "MS")]
    expiration: Option<u64>,
}

fn header(written: &str) -> Result<(String, String), String> {
    match written.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Publishes, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    // A dropped-in handler may name queues too.
    let config = match arguments.config.load() {
        Ok(config) => with_drop_ins(&config).0,
        Err(code) => return code,
    };
    let publisher = match Publisher::new(&config, arguments.broker.as_deref()) {
        Ok(publisher) => publisher,
        Err(error) => {
            let code = match error {
                PublisherError::DataDir { .. } => exit::FAILED,
                PublisherError::NoBroker(_)
                | PublisherError::NotEmbedded(_)
                | PublisherError::NotOne(_) => exit::CONFIGURATION,
            };
            complain(&error.into());
            return code;
        }
    };
    match publish(arguments, publisher) {
        Ok(()) => exit::OK,
        Err(error) => {
            let is_usage = matches!(error.downcast_ref(), Some(EmbeddedError::QueueMissing { .. }));
            complain(&error);
            if is_usage { exit::CONFIGURATION } else { exit::FAILED }
        }
    }
}

fn publish(arguments: &Arguments, publisher: Publisher) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("cannot start the threads for input and output")?;
    let progress = progress();
    let mut group = Group {
        publisher: &publisher,
        queue: &arguments.queue,
        properties: properties(arguments),
        messages: Vec::new(),
        bytes: 0,
        published: 0,
        runtime: &runtime,
        progress: &progress,
    };
    let done = read(arguments, &mut group).and_then(|()| group.send());
    let published = group.published;
    runtime.block_on(publisher.close());
    progress.finish_and_clear();
    if done.is_ok() || published > 0 {
        answer(&format!("published {published}\n"));
    }
    done
}

/// Every message, as its source gives it.
fn read(arguments: &Arguments, group: &mut Group<'_>) -> anyhow::Result<()> {
    if let Some(body) = &arguments.body {
        return group.add(body.clone().into_bytes());
    }
    let stdin_name = Path::new("-");
    let stdin = [stdin_name.to_owned()];
    let files = if arguments.files.is_empty() { &stdin[..] } else { &arguments.files };
    for file in files {
        let at = || format!("cannot read {}", file.display());
        let mut source = open(file).with_context(at)?;
        if !arguments.lines {
            let body = message(&mut source).with_context(at)?;
            ensure!(
                !body.is_empty() || file != stdin_name,
                "stdin is empty; an empty message is --body ''"
            );
            group.add(body)?;
            continue;
        }
        let mut number = 0_u64;
        while let Some(line) = line(&mut source).with_context(at)? {
            number += 1;
            ensure!(
                line.len() as u64 <= LINE_BYTES_MAX,
                "line {number} of {} is longer than any event",
                file.display()
            );
            if !line.trim_ascii().is_empty() {
                group.add(line)?;
            }
        }
    }
    Ok(())
}

fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(BufReader::new(File::open(file)?)))
}

fn message(source: &mut impl Read) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    source.take(LINE_BYTES_MAX + 1).read_to_end(&mut body)?;
    if body.len() as u64 > LINE_BYTES_MAX {
        bail!("it is longer than any event; is every line a message? then write --lines");
    }
    Ok(body)
}

/// The next line, without its end.
fn line(source: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    source.take(LINE_BYTES_MAX + 2).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        line.pop_if(|last| *last == b'\r');
    }
    Ok(Some(line))
}

/// Messages that are published together.
struct Group<'a> {
    publisher: &'a Publisher,
    queue: &'a str,
    properties: BasicProperties,
    messages: Vec<RabbitMqMessage>,
    bytes: usize,
    published: usize,
    runtime: &'a Runtime,
    progress: &'a ProgressBar,
}

impl Group<'_> {
    fn add(&mut self, body: Vec<u8>) -> anyhow::Result<()> {
        self.bytes += body.len();
        let properties = self.properties.clone();
        self.messages.push(RabbitMqMessage { properties, body, ..RabbitMqMessage::default() });
        if self.messages.len() >= GROUP_MESSAGES || self.bytes >= GROUP_BYTES {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> anyhow::Result<()> {
        let messages = std::mem::take(&mut self.messages);
        self.bytes = 0;
        let count = messages.len();
        if count > 0 {
            self.runtime.block_on(self.publisher.publish(self.queue, messages))?;
        }
        self.published += count;
        self.progress.inc(count as u64);
        Ok(())
    }
}

fn properties(arguments: &Arguments) -> BasicProperties {
    let header = |(name, value): &(String, String)| {
        (name.clone(), HeaderValue::LongString(value.as_str().into()))
    };
    let headers: Vec<_> = arguments.header.iter().map(header).collect();
    BasicProperties {
        content_type: arguments.content_type.clone(),
        headers: (!headers.is_empty()).then_some(headers),
        delivery_mode: Some(2),
        priority: arguments.priority,
        correlation_id: arguments.correlation_id.clone(),
        expiration: arguments.expiration.map(|ms| ms.to_string()),
        message_id: arguments.message_id.clone(),
        ..BasicProperties::default()
    }
}

fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} published, {per_sec}");
    ProgressBar::no_length()
        .with_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_spinner()))
}
