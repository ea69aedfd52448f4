//! Redelivery counters: what raises them, by how much, and what sets them back.
//!
//! Each test is a row of the table that brokers keep to, as far as this client can bring it about: it
//! never says that it does not know what it has handed out, and it has no transactions.

use std::time::Duration;

use activemq_openwire::client::{Client, ClientSettings, Connector, Consumer};
use activemq_openwire::connection::{CloseReason, Delivery, PullTimeout, Settlement, Tag};
use gristmill_testkit::activemq::{ActiveMqServer, Settings};
use gristmill_testkit::proxy::Proxy;

use crate::support::{
    PATIENCE, at_port, connected, consumer, next, send_numbers, settings, take, text,
    wait_until_held,
};

/// A queue with three messages, `0` to `2`.
async fn three(server: &ActiveMqServer) -> String {
    let queue = server.test_queue().await.unwrap();
    send_numbers(server, &queue, 3).await;
    queue
}

/// Each message with its redelivery counter, as in `0:1`.
fn counters(deliveries: &[Delivery]) -> Vec<String> {
    let told = |delivery: &Delivery| format!("{}:{}", text(delivery), delivery.redelivery_counter);
    deliveries.iter().map(told).collect()
}

/// Takes what there is and leaves the counters as they are, once the last consumer is gone.
async fn seen(server: &ActiveMqServer, queue: &str, count: u64) -> Vec<String> {
    wait_until_unsubscribed(server, queue).await;
    wait_until_held(server, queue, count).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, queue, 10).await;
    let mut deliveries = Vec::new();
    for _ in 0..count {
        deliveries.push(consumer.receive_ahead().await.unwrap());
    }
    consumer.close().await.unwrap();
    client.close().await;
    counters(&deliveries)
}

async fn wait_until_unsubscribed(server: &ActiveMqServer, queue: &str) {
    server.wait_for_counts(queue, PATIENCE, |counts| counts.consumers == 0).await.unwrap();
}

#[tokio::test]
async fn a_close_counts_what_was_handed_out() {
    let server = ActiveMqServer::shared().await.unwrap();
    let client = connected(server).await;
    for (handed, expected) in [
        (0, ["0:0", "1:0", "2:0"]),
        (1, ["0:1", "1:0", "2:0"]),
        (2, ["0:1", "1:1", "2:0"]),
        (3, ["0:1", "1:1", "2:1"]),
    ] {
        let queue = three(server).await;
        let mut consumer = consumer(&client, &queue, 5).await;
        // All are taken in advance.
        for _ in 0..3 {
            consumer.receive_ahead().await.unwrap();
        }
        if let Some(last) = u64::checked_sub(handed, 1) {
            consumer.hand(Tag(last));
        }
        consumer.close().await.unwrap();
        assert_eq!(seen(server, &queue, 3).await, expected);
    }
    client.close().await;
}

#[tokio::test]
async fn a_close_counts_what_was_handed_out_whatever_of_it_is_settled() {
    let server = ActiveMqServer::shared().await.unwrap();
    let client = connected(server).await;
    // Which of three that were handed out, with two more merely in advance, is settled.
    for (settled, expected) in [
        (0, ["1:1", "2:1", "3:0", "4:0"]),
        (1, ["0:1", "2:1", "3:0", "4:0"]),
        (2, ["0:1", "1:1", "3:0", "4:0"]),
    ] {
        let queue = server.test_queue().await.unwrap();
        send_numbers(server, &queue, 5).await;
        let mut consumer = consumer(&client, &queue, 5).await;
        let handed = take(&mut consumer, 3).await;
        consumer.receive_ahead().await.unwrap();
        consumer.ack(handed[settled].tag).await.unwrap();
        consumer.close().await.unwrap();
        assert_eq!(seen(server, &queue, 4).await, expected);
    }
    // All of what was handed out is settled.
    let queue = three(server).await;
    let mut consumer = consumer(&client, &queue, 5).await;
    let handed = take(&mut consumer, 2).await;
    consumer.settle(&Settlement::UpTo(handed[1].tag)).await.unwrap();
    consumer.close().await.unwrap();
    assert_eq!(seen(server, &queue, 1).await, ["2:0"]);
    client.close().await;
}

#[tokio::test]
async fn a_dropped_consumer_and_a_closed_client_count_like_a_close() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = three(server).await;
    let client = connected(server).await;
    let mut dropped = consumer(&client, &queue, 5).await;
    take(&mut dropped, 2).await;
    drop(dropped);
    assert_eq!(seen(server, &queue, 3).await, ["0:1", "1:1", "2:0"]);
    let mut closed_with_client = consumer(&client, &queue, 5).await;
    take(&mut closed_with_client, 1).await;
    assert_eq!(client.close().await, CloseReason::Requested);
    assert_eq!(seen(server, &queue, 3).await, ["0:2", "1:1", "2:0"]);
}

#[tokio::test]
async fn two_consumers_count_apart() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let mut first = consumer(&client, &queue, 2).await;
    let mut second = consumer(&client, &queue, 2).await;
    send_numbers(server, &queue, 4).await;
    let mut of_first = take(&mut first, 2).await;
    let ahead = [second.receive_ahead().await.unwrap(), second.receive_ahead().await.unwrap()];
    client.close().await;
    of_first.extend(ahead);
    let mut expected: Vec<_> = of_first
        .iter()
        .enumerate()
        .map(|(index, delivery)| format!("{}:{}", text(delivery), u8::from(index < 2)))
        .collect();
    let mut after = seen(server, &queue, 4).await;
    expected.sort();
    after.sort();
    assert_eq!(after, expected);
}

#[tokio::test]
async fn what_was_pulled_counts_when_its_consumer_closes() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = three(server).await;
    let client = connected(server).await;
    let mut consumer = consumer(&client, &queue, 0).await;
    for _ in 0..2 {
        consumer.pull(PullTimeout::None).await.unwrap().unwrap();
    }
    consumer.close().await.unwrap();
    // Those given back come first again.
    assert_eq!(seen(server, &queue, 3).await, ["0:1", "1:1", "2:0"]);
    client.close().await;
}

/// Prefetches all three and has one handed out.
async fn hold_three(client: &Client, queue: &str) -> Consumer {
    let mut consumer = consumer(client, queue, 5).await;
    next(&mut consumer).await;
    consumer.receive_ahead().await.unwrap();
    consumer.receive_ahead().await.unwrap();
    consumer
}

#[tokio::test]
async fn a_lost_connection_counts_all_that_was_prefetched() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = three(server).await;
    // A client that goes without a word.
    let client = connected(server).await;
    let consumer = hold_three(&client, &queue).await;
    drop(client);
    drop(consumer);
    assert_eq!(seen(server, &queue, 3).await, ["0:1", "1:1", "2:1"]);

    // A network that breaks, and one that swallows everything until each side counts the other as
    // gone. The first leaves the counters of a consumer that saw all raised by one.
    let proxy = Proxy::start(server.port()).await.unwrap();
    let addresses = at_port(proxy.port());
    let inactivity = Duration::from_millis(1_000);
    let through = ClientSettings { addresses, inactivity, ..settings(server) };
    let connector = Connector::new(through);
    let client = connector.connect().await.unwrap();
    let consumer = hold_three(&client, &queue).await;
    proxy.cut();
    assert_eq!(client.closed().await, CloseReason::Lost);
    drop(consumer);
    assert_eq!(seen(server, &queue, 3).await, ["0:2", "1:2", "2:2"]);

    let client = connector.connect().await.unwrap();
    let _consumer = hold_three(&client, &queue).await;
    proxy.swallow(true);
    assert_eq!(client.closed().await, CloseReason::Silent);
    assert_eq!(seen(server, &queue, 3).await, ["0:3", "1:3", "2:3"]);
}

#[tokio::test]
async fn connections_that_the_broker_cuts_count_all_that_was_prefetched() {
    // All connections of a server are cut.
    let server = ActiveMqServer::start().await.unwrap();
    let queue = three(&server).await;
    let client = connected(&server).await;
    let _consumer = hold_three(&client, &queue).await;
    server.close_connections().await.unwrap();
    let ended = client.closed().await;
    assert!(matches!(ended, CloseReason::Lost | CloseReason::ShutDown), "{ended:?}");
    assert_eq!(seen(&server, &queue, 3).await, ["0:1", "1:1", "2:1"]);
}

#[tokio::test]
async fn a_restart_of_the_broker_sets_the_counters_to_zero() {
    // Unless the queue says that the broker is to write down that a message was delivered.
    let kept = [("persistJMSRedelivered", "true")];
    let kept = Settings::new().policy("kept.>", &kept);
    let mut server = ActiveMqServer::start_with(&kept).await.unwrap();
    let queue = three(&server).await;
    send_numbers(&server, "kept.orders", 3).await;
    let client = connected(&server).await;
    for (queue, expected) in [
        (&*queue, ["0:1", "1:0", "2:0"]),
        // A broker that writes it down counts each dispatch, also what is merely prefetched.
        ("kept.orders", ["0:2", "1:1", "2:1"]),
    ] {
        hold_three(&client, queue).await.close().await.unwrap();
        assert_eq!(seen(&server, queue, 3).await, expected);
    }
    client.close().await;
    server.restart().await.unwrap();
    assert_eq!(seen(&server, &queue, 3).await, ["0:0", "1:0", "2:0"]);
    assert_eq!(seen(&server, "kept.orders", 3).await, ["0:1", "1:1", "2:1"]);
    // In the middle of a delivery, with no time to write anything down.
    let client = connected(&server).await;
    let _consumer = hold_three(&client, &queue).await;
    server.kill9().await.unwrap();
    assert_eq!(client.closed().await, CloseReason::Lost);
    server.restart().await.unwrap();
    assert_eq!(seen(&server, &queue, 3).await, ["0:0", "1:0", "2:0"]);
}
