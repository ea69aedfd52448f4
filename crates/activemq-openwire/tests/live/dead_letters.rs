//! What is given up or has expired: where it goes, with what, and that nothing else goes with it.
//!
//! The dead-letter queue is one for all tests of the shared server. It is browsed only, and each test
//! looks for what came from its own queue.

use std::time::{Duration, SystemTime};

use activemq_openwire::connection::{Delivery, Settlement, Tag};
use activemq_openwire::structures::Destination;
use activemq_openwire::{Limits, Outgoing, Value};
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms;

use crate::support::{
    TEXT, browser, connected, consumer, left, next, now, numbers, producer, send_numbers, shown,
    take, text, wait_until_after, wait_until_held,
};

const CAUSE: &str = "dlqDeliveryFailureCause";

async fn dead_letters_of(peer: &mut jms::Peer, queue: &str) -> Vec<jms::Received> {
    let mut dead = peer.browse("ActiveMQ.DLQ").await.unwrap();
    let origin = format!("queue://{queue}");
    dead.retain(|message| message.original_destination.as_deref() == Some(&origin));
    dead
}

fn texts(messages: &[jms::Received]) -> Vec<&str> {
    messages.iter().map(|message| message.text().unwrap()).collect()
}

fn poison(tag: Tag, cause: &str) -> Settlement {
    Settlement::Poison { tag, cause: Some(cause.to_owned()) }
}

#[tokio::test]
async fn a_poisoned_message_becomes_a_dead_letter_with_its_cause() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let sent = jms::Message {
        correlation_id: Some("c".to_owned()),
        ttl: Duration::from_secs(600),
        ..jms::Message::text("bad").property("kind", jms::Value::Int(7))
    };
    let ids = peer.send(&queue, &[sent]).await.unwrap();
    let client = connected(server).await;
    // It has been delivered before, which the dead letter does not tell.
    let mut before = consumer(&client, &queue, 5).await;
    next(&mut before).await;
    before.close().await.unwrap();
    let mut consumer = consumer(&client, &queue, 5).await;
    let bad = next(&mut consumer).await;
    assert_eq!(bad.redelivery_counter, 1);
    let poisoned = now();
    consumer.settle(&poison(bad.tag, "no customer 17")).await.unwrap();
    wait_until_held(server, &queue, 0).await;

    let dead = dead_letters_of(&mut peer, &queue).await;
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert_eq!((dead.text(), &dead.id), (Some("bad"), &ids[0]));
    assert_eq!(dead.destination.as_deref(), Some("queue://ActiveMQ.DLQ"));
    assert_eq!((dead.redelivered, dead.redelivery_counter), (false, 0));
    assert_eq!((dead.expiration, dead.persistent), (0, true));
    assert_eq!(dead.correlation_id.as_deref(), Some("c"));
    assert_eq!(dead.timestamp, bad.message.timestamp);
    assert!(bad.message.broker_in_time < poisoned && dead.broker_in_time >= poisoned);
    let cause = "java.lang.Throwable: no customer 17".to_owned();
    let expected = [
        ("kind".to_owned(), jms::Value::Int(7)),
        (CAUSE.to_owned(), jms::Value::Text(cause)),
        ("originalExpiration".to_owned(), jms::Value::Long(bad.message.expiration)),
    ];
    assert_eq!(dead.properties, expected.into());
    client.close().await;
}

#[tokio::test]
async fn a_poisoned_message_takes_no_other_along() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    send_numbers(server, &queue, 6).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 10).await;
    let deliveries = take(&mut consumer, 6).await;
    for bad in [4, 1] {
        consumer.settle(&poison(deliveries[bad].tag, "bad")).await.unwrap();
    }
    wait_until_held(server, &queue, 4).await;
    assert_eq!(texts(&dead_letters_of(&mut peer, &queue).await), ["4", "1"]);
    consumer.ack(deliveries[2].tag).await.unwrap();
    consumer.close().await.unwrap();
    assert_eq!(left(server, &queue).await, ["0", "3", "5"]);
    client.close().await;
}

#[tokio::test]
async fn a_whole_batch_is_poisoned_at_once() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    send_numbers(server, &queue, 20).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 20).await;
    let deliveries = take(&mut consumer, 20).await;
    let verdicts: Vec<_> = deliveries
        .iter()
        .map(|delivery| consumer.settle(&Settlement::Poison { tag: delivery.tag, cause: None }))
        .collect();
    for verdict in verdicts {
        verdict.await.unwrap();
    }
    wait_until_held(server, &queue, 0).await;
    let dead = dead_letters_of(&mut peer, &queue).await;
    let expected: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(texts(&dead), expected);
    client.close().await;
}

#[tokio::test]
async fn a_cause_can_be_missing_of_any_length_and_of_any_text() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    send_numbers(server, &queue, 3).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 3).await;
    let deliveries = take(&mut consumer, 3).await;
    let nothing = Settlement::Poison { tag: deliveries[0].tag, cause: None };
    consumer.settle(&nothing).await.unwrap();
    consumer.settle(&poison(deliveries[1].tag, TEXT)).await.unwrap();
    consumer.settle(&poison(deliveries[2].tag, &"ö".repeat(100_000))).await.unwrap();
    wait_until_held(server, &queue, 0).await;
    let dead = dead_letters_of(&mut peer, &queue).await;
    assert_eq!(texts(&dead), ["0", "1", "2"]);
    let cause = |index: usize| dead[index].properties.get(CAUSE).cloned();
    let told = |text: &str| Some(jms::Value::Text(format!("java.lang.Throwable: {text}")));
    assert_eq!(cause(0), None);
    assert_eq!(cause(1), told(TEXT));
    // As much of it as an ack has room for.
    assert_eq!(cause(2), told(&"ö".repeat(4_096)));
    client.close().await;
}

#[tokio::test]
async fn what_is_not_persistent_is_dropped_instead() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let fleeting = numbers(2).into_iter().map(|it| jms::Message { persistent: false, ..it });
    let fleeting: Vec<_> = fleeting
        .zip([Duration::ZERO, Duration::from_millis(300)])
        .map(|(message, ttl)| jms::Message { ttl, ..message })
        .collect();
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 5).await;
    peer.send(&queue, &fleeting).await.unwrap();
    let deliveries = take(&mut consumer, 2).await;
    consumer.settle(&poison(deliveries[0].tag, "bad")).await.unwrap();
    wait_until_after(deliveries[1].message.expiration).await;
    consumer.settle(&Settlement::Expired(deliveries[1].tag)).await.unwrap();
    wait_until_held(server, &queue, 0).await;
    assert_eq!(dead_letters_of(&mut peer, &queue).await, []);
    client.close().await;
}

#[tokio::test]
async fn a_message_that_expired_with_its_consumer_becomes_a_dead_letter() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 3).await;
    let (producer, to) = (producer(&client).await, Destination::queue(&queue));
    for (text, millis) in [("before", 600_000), ("mortal", 300), ("after", 600_000)] {
        let time_to_live = Some(Duration::from_millis(millis));
        let message = Outgoing { time_to_live, ..Outgoing::text(text, SystemTime::now()) };
        producer.send(&to, message).await.unwrap();
    }
    let deliveries = take(&mut consumer, 3).await;
    let expiration = deliveries[1].message.expiration;
    wait_until_after(expiration).await;
    consumer.settle(&Settlement::Expired(deliveries[1].tag)).await.unwrap();
    let counts = server.queue_counts(&queue).await.unwrap();
    assert_eq!((counts.messages, counts.expired, counts.in_flight), (2, 1, 2));
    let dead = dead_letters_of(&mut peer, &queue).await;
    assert_eq!(texts(&dead), ["mortal"]);
    let cause = format!("java.lang.Throwable: Message Expired. Expiration:{expiration}");
    let expected = [
        (CAUSE.to_owned(), jms::Value::Text(cause)),
        ("originalExpiration".to_owned(), jms::Value::Long(expiration)),
    ];
    assert_eq!(dead[0].properties, expected.into());
    consumer.close().await.unwrap();
    assert_eq!(left(server, &queue).await, ["before", "after"]);
    client.close().await;
}

/// The documentation of OpenWire lets one believe that a broker looks at the clock.
#[tokio::test]
async fn a_broker_takes_our_word_that_a_message_has_expired() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let living = jms::Message { ttl: Duration::from_secs(600), ..jms::Message::text("living") };
    let immortal = jms::Message::text("immortal");
    peer.send(&queue, &[living, immortal]).await.unwrap();
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 5).await;
    for delivery in take(&mut consumer, 2).await {
        consumer.settle(&Settlement::Expired(delivery.tag)).await.unwrap();
    }
    consumer.close().await.unwrap();
    let counts = server.queue_counts(&queue).await.unwrap();
    let dead = dead_letters_of(&mut peer, &queue).await;
    assert_eq!((counts.messages, counts.expired, texts(&dead)), (0, 2, vec!["living", "immortal"]));
    client.close().await;
}

#[tokio::test]
async fn what_has_expired_before_is_not_delivered() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let mortal = jms::Message { ttl: Duration::from_millis(50), ..jms::Message::text("mortal") };
    let before = now();
    let messages = [mortal, jms::Message::text("immortal")];
    peer.send(&queue, &messages).await.unwrap();
    wait_until_after(now().max(before) + 50).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 5).await;
    let delivery = next(&mut consumer).await;
    assert_eq!((text(&delivery), consumer.unsettled()), ("immortal".to_owned(), 1));
    consumer.ack(delivery.tag).await.unwrap();
    wait_until_held(server, &queue, 0).await;
    assert_eq!(texts(&dead_letters_of(&mut peer, &queue).await), ["mortal"]);
    client.close().await;
}

#[tokio::test]
async fn we_can_read_a_dead_letter() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 1).await;
    let client = connected(server).await;
    let mut of_queue = consumer(&client, &queue, 1).await;
    let bad = next(&mut of_queue).await;
    of_queue.settle(&poison(bad.tag, "bad")).await.unwrap();
    // A browser, because others look at that queue.
    let mut browser = browser(&client, "ActiveMQ.DLQ").await;
    let dead = loop {
        let dead = next(&mut browser).await;
        if dead.message.original_destination == Some(Destination::queue(&queue)) {
            break dead;
        }
    };
    assert_eq!((text(&dead), dead.redelivery_counter), ("0".to_owned(), 0));
    let id = |delivery: &Delivery| delivery.message.message_id.as_ref().unwrap().to_string();
    assert_eq!(id(&dead), id(&bad));
    let properties = dead.message.properties(&Limits::default()).unwrap();
    let Some(Value::String(cause)) = properties.get(CAUSE) else { panic!("{properties:?}") };
    assert_eq!(shown(Some(cause)).as_deref(), Some("java.lang.Throwable: bad"));
    client.close().await;
}
