//! What Java's client sends is what the event says, in both spellings.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gristmill_broker::{Settlement, Source};
use gristmill_event::{Envelope, Message, Profile};
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms::{self, Body, Value};
use serde_json::{Map, Value as Json, json};

use super::*;

const ARN: &str = "arn:aws:mq:eu-west-1:1:broker:orders:b-1";

/// A message, and its properties as the event has them.
struct Case {
    message: jms::Message,
    properties: Json,
}

impl Case {
    fn new(message: jms::Message) -> Self {
        Self { message, properties: json!({}) }
    }
}

/// Sends messages, has Java's client tell what the broker has, and compares the event with that.
async fn arrive_as_they_are(cases: Vec<Case>, compressed: bool) {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let messages: Vec<_> = cases.iter().map(|case| case.message.clone()).collect();
    let ids = match compressed {
        true => peer.send_compressed(&queue, &messages).await.unwrap(),
        false => peer.send(&queue, &messages).await.unwrap(),
    };
    let seen = peer.browse(&queue).await.unwrap();
    assert_eq!(seen.len(), cases.len());

    let mut source = subscribed(server, &queue, 100).await;
    let taken = take(&mut source, cases.len()).await;
    let now = now();
    for delivery in &taken {
        let text = event(&delivery.message, Profile::Documented);
        let mut documented: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(documented["eventSource"], "aws:mq");
        let mut documented = documented["messages"][0].take();
        let id = documented["messageID"].as_str().unwrap().to_owned();
        let index = ids.iter().position(|sent| *sent == id).unwrap();
        let said = seen.iter().find(|said| said.id == id).unwrap();

        // Java's client does not see when a message was handed out.
        let out = documented["brokerOutTime"].take().as_i64().unwrap();
        assert!((said.broker_in_time..=now).contains(&out), "{out}");
        let properties = &cases[index].properties;
        assert_eq!(documented, record(said, &queue, properties, Profile::Documented), "{index}");
        let text = event(&delivery.message, Profile::Observed);
        let mut observed: Json = serde_json::from_str(&text).unwrap();
        let mut observed = observed["messages"][0].take();
        assert_eq!(observed["brokerOutTime"].take(), json!(out));
        assert_eq!(observed, record(said, &queue, properties, Profile::Observed), "{index}");

        assert_eq!(delivery.group.as_deref(), said.group.as_deref());
        assert_eq!(delivery.returns.all, 0);
        let body = &cases[index].message.body;
        assert_eq!(*body, said.body, "the broker has what was sent");
        let is_compressed = compressed && *body != Body::Text(None);
        assert_eq!(said.compressed, is_compressed, "{index}");
    }
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(cases.len()));
    wait_for(server, &queue, 0, 0).await;
    source.close().await;
}

fn event(message: &Message, profile: Profile) -> String {
    let envelope = Envelope::activemq(ARN, profile);
    let size = envelope.event_bytes(1, envelope.record_bytes(message));
    let event = envelope.encode([message], size);
    assert_eq!(event.len(), size);
    event
}

/// The record that the Lambda guide's example, or the live service, would show.
fn record(said: &jms::Received, queue: &str, properties: &Json, profile: Profile) -> Json {
    let is_observed = profile == Profile::Observed;
    let (kind, data) = match &said.body {
        Body::Text(text) => ("jms/text-message", text.clone().unwrap_or_default().into_bytes()),
        Body::Bytes(bytes) => ("jms/bytes-message", bytes.clone()),
        Body::Map(_) | Body::Stream(_) | Body::Object(_) | Body::Nothing => {
            panic!("there is no record of {:?}", said.body)
        }
    };
    let or = |text: &Option<String>, nothing: &str| match text {
        None if is_observed => json!(nothing),
        text => json!(text),
    };
    let mut record = Map::new();
    let mut put = |name: &str, value: Json| drop(record.insert(name.to_owned(), value));
    put("messageID", json!(said.id));
    put("messageType", json!(kind));
    put("deliveryMode", json!(if said.persistent { 2 } else { 1 }));
    put("replyTo", or(&said.reply_to, "null"));
    put("type", or(&said.message_type, ""));
    let expiration = said.expiration;
    put("expiration", if is_observed { json!(expiration) } else { json!(expiration.to_string()) });
    put("priority", json!(said.priority));
    let correlation_id = if is_observed { "correlationID" } else { "correlationId" };
    put(correlation_id, or(&said.correlation_id, ""));
    put("redelivered", json!(said.redelivered));
    put("destination", json!({ "physicalName": queue }));
    put("data", json!(BASE64.encode(data)));
    put("timestamp", json!(said.timestamp));
    put("brokerInTime", json!(said.broker_in_time));
    put("brokerOutTime", Json::Null);
    put("properties", properties.clone());
    Json::Object(record)
}

#[tokio::test]
async fn headers_are_what_the_producer_set() {
    let everything = jms::Message {
        correlation_id: Some(format!("c-{TEXT}")),
        reply_to: Some(format!("answers.{TEXT}")),
        message_type: Some(format!("order-{TEXT}")),
        group: Some(format!("g-{TEXT}")),
        priority: 9,
        ttl: Duration::from_secs(3_600),
        ..jms::Message::text(TEXT)
    };
    let to_a_topic =
        jms::Message { reply_to: Some("topic://answers".to_owned()), ..jms::Message::text("") };
    let fleeting = jms::Message {
        persistent: false,
        priority: 0,
        correlation_id: Some(String::new()),
        message_type: Some(String::new()),
        ..jms::Message::bytes((0..=255).collect::<Vec<u8>>())
    };
    let nothing = jms::Message::new(Body::Text(None));
    let messages = [everything, to_a_topic, fleeting, nothing, jms::Message::bytes([])];
    arrive_as_they_are(messages.map(Case::new).into(), false).await;
}

#[tokio::test]
async fn properties_of_every_type_are_as_java_prints_them() {
    let nested = BTreeMap::from([("inner".to_owned(), Value::List(vec![Value::Int(1)]))]);
    let properties = [
        ("yes", Value::Bool(true), Some("true")),
        ("no", Value::Bool(false), Some("false")),
        ("byte", Value::Byte(i8::MIN), Some("-128")),
        ("short", Value::Short(i16::MAX), Some("32767")),
        ("int", Value::Int(i32::MIN), Some("-2147483648")),
        ("long", Value::Long(i64::MIN), Some("-9223372036854775808")),
        ("char", Value::Char(0x263A), Some("☺")),
        ("float", Value::Float(0.1), Some("0.1")),
        ("whole", Value::Float(1.0), Some("1.0")),
        ("largest", Value::Float(f32::MAX), Some("3.4028235E38")),
        ("double", Value::Double(1e10), Some("1.0E10")),
        ("third", Value::Double(1.0 / 3.0), Some("0.3333333333333333")),
        ("smallest", Value::Double(f64::from_bits(1)), Some("4.9E-324")),
        ("minus_zero", Value::Double(-0.0), Some("-0.0")),
        ("nan", Value::Double(f64::NAN), Some("NaN")),
        ("infinite", Value::Float(f32::NEG_INFINITY), Some("-Infinity")),
        ("text", Value::Text(TEXT.to_owned()), Some(TEXT)),
        ("größe 🦀\0", Value::Text(String::new()), Some("")),
        ("quotes", Value::Text("\"\\\u{7}\u{2028}".to_owned()), Some("\"\\\u{7}\u{2028}")),
        // What JMS does not have, and what is nothing.
        ("null", Value::Null, None),
        ("list", Value::List(vec![Value::Text("x".to_owned())]), None),
        ("map", Value::Map(nested), None),
    ];
    let mut message = jms::Message::text("with properties");
    let mut shown = Map::new();
    for (name, value, text) in properties {
        message = message.property(name, value);
        if let Some(text) = text {
            shown.insert(name.to_owned(), json!(text));
        }
    }
    let long = "ä".repeat(40_000);
    let long = jms::Message::text("a long one").property("long", Value::Text(long));
    let cases = vec![
        Case { message, properties: Json::Object(shown) },
        Case { message: long, properties: json!({ "long": "ä".repeat(40_000) }) },
    ];
    arrive_as_they_are(cases, false).await;
}

#[tokio::test]
async fn large_and_compressed_bodies_arrive_whole() {
    // What deflate cannot make much smaller, and what it can.
    let noise: Vec<u8> = (0..5_u32 << 18)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).rotate_left(15).to_be_bytes())
        .collect();
    let text = "größer 🦀 ".repeat(noise.len() / "größer 🦀 ".len());
    let large = || [jms::Message::text(text.clone()), jms::Message::bytes(noise.clone())];
    arrive_as_they_are(large().map(Case::new).into(), false).await;
    let small = [
        jms::Message::text(TEXT),
        jms::Message::bytes([0, 255, 1]),
        jms::Message::new(Body::Text(None)),
        jms::Message::text(""),
        jms::Message::bytes([]),
        jms::Message { persistent: false, ..jms::Message::text("x".repeat(100_000)) },
    ];
    let cases = large().into_iter().chain(small).map(Case::new).collect();
    arrive_as_they_are(cases, true).await;
}
