//! Silence: a broker that hangs is noticed, and a consumer that is slow does not look like a dead one.

use std::time::{Duration, SystemTime};

use activemq_openwire::client::{
    Client, ClientSettings, ConnectError, Connector, ReceiveError, RequestError,
};
use activemq_openwire::connection::CloseReason;
use activemq_openwire::structures::Destination;
use activemq_openwire::{Body, Outgoing};
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::proxy::Proxy;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    PATIENCE, at_port, body, connected, consumer, impatient, next, producer, send_numbers,
    settings, text, wait_until_held,
};

#[tokio::test]
async fn a_broker_that_stops_answering_is_noticed_and_used_again_when_it_goes_on() {
    const INACTIVITY: Duration = Duration::from_millis(1_500);
    let mut server = ActiveMqServer::start().await.unwrap();
    send_numbers(&server, "orders", 2).await;
    let client = impatient(&server, INACTIVITY).await;
    let mut before = consumer(&client, "orders", 5).await;
    let (first, second) = (next(&mut before).await, next(&mut before).await);
    before.ack(first.tag).await.unwrap();
    server.freeze().await.unwrap();
    let frozen = Instant::now();
    // It waits as long as anything that comes.
    let ack = before.ack(second.tag);
    let ended = timeout(PATIENCE, before.receive()).await.unwrap().map(|_| ());
    let noticed = frozen.elapsed();
    assert_eq!(ended, Err(ReceiveError::Ended(CloseReason::Silent)));
    assert_eq!(ack.await, Err(RequestError::BrokerGone(CloseReason::Silent)));
    // Silence of one and a half times the agreed counts, its last word was up to a third old, and at the
    // beginning nobody counts for as long as is agreed.
    assert!(noticed >= INACTIVITY, "{noticed:?}");
    assert!(noticed < 4 * INACTIVITY, "{noticed:?}");

    // Its system still accepts connections, but nobody negotiates.
    let login_timeout = Duration::from_millis(500);
    let hurried = ClientSettings { login_timeout, ..settings(&server) };
    let silent = Connector::new(hurried).connect().await.unwrap_err();
    let is_late = matches!(&silent, ConnectError::Lost { source: CloseReason::LoginTimeout, .. });
    assert!(is_late, "{silent:?}");

    server.thaw().unwrap();
    let client = connected(&server).await;
    let mut after = consumer(&client, "orders", 5).await;
    // The ack may have waited in its socket, which it still reads. If so, that counts.
    let held = |counts: gristmill_testkit::activemq::QueueCounts| {
        counts.messages == 0 || counts.dispatched == 3
    };
    let counts = server.wait_for_counts("orders", PATIENCE, held).await.unwrap();
    if counts.messages == 1 {
        let again = next(&mut after).await;
        assert_eq!((text(&again), again.redelivery_counter), ("1".to_owned(), 1));
        after.ack(again.tag).await.unwrap();
    }
    wait_until_held(&server, "orders", 0).await;
    client.close().await;
}

async fn send_bytes(client: &Client, queue: &str, bytes: Vec<u8>) {
    let message = Outgoing::bytes(bytes, SystemTime::now());
    producer(client).await.send(&Destination::queue(queue), message).await.unwrap();
}

#[tokio::test]
async fn a_slow_consumer_never_looks_like_a_dead_one() {
    const INACTIVITY: Duration = Duration::from_millis(500);
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let large = vec![7; 20_000_000];
    let sender = connected(server).await;
    send_bytes(&sender, &queue, b"small".to_vec()).await;
    send_bytes(&sender, &queue, large.clone()).await;
    send_numbers(server, &queue, 50).await;
    let client = impatient(server, INACTIVITY).await;
    let mut consumer = consumer(&client, &queue, 3).await;
    // It takes nothing for much longer than either side lets the other be silent.
    sleep(6 * INACTIVITY).await;
    let small = next(&mut consumer).await;
    sleep(6 * INACTIVITY).await;
    consumer.ack(small.tag).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert!(body(&delivery.message) == Body::Bytes(large.into()));
    consumer.ack(delivery.tag).await.unwrap();
    for number in 0..50 {
        let delivery = next(&mut consumer).await;
        assert_eq!((text(&delivery), delivery.redelivery_counter), (number.to_string(), 0));
        consumer.ack(delivery.tag).await.unwrap();
    }
    wait_until_held(server, &queue, 0).await;
    assert_eq!(client.close().await, CloseReason::Requested);
}

/// A frame that is under way for several times the agreed silence, with no other between its bytes.
#[tokio::test]
async fn a_large_frame_on_its_way_is_a_sign_of_life_both_ways() {
    const INACTIVITY: Duration = Duration::from_millis(600);
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let large = vec![7; 3_000_000];
    send_bytes(&connected(server).await, &queue, large.clone()).await;
    let proxy = Proxy::start(server.port()).await.unwrap();
    let addresses = at_port(proxy.port());
    let through = ClientSettings { addresses, inactivity: INACTIVITY, ..settings(server) };
    let client = Connector::new(through).connect().await.unwrap();
    // About fifty pieces of the frame follow each other at this distance.
    proxy.delay(Duration::from_millis(60));
    let began = Instant::now();
    let mut consumer = consumer(&client, &queue, 1).await;
    // Nor does anybody wait for it at first.
    sleep(2 * INACTIVITY).await;
    let delivery = next(&mut consumer).await;
    assert!(began.elapsed() > 3 * INACTIVITY, "it was under way for {:?} only", began.elapsed());
    assert!(body(&delivery.message) == Body::Bytes(large.clone().into()));
    consumer.ack(delivery.tag).await.unwrap();

    let began = Instant::now();
    send_bytes(&client, &queue, large.clone()).await;
    assert!(began.elapsed() > 3 * INACTIVITY, "it was under way for {:?} only", began.elapsed());
    proxy.delay(Duration::ZERO);
    let delivery = next(&mut consumer).await;
    assert!(body(&delivery.message) == Body::Bytes(large.into()));
    consumer.ack(delivery.tag).await.unwrap();
    wait_until_held(server, &queue, 0).await;
    assert_eq!(client.close().await, CloseReason::Requested);
}

#[tokio::test]
async fn a_connection_with_nothing_to_say_lives() {
    const INACTIVITY: Duration = Duration::from_millis(300);
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = impatient(server, INACTIVITY).await;
    let mut consumer = consumer(&client, &queue, 1).await;
    let ended = timeout(10 * INACTIVITY, consumer.receive()).await;
    assert!(ended.is_err(), "{ended:?}");
    send_numbers(server, &queue, 1).await;
    assert_eq!(text(&next(&mut consumer).await), "0");
    client.close().await;
}
