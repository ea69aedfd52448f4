//! Java's client as a peer: what it sends arrives as it was, and it tells how it came.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms::{Body, Login, Message, Mode, Peer, Received, Value};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing has to come until nothing will.
const SILENCE: Duration = Duration::from_millis(300);

/// What can be in a property and everywhere else.
fn scalars() -> BTreeMap<String, Value> {
    let values = [
        ("bool", Value::Bool(true)),
        ("byte", Value::Byte(i8::MIN)),
        ("short", Value::Short(i16::MIN)),
        ("int", Value::Int(i32::MIN)),
        ("long", Value::Long(i64::MIN)),
        ("float", Value::Float(-1.1e-20)),
        ("float_max", Value::Float(f32::MAX)),
        ("double", Value::Double(0.1)),
        ("double_least", Value::Double(f64::from_bits(1))),
        ("infinite", Value::Double(f64::NEG_INFINITY)),
        ("string", Value::Text("zwölf 🦀 \0 \"\\ \u{7f}\n".to_owned())),
        ("empty", Value::Text(String::new())),
        ("null", Value::Null),
    ];
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What can be in a map.
fn values() -> BTreeMap<String, Value> {
    let mut values = scalars();
    values.insert("char".to_owned(), Value::Char(u16::from(b'c')));
    values.insert("bytes".to_owned(), Value::Bytes((0..=255).collect()));
    let list = vec![Value::Int(1), Value::Text("two".to_owned()), Value::List(vec![])];
    values.insert("list".to_owned(), Value::List(list));
    values.insert("map".to_owned(), Value::Map(scalars()));
    values
}

/// A message of each kind, and one of text without a text.
fn bodies() -> Vec<Body> {
    let stream = values().into_values().filter(|value| !matches!(value, Value::List(_)));
    let stream = stream.filter(|value| !matches!(value, Value::Map(_))).collect();
    vec![
        Body::Text(Some("zwölf 🦀 \0".to_owned())),
        Body::Text(None),
        Body::Bytes((0..=255).collect()),
        Body::Bytes(Vec::new()),
        Body::Map(values()),
        Body::Stream(stream),
        Body::Object(Value::List(vec![Value::Text("object".to_owned()), Value::Long(7)])),
        Body::Nothing,
    ]
}

async fn connected() -> (&'static ActiveMqServer, String, Peer) {
    let server = ActiveMqServer::shared().await.unwrap();
    (server, server.test_queue().await.unwrap(), server.peer().await.unwrap())
}

fn texts(received: &[Received]) -> Vec<&str> {
    received.iter().filter_map(Received::text).collect()
}

#[tokio::test]
async fn every_kind_arrives_with_every_type_of_property() {
    let (_, queue, mut peer) = connected().await;
    let message = |body| Message { properties: scalars(), ..Message::new(body) };
    let messages: Vec<_> = bodies().into_iter().map(message).collect();
    let ids = peer.send(&queue, &messages).await.unwrap();
    let received = peer.take(&queue, messages.len(), PATIENCE).await.unwrap();
    assert_eq!(received.len(), messages.len());
    for ((sent, id), received) in messages.iter().zip(&ids).zip(&received) {
        assert_eq!(received.body, sent.body);
        assert_eq!(received.properties, sent.properties);
        assert_eq!(&received.id, id);
        assert_eq!(received.destination, Some(format!("queue://{queue}")));
        assert!(!received.compressed && !received.redelivered && received.broker_in_time > 0);
    }
}

#[tokio::test]
async fn every_header_arrives() {
    let (_, queue, mut peer) = connected().await;
    let message = Message {
        correlation_id: Some("order 7".to_owned()),
        reply_to: Some("answers".to_owned()),
        message_type: Some("order.created".to_owned()),
        group: Some("customer-3".to_owned()),
        priority: 7,
        ttl: Duration::from_secs(600),
        persistent: false,
        ..Message::text("order")
    };
    let to_topic = Message { reply_to: Some("topic://news".to_owned()), ..Message::text("order") };
    peer.send(&queue, &[message, to_topic]).await.unwrap();
    let received = peer.take(&queue, 2, PATIENCE).await.unwrap();
    let header = received.iter().find(|message| message.priority == 7).unwrap();
    assert_eq!(header.correlation_id.as_deref(), Some("order 7"));
    assert_eq!(header.reply_to.as_deref(), Some("queue://answers"));
    assert_eq!(header.message_type.as_deref(), Some("order.created"));
    assert_eq!(header.group.as_deref(), Some("customer-3"));
    assert_eq!(header.expiration - header.timestamp, 600_000);
    assert!(!header.persistent);
    let other = received.iter().find(|message| message.priority == 4).unwrap();
    assert_eq!(other.reply_to.as_deref(), Some("topic://news"));
    assert_eq!((other.expiration, other.persistent), (0, true));
}

#[tokio::test]
async fn compressed_and_large_bodies_arrive_whole() {
    let (_, queue, mut peer) = connected().await;
    let messages: Vec<_> = bodies().into_iter().map(Message::new).collect();
    peer.send_compressed(&queue, &messages).await.unwrap();
    let received = peer.take(&queue, messages.len(), PATIENCE).await.unwrap();
    assert_eq!(received.len(), messages.len());
    for (sent, received) in messages.iter().zip(&received) {
        assert_eq!(received.body, sent.body);
        // Nothing is compressed where there is nothing.
        let has_content = !matches!(&sent.body, Body::Nothing | Body::Text(None));
        let is_empty = matches!(&sent.body, Body::Bytes(bytes) if bytes.is_empty());
        assert!(received.compressed == has_content || is_empty, "{:?}", sent.body);
    }

    let large: Vec<u8> = (0..8_u32 << 20).map(|number| number.to_le_bytes()[0]).collect();
    peer.send(&queue, &[Message::bytes(large.clone())]).await.unwrap();
    peer.send_compressed(&queue, &[Message::bytes(large.clone())]).await.unwrap();
    let received = peer.take(&queue, 2, PATIENCE).await.unwrap();
    assert!(received.iter().all(|message| message.body == Body::Bytes(large.clone())));
    assert_eq!(received.len(), 2);
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_and_counts() {
    let (server, queue, mut peer) = connected().await;
    let messages = ["a", "b", "c"].map(Message::text);
    peer.send(&queue, &messages).await.unwrap();

    let mut first = server.peer().await.unwrap();
    let consumer = first.subscribe(&queue, Mode::Individual, None).await.unwrap();
    for _ in 0..2 {
        first.receive(consumer, PATIENCE).await.unwrap().unwrap();
    }
    // This is for "b", the last of those received.
    first.acknowledge(consumer).await.unwrap();
    server.wait_for_counts(&queue, PATIENCE, |counts| counts.dequeued == 1).await.unwrap();
    first.kill9().await.unwrap();
    server.wait_for_counts(&queue, PATIENCE, |counts| counts.consumers == 0).await.unwrap();

    let consumer = peer.subscribe(&queue, Mode::Client, None).await.unwrap();
    let again = peer.receive(consumer, PATIENCE).await.unwrap().unwrap();
    assert_eq!(again.text(), Some("a"));
    assert!(again.redelivered && again.redelivery_counter == 1, "{again:?}");
    peer.recover(consumer).await.unwrap();
    let third = peer.receive(consumer, PATIENCE).await.unwrap().unwrap();
    assert_eq!((third.text(), third.redelivery_counter), (Some("a"), 2));
    peer.receive(consumer, PATIENCE).await.unwrap().unwrap();
    peer.acknowledge(consumer).await.unwrap();
    assert_eq!(peer.receive(consumer, Duration::ZERO).await.unwrap(), None);
    server.wait_for_counts(&queue, PATIENCE, |counts| counts.messages == 0).await.unwrap();
}

#[tokio::test]
async fn a_rolled_back_message_goes_to_the_dead_letter_queue_after_the_redeliveries() {
    let server = ActiveMqServer::start().await.unwrap();
    let mut peer = Peer::connect(&Login::to(server.url()).redeliveries(1)).await.unwrap();
    peer.send("orders", &[Message::text("bad")]).await.unwrap();
    let consumer = peer.subscribe("orders", Mode::Transacted, None).await.unwrap();
    for counter in 0..2 {
        let message = peer.receive(consumer, PATIENCE).await.unwrap().unwrap();
        assert_eq!(message.redelivery_counter, counter);
        peer.rollback(consumer).await.unwrap();
    }
    assert_eq!(peer.receive(consumer, SILENCE).await.unwrap(), None);
    let dead = peer.take("ActiveMQ.DLQ", 1, PATIENCE).await.unwrap();
    assert_eq!(texts(&dead), ["bad"]);
    assert!(dead[0].properties.contains_key("dlqDeliveryFailureCause"), "{dead:?}");
}

#[tokio::test]
async fn many_messages_are_sent_and_taken_at_once() {
    let (server, queue, mut peer) = connected().await;
    let filled = peer.fill(&queue, 2500, 100, true).await.unwrap();
    assert_eq!(filled.count, 2500);
    assert_eq!(server.queue_counts(&queue).await.unwrap().messages, 2500);
    assert_eq!(peer.browse(&queue).await.unwrap()[0].body, Body::Bytes(vec![b'x'; 100]));
    for (mode, count) in
        [(Mode::Auto, 500), (Mode::Client, 500), (Mode::Individual, 500), (Mode::Transacted, 1000)]
    {
        let consumer = peer.subscribe(&queue, mode, None).await.unwrap();
        let drained = peer.drain(consumer, count, PATIENCE).await.unwrap();
        assert_eq!(drained.count, count, "{mode:?}");
        peer.unsubscribe(consumer).await.unwrap();
    }
    server.wait_for_counts(&queue, PATIENCE, |counts| counts.messages == 0).await.unwrap();
    assert_eq!(peer.take(&queue, 1, Duration::ZERO).await.unwrap(), []);
    peer.close().await.unwrap();
}
