//! What stands around a body arrives as it was set, either way, and stays when a message is forwarded.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use activemq_openwire::client::{ClientSettings, Connector};
use activemq_openwire::connection::{ConsumerOptions, Login};
use activemq_openwire::structures::Destination;
use activemq_openwire::{Limits, Outgoing, PrimitiveMap};
use gristmill_testkit::activemq::{ActiveMqServer, Settings};
use gristmill_testkit::jms;

use crate::messages::of_every_kind;
use crate::support::{
    PATIENCE, TEXT, connected, consumer, next, now, producer, settings, shown, take, text,
};
use crate::values::of_java_in_properties;

const TEN_MINUTES: Duration = Duration::from_secs(600);

#[tokio::test]
async fn every_field_that_java_sets_arrives() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let full = jms::Message {
        correlation_id: Some(TEXT.to_owned()),
        reply_to: Some("topic://answers".to_owned()),
        message_type: Some("größe 🦀".to_owned()),
        group: Some(TEXT.to_owned()),
        ttl: TEN_MINUTES,
        ..jms::Message::text("full").property("JMSXGroupSeq", jms::Value::Int(i32::MAX))
    };
    let bare = jms::Message { persistent: false, ..jms::Message::text("bare") };
    let to_queue =
        jms::Message { reply_to: Some("queue://antwörten".to_owned()), ..jms::Message::text("") };
    let before = now();
    let mut peer = server.peer().await.unwrap();
    let ids = peer.send(&queue, &[full.clone(), bare, to_queue]).await.unwrap();
    let after = now();

    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 10).await;
    let mut received = take(&mut consumer, 3).await;
    let seen = now();
    // Persistent ones and others can overtake each other.
    received.sort_by_key(|delivery| delivery.message.message_id.as_ref().unwrap().to_string());
    let messages: Vec<_> = received.into_iter().map(|delivery| *delivery.message).collect();
    let received_ids: Vec<_> =
        messages.iter().map(|message| message.message_id.as_ref().unwrap().to_string()).collect();
    assert_eq!(received_ids, ids);
    for message in &messages {
        assert!((before..=after).contains(&message.timestamp), "{}", message.timestamp);
        assert!((before..=after).contains(&message.broker_in_time), "{}", message.broker_in_time);
        assert!((message.broker_in_time..=seen).contains(&message.broker_out_time));
        assert_eq!(message.destination, Some(Destination::queue(&queue)));
        assert_eq!((&message.original_destination, &message.user_id), (&None, &None));
    }
    let [full_one, bare_one, to_queue] = messages.as_slice() else { panic!("{received_ids:?}") };
    assert_eq!(shown(full_one.correlation_id.as_ref()).as_deref(), Some(TEXT));
    assert_eq!(full_one.reply_to, Some(Destination::topic("answers")));
    assert_eq!(shown(full_one.r#type.as_ref()), full.message_type);
    assert_eq!(shown(full_one.group_id.as_ref()).as_deref(), Some(TEXT));
    assert_eq!(
        (full_one.group_sequence, full_one.jms_x_group_first_for_consumer),
        (i32::MAX, true)
    );
    assert_eq!(full_one.expiration, full_one.timestamp + 600_000);
    assert!(full_one.persistent);
    // The sequence is a field, and no property on the wire.
    assert!(full_one.properties(&Limits::default()).unwrap().is_empty());

    assert_eq!((bare_one.priority, bare_one.persistent, bare_one.expiration), (4, false, 0));
    assert_eq!(
        (&bare_one.correlation_id, &bare_one.r#type, &bare_one.reply_to),
        (&None, &None, &None)
    );
    assert_eq!((&bare_one.group_id, bare_one.group_sequence), (&None, 0));
    assert!(!bare_one.jms_x_group_first_for_consumer);
    assert_eq!(to_queue.reply_to, Some(Destination::queue("antwörten")));
    client.close().await;
}

#[tokio::test]
async fn every_priority_arrives_both_ways() {
    let server = ActiveMqServer::shared().await.unwrap();
    let (queue, back) = (server.test_queue().await.unwrap(), server.test_queue().await.unwrap());
    let with = |priority| jms::Message { priority, ..jms::Message::text("") };
    let mut peer = server.peer().await.unwrap();
    peer.send(&queue, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(with)).await.unwrap();
    let client = connected(server).await;
    let (mut consumer, producer) = (consumer(&client, &queue, 10).await, producer(&client).await);
    for priority in 0..10_u8 {
        assert_eq!(next(&mut consumer).await.message.priority, i8::try_from(priority).unwrap());
        let message = Outgoing { priority, ..Outgoing::text("", SystemTime::now()) };
        producer.send(&Destination::queue(&back), message).await.unwrap();
    }
    let beyond = Outgoing { priority: u8::MAX, ..Outgoing::text("", SystemTime::now()) };
    producer.send(&Destination::queue(&back), beyond).await.unwrap();
    let received = peer.take(&back, 11, PATIENCE).await.unwrap();
    let priorities: Vec<_> = received.iter().map(|message| message.priority).collect();
    assert_eq!(priorities, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]);
    client.close().await;
}

#[tokio::test]
async fn a_group_goes_to_one_consumer_until_it_is_closed() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let mut consumers = [consumer(&client, &queue, 10).await, consumer(&client, &queue, 10).await];
    let of_group = |sequence: i32| jms::Message {
        group: Some("g".to_owned()),
        ..jms::Message::text(sequence.to_string())
            .property("JMSXGroupSeq", jms::Value::Int(sequence))
    };
    // A sequence of -1 is the last of a group.
    let messages = [1, 2, 3, -1].map(of_group);
    server.peer().await.unwrap().send(&queue, &messages).await.unwrap();
    let [one, other] = &mut consumers;
    let (consumer, first) = tokio::select! {
        first = next(one) => (one, first),
        first = next(other) => (other, first),
    };
    let mut received = vec![first];
    received.extend(take(consumer, 3).await);
    let told: Vec<_> = received
        .iter()
        .map(|delivery| {
            let message = &delivery.message;
            (message.group_sequence, message.jms_x_group_first_for_consumer)
        })
        .collect();
    assert_eq!(told, [(1, true), (2, false), (3, false), (-1, false)]);
    client.close().await;
}

#[tokio::test]
async fn a_broker_that_says_who_sent_a_message_is_understood() {
    let told = Settings::new().user("app", "secret", "apps").broker("populateJMSXUserID", "true");
    let server = ActiveMqServer::start_with(&told).await.unwrap();
    let mut peer = server.peer_as("app", "secret").await.unwrap();
    peer.send("orders", &[jms::Message::text("1")]).await.unwrap();
    let login = Some(Login::new("app", "secret"));
    let settings = ClientSettings { login, ..settings(&server) };
    let client = Connector::new(settings).connect().await.unwrap();
    let (producer, mut consumer) = (producer(&client).await, consumer(&client, "orders", 10).await);
    let delivery = next(&mut consumer).await;
    assert_eq!(shown(delivery.message.user_id.as_ref()).as_deref(), Some("app"));
    let message = Outgoing::text("2", SystemTime::now());
    producer.send(&Destination::queue("answers"), message).await.unwrap();
    let received = peer.take("answers", 1, PATIENCE).await.unwrap();
    assert_eq!(received[0].user_id.as_deref(), Some("app"));
    client.close().await;
}

#[tokio::test]
async fn what_comes_by_way_of_a_topic_tells_its_way() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let topic = format!("VirtualTopic.{queue}");
    let behind = format!("Consumer.a.{topic}");
    let client = connected(server).await;
    let mut behind_topic = consumer(&client, &behind, 10).await;
    let options = ConsumerOptions::new(Destination::topic(&topic), 10);
    let mut of_topic = client.session().await.unwrap().consumer(&options).await.unwrap();
    server
        .peer()
        .await
        .unwrap()
        .send(&format!("topic://{topic}"), &[jms::Message::text("1")])
        .await
        .unwrap();
    let delivery = next(&mut behind_topic).await;
    assert_eq!(text(&delivery), "1");
    assert_eq!(delivery.destination, Some(Destination::queue(&behind)));
    assert_eq!(delivery.message.destination, Some(Destination::queue(&behind)));
    assert_eq!(delivery.message.original_destination, Some(Destination::topic(&topic)));
    behind_topic.ack(delivery.tag).await.unwrap();
    let delivery = next(&mut of_topic).await;
    assert_eq!(delivery.destination, Some(Destination::topic(&topic)));
    assert_eq!(delivery.message.original_destination, None);
    of_topic.ack(delivery.tag).await.unwrap();
    client.close().await;
}

#[tokio::test]
async fn every_field_that_we_set_java_sees() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let (producer, to) = (producer(&client).await, Destination::queue(&queue));
    let mut properties = PrimitiveMap::new();
    properties.insert("größe in €", TEXT);
    let sent_at = SystemTime::UNIX_EPOCH + Duration::from_millis(4_102_444_800_123);
    let full = Outgoing {
        properties,
        time_to_live: Some(TEN_MINUTES),
        correlation_id: Some(TEXT.to_owned()),
        reply_to: Some(Destination::queue("antwörten")),
        r#type: Some("größe 🦀".to_owned()),
        group_id: Some(TEXT.to_owned()),
        persistent: false,
        ..Outgoing::text(TEXT, sent_at)
    };
    let before = now();
    let full_id = producer.send(&to, full).await.unwrap();
    let reply_to = Some(Destination::topic("answers"));
    let bare = Outgoing { reply_to, ..Outgoing::bytes(Vec::new(), sent_at) };
    let bare_id = producer.send(&to, bare).await.unwrap();
    let mut received = server.peer().await.unwrap().take(&queue, 2, PATIENCE).await.unwrap();
    received.sort_by_key(|message| message.persistent);
    let expected = |id: String| jms::Received {
        body: jms::Body::Bytes(Vec::new()),
        properties: BTreeMap::new(),
        id,
        destination: Some(format!("queue://{queue}")),
        correlation_id: None,
        reply_to: Some("topic://answers".to_owned()),
        message_type: None,
        group: None,
        group_sequence: 0,
        priority: 4,
        timestamp: 4_102_444_800_123,
        expiration: 0,
        persistent: true,
        redelivered: false,
        redelivery_counter: 0,
        compressed: false,
        user_id: None,
        broker_in_time: 0,
        original_destination: None,
    };
    let full = jms::Received {
        body: jms::Body::Text(Some(TEXT.to_owned())),
        properties: [("größe in €".to_owned(), jms::Value::Text(TEXT.to_owned()))].into(),
        correlation_id: Some(TEXT.to_owned()),
        reply_to: Some("queue://antwörten".to_owned()),
        message_type: Some("größe 🦀".to_owned()),
        group: Some(TEXT.to_owned()),
        expiration: 4_102_444_800_123 + 600_000,
        persistent: false,
        ..expected(full_id.to_string())
    };
    for message in &mut received {
        assert!((before..=now()).contains(&message.broker_in_time));
        message.broker_in_time = 0;
    }
    assert_eq!(received, [full, expected(bare_id.to_string())]);
    client.close().await;
}

#[tokio::test]
async fn a_forwarded_message_is_the_same_whatever_it_holds() {
    let server = ActiveMqServer::shared().await.unwrap();
    let (from, to) = (server.test_queue().await.unwrap(), server.test_queue().await.unwrap());
    let messages = of_every_kind().map(|body| {
        let message = jms::Message {
            properties: of_java_in_properties(),
            correlation_id: Some(TEXT.to_owned()),
            reply_to: Some("topic://answers".to_owned()),
            message_type: Some("order.created".to_owned()),
            group: Some("g".to_owned()),
            priority: 7,
            ttl: TEN_MINUTES,
            persistent: true,
            ..jms::Message::new(body)
        };
        message.property("JMSXGroupSeq", jms::Value::Int(3))
    });
    let mut peer = server.peer().await.unwrap();
    peer.send_compressed(&from, &messages).await.unwrap();
    peer.send(&from, &messages).await.unwrap();
    let before = peer.browse(&from).await.unwrap();
    let client = connected(server).await;
    let (mut consumer, producer) = (consumer(&client, &from, 20).await, producer(&client).await);
    let mut ids = Vec::new();
    for _ in &before {
        let delivery = next(&mut consumer).await;
        let id = producer.forward(&Destination::queue(&to), *delivery.message).await.unwrap();
        ids.push(id.to_string());
        consumer.ack(delivery.tag).await.unwrap();
    }
    let after = peer.take(&to, before.len(), PATIENCE).await.unwrap();
    assert_eq!((before.len(), after.len()), (14, 14));
    for ((before, after), id) in before.into_iter().zip(after).zip(ids) {
        let expected = jms::Received {
            id,
            destination: Some(format!("queue://{to}")),
            broker_in_time: after.broker_in_time,
            ..before
        };
        // Compared as text, because a NaN differs from itself.
        assert_eq!(format!("{after:?}"), format!("{expected:?}"));
    }
    client.close().await;
}
