//! How much a broker gives in advance, and what a pull brings.

use std::time::{Duration, SystemTime};

use activemq_openwire::Outgoing;
use activemq_openwire::connection::{PullTimeout, Settlement};
use activemq_openwire::structures::Destination;
use gristmill_testkit::activemq::ActiveMqServer;
use tokio::time::Instant;

use crate::support::{
    PATIENCE, connected, consumer, next, producer, send_numbers, take, text, wait_until_held,
};

async fn wait_until_in_flight(server: &ActiveMqServer, queue: &str, wanted: u64) {
    server.wait_for_counts(queue, PATIENCE, |counts| counts.in_flight == wanted).await.unwrap();
}

async fn wait_until_dispatched(server: &ActiveMqServer, queue: &str, wanted: usize) {
    let wanted = u64::try_from(wanted).unwrap();
    server.wait_for_counts(queue, PATIENCE, |counts| counts.dispatched == wanted).await.unwrap();
}

#[tokio::test]
async fn every_verdict_admits_as_many_as_it_settles_and_no_more() {
    const PREFETCH: usize = 3;
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 20).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 3).await;
    let mut held = take(&mut consumer, PREFETCH).await;
    let mut settled = 0;
    for round in 0..10 {
        let (verdict, count) = match round % 5 {
            0 => (Settlement::Individual(held[0].tag), 1),
            1 => (Settlement::UpTo(held[1].tag), 2),
            2 => (Settlement::Range { first: held[0].tag, last: held[2].tag }, 3),
            3 => (Settlement::Poison { tag: held[0].tag, cause: None }, 1),
            _ => (Settlement::Expired(held[0].tag), 1),
        };
        // The count only grows, and each next round would miss what came too much in this one.
        wait_until_dispatched(server, &queue, settled + PREFETCH).await;
        assert_eq!(consumer.unsettled(), PREFETCH);
        consumer.settle(&verdict).await.unwrap();
        settled += count;
        held.drain(..count);
        held.extend(take(&mut consumer, count).await);
    }
    let expected: Vec<_> = (settled..settled + PREFETCH).map(|number| number.to_string()).collect();
    assert_eq!(held.iter().map(text).collect::<Vec<_>>(), expected);
    wait_until_dispatched(server, &queue, settled + PREFETCH).await;
    wait_until_in_flight(server, &queue, 3).await;
    client.close().await;
}

#[tokio::test]
async fn each_consumer_gets_its_own_prefetch_and_leaves_the_rest() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let mut first = consumer(&client, &queue, 1).await;
    let mut second = consumer(&client, &queue, 4).await;
    send_numbers(server, &queue, 10).await;
    take(&mut first, 1).await;
    take(&mut second, 4).await;
    wait_until_in_flight(server, &queue, 5).await;
    wait_until_dispatched(server, &queue, 5).await;
    let mut consumers: Vec<_> = server.consumers(&queue).await.unwrap();
    consumers.sort_by_key(|consumer| consumer.prefetch);
    let told: Vec<_> = consumers.iter().map(|one| (one.prefetch, one.in_flight)).collect();
    assert_eq!(told, [(1, 1), (4, 4)]);
    client.close().await;
}

/// A broker looks at what waits a page at a time, and at the next page only when something happens to the
/// queue: an ack, a new message, or its search for expired ones every 30 seconds.
#[tokio::test]
async fn of_what_waits_already_a_page_comes_and_the_next_with_an_ack() {
    const PAGE: usize = 200;
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    server.peer().await.unwrap().fill(&queue, 450, 10, false).await.unwrap();
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 2_000).await;
    let first = take(&mut consumer, PAGE).await;
    // Whatever came at once would have come before these answers.
    for _ in 0..10 {
        client.session().await.unwrap();
    }
    assert_eq!(consumer.unsettled(), PAGE);
    consumer.ack(first[7].tag).await.unwrap();
    let second = take(&mut consumer, PAGE).await;
    consumer.settle(&Settlement::UpTo(second[PAGE - 1].tag)).await.unwrap();
    let rest = take(&mut consumer, 50).await;
    consumer.settle(&Settlement::UpTo(rest[49].tag)).await.unwrap();
    wait_until_held(server, &queue, 0).await;
    client.close().await;
}

#[tokio::test]
async fn a_prefetch_that_brokers_would_replace_is_avoided() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    for (asked, sent) in [(1_000, 999), (1_001, 1_001), (u16::MAX, u64::from(u16::MAX))] {
        let consumer = consumer(&client, &queue, asked).await;
        assert_eq!(server.consumers(&queue).await.unwrap()[0].prefetch, sent);
        consumer.close().await.unwrap();
    }
    client.close().await;
}

#[tokio::test]
async fn the_prefetch_can_be_changed() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 20).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 3).await;
    let first = take(&mut consumer, 3).await;
    wait_until_in_flight(server, &queue, 3).await;
    consumer.set_prefetch(8).await.unwrap();
    take(&mut consumer, 5).await;
    wait_until_in_flight(server, &queue, 8).await;
    assert_eq!(server.consumers(&queue).await.unwrap()[0].prefetch, 8);
    consumer.set_prefetch(0).await.unwrap();
    consumer.settle(&Settlement::UpTo(first[2].tag)).await.unwrap();
    wait_until_held(server, &queue, 17).await;
    wait_until_in_flight(server, &queue, 5).await;
    assert_eq!(consumer.unsettled(), 5, "nothing came in the place of what was settled");
    consumer.set_prefetch(6).await.unwrap();
    assert_eq!(text(&next(&mut consumer).await), "8");
    wait_until_in_flight(server, &queue, 6).await;
    client.close().await;
}

#[tokio::test]
async fn a_pull_brings_one_message_or_says_that_there_is_none() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 3).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 0).await;
    assert_eq!(server.queue_counts(&queue).await.unwrap().dispatched, 0);
    // The second is pulled while the first is unsettled.
    let mut held = Vec::new();
    for number in ["0", "1"] {
        let delivery = consumer.pull(PullTimeout::None).await.unwrap().unwrap();
        assert_eq!((text(&delivery), delivery.redelivery_counter), (number.to_owned(), 0));
        held.push(delivery.tag);
    }
    assert_eq!(consumer.unsettled(), 2);
    wait_until_dispatched(server, &queue, 2).await;
    for tag in held {
        consumer.ack(tag).await.unwrap();
    }
    let long = PullTimeout::After(PATIENCE);
    let third = consumer.pull(long).await.unwrap().unwrap();
    assert_eq!(text(&third), "2");
    consumer.ack(third.tag).await.unwrap();

    assert!(consumer.pull(PullTimeout::None).await.unwrap().is_none());
    let asked = Instant::now();
    let timeout = Duration::from_millis(300);
    assert!(consumer.pull(PullTimeout::After(timeout)).await.unwrap().is_none());
    assert!(asked.elapsed() >= timeout);
    wait_until_held(server, &queue, 0).await;
    client.close().await;
}

#[tokio::test]
async fn a_pull_waits_for_a_message_that_comes() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 0).await;
    let producer = producer(&client).await;
    for timeout in [PullTimeout::Never, PullTimeout::After(PATIENCE)] {
        let (pulled, sent) = tokio::join!(consumer.pull(timeout), async {
            let message = Outgoing::text("late", SystemTime::now());
            producer.send(&Destination::queue(&queue), message).await
        });
        sent.unwrap();
        let late = pulled.unwrap().unwrap();
        assert_eq!(text(&late), "late");
        consumer.ack(late.tag).await.unwrap();
    }
    client.close().await;
}

#[tokio::test]
async fn an_abandoned_pull_loses_nothing() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 0).await;
    let soon = Duration::from_millis(50);
    let abandoned = tokio::time::timeout(soon, consumer.pull(PullTimeout::Never)).await;
    assert!(abandoned.is_err());
    send_numbers(server, &queue, 2).await;
    for number in ["0", "1"] {
        let delivery = consumer.pull(PullTimeout::After(PATIENCE)).await.unwrap().unwrap();
        assert_eq!(text(&delivery), number);
        consumer.ack(delivery.tag).await.unwrap();
    }
    wait_until_held(server, &queue, 0).await;
    wait_until_dispatched(server, &queue, 2).await;
    client.close().await;
}
