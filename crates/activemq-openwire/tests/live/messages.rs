//! What one side sends arrives equal at the other.

use std::collections::BTreeMap;
use std::time::SystemTime;

use activemq_openwire::structures::{Destination, MessageKind};
use activemq_openwire::{Body, Limits, Outgoing, Value};
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms;

use crate::support::{PATIENCE, TEXT, body, connected, consumer, line, next, producer, text};
use crate::values::{
    assert_same, bits, of_java, of_java_in_properties, of_java_in_streams, our_map, ours,
};

const LARGE: usize = 5_000_000;

/// What begins every object that Java has serialized (Java Object Serialization Specification, 6.4.2).
const SERIALIZED: &[u8] = &[0xAC, 0xED, 0, 5];

/// A body of each kind, larger than what is not worth a compression.
pub(crate) fn of_every_kind() -> [jms::Body; 7] {
    [
        jms::Body::Text(Some(TEXT.repeat(100))),
        jms::Body::Text(None),
        jms::Body::Bytes((0..=255).cycle().take(5_000).collect()),
        jms::Body::Map(of_java()),
        jms::Body::Stream(of_java_in_streams()),
        jms::Body::Object(jms::Value::Text(TEXT.repeat(100))),
        jms::Body::Nothing,
    ]
}

#[track_caller]
fn assert_same_body(received: &Body, sent: &jms::Body) {
    match (received, sent) {
        (Body::Text(received), jms::Body::Text(sent)) => {
            assert_eq!(received.as_ref().map(|text| text.to_str().into_owned()), *sent);
        }
        (Body::Bytes(received), jms::Body::Bytes(sent)) => assert_eq!(received, sent),
        (Body::Map(received), jms::Body::Map(sent)) => assert_same(received, &our_map(sent)),
        (Body::Stream(received), jms::Body::Stream(sent)) => {
            let received: Vec<_> = received.iter().map(bits).collect();
            assert_eq!(received, sent.iter().map(|value| bits(&ours(value))).collect::<Vec<_>>());
        }
        (Body::Object(Some(received)), jms::Body::Object(_)) => {
            assert!(received.starts_with(SERIALIZED));
        }
        (Body::Plain, jms::Body::Nothing) => {}
        (received, sent) => panic!("{received:?} is not {sent:?}"),
    }
}

#[tokio::test]
async fn every_kind_and_every_value_that_java_sends_arrives_equal() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let bodies = of_every_kind();
    let messages = bodies.clone().map(|body| jms::Message {
        properties: of_java_in_properties(),
        ..jms::Message::new(body)
    });
    let mut peer = server.peer().await.unwrap();
    peer.send(&queue, &messages).await.unwrap();
    peer.send_compressed(&queue, &messages).await.unwrap();

    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 100).await;
    for (number, sent) in bodies.iter().chain(&bodies).enumerate() {
        let delivery = next(&mut consumer).await;
        let message = &delivery.message;
        assert_same_body(&body(message), sent);
        let properties = message.properties(&Limits::default()).unwrap();
        assert_same(&properties, &our_map(&of_java_in_properties()));
        let has_content = message.kind != MessageKind::Plain && *sent != jms::Body::Text(None);
        assert_eq!(message.compressed, number >= bodies.len() && has_content, "{sent:?}");
        consumer.ack(delivery.tag).await.unwrap();
    }
    client.close().await;
}

#[tokio::test]
async fn bodies_of_five_megabytes_pass_both_ways() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let large_text = "größer ".repeat(LARGE / 9);
    let large_bytes: Vec<u8> = (0..=255).cycle().take(LARGE).collect();
    let mut peer = server.peer().await.unwrap();
    let messages = [jms::Message::text(&*large_text), jms::Message::bytes(&*large_bytes)];
    peer.send(&queue, &messages).await.unwrap();
    peer.send_compressed(&queue, &messages).await.unwrap();
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 10).await;
    let back = server.test_queue().await.unwrap();
    let (producer, to) = (producer(&client).await, Destination::queue(&back));
    for _ in 0..2 {
        let (one, two) = (next(&mut consumer).await, next(&mut consumer).await);
        assert!(text(&one) == large_text);
        assert!(body(&two.message) == Body::Bytes(large_bytes.clone().into()));
        for delivery in [one, two] {
            consumer.ack(delivery.tag).await.unwrap();
            producer.forward(&to, *delivery.message).await.unwrap();
        }
    }
    let now = SystemTime::now();
    producer.send(&to, Outgoing::text(&large_text, now)).await.unwrap();
    producer.send(&to, Outgoing::bytes(large_bytes.clone(), now)).await.unwrap();
    // Forwarded as it came, forwarded with its compression, and made here.
    for is_compressed in [false, true, false] {
        let received = peer.take(&back, 2, PATIENCE).await.unwrap();
        assert!(received[0].text() == Some(&large_text));
        assert!(received[1].body == jms::Body::Bytes(large_bytes.clone()));
        assert_eq!([received[0].compressed, received[1].compressed], [is_compressed; 2]);
    }
    client.close().await;
}

#[tokio::test]
async fn every_kind_and_every_value_that_we_send_java_receives_equal() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let (producer, to) = (producer(&client).await, Destination::queue(&queue));
    let now = SystemTime::now();
    // Beyond what Java lets its users set, it takes bytes and characters from others.
    let properties = our_map(&of_java());
    let stream: Vec<Value> = of_java_in_streams().iter().map(ours).collect();
    for body in [
        Body::Text(Some(TEXT.into())),
        Body::Text(None),
        Body::Bytes((0..=255).collect::<Vec<u8>>().into()),
        Body::Map(our_map(&of_java())),
        Body::Stream(stream),
        Body::Plain,
    ] {
        let properties = properties.clone();
        producer.send(&to, Outgoing { properties, ..Outgoing::new(body, now) }).await.unwrap();
    }
    let received = server.peer().await.unwrap().take(&queue, 6, PATIENCE).await.unwrap();
    let expected = [
        jms::Body::Text(Some(TEXT.to_owned())),
        jms::Body::Text(None),
        jms::Body::Bytes((0..=255).collect()),
        jms::Body::Map(of_java()),
        jms::Body::Stream(of_java_in_streams()),
        jms::Body::Nothing,
    ];
    for (message, sent) in received.iter().zip(&expected) {
        // Compared as text, because a NaN differs from itself.
        assert_eq!(format!("{:?}", message.body), format!("{sent:?}"));
        let properties = format!("{:?}", message.properties);
        assert_eq!(properties, format!("{:?}", of_java()));
    }
    client.close().await;
}

/// Each with what of it is compressed if the sender compresses.
fn of_nothing() -> [(jms::Body, bool); 6] {
    [
        (jms::Body::Text(Some(String::new())), true),
        (jms::Body::Text(None), false),
        // A length of 0, and Java's buffer of zeros behind it.
        (jms::Body::Bytes(Vec::new()), true),
        (jms::Body::Map(BTreeMap::new()), false),
        (jms::Body::Stream(Vec::new()), false),
        (jms::Body::Object(jms::Value::Null), false),
    ]
}

#[tokio::test]
async fn nothing_of_each_kind_stays_nothing_of_that_kind_both_ways() {
    let server = ActiveMqServer::shared().await.unwrap();
    let (queue, back) = (server.test_queue().await.unwrap(), server.test_queue().await.unwrap());
    let messages = of_nothing().map(|(body, _)| jms::Message::new(body));
    let mut peer = server.peer().await.unwrap();
    peer.send(&queue, &messages).await.unwrap();
    peer.send_compressed(&queue, &messages).await.unwrap();
    let client = connected(server).await;
    let (mut consumer, producer) = (consumer(&client, &queue, 20).await, producer(&client).await);
    for compresses in [false, true] {
        for (sent, can_be_compressed) in of_nothing() {
            let message = next(&mut consumer).await.message;
            let received = body(&message);
            if sent == jms::Body::Object(jms::Value::Null) {
                assert_eq!(received, Body::Object(None));
            } else {
                assert_same_body(&received, &sent);
            }
            assert_eq!(message.compressed, compresses && can_be_compressed, "{sent:?}");
            assert!(message.properties(&Limits::default()).unwrap().is_empty());
            let again = Outgoing::new(received, SystemTime::now());
            producer.send(&Destination::queue(&back), again).await.unwrap();
        }
    }
    let received = peer.take(&back, 2 * messages.len(), PATIENCE).await.unwrap();
    for (received, sent) in received.iter().zip(messages.iter().chain(&messages)) {
        assert_eq!(received.body, sent.body);
        assert!(received.properties.is_empty() && !received.compressed);
    }
    client.close().await;
}

/// A name that begins beyond the basic plane, or has a zero in it.
#[tokio::test]
async fn names_of_any_text_arrive_as_far_as_java_can_read_them() {
    let server = ActiveMqServer::shared().await.unwrap();
    let (queue, back) = (server.test_queue().await.unwrap(), server.test_queue().await.unwrap());
    let names = ["🦀", "a\0b", TEXT].map(|name| (name.to_owned(), jms::Value::Bool(true)));
    let map = BTreeMap::from(names);
    let message =
        jms::Message { properties: map.clone(), ..jms::Message::new(jms::Body::Map(map.clone())) };
    let mut peer = server.peer().await.unwrap();
    peer.send(&queue, &[message]).await.unwrap();
    let of_java = peer.browse(&queue).await.unwrap().remove(0);
    let client = connected(server).await;
    let (mut consumer, producer) = (consumer(&client, &queue, 1).await, producer(&client).await);
    let message = next(&mut consumer).await.message;
    let properties = message.properties(&Limits::default()).unwrap();
    let body = body(&message);
    assert_same_body(&body, &jms::Body::Map(map.clone()));
    assert_same(&properties, &our_map(&map));
    let ours = Outgoing { properties, ..Outgoing::new(body, SystemTime::now()) };
    producer.send(&Destination::queue(&back), ours).await.unwrap();
    let ours = peer.take(&back, 1, PATIENCE).await.unwrap().remove(0);
    // The bytes are those that Java writes, so it reads them as it reads its own.
    assert_eq!((&ours.properties, &ours.body), (&of_java.properties, &of_java.body));
    // From 6 on Java's client takes its modified UTF-8 for UTF-8 where it reads a name.
    assert_eq!(ours.properties == map, line(server) < (6, 0), "{:?}", ours.properties);
    client.close().await;
}
