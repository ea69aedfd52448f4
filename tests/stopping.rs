//! A stop is a drain, and a drain ends: whatever the handler does, whatever the broker does.

use std::time::{Duration, Instant};

use gristmill_testkit::amqp::{Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;

use crate::support::{Broker, LONG, host_on, mapping_on, subscribed};

#[tokio::test]
async fn a_second_signal_stops_at_once_and_the_broker_keeps_everything() {
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", [b"{}".to_vec()]).await;
    let host = broker.host(&[broker.mapping("orders", "sleeps", "", "")]);
    broker.wait_for("orders", 0, 1).await;
    host.signal("INT").unwrap();
    host.wait_for(LONG, |line| line["message"] == "draining; a second signal stops at once")
        .await
        .unwrap();
    host.signal("TERM").unwrap();
    assert_eq!(host.wait_exit(LONG).await.unwrap().code(), Some(1));
    broker.wait_for("orders", 1, 0).await;
}

#[tokio::test]
async fn a_handler_that_never_returns_is_cut_off_after_the_drain_timeout() {
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", [b"{}".to_vec()]).await;
    let mapping = broker.mapping("orders", "spins", "", "");
    let host = broker.host(&["[host]\ndrain_timeout = \"1s\"\n\n".to_owned(), mapping]);
    broker.wait_for("orders", 0, 1).await;
    host.signal("TERM").unwrap();
    assert!(host.wait_exit(LONG).await.unwrap().success());
    broker.wait_for("orders", 1, 0).await;
}

#[tokio::test]
async fn a_frozen_broker_does_not_hold_up_the_exit() {
    let mut server = RabbitServer::start().await.unwrap();
    let mut client = server.client("/").await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    client.publish("orders", &Properties::persistent(), b"{}").await.unwrap();
    let mapping = mapping_on("/", "orders", "orders", "always-err", "", "");
    let host = host_on(&server, &["[host]\ndrain_timeout = \"1s\"\n\n".to_owned(), mapping]);
    subscribed(&host, "orders").await;
    host.wait_for(LONG, |line| line["message"] == "REPORT").await.unwrap();
    server.freeze().await.unwrap();
    let asked = Instant::now();
    host.signal("TERM").unwrap();
    assert!(host.wait_exit(LONG).await.unwrap().success());
    // Far below what settling, cancelling and closing would wait for, one after the other.
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    server.thaw().unwrap();
}
