//! The broker never has to close a channel because a message was kept for too long.

use gristmill_testkit::amqp::{Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;
use serde_json::json;

use crate::support::{LONG, drain, host_on_with, mapping_on, nothing_panicked};

/// Long enough for the host's margin of a minute, and not much more.
const SETTINGS: &str = "consumer_timeout = \"75s\"\n";

#[tokio::test]
async fn slow_batches_with_a_large_prefetch_never_reach_the_consumer_timeout() {
    let server = RabbitServer::start_with(&["consumer_timeout = 75000"]).await.unwrap();
    // Otherwise it looks once a minute only.
    server.eval("application:set_env(rabbit, channel_tick_interval, 1000).").await.unwrap();
    let mut client = server.client("/").await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    // One at a time they take 100 s, and all of them are prefetched at once.
    let body = json!({ "sleep_ms": 2_500 }).to_string();
    for number in 0..40 {
        let message_id = Some(number.to_string());
        let properties = Properties { message_id, ..Properties::persistent() };
        client.publish("orders", &properties, body.as_bytes()).await.unwrap();
    }
    let mapping = mapping_on(
        "/",
        "orders",
        "orders",
        "slow",
        "timeout = \"5s\"",
        "batch_size = 1\nprefetch = 40",
    );
    let host = host_on_with(&server, SETTINGS, &[mapping]);
    let mut ids = Vec::new();
    let all = |line: &serde_json::Value| {
        if line["stream"] == "stdout" {
            ids.push(line["message"].as_str().unwrap().parse::<u32>().unwrap());
        }
        ids.len() == 40
    };
    host.wait_for(3 * LONG, all).await.unwrap();
    assert!(ids.into_iter().eq(0..40), "in order, each once");
    drain(&host).await;
    nothing_panicked(&host);
    assert_eq!(client.queue_status("orders").await.unwrap().messages, 0);
    let lines = host.logs();
    let renewed = |line: &&serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.contains("nearly the broker's"))
    };
    assert!(lines.iter().filter(renewed).count() >= 3, "epochs end on purpose");
    let closed = server.log().into_iter().find(|line| line.contains("PRECONDITION_FAILED"));
    assert_eq!(closed, None);
}
