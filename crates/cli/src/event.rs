//! `gristmill event`: a sample event, ready for `gristmill invoke --event -`.
//!
//! The encoder is the host's own, so a handler sees here what it sees there. The same options give
//! the same event: nothing in it depends on the clock.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use gristmill_event::{
    ActiveMqMessage, BasicProperties, EVENT_BYTES_MAX, Envelope, HeaderValue, Message, MessageType,
    Profile, PropertyValue, RabbitMqMessage,
};

use crate::value::pair;
use crate::{answer, complain, exit};

/// The broker that the events come from.
const ARN: &str =
    "arn:aws:mq:us-east-1:000000000000:broker:sample:b-00000000-0000-0000-0000-000000000000";

/// When the sample messages were sent, in milliseconds since 1970.
const SENT_MS: i64 = 1_767_225_600_000;

const QUEUE: &str = "orders";
const VIRTUAL_HOST: &str = "/";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    broker: Broker,
}

#[derive(Debug, Subcommand)]
enum Broker {
    /// Messages from a RabbitMQ queue.
    #[command(name = "rabbitmq")]
    RabbitMq {
        #[command(flatten)]
        messages: Messages,
        /// The virtual host of the queue.
        #[arg(long, value_name = "NAME", default_value = VIRTUAL_HOST)]
        virtual_host: String,
        /// A header of every message, as text; may be repeated.
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        header: Vec<(String, String)>,
    },
    /// Messages from an ActiveMQ queue.
    #[command(name = "activemq")]
    ActiveMq {
        #[command(flatten)]
        messages: Messages,
        /// A property of every message, as text; may be repeated.
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        property: Vec<(String, String)>,
        /// How the event is spelled: as the Lambda guide has it, or as the live service sends it.
        #[arg(long, value_name = "PROFILE", default_value = "documented")]
        profile: ProfileName,
        /// Messages of bytes, not of text.
        #[arg(long)]
        bytes: bool,
    },
}

/// What messages of both brokers have.
#[derive(Debug, Args)]
struct Messages {
    /// The body of a message; repeat it for several messages. Without any, the messages are orders.
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Vec<String>,
    /// A file with the body of a message; `-` reads stdin. Repeat it for several messages.
    #[arg(long, value_name = "FILE")]
    body_file: Vec<PathBuf>,
    /// How many messages; the bodies are used in turn.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: Option<u32>,
    /// The queue.
    #[arg(long, value_name = "NAME", default_value = QUEUE)]
    queue: String,
    /// The id of the message; of several messages the first, second and so on get `-1`, `-2` …
    /// appended.
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProfileName {
    Documented,
    Observed,
}

/// Prints the event, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    match event(&arguments.broker) {
        Ok(event) => {
            answer(&format!("{event}\n"));
            exit::OK
        }
        Err(error) => {
            complain(&error);
            exit::CONFIGURATION
        }
    }
}

fn event(broker: &Broker) -> anyhow::Result<String> {
    match broker {
        Broker::RabbitMq { messages, virtual_host, header } => {
            let envelope = Envelope::rabbitmq(ARN, &messages.queue, virtual_host);
            let messages = messages.read()?.map(|sample| rabbitmq(sample, header));
            sized(&envelope, messages)
        }
        Broker::ActiveMq { messages, property, profile, bytes } => {
            let profile = match profile {
                ProfileName::Documented => Profile::Documented,
                ProfileName::Observed => Profile::Observed,
            };
            let envelope = Envelope::activemq(ARN, profile);
            let samples = messages.read()?;
            ensure!(
                *bytes || samples.bodies.iter().all(|body| str::from_utf8(body).is_ok()),
                "a body is not text in UTF-8; give --bytes for messages of bytes"
            );
            let message_type = if *bytes { MessageType::Bytes } else { MessageType::Text };
            let messages =
                samples.map(|sample| activemq(sample, &messages.queue, property, message_type));
            sized(&envelope, messages)
        }
    }
}

/// The event that handlers are called with when there is no other: one order from RabbitMQ.
pub(crate) fn sample() -> String {
    let message = rabbitmq(
        Sample { body: order(1), number: 1, id: Some("order-1".to_owned()), is_order: true },
        &[],
    );
    let envelope = Envelope::rabbitmq(ARN, QUEUE, VIRTUAL_HOST);
    envelope.encode([&message], envelope.event_bytes(1, envelope.record_bytes(&message)))
}

/// Encodes what the host would send at once, and refuses what it would not.
fn sized(envelope: &Envelope, messages: impl Iterator<Item = Message>) -> anyhow::Result<String> {
    let mut taken = Vec::new();
    let mut records_bytes = 0;
    for message in messages {
        records_bytes += envelope.record_bytes(&message);
        taken.push(message);
        ensure!(
            envelope.event_bytes(taken.len(), records_bytes) <= EVENT_BYTES_MAX,
            "the event would be larger than the {EVENT_BYTES_MAX} bytes that the host sends at once; \
             message {} no longer fits",
            taken.len()
        );
    }
    Ok(envelope.encode(&taken, envelope.event_bytes(taken.len(), records_bytes)))
}

/// A message before it is any broker's.
struct Sample {
    body: Vec<u8>,
    /// Counted from 1.
    number: u32,
    id: Option<String>,
    is_order: bool,
}

/// The messages to come.
struct Samples {
    /// Empty for orders.
    bodies: Vec<Vec<u8>>,
    id: Option<String>,
    count: u32,
    taken: u32,
}

impl Messages {
    fn read(&self) -> anyhow::Result<Samples> {
        let texts = self.body.iter().map(|body| Ok(body.clone().into_bytes()));
        let files = self.body_file.iter().map(|path| read(path));
        let bodies = texts.chain(files).collect::<anyhow::Result<Vec<_>>>()?;
        let stdins = self.body_file.iter().filter(|path| is_stdin(path)).count();
        ensure!(stdins <= 1, "stdin holds one body; give `--body-file -` once");
        let given = u32::try_from(bodies.len()).unwrap_or(u32::MAX);
        let count = self.count.unwrap_or(given.max(1));
        if count < given {
            bail!("--count {count} leaves out some of the {given} bodies");
        }
        Ok(Samples { bodies, id: self.message_id.clone(), count, taken: 0 })
    }
}

impl Iterator for Samples {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.taken == self.count {
            return None;
        }
        let place = usize::try_from(self.taken).unwrap_or(usize::MAX);
        self.taken += 1;
        let number = self.taken;
        let is_order = self.bodies.is_empty();
        let body = match place.checked_rem(self.bodies.len()).and_then(|i| self.bodies.get(i)) {
            Some(body) => body.clone(),
            None => order(number),
        };
        let id = match &self.id {
            Some(id) if self.count == 1 => Some(id.clone()),
            Some(id) => Some(format!("{id}-{number}")),
            None => is_order.then(|| format!("order-{number}")),
        };
        Some(Sample { body, number, id, is_order })
    }
}

/// What `plugins/order-totals` takes.
fn order(number: u32) -> Vec<u8> {
    let items = r#"{"sku":"A-1","quantity":2,"price_cents":1250},{"sku":"B-7","quantity":1,"price_cents":5}"#;
    format!(r#"{{"id":{number},"customer":"Ada","items":[{items}]}}"#).into_bytes()
}

fn rabbitmq(sample: Sample, headers: &[(String, String)]) -> Message {
    // As the host has them: in the order of their names, and of several with one name the last.
    let text = |value: &String| HeaderValue::LongString(value.clone().into_bytes());
    let headers: BTreeMap<_, _> =
        headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let properties = BasicProperties {
        content_type: sample.is_order.then(|| "application/json".to_owned()),
        headers: (!headers.is_empty()).then(|| headers.into_iter().collect()),
        delivery_mode: Some(2),
        message_id: sample.id,
        ..BasicProperties::default()
    };
    RabbitMqMessage { properties, redelivered: false, body: sample.body }.into()
}

fn activemq(
    sample: Sample,
    queue: &str,
    properties: &[(String, String)],
    message_type: MessageType,
) -> Message {
    let text = |value: &String| PropertyValue::String(value.clone());
    let number = sample.number;
    ActiveMqMessage {
        message_id: sample.id.unwrap_or_else(|| format!("ID:sample-1-{SENT_MS}-1:1:1:1:{number}")),
        message_type,
        persistent: true,
        priority: 4,
        destination: queue.into(),
        timestamp: SENT_MS,
        broker_in_time: SENT_MS,
        broker_out_time: SENT_MS + 1,
        properties: properties.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        body: sample.body.into(),
        ..ActiveMqMessage::default()
    }
    .into()
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if is_stdin(path) {
        let mut body = Vec::new();
        // More than fits into an event need not be read.
        let most = EVENT_BYTES_MAX as u64 + 1;
        io::stdin().take(most).read_to_end(&mut body).context("cannot read a body from stdin")?;
        return Ok(body);
    }
    fs::read(path).with_context(|| format!("cannot read the body {}", path.display()))
}
