//! Random failures and random durations: every message is handled, and in order where it is kept.

use crate::support::{Broker, LONG, drain, handled, nothing_panicked, numbers};

const MESSAGES: u64 = 100_000;

async fn survives(concurrency: u16) -> Vec<u64> {
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", numbers(MESSAGES)).await;
    let settings = format!("batch_size = 500\nmaximum_concurrency = {concurrency}");
    let host = broker.host(&[broker.mapping("orders", "chaotic", "", &settings)]);
    let mut acked = 0;
    let all_acked = |line: &serde_json::Value| {
        if line["message"] == "REPORT" && line["outcome"] == "succeeded" {
            acked += line["records"].as_u64().unwrap();
        }
        acked >= MESSAGES
    };
    host.wait_for(3 * LONG, all_acked).await.unwrap();
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
    nothing_panicked(&host);
    let failures = host.logs().iter().filter(|line| line["outcome"] == "trapped").count();
    assert!(failures > 0, "chance was too kind for the test to mean something");
    handled(&host, "chaotic-on-orders")
}

#[tokio::test]
async fn one_at_a_time_everything_is_handled_in_order() {
    assert!(survives(1).await.into_iter().eq(0..MESSAGES));
}

#[tokio::test]
async fn four_at_a_time_everything_is_handled() {
    let mut numbers = survives(4).await;
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.into_iter().eq(0..MESSAGES));
}

#[tokio::test]
async fn sixteen_at_a_time_everything_is_handled() {
    let mut numbers = survives(16).await;
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.into_iter().eq(0..MESSAGES));
}
