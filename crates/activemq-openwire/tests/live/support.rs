//! What the live tests share: brokers, a client, and what it sends and gets.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use activemq_openwire::client::{
    Address, Client, ClientSettings, Connector, Consumer, Producer, RequestError,
};
use activemq_openwire::connection::{ConsumerOptions, Delivery};
use activemq_openwire::structures::{Destination, Message};
use activemq_openwire::{Body, Limits, Outgoing, Text};
use gristmill_testkit::activemq::{ActiveMqServer, QueueCounts};
use gristmill_testkit::jms;
use gristmill_testkit::wait::until;
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Beyond the basic plane, and a zero in the middle.
pub(crate) const TEXT: &str = "zwölf 🦀 \0 Boxkämpfer";

/// The release line, as in `(5, 17)`.
pub(crate) fn line(server: &ActiveMqServer) -> (u32, u32) {
    let version = server.version().unwrap();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

pub(crate) fn settings(server: &ActiveMqServer) -> ClientSettings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("live-{}-{number}", std::process::id());
    ClientSettings::new(&name, Address::parse(&server.url()).unwrap())
}

pub(crate) async fn connected(server: &ActiveMqServer) -> Client {
    Connector::new(settings(server)).connect().await.unwrap()
}

/// Like [`connected`], with a short inactivity.
pub(crate) async fn impatient(server: &ActiveMqServer, inactivity: Duration) -> Client {
    let settings = ClientSettings { inactivity, ..settings(server) };
    Connector::new(settings).connect().await.unwrap()
}

/// The address of a proxy, or of anything else on loopback.
pub(crate) fn at_port(port: u16) -> Vec<Address> {
    vec![Address { host: "127.0.0.1".to_owned(), port, tls: false }]
}

pub(crate) async fn consumer(client: &Client, queue: &str, prefetch: u16) -> Consumer {
    try_consumer(client, queue, prefetch).await.unwrap()
}

pub(crate) async fn try_consumer(
    client: &Client,
    queue: &str,
    prefetch: u16,
) -> Result<Consumer, RequestError> {
    let options = ConsumerOptions::new(Destination::queue(queue), prefetch);
    client.session().await?.consumer(&options).await
}

pub(crate) async fn producer(client: &Client) -> Producer {
    client.session().await.unwrap().producer().await.unwrap()
}

pub(crate) async fn try_send(client: &Client, queue: &str) -> Result<(), RequestError> {
    let message = Outgoing::text("1", SystemTime::now());
    producer(client).await.send(&Destination::queue(queue), message).await.map(drop)
}

pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(PATIENCE, consumer.receive()).await.unwrap().unwrap()
}

pub(crate) async fn take(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for _ in 0..count {
        deliveries.push(next(consumer).await);
    }
    deliveries
}

pub(crate) fn body(message: &Message) -> Body {
    message.body(&Limits::default()).unwrap()
}

pub(crate) fn text(delivery: &Delivery) -> String {
    let body = body(&delivery.message);
    if let Body::Text(Some(text)) = &body {
        text.to_str().into_owned()
    } else {
        format!("{body:?}")
    }
}

pub(crate) fn shown(text: Option<&Text>) -> Option<String> {
    text.map(ToString::to_string)
}

/// Messages whose texts count from 0.
pub(crate) fn numbers(count: usize) -> Vec<jms::Message> {
    (0..count).map(|number| jms::Message::text(number.to_string())).collect()
}

/// Sends such messages, not by Java's client, which takes its time to start.
pub(crate) async fn send_numbers(server: &ActiveMqServer, queue: &str, count: usize) {
    let client = connected(server).await;
    let (producer, to) = (producer(&client).await, Destination::queue(queue));
    for number in 0..count {
        let message = Outgoing::text(&number.to_string(), SystemTime::now());
        producer.send(&to, message).await.unwrap();
    }
    client.close().await;
}

pub(crate) async fn wait_until_held(server: &ActiveMqServer, queue: &str, messages: u64) {
    let holds = |counts: QueueCounts| counts.messages == messages;
    server.wait_for_counts(queue, PATIENCE, holds).await.unwrap();
}

/// The messages that a queue still holds, once its consumers are gone.
pub(crate) async fn left(server: &ActiveMqServer, queue: &str) -> Vec<String> {
    let count = server.queue_counts(queue).await.unwrap().messages;
    let client = connected(server).await;
    let mut browser = browser(&client, queue).await;
    let messages = take(&mut browser, usize::try_from(count).unwrap()).await;
    client.close().await;
    messages.iter().map(text).collect()
}

/// A consumer that takes nothing away.
pub(crate) async fn browser(client: &Client, queue: &str) -> Consumer {
    let options = ConsumerOptions::new(Destination::queue(queue), 500);
    let options = ConsumerOptions { browses: true, ..options };
    client.session().await.unwrap().consumer(&options).await.unwrap()
}

/// Milliseconds since 1970, as messages have them.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Waits until a message has expired by this machine's clock, which is the broker's too.
pub(crate) async fn wait_until_after(millis: i64) {
    until(PATIENCE, async || now() > millis).await;
}

/// An error as a log shows it, with all that caused it.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}
