//! Ends of connections: who notices, when, and what comes again.

use std::time::Duration;

use activemq_openwire::client::{
    ClientSettings, ConnectError, Connector, Consumer, ReceiveError, RequestError,
};
use activemq_openwire::connection::CloseReason;
use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{
    PATIENCE, body, connected, consumer, next, send_numbers, settings, text, wait_until_held,
};

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

fn impatient(server: &ActiveMqServer, inactivity: Duration) -> Connector {
    Connector::new(ClientSettings { inactivity, ..settings(server) })
}

#[tokio::test]
async fn a_broker_that_stops_answering_is_noticed_and_used_again_when_it_goes_on() {
    const INACTIVITY: Duration = Duration::from_millis(1_500);
    let mut server = ActiveMqServer::start().await.unwrap();
    send_numbers(&server, "orders", 1).await;
    let client = impatient(&server, INACTIVITY).connect().await.unwrap();
    let mut before = consumer(&client, "orders", 5).await;
    next(&mut before).await;
    server.freeze().await.unwrap();
    let frozen = Instant::now();
    let ended = timeout(PATIENCE, before.receive()).await.unwrap().map(|_| ());
    assert_eq!(ended, Err(ReceiveError::Ended(CloseReason::Silent)));
    assert!(frozen.elapsed() >= INACTIVITY / 2, "{:?}", frozen.elapsed());
    server.thaw().unwrap();
    let client = connected(&server).await;
    let mut after = consumer(&client, "orders", 5).await;
    let again = next(&mut after).await;
    assert_eq!((text(&again), again.redelivery_counter), ("0".to_owned(), 1));
    after.ack(again.tag).await.unwrap();
    wait_until_held(&server, "orders", 0).await;
    client.close().await;
}

#[tokio::test]
async fn a_slow_consumer_never_looks_like_a_dead_one() {
    const INACTIVITY: Duration = Duration::from_secs(1);
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let large = vec![7; 20_000_000];
    let mut peer = server.peer().await.unwrap();
    peer.send(&queue, &[jms::Message::bytes("small"), jms::Message::bytes(&*large)]).await.unwrap();
    send_numbers(server, &queue, 50).await;
    let client = impatient(server, INACTIVITY).connect().await.unwrap();
    let mut consumer = consumer(&client, &queue, 3).await;
    // It takes nothing for much longer than either side lets the other be silent.
    sleep(4 * INACTIVITY).await;
    let small = next(&mut consumer).await;
    sleep(4 * INACTIVITY).await;
    consumer.ack(small.tag).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert!(body(&delivery.message) == activemq_openwire::Body::Bytes(large.into()));
    consumer.ack(delivery.tag).await.unwrap();
    for number in 0..50 {
        let delivery = next(&mut consumer).await;
        assert_eq!((text(&delivery), delivery.redelivery_counter), (number.to_string(), 0));
        consumer.ack(delivery.tag).await.unwrap();
    }
    wait_until_held(server, &queue, 0).await;
    client.close().await;
}
