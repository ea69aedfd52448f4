//! The event that a handler prints is what the documentation of events prescribes, for everything
//! that a producer can send.

use crate::support::{Broker, drain, printed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gristmill_testkit::amqp::{Field, Properties, Table};
use gristmill_testkit::pika;
use serde_json::{Value, json};

/// The record of a message without any property.
fn bare(body: &[u8]) -> Value {
    json!({
        "basicProperties": {
            "contentType": null, "contentEncoding": null, "headers": null, "deliveryMode": null,
            "priority": null, "correlationId": null, "replyTo": null, "expiration": null,
            "messageId": null, "timestamp": null, "type": null, "userId": null, "appId": null,
            "clusterId": null, "bodySize": body.len(),
        },
        "redelivered": false,
        "data": STANDARD.encode(body),
    })
}

/// Publishes raw messages and returns the text of the one event they arrive in.
async fn event_of(broker: &mut Broker, queue: &str, messages: &[(Properties, Vec<u8>)]) -> String {
    for (properties, body) in messages {
        broker.client.publish(queue, properties, body).await.unwrap();
    }
    broker.client.wait_for_confirms().await.unwrap();
    event_on(broker, queue, messages.len()).await
}

/// Runs the host until it has handled what is on the queue in one event.
async fn event_on(broker: &Broker, queue: &str, records: usize) -> String {
    let batch = format!("batch_size = {records}\nmaximum_batching_window = \"300s\"");
    let mapping = broker.mapping_named("events", queue, "prints-event", "", &batch);
    let host = broker.host(&[mapping]);
    let event = printed(&host).await;
    drain(&host).await;
    event
}

fn records(event: &str, key: &str) -> Vec<Value> {
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["eventSource"], "aws:rmq");
    let arn = event["eventSourceArn"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:mq:us-east-1:000000000000:broker:broker:b-"), "{arn}");
    assert_eq!(event.as_object().unwrap().len(), 3);
    let queues = event["rmqMessagesByQueue"].as_object().unwrap();
    assert_eq!(queues.keys().collect::<Vec<_>>(), [key]);
    queues[key].as_array().unwrap().clone()
}

#[tokio::test]
async fn bodies_without_any_property() {
    let mut broker = Broker::with(&["events"]).await;
    let bodies = [Vec::new(), b"text".to_vec(), (0..=255).collect()];
    let messages = bodies.clone().map(|body| (Properties::default(), body));
    let event = event_of(&mut broker, "events", &messages).await;
    let key = format!("events::{}", broker.virtual_host);
    assert_eq!(records(&event, &key), bodies.map(|body| bare(&body)));
}

#[tokio::test]
async fn every_property_set_by_an_independent_client() {
    let broker = Broker::with(&["events"]).await;
    let properties = json!({
        "content_type": "text/plain", "content_encoding": "identity", "delivery_mode": 1,
        "priority": 34, "correlation_id": "c-1", "reply_to": "answers", "expiration": "600000",
        "message_id": "m-1", "timestamp": 1_688_261_434, "type": "order", "user_id": "guest",
        "app_id": "shop", "cluster_id": "cluster",
        "headers": { "header1": "value1", "numberInHeader": 10 },
    });
    let message = json!([{ "body": "hello", "properties": properties }]);
    let url = broker.server.url(&broker.virtual_host);
    pika::publish(&url, "events", &message).await.unwrap();
    let event = event_on(&broker, "events", 1).await;
    let expected = json!({
        "basicProperties": {
            "contentType": "text/plain", "contentEncoding": "identity",
            "headers": {
                "header1": { "bytes": [118, 97, 108, 117, 101, 49] },
                "numberInHeader": 10,
            },
            "deliveryMode": 1, "priority": 34, "correlationId": "c-1", "replyTo": "answers",
            "expiration": "600000", "messageId": "m-1", "timestamp": "Jul 2, 2023, 1:30:34 AM",
            "type": "order", "userId": "guest", "appId": "shop", "clusterId": "cluster",
            "bodySize": 5,
        },
        "redelivered": false,
        "data": "aGVsbG8=",
    });
    assert_eq!(records(&event, &format!("events::{}", broker.virtual_host)), [expected]);
}

#[tokio::test]
async fn every_type_of_header() {
    let mut broker = Broker::with(&["events"]).await;
    let nested = Table::new()
        .with("deeper", Field::Table(Table::new().with("void", Field::Void)))
        .with("list", Field::Array(vec![Field::I32(1), Field::text("ä"), Field::Array(vec![])]));
    let headers = Table::new()
        .with("bool", Field::Bool(true))
        .with("i8", Field::I8(-128))
        .with("u8", Field::U8(255))
        .with("i16", Field::I16(-32_768))
        .with("u16", Field::U16(65_535))
        .with("i32", Field::I32(i32::MIN))
        .with("u32", Field::U32(u32::MAX))
        .with("i64", Field::I64(i64::MAX))
        .with("f32", Field::F32(1.1))
        .with("f64", Field::F64(-2.5))
        .with("decimal", Field::Decimal { scale: 2, value: 12_345 })
        .with("text", Field::text("grüße"))
        .with("no text", Field::LongString(vec![0x80, 0xFF]))
        .with("bytes", Field::Bytes(vec![0, 127, 128, 255]))
        .with("time", Field::Timestamp(0))
        .with("table", Field::Table(nested))
        .with("void", Field::Void);
    let with = |headers| Properties { headers: Some(headers), ..Properties::default() };
    let messages = [(with(headers), Vec::new()), (with(Table::new()), Vec::new())];
    let event = event_of(&mut broker, "events", &messages).await;
    // A JSON reader may round it; the text may not.
    assert!(event.contains(r#""i64":9223372036854775807"#), "{event}");
    let records = records(&event, &format!("events::{}", broker.virtual_host));
    let expected = json!({
        "bool": true, "i8": -128, "u8": 255, "i16": -32_768, "u16": 65_535, "i32": i32::MIN,
        "u32": u32::MAX, "i64": i64::MAX, "f32": 1.1, "f64": -2.5, "decimal": 123.45,
        "text": { "bytes": [103, 114, -61, -68, -61, -97, 101] },
        "no text": { "bytes": [-128, -1] }, "bytes": [0, 127, -128, -1],
        "time": "Jan 1, 1970, 12:00:00 AM",
        "table": {
            "deeper": { "void": null },
            "list": [1, { "bytes": [-61, -92] }, []],
        },
        "void": null,
    });
    assert_eq!(records[0]["basicProperties"]["headers"], expected);
    assert_eq!(records[1]["basicProperties"]["headers"], json!({}));
}

#[tokio::test]
async fn names_with_quotes_colons_and_letters_of_the_world() {
    let mut broker = Broker::with(&[]).await;
    let name = "von \"Zuhause\"::\\ñ 世界";
    broker.server.add_virtual_host(name).await.unwrap();
    broker.virtual_host = name.to_owned();
    broker.client = broker.server.client(name).await.unwrap();
    broker.client.confirm_select().await.unwrap();
    broker.client.declare_queue(name, &Table::new()).await.unwrap();
    let message = (Properties::default(), b"x".to_vec());
    let event = event_of(&mut broker, name, &[message]).await;
    assert_eq!(records(&event, &format!("{name}::{name}")), [bare(b"x")]);
}

#[tokio::test]
async fn no_message_can_end_the_host_or_its_connection() {
    let mut broker = Broker::with(&["events"]).await;
    let mut nested = Field::Array(vec![]);
    for _ in 0..1_000 {
        nested = Field::Array(vec![nested]);
    }
    let headers = Table::new().with("nested", nested).with("after", Field::Bool(true));
    let properties = Properties { headers: Some(headers), ..Properties::default() };
    broker.client.publish("events", &properties, b"nested").await.unwrap();
    // A message id, and nothing else: property flag 7, and a short string that is not UTF-8.
    let message_id = [0x00, 0x80, 3, b'a', 0xFF, 0xFE];
    broker.client.publish_raw("events", &message_id, b"not text").await.unwrap();
    broker.client.wait_for_confirms().await.unwrap();

    let event = event_on(&broker, "events", 2).await;
    let records = records(&event, &format!("events::{}", broker.virtual_host));
    let headers = &records[0]["basicProperties"]["headers"];
    assert_eq!(headers["after"], true);
    let levels = std::iter::successors(Some(&headers["nested"]), |level| level.get(0)).count();
    assert_eq!(levels, 65, "64 levels, and the null in place of the others");
    assert_eq!(records[1]["basicProperties"]["messageId"], "a??");
    assert!(records.iter().all(|record| record["redelivered"] == false));
}
