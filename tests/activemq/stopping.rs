//! A drain ends, whatever the broker does, and a frozen broker is noticed.

use std::time::{Duration, Instant};

use gristmill_testkit::activemq::ActiveMqServer;

use super::{host_on, host_with, mapping, send_texts, wait_for};
use crate::support::{LONG, drain, report, subscribed};

#[tokio::test]
async fn a_frozen_broker_does_not_hold_up_the_exit() {
    let mut server = ActiveMqServer::start().await.unwrap();
    send_texts(&server, "orders", ["{}"]).await;
    let limit = "[host]\ndrain_timeout = \"1s\"\n\n".to_owned();
    let host = host_on(&server, &[limit, mapping("orders", "always-err", "", "")]);
    report(&host, "orders").await;
    server.freeze().await.unwrap();
    let asked = Instant::now();
    host.signal("TERM").unwrap();
    assert!(host.wait_exit(LONG).await.unwrap().success());
    // Far below what settling, cancelling and closing would wait for, one after the other.
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    server.thaw().unwrap();
    wait_for(&server, "orders", 1, 0).await;
}

#[tokio::test]
async fn a_frozen_broker_is_noticed_and_consumed_again_when_it_goes_on() {
    let mut server = ActiveMqServer::start().await.unwrap();
    server.create_queue("orders").await.unwrap();
    let host = host_with(&server, "heartbeat = \"1s\"", &[mapping("orders", "silent", "", "")]);
    subscribed(&host, "orders").await;
    server.freeze().await.unwrap();
    let lost = |line: &serde_json::Value| line["message"] == "no subscription; will try again";
    let line = host.wait_for(LONG, lost).await.unwrap();
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("silent for too long"), "{reason}");
    server.thaw().unwrap();
    subscribed(&host, "orders").await;
    send_texts(&server, "orders", ["1"]).await;
    assert_eq!(report(&host, "orders").await["outcome"], "succeeded");
    wait_for(&server, "orders", 0, 0).await;
    drain(&host).await;
}
