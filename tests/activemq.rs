//! The whole with ActiveMQ: what is special about it, and that what holds with RabbitMQ holds here.

mod batching;
mod crashes;
mod dead_letters;
mod failures;
mod groups;
mod healing;
mod messages;
mod stopping;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gristmill_testkit::activemq::{ActiveMqServer, QueueCounts};
use gristmill_testkit::guests;
use gristmill_testkit::host::Host;
use gristmill_testkit::jms;
use serde_json::Value;

use crate::support::{GRISTMILL, LONG};

/// Where a broker puts what is given up.
const DEAD_LETTERS: &str = "ActiveMQ.DLQ";

/// Runs the host on a server, under the name `broker`, with these sections of configuration.
fn host_on(server: &ActiveMqServer, sections: &[String]) -> Host {
    host_with(server, "", sections)
}

/// The same with further lines for the broker.
fn host_with(server: &ActiveMqServer, broker: &str, sections: &[String]) -> Host {
    let url = server.url();
    let broker = format!("[broker.broker]\ntype = \"activemq\"\nurl = \"{url}\"\n{broker}\n");
    Host::start(Path::new(GRISTMILL), &(broker + &sections.concat())).unwrap()
}

/// The sections of the mapping `orders` of a queue to a guest, with further lines for function and
/// mapping.
fn mapping(queue: &str, guest: &str, function: &str, mapping: &str) -> String {
    mapping_named("orders", queue, guest, function, mapping)
}

/// The same under another name.
fn mapping_named(name: &str, queue: &str, guest: &str, function: &str, mapping: &str) -> String {
    let component = guests::component(guest);
    format!(
        "[function.{guest}-on-{name}]\ncomponent = {component:?}\n{function}\n\n[mapping.{name}]\n\
         broker = \"broker\"\nqueue = \"{queue}\"\nfunction = \"{guest}-on-{name}\"\n{mapping}\n\n"
    )
}

/// Has Java's client send texts, and returns the ids of the messages.
async fn send_texts(
    server: &ActiveMqServer,
    queue: &str,
    texts: impl IntoIterator<Item = impl Into<String>>,
) -> Vec<String> {
    let messages: Vec<_> = texts.into_iter().map(jms::Message::text).collect();
    server.peer().await.unwrap().send(queue, &messages).await.unwrap()
}

/// Waits until a queue holds so many messages, of which so many are given out.
async fn wait_for(server: &ActiveMqServer, queue: &str, messages: u64, in_flight: u64) {
    let wanted = (messages, in_flight);
    let holds = |counts: QueueCounts| (counts.messages, counts.in_flight) == wanted;
    server.wait_for_counts(queue, LONG, holds).await.unwrap();
}

/// The records of an event.
fn records(event: &str) -> Vec<Value> {
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["eventSource"], "aws:mq");
    event["messages"].as_array().unwrap().clone()
}

/// A record's body.
fn body(record: &Value) -> Vec<u8> {
    STANDARD.decode(record["data"].as_str().unwrap()).unwrap()
}

/// The bodies of an event, as text.
fn texts(event: &str) -> Vec<String> {
    records(event).iter().map(|record| String::from_utf8(body(record)).unwrap()).collect()
}
