//! What the live tests share: a client, and what it sends and gets.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use activemq_openwire::client::{Address, Client, ClientSettings, Connector, Consumer, Producer};
use activemq_openwire::connection::{ConsumerOptions, Delivery};
use activemq_openwire::structures::{Destination, Message};
use activemq_openwire::{Body, Limits};
use gristmill_testkit::activemq::{ActiveMqServer, QueueCounts};
use gristmill_testkit::jms;
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Beyond the basic plane, and a zero in the middle.
pub(crate) const TEXT: &str = "zwölf 🦀 \0 Boxkämpfer";

pub(crate) fn settings(server: &ActiveMqServer) -> ClientSettings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("live-{}-{number}", std::process::id());
    ClientSettings::new(&name, Address::parse(&server.url()).unwrap())
}

pub(crate) async fn connected(server: &ActiveMqServer) -> Client {
    Connector::new(settings(server)).connect().await.unwrap()
}

pub(crate) async fn consumer(client: &Client, queue: &str, prefetch: u16) -> Consumer {
    let options = ConsumerOptions::new(Destination::queue(queue), prefetch);
    client.session().await.unwrap().consumer(&options).await.unwrap()
}

pub(crate) async fn producer(client: &Client) -> Producer {
    client.session().await.unwrap().producer().await.unwrap()
}

pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(PATIENCE, consumer.receive()).await.unwrap().unwrap()
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

pub(crate) async fn send_numbers(server: &ActiveMqServer, queue: &str, count: usize) {
    let messages: Vec<_> =
        (0..count).map(|number| jms::Message::text(number.to_string())).collect();
    server.peer().await.unwrap().send(queue, &messages).await.unwrap();
}

pub(crate) async fn wait_until_held(server: &ActiveMqServer, queue: &str, messages: u64) {
    let holds = |counts: QueueCounts| counts.messages == messages;
    server.wait_for_counts(queue, PATIENCE, holds).await.unwrap();
}
