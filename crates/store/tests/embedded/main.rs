//! The embedded broker on real files.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod contract;
mod crashes;
mod model;
mod queues;
mod trouble;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use gristmill_broker::{Delivery, DeliveryToken, Received, Settlement, Source};
use gristmill_event::{BasicProperties, Message, RabbitMqMessage};
use gristmill_store::embedded::{
    EmbeddedBroker, EmbeddedSettings, EmbeddedSource, QueueCounts, QueueSettings,
};
use gristmill_testkit::wait::until;
use tokio::time::timeout;

/// Everything here is over in a moment; a disk on a busy machine may take longer.
const LONG: Duration = Duration::from_secs(60);

const QUEUE: &str = "orders";

const DEAD: &str = "dead";

/// Two queues, of which the second has the dead letters of the first.
fn settings(folder: &Path) -> EmbeddedSettings {
    let orders =
        QueueSettings { dead_letter_queue: Some(DEAD.to_owned()), ..QueueSettings::default() };
    let queues = [(QUEUE, orders), (DEAD, QueueSettings::default())];
    EmbeddedSettings {
        path: folder.join("queues.sqlite3"),
        queues: queues.into_iter().map(|(name, queue)| (name.to_owned(), queue)).collect(),
        bytes_max: 1 << 30,
        body_bytes_max: 1 << 20,
        consumes: true,
    }
}

/// With another first queue.
fn with(folder: &Path, orders: QueueSettings) -> EmbeddedSettings {
    let mut settings = settings(folder);
    settings.queues.insert(QUEUE.to_owned(), orders);
    settings
}

fn broker(folder: &Path) -> EmbeddedBroker {
    EmbeddedBroker::new(settings(folder)).unwrap()
}

fn message(body: &str) -> RabbitMqMessage {
    RabbitMqMessage { body: body.into(), ..RabbitMqMessage::default() }
}

fn with_properties(body: &str, properties: BasicProperties) -> RabbitMqMessage {
    RabbitMqMessage { properties, ..message(body) }
}

async fn publish(broker: &EmbeddedBroker, bodies: &[&str]) {
    let messages = bodies.iter().map(|body| message(body)).collect();
    broker.publish(QUEUE, messages).await.unwrap();
}

async fn subscribed(broker: &EmbeddedBroker, queue: &str, prefetch: u16) -> EmbeddedSource {
    let mut source = broker.source(queue, prefetch);
    source.subscribe().await.unwrap();
    source
}

async fn take(source: &mut EmbeddedSource, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        match timeout(LONG, source.receive()).await.unwrap() {
            Ok(Received::Delivery(delivery)) => taken.push(delivery),
            other => panic!("{other:?}"),
        }
    }
    taken
}

async fn settle(source: &mut EmbeddedSource, settlement: Settlement<'_>, taken: &[Delivery]) {
    let tokens: Vec<DeliveryToken> = taken.iter().map(|delivery| delivery.token).collect();
    assert_eq!(source.settle(settlement, &tokens).await.sent, taken.len());
}

fn body(delivery: &Delivery) -> &str {
    str::from_utf8(delivery.message.body()).unwrap()
}

fn bodies(taken: &[Delivery]) -> Vec<&str> {
    taken.iter().map(body).collect()
}

/// What says how often each was handed out.
fn seen(taken: &[Delivery]) -> Vec<(&str, bool, u32)> {
    let seen = |delivery| (body(delivery), delivery.message.redelivered(), delivery.returns.all);
    taken.iter().map(seen).collect()
}

fn properties(delivery: &Delivery) -> &BasicProperties {
    match &delivery.message {
        Message::RabbitMq(message) => &message.properties,
        Message::ActiveMq(_) => panic!("another broker's message"),
    }
}

async fn wait_for(broker: &EmbeddedBroker, queue: &str, ready: u64, unsettled: u64) {
    let wanted = QueueCounts { ready, unsettled };
    until(LONG, async || broker.counts(queue).await.unwrap() == wanted).await;
}

/// Everything that is ready on a queue, which stays there.
async fn ready(broker: &EmbeddedBroker, queue: &str) -> Vec<String> {
    let ready = broker.counts(queue).await.unwrap().ready;
    let mut source = subscribed(broker, queue, u16::MAX).await;
    let taken = take(&mut source, usize::try_from(ready).unwrap()).await;
    source.close().await;
    taken.iter().map(|delivery| body(delivery).to_owned()).collect()
}

/// How large a folder's files are, by their names.
fn files(folder: &Path) -> BTreeMap<String, u64> {
    let files = folder.read_dir().unwrap().map(Result::unwrap);
    files
        .map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len()))
        .collect()
}
