//! What one side sends arrives equal at the other.

use std::time::{Duration, SystemTime};

use activemq_openwire::structures::{Destination, MessageKind};
use activemq_openwire::{Body, Limits, Outgoing, PrimitiveMap, Value};
use gristmill_testkit::activemq::{ActiveMqServer, Settings};
use gristmill_testkit::jms;

use crate::support::{PATIENCE, TEXT, body, connected, consumer, next, producer, text};
use crate::values::{
    assert_same, bits, of_java, of_java_in_properties, of_java_in_streams, our_map, ours,
};

const LARGE: usize = 5_000_000;

/// What begins every object that Java has serialized (Java Object Serialization Specification, 6.4.2).
const SERIALIZED: &[u8] = &[0xAC, 0xED, 0, 5];

/// A body of each kind, larger than what is not worth a compression.
fn of_every_kind() -> [jms::Body; 7] {
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
async fn every_field_that_java_sets_arrives() {
    let told = Settings::new().user("app", "secret", "apps").broker("populateJMSXUserID", "true");
    let server = ActiveMqServer::start_with(&told).await.unwrap();
    let login = activemq_openwire::connection::Login::new("app", "secret");
    let mut peer = server.peer_as("app", "secret").await.unwrap();
    let full = jms::Message {
        correlation_id: Some(TEXT.to_owned()),
        reply_to: Some("topic://answers".to_owned()),
        message_type: Some("order.created".to_owned()),
        group: Some("g".to_owned()),
        priority: 9,
        ttl: Duration::from_secs(600),
        ..jms::Message::text("full")
    };
    let plain = jms::Message { persistent: false, ..jms::Message::text("plain") };
    let ids = peer.send("orders", &[full.clone(), plain]).await.unwrap();

    let settings = activemq_openwire::client::ClientSettings {
        login: Some(login),
        ..crate::support::settings(&server)
    };
    let client = activemq_openwire::client::Connector::new(settings).connect().await.unwrap();
    let mut consumer = consumer(&client, "orders", 10).await;
    let mut received = [next(&mut consumer).await, next(&mut consumer).await];
    received.sort_by_key(text);
    let [full_one, plain_one] = received.map(|delivery| delivery.message);
    let shown = |text: &Option<activemq_openwire::Text>| text.as_ref().map(ToString::to_string);
    assert_eq!(shown(&full_one.correlation_id), full.correlation_id);
    assert_eq!(full_one.reply_to, Some(Destination::topic("answers")));
    assert_eq!(shown(&full_one.r#type), full.message_type);
    assert_eq!((shown(&full_one.group_id), full_one.group_sequence), (full.group, 0));
    assert!(full_one.jms_x_group_first_for_consumer);
    assert_eq!((full_one.priority, full_one.persistent), (9, true));
    assert_eq!(full_one.expiration - full_one.timestamp, 600_000);
    assert_eq!(shown(&full_one.user_id).as_deref(), Some("app"));
    assert!(full_one.broker_in_time <= full_one.broker_out_time && full_one.broker_in_time > 0);
    assert_eq!(full_one.message_id.as_ref().unwrap().to_string(), ids[0]);
    assert_eq!((plain_one.priority, plain_one.persistent, plain_one.expiration), (4, false, 0));
    assert_eq!((plain_one.correlation_id, plain_one.reply_to), (None, None));
    assert_eq!(plain_one.message_id.as_ref().unwrap().to_string(), ids[1]);
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
    for _ in 0..2 {
        let (one, two) = (next(&mut consumer).await, next(&mut consumer).await);
        assert!(text(&one) == large_text);
        assert!(body(&two.message) == Body::Bytes(large_bytes.clone().into()));
        for delivery in [one, two] {
            consumer.ack(delivery.tag).await.unwrap();
        }
    }
    consumer.close().await.unwrap();

    let (producer, to) = (producer(&client).await, Destination::queue(&queue));
    let now = SystemTime::now();
    producer.send(&to, Outgoing::text(&large_text, now)).await.unwrap();
    producer.send(&to, Outgoing::bytes(large_bytes.clone(), now)).await.unwrap();
    let received = peer.take(&queue, 2, PATIENCE).await.unwrap();
    assert!(received[0].text() == Some(&large_text));
    assert!(received[1].body == jms::Body::Bytes(large_bytes));
    client.close().await;
}

#[tokio::test]
async fn every_kind_and_every_value_that_we_send_java_receives_equal() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let (producer, to) = (producer(&client).await, Destination::queue(&queue));
    let now = SystemTime::now();
    let properties = our_map(&of_java_in_properties());
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
        assert_eq!(properties, format!("{:?}", of_java_in_properties()));
    }
    client.close().await;
}

#[tokio::test]
async fn every_field_that_we_set_java_sees() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let producer = producer(&client).await;
    let mut properties = PrimitiveMap::new();
    properties.insert("text", TEXT);
    let message = Outgoing {
        properties,
        priority: 9,
        time_to_live: Some(Duration::from_secs(600)),
        correlation_id: Some("order 7".to_owned()),
        reply_to: Some(Destination::queue("answers")),
        r#type: Some("order.created".to_owned()),
        group_id: Some("g".to_owned()),
        persistent: false,
        ..Outgoing::text(TEXT, SystemTime::now())
    };
    let id = producer.send(&Destination::queue(&queue), message).await.unwrap();
    let received = server.peer().await.unwrap().take(&queue, 1, PATIENCE).await.unwrap();
    let [first] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(first.text(), Some(TEXT));
    assert_eq!(first.id, id.to_string());
    assert_eq!(first.properties["text"], jms::Value::Text(TEXT.to_owned()));
    assert_eq!(first.correlation_id.as_deref(), Some("order 7"));
    assert_eq!(first.reply_to.as_deref(), Some("queue://answers"));
    assert_eq!(first.message_type.as_deref(), Some("order.created"));
    assert_eq!(first.group.as_deref(), Some("g"));
    assert_eq!((first.priority, first.persistent), (9, false));
    assert_eq!(first.expiration - first.timestamp, 600_000);
    client.close().await;
}

#[tokio::test]
async fn a_forwarded_message_is_the_same_whatever_it_holds() {
    let server = ActiveMqServer::shared().await.unwrap();
    let (from, to) = (server.test_queue().await.unwrap(), server.test_queue().await.unwrap());
    let messages = of_every_kind().map(|body| jms::Message {
        properties: of_java_in_properties(),
        correlation_id: Some("c".to_owned()),
        ..jms::Message::new(body)
    });
    let mut peer = server.peer().await.unwrap();
    peer.send_compressed(&from, &messages).await.unwrap();
    let client = connected(server).await;
    let (mut consumer, producer) = (consumer(&client, &from, 10).await, producer(&client).await);
    for _ in &messages {
        let delivery = next(&mut consumer).await;
        producer.forward(&Destination::queue(&to), *delivery.message).await.unwrap();
        consumer.ack(delivery.tag).await.unwrap();
    }
    let received = peer.take(&to, messages.len(), PATIENCE).await.unwrap();
    for (received, sent) in received.iter().zip(&messages) {
        assert_eq!(format!("{:?}", received.body), format!("{:?}", sent.body));
        assert_eq!(format!("{:?}", received.properties), format!("{:?}", sent.properties));
        assert_eq!(received.correlation_id, sent.correlation_id);
    }
    client.close().await;
}
