//! What a Java program can send arrives as the documentation of events says, or is a dead letter that
//! says why.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms::{Body, Message, Value};
use serde_json::json;

use super::{DEAD_LETTERS, body, host_with, mapping, records, wait_for};
use crate::support::{LONG, drain, printed};

/// Beyond the basic plane, and a zero in the middle.
const TEXT: &str = "zwölf 🦀 \0 Boxkämpfer";

fn full() -> Message {
    let text = |text: &str| Value::Text(text.to_owned());
    let properties = [
        ("bool", Value::Bool(true)),
        ("byte", Value::Byte(-128)),
        ("short", Value::Short(-2)),
        ("int", Value::Int(i32::MIN)),
        ("long", Value::Long(i64::MAX)),
        ("float", Value::Float(1.5)),
        ("double", Value::Double(1e10)),
        ("text", text("Zoë 🦀")),
    ];
    Message {
        properties: properties.map(|(name, value)| (name.to_owned(), value)).into(),
        correlation_id: Some("order 7".to_owned()),
        reply_to: Some("queue://answers".to_owned()),
        message_type: Some("order.created".to_owned()),
        group: Some("g".to_owned()),
        priority: 9,
        ttl: Duration::from_secs(600),
        persistent: true,
        body: Body::Text(Some(TEXT.to_owned())),
    }
}

#[tokio::test]
async fn each_kind_arrives_as_it_should_or_is_a_dead_letter_with_its_cause() {
    let server = ActiveMqServer::start().await.unwrap();
    server.create_queue("orders").await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let entry = || BTreeMap::from([("key".to_owned(), Value::Int(1))]);
    let unsupported = [
        ("a MapMessage", Body::Map(entry())),
        ("a StreamMessage", Body::Stream(vec![Value::Int(1)])),
        ("an ObjectMessage", Body::Object(Value::Text("object".to_owned()))),
        ("a Message without a body", Body::Nothing),
    ];
    let large = "größer ".repeat(5_000);
    let mut sent = vec![full()];
    sent.extend(unsupported.iter().map(|(_, body)| Message::new(body.clone())));
    sent.push(Message::bytes((0..=255).collect::<Vec<u8>>()));
    sent.push(Message::new(Body::Text(None)));
    sent.push(Message { persistent: false, ..Message::bytes(Vec::new()) });
    peer.send("orders", &sent).await.unwrap();
    peer.send_compressed("orders", &[Message::text(large.clone())]).await.unwrap();
    peer.send_compressed("orders", &[Message::bytes(large.clone())]).await.unwrap();

    let settings = "batch_size = 6\nmaximum_batching_window = \"300s\"";
    let host = host_with(&server, "", &[mapping("orders", "prints-event", "", settings)]);
    let event = printed(&host).await;
    let mut shown = records(&event);
    // ActiveMQ keeps no order between those that are persistent and those that are not.
    shown.sort_by_key(|record| record["deliveryMode"] == 1);
    let bodies: Vec<_> = shown.iter().map(body).collect();
    let every_byte: Vec<u8> = (0..=255).collect();
    let large = large.into_bytes();
    assert!(bodies == [TEXT.into(), every_byte, Vec::new(), large.clone(), large, Vec::new()]);
    let kinds: Vec<_> =
        shown.iter().map(|record| record["messageType"].as_str().unwrap()).collect();
    let (text, bytes) = ("jms/text-message", "jms/bytes-message");
    assert_eq!(kinds, [text, bytes, text, text, bytes, bytes]);
    let modes: Vec<_> = shown.iter().map(|record| &record["deliveryMode"]).collect();
    assert_eq!(modes, [2, 2, 2, 2, 2, 1]);
    let first = &shown[0];
    assert_eq!(
        first["properties"],
        json!({
            "bool": "true", "byte": "-128", "short": "-2", "int": "-2147483648",
            "long": "9223372036854775807", "float": "1.5", "double": "1.0E10", "text": "Zoë 🦀",
        })
    );
    assert_eq!(first["correlationId"], "order 7");
    assert_eq!(first["replyTo"], "queue://answers");
    assert_eq!(first["type"], "order.created");
    assert_eq!(first["priority"], 9);
    assert_eq!(first["destination"]["physicalName"], "orders");
    let sent_ms = first["timestamp"].as_i64().unwrap();
    assert_eq!(first["expiration"], (sent_ms + 600_000).to_string());
    assert!(first["brokerOutTime"].as_i64().unwrap() >= first["brokerInTime"].as_i64().unwrap());

    wait_for(&server, "orders", 0, 0).await;
    let dead = peer.take(DEAD_LETTERS, unsupported.len(), LONG).await.unwrap();
    for (name, sent) in unsupported {
        let letter = dead.iter().find(|letter| letter.body == sent).unwrap();
        let cause = format!("{:?}", letter.properties["dlqDeliveryFailureCause"]);
        assert!(cause.contains(&format!("UnsupportedMessageType: it is {name}")), "{cause}");
    }
    drain(&host).await;
}

#[tokio::test]
async fn the_other_spelling_of_the_event_is_chosen_for_a_broker() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    server.peer().await.unwrap().send(&queue, &[full(), Message::text("bare")]).await.unwrap();
    let settings = "batch_size = 2\nmaximum_batching_window = \"300s\"";
    let profile = "event_profile = \"observed\"";
    let host = host_with(server, profile, &[mapping(&queue, "prints-event", "", settings)]);
    let shown = records(&printed(&host).await);
    assert_eq!(
        (&shown[0]["correlationID"], &shown[1]["correlationID"]),
        (&json!("order 7"), &json!(""))
    );
    assert_eq!((&shown[1]["replyTo"], &shown[1]["type"]), (&json!("null"), &json!("")));
    assert_eq!(shown[1]["expiration"], 0);
    drain(&host).await;
}

#[tokio::test]
async fn a_consumer_of_a_virtual_topic_is_a_queue_like_others() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = "Consumer.shop.VirtualTopic.orders";
    server.create_queue(queue).await.unwrap();
    let mut peer = server.peer().await.unwrap();
    peer.send("topic://VirtualTopic.orders", &[Message::text("1")]).await.unwrap();
    let host = host_with(server, "", &[mapping(queue, "prints-event", "", "")]);
    let shown = records(&printed(&host).await);
    assert_eq!(shown[0]["destination"]["physicalName"], queue);
    assert_eq!(body(&shown[0]), b"1");
    wait_for(server, queue, 0, 0).await;
    drain(&host).await;
}
