//! Verdicts, pulls, prefetch and redelivery counters are what the documentation says.

use std::time::{Duration, SystemTime};

use activemq_openwire::Outgoing;
use activemq_openwire::client::{Consumer, RequestError};
use activemq_openwire::connection::{Delivery, PullTimeout, Settlement};
use activemq_openwire::structures::Destination;
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms;
use tokio::time::Instant;

use crate::support::{
    PATIENCE, connected, consumer, next, producer, send_numbers, text, wait_until_held,
};

async fn take(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for _ in 0..count {
        deliveries.push(next(consumer).await);
    }
    deliveries
}

/// Each message with its redelivery counter.
fn counters(deliveries: &[Delivery]) -> Vec<(String, i32)> {
    deliveries.iter().map(|delivery| (text(delivery), delivery.redelivery_counter)).collect()
}

fn all_with(counter: i32, count: usize) -> Vec<(String, i32)> {
    (0..count).map(|number| (number.to_string(), counter)).collect()
}

/// The messages that a queue still holds, once its consumers are gone.
async fn left(server: &ActiveMqServer, queue: &str) -> Vec<String> {
    let messages = server.peer().await.unwrap().browse(queue).await.unwrap();
    messages.iter().map(|message| message.text().unwrap().to_owned()).collect()
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
async fn each_verdict_is_about_exactly_what_it_names() {
    let server = ActiveMqServer::start().await.unwrap();
    send_numbers(&server, "orders", 12).await;
    let client = connected(&server).await;
    let mut consumer = consumer(&client, "orders", 20).await;
    let tags: Vec<_> = take(&mut consumer, 12).await.iter().map(|delivery| delivery.tag).collect();
    // Out of order, and a range that others are settled in.
    consumer.ack(tags[6]).await.unwrap();
    consumer.settle(&Settlement::Poison { tag: tags[5], cause: None }).await.unwrap();
    let range = Settlement::Range { first: tags[4], last: tags[8] };
    consumer.settle(&range).await.unwrap();
    consumer.settle(&Settlement::UpTo(tags[1])).await.unwrap();
    // Nothing is settled twice.
    for again in [Settlement::Individual(tags[6]), range, Settlement::UpTo(tags[1])] {
        let refused = consumer.settle(&again).await;
        assert!(matches!(refused, Err(RequestError::NotAsked(_))), "{refused:?}");
    }
    assert_eq!(consumer.unsettled(), 5);
    wait_until_held(&server, "orders", 5).await;
    consumer.close().await.unwrap();
    assert_eq!(left(&server, "orders").await, ["2", "3", "9", "10", "11"]);
    assert_eq!(left(&server, "ActiveMQ.DLQ").await, ["5"]);
    client.close().await;
}

#[tokio::test]
async fn a_poisoned_message_that_is_not_persistent_is_dropped() {
    let server = ActiveMqServer::start().await.unwrap();
    server.create_queue("ActiveMQ.DLQ").await.unwrap();
    let fleeting = jms::Message { persistent: false, ..jms::Message::text("fleeting") };
    server.peer().await.unwrap().send("orders", &[fleeting]).await.unwrap();
    let client = connected(&server).await;
    let mut consumer = consumer(&client, "orders", 1).await;
    let tag = next(&mut consumer).await.tag;
    consumer.settle(&Settlement::Poison { tag, cause: None }).await.unwrap();
    wait_until_held(&server, "orders", 0).await;
    wait_until_held(&server, "ActiveMQ.DLQ", 0).await;
    client.close().await;
}

#[tokio::test]
async fn a_message_that_expired_with_its_consumer_becomes_a_dead_letter() {
    let server = ActiveMqServer::start().await.unwrap();
    let client = connected(&server).await;
    let mut consumer = consumer(&client, "orders", 1).await;
    let mortal = Outgoing {
        time_to_live: Some(Duration::from_millis(300)),
        ..Outgoing::text("mortal", SystemTime::now())
    };
    producer(&client).await.send(&Destination::queue("orders"), mortal).await.unwrap();
    let delivery = next(&mut consumer).await;
    let expired = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        now.as_millis() > u128::try_from(delivery.message.expiration).unwrap()
    };
    while !expired() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consumer.settle(&Settlement::Expired(delivery.tag)).await.unwrap();
    wait_until_held(&server, "orders", 0).await;
    assert_eq!(left(&server, "ActiveMQ.DLQ").await, ["mortal"]);
    client.close().await;
}

#[tokio::test]
async fn a_pull_brings_one_message_or_says_that_there_is_none() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 2).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 0).await;
    for number in ["0", "1"] {
        let delivery = consumer.pull(PullTimeout::None).await.unwrap().unwrap();
        assert_eq!(text(&delivery), number);
        consumer.ack(delivery.tag).await.unwrap();
    }
    assert!(consumer.pull(PullTimeout::None).await.unwrap().is_none());
    let asked = Instant::now();
    let timeout = Duration::from_millis(300);
    assert!(consumer.pull(PullTimeout::After(timeout)).await.unwrap().is_none());
    assert!(asked.elapsed() >= timeout);
    let producer = producer(&client).await;
    let (pulled, sent) = tokio::join!(consumer.pull(PullTimeout::Never), async {
        let message = Outgoing::text("late", SystemTime::now());
        producer.send(&Destination::queue(&queue), message).await
    });
    sent.unwrap();
    let late = pulled.unwrap().unwrap();
    assert_eq!(text(&late), "late");
    consumer.ack(late.tag).await.unwrap();
    client.close().await;
}

#[tokio::test]
async fn no_more_comes_than_the_prefetch_allows_and_it_can_be_changed() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 20).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 3).await;
    let in_flight = async |wanted: u64| {
        server
            .wait_for_counts(&queue, PATIENCE, |counts| counts.in_flight == wanted)
            .await
            .unwrap();
    };
    let first = take(&mut consumer, 3).await;
    in_flight(3).await;
    assert_eq!(consumer.unsettled(), 3);
    consumer.ack(first[0].tag).await.unwrap();
    assert_eq!(text(&next(&mut consumer).await), "3");
    in_flight(3).await;
    consumer.set_prefetch(8).await.unwrap();
    take(&mut consumer, 5).await;
    in_flight(8).await;
    consumer.set_prefetch(0).await.unwrap();
    consumer.settle(&Settlement::UpTo(first[2].tag)).await.unwrap();
    wait_until_held(server, &queue, 17).await;
    in_flight(6).await;
    assert_eq!(consumer.unsettled(), 6, "nothing came in the place of what was settled");
    client.close().await;
}

#[tokio::test]
async fn a_close_counts_what_was_handed_out_and_a_cut_counts_everything() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 4).await;
    let client = connected(server).await;
    // Taken in advance, and nothing of it handed out.
    let mut ahead = consumer(&client, &queue, 4).await;
    for _ in 0..4 {
        ahead.receive_ahead().await.unwrap();
    }
    ahead.close().await.unwrap();
    let mut second = consumer(&client, &queue, 4).await;
    let deliveries = take(&mut second, 2).await;
    assert_eq!(counters(&deliveries), all_with(0, 2));
    second.close().await.unwrap();
    let mut third = consumer(&client, &queue, 4).await;
    let deliveries = take(&mut third, 4).await;
    let expected = [("0", 1), ("1", 1), ("2", 0), ("3", 0)];
    assert_eq!(counters(&deliveries), expected.map(|(text, counter)| (text.to_owned(), counter)));
    // The connection breaks.
    drop(client);
    let client = connected(server).await;
    let mut fourth = consumer(&client, &queue, 4).await;
    let expected = [("0", 2), ("1", 2), ("2", 1), ("3", 1)];
    let deliveries = take(&mut fourth, 4).await;
    assert_eq!(counters(&deliveries), expected.map(|(text, counter)| (text.to_owned(), counter)));
    // An orderly end of the whole connection says how far it has come, too.
    fourth.ack(deliveries[3].tag).await.unwrap();
    client.close().await;
    let client = connected(server).await;
    let mut last = consumer(&client, &queue, 4).await;
    let expected = [("0", 3), ("1", 3), ("2", 2)];
    let deliveries = take(&mut last, 3).await;
    assert_eq!(counters(&deliveries), expected.map(|(text, counter)| (text.to_owned(), counter)));
    client.close().await;
}

#[tokio::test]
async fn a_restart_of_the_broker_sets_the_counters_to_zero() {
    let mut server = ActiveMqServer::start().await.unwrap();
    send_numbers(&server, "orders", 2).await;
    let client = connected(&server).await;
    let mut before = consumer(&client, "orders", 5).await;
    take(&mut before, 2).await;
    before.close().await.unwrap();
    let mut again = consumer(&client, "orders", 5).await;
    assert_eq!(counters(&take(&mut again, 2).await), all_with(1, 2));
    client.close().await;
    server.restart().await.unwrap();
    let client = connected(&server).await;
    let mut after = consumer(&client, "orders", 5).await;
    assert_eq!(counters(&take(&mut after, 2).await), all_with(0, 2));
    client.close().await;
}
