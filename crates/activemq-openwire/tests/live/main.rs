//! The client against a real ActiveMQ, with Java's own client as the peer: what the one sends arrives
//! equal at the other, and settling, refusals and crashes are what the documentation says.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use activemq_openwire::client::{
    Address, Client, ClientSettings, ConnectError, Connector, Consumer, Producer, RequestError,
};
use activemq_openwire::connection::{ConsumerOptions, Delivery, Login, Settlement};
use activemq_openwire::structures::{Destination, Message};
use activemq_openwire::{Body, Limits, Outgoing, PrimitiveMap, Value};
use gristmill_testkit::activemq::{ActiveMqServer, QueueCounts, Rights, Settings};
use gristmill_testkit::jms;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// Beyond the basic plane, and a zero in the middle.
const TEXT: &str = "zwölf 🦀 \0 Boxkämpfer";

fn settings(server: &ActiveMqServer) -> ClientSettings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("live-{}-{number}", std::process::id());
    ClientSettings::new(&name, Address::parse(&server.url()).unwrap())
}

async fn connected(server: &ActiveMqServer) -> Client {
    Connector::new(settings(server)).connect().await.unwrap()
}

async fn consumer(client: &Client, queue: &str, prefetch: u16) -> Consumer {
    let options = ConsumerOptions::new(Destination::queue(queue), prefetch);
    client.session().await.unwrap().consumer(&options).await.unwrap()
}

async fn producer(client: &Client) -> Producer {
    client.session().await.unwrap().producer().await.unwrap()
}

async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(PATIENCE, consumer.receive()).await.unwrap().unwrap()
}

fn body(message: &Message) -> Body {
    message.body(&Limits::default()).unwrap()
}

fn text(delivery: &Delivery) -> String {
    let body = body(&delivery.message);
    if let Body::Text(Some(text)) = &body {
        text.to_str().into_owned()
    } else {
        format!("{body:?}")
    }
}

async fn send_numbers(server: &ActiveMqServer, queue: &str, count: usize) {
    let messages: Vec<_> =
        (0..count).map(|number| jms::Message::text(number.to_string())).collect();
    server.peer().await.unwrap().send(queue, &messages).await.unwrap();
}

async fn wait_until_held(server: &ActiveMqServer, queue: &str, messages: u64) {
    let holds = |counts: QueueCounts| counts.messages == messages;
    server.wait_for_counts(queue, PATIENCE, holds).await.unwrap();
}

#[tokio::test]
async fn what_java_sends_arrives_equal() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let large = "größer ".repeat(700_000);
    let mut peer = server.peer().await.unwrap();
    let with_properties = jms::Message::text(TEXT)
        .property("text", jms::Value::Text(TEXT.to_owned()))
        .property("long", jms::Value::Long(i64::MIN))
        .property("double", jms::Value::Double(0.1))
        .property("yes", jms::Value::Bool(true));
    let messages = [
        jms::Message { priority: 7, group: Some("g".to_owned()), ..with_properties },
        jms::Message::text(large.clone()),
        jms::Message::bytes((0..=255).collect::<Vec<u8>>()),
        jms::Message::new(jms::Body::Text(None)),
    ];
    peer.send(&queue, &messages).await.unwrap();
    peer.send_compressed(&queue, &[jms::Message::text(large.clone())]).await.unwrap();

    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 10).await;
    let mut deliveries = Vec::new();
    for _ in 0..5 {
        deliveries.push(next(&mut consumer).await);
    }
    let [first, second, third, fourth, fifth] = deliveries.as_slice() else { unreachable!() };
    assert_eq!(text(first), TEXT);
    assert_eq!(first.message.priority, 7);
    assert_eq!(first.message.group_id.as_ref().unwrap(), &"g");
    let properties = first.message.properties(&Limits::default()).unwrap();
    let expected = PrimitiveMap::from_iter([
        ("text", Value::from(TEXT)),
        ("long", Value::Long(i64::MIN)),
        ("double", Value::Double(0.1)),
        ("yes", Value::Bool(true)),
    ]);
    let sorted = |map: &PrimitiveMap| {
        let mut values: Vec<_> =
            map.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        values.sort_by(|(one, _), (other, _)| one.cmp(other));
        values
    };
    assert_eq!(sorted(&properties), sorted(&expected));
    assert_eq!(text(second), large);
    assert_eq!(body(&third.message), Body::Bytes((0..=255).collect::<Vec<u8>>().into()));
    assert_eq!(body(&fourth.message), Body::Text(None));
    assert!(fifth.message.compressed && text(fifth) == large);

    consumer.settle(&Settlement::UpTo(fifth.tag)).await.unwrap();
    wait_until_held(server, &queue, 0).await;
    client.close().await;
}

#[tokio::test]
async fn what_we_send_java_receives_equal() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let producer = producer(&client).await;
    let destination = Destination::queue(&queue);
    let now = SystemTime::now();
    let mut properties = PrimitiveMap::new();
    properties.insert("text", TEXT);
    properties.insert("int", 7_i32);
    let message = Outgoing {
        properties,
        priority: 9,
        time_to_live: Some(Duration::from_secs(600)),
        correlation_id: Some("order 7".to_owned()),
        reply_to: Some(Destination::queue("answers")),
        r#type: Some("order.created".to_owned()),
        ..Outgoing::text(TEXT, now)
    };
    producer.send(&destination, message).await.unwrap();
    let message = Outgoing { persistent: false, ..Outgoing::bytes(vec![0, 255], now) };
    producer.send(&destination, message).await.unwrap();

    let mut peer = server.peer().await.unwrap();
    let received = peer.take(&queue, 2, PATIENCE).await.unwrap();
    let [first, second] = received.as_slice() else { unreachable!() };
    assert_eq!(first.text(), Some(TEXT));
    assert_eq!(first.properties["text"], jms::Value::Text(TEXT.to_owned()));
    assert_eq!(first.properties["int"], jms::Value::Int(7));
    assert_eq!(first.correlation_id.as_deref(), Some("order 7"));
    assert_eq!(first.reply_to.as_deref(), Some("queue://answers"));
    assert_eq!(first.message_type.as_deref(), Some("order.created"));
    assert_eq!((first.priority, first.persistent), (9, true));
    assert_eq!(first.expiration - first.timestamp, 600_000);
    assert_eq!(second.body, jms::Body::Bytes(vec![0, 255]));
    assert!(!second.persistent);
}

#[tokio::test]
async fn what_is_unsettled_comes_again_and_the_counter_says_so() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 5).await;
    let client = connected(server).await;
    let mut first = consumer(&client, &queue, 5).await;
    let mut tags = Vec::new();
    for number in 0..3 {
        let delivery = next(&mut first).await;
        assert_eq!((text(&delivery), delivery.redelivery_counter), (number.to_string(), 0));
        tags.push(delivery.tag);
    }
    first.settle(&Settlement::UpTo(tags[1])).await.unwrap();
    wait_until_held(server, &queue, 3).await;
    first.close().await.unwrap();

    // Handed out before, and merely taken in advance.
    let mut second = consumer(&client, &queue, 5).await;
    for (number, counter) in [(2, 1), (3, 0), (4, 0)] {
        let delivery = next(&mut second).await;
        assert_eq!((text(&delivery), delivery.redelivery_counter), (number.to_string(), counter));
        second.ack(delivery.tag).await.unwrap();
    }
    wait_until_held(server, &queue, 0).await;
    client.close().await;
}

#[tokio::test]
async fn a_poisoned_message_becomes_a_dead_letter_with_its_cause() {
    // The dead-letter queue of a shared server has those of others.
    let server = ActiveMqServer::start().await.unwrap();
    server.create_queue("orders").await.unwrap();
    send_numbers(&server, "orders", 2).await;
    let client = connected(&server).await;
    let mut consumer = consumer(&client, "orders", 5).await;
    let (bad, good) = (next(&mut consumer).await, next(&mut consumer).await);
    let cause = Some("no customer 17".to_owned());
    consumer.settle(&Settlement::Poison { tag: bad.tag, cause }).await.unwrap();
    consumer.ack(good.tag).await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let dead = peer.take("ActiveMQ.DLQ", 1, PATIENCE).await.unwrap();
    assert_eq!(dead[0].text(), Some("0"));
    assert_eq!(dead[0].original_destination.as_deref(), Some("queue://orders"));
    let told = format!("{:?}", dead[0].properties);
    assert!(told.contains("no customer 17"), "{told}");
    wait_until_held(&server, "orders", 0).await;
    client.close().await;
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let orders = Rights { read: "apps", write: "apps", admin: "apps" };
    let all = Settings::new().user("app", "a", "apps").user("other", "o", "others");
    let server = ActiveMqServer::start_with(&all.rights("orders.>", orders)).await.unwrap();
    let login = |name, password| {
        let mut settings = settings(&server);
        settings.login = Some(Login::new(name, password));
        Connector::new(settings)
    };
    let refused = login("app", "wrong").connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::LoginRefused { .. }), "{refused:?}");
    let client = login("other", "o").connect().await.unwrap();
    let options = ConsumerOptions::new(Destination::queue("orders.eu"), 5);
    let refused = client.session().await.unwrap().consumer(&options).await.unwrap_err();
    assert!(matches!(refused, RequestError::MissingRight(_)), "{refused:?}");
    let message = Outgoing::text("1", SystemTime::now());
    let refused = producer(&client).await.send(&Destination::queue("orders.eu"), message).await;
    assert!(matches!(refused, Err(RequestError::MissingRight(_))), "{refused:?}");
    let client = login("app", "a").connect().await.unwrap();
    consumer(&client, "orders.eu", 5).await;
    client.close().await;
}

#[tokio::test]
async fn a_killed_broker_is_noticed_and_has_what_was_not_settled() {
    let mut server = ActiveMqServer::start().await.unwrap();
    server.create_queue("orders").await.unwrap();
    send_numbers(&server, "orders", 3).await;
    let client = connected(&server).await;
    let mut before = consumer(&client, "orders", 5).await;
    let first = next(&mut before).await;
    before.ack(first.tag).await.unwrap();
    let held = next(&mut before).await;
    server.kill9().await.unwrap();
    next_fails(&mut before).await;
    let refused = before.ack(held.tag).await;
    assert!(matches!(refused, Err(RequestError::BrokerGone(_))), "{refused:?}");
    let away = Connector::new(settings(&server)).connect().await.unwrap_err();
    assert!(matches!(away, ConnectError::Unreachable { .. }), "{away:?}");

    server.restart().await.unwrap();
    let client = connected(&server).await;
    let mut after = consumer(&client, "orders", 5).await;
    for number in ["1", "2"] {
        let delivery = next(&mut after).await;
        assert_eq!(text(&delivery), number);
        after.ack(delivery.tag).await.unwrap();
    }
    wait_until_held(&server, "orders", 0).await;
    client.close().await;
}

/// What was taken in advance is received before the end is.
async fn next_fails(consumer: &mut Consumer) {
    let fails = async { while consumer.receive().await.is_ok() {} };
    timeout(PATIENCE, fails).await.unwrap();
}
