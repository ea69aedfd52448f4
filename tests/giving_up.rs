//! Messages are given up to the broker's own dead letters.

use std::time::{SystemTime, UNIX_EPOCH};

use gristmill_testkit::amqp::{Field, Properties, Table};
use serde_json::{Value, json};

use crate::support::{Broker, LONG, drain, report};

const DEAD: &str = "dead";

async fn broker() -> Broker {
    let mut broker = Broker::with(&[DEAD]).await;
    let arguments = Table::new()
        .with("x-dead-letter-exchange", Field::text(""))
        .with("x-dead-letter-routing-key", Field::text(DEAD));
    broker.client.declare_queue("orders", &arguments).await.unwrap();
    broker
}

async fn dead_letters(broker: &mut Broker, count: u64) -> Vec<Vec<u8>> {
    broker.wait_for(DEAD, count, 0).await;
    let mut bodies = Vec::new();
    while let Some(delivery) = broker.client.get(DEAD).await.unwrap() {
        bodies.push(delivery.body);
    }
    bodies
}

fn order(id: u32) -> Vec<u8> {
    json!({ "id": id, "items": [] }).to_string().into()
}

#[tokio::test]
async fn after_its_retries_a_message_goes_to_the_dead_letter_exchange_and_the_others_go_on() {
    let mut broker = broker().await;
    broker.publish("orders", [b"no order".to_vec(), order(1), order(2)]).await;
    let settings = "batch_size = 1\nmaximum_retry_attempts = 2\non_failure = \"broker\"";
    let host = broker.host(&[broker.mapping("orders", "order-totals", "", settings)]);
    for attempt in 1..=3 {
        let report = report(&host, "orders").await;
        assert_eq!(
            (&report["attempt"], &report["outcome"]),
            (&json!(attempt), &json!("handler_error"))
        );
    }
    let given_up = |line: &Value| line["condition"] == "RetryAttemptsExhausted";
    let line = host.wait_for(LONG, given_up).await.unwrap();
    assert_eq!(line["message_ids"], "[\"0\"]");
    for _ in 0..2 {
        assert_eq!(report(&host, "orders").await["outcome"], "succeeded");
    }
    assert_eq!(dead_letters(&mut broker, 1).await, [b"no order"]);
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn one_poisonous_message_of_a_hundred_is_found_by_halves_and_the_others_are_handled_once() {
    let mut broker = broker().await;
    let mut orders: Vec<Vec<u8>> = (0..100).map(order).collect();
    orders[61] = b"no order".to_vec();
    broker.publish("orders", orders).await;
    let settings = "batch_size = 100\nmaximum_retry_attempts = 0\non_failure = \"broker\"\n\
                    bisect_batch_on_function_error = true";
    let host = broker.host(&[broker.mapping("orders", "order-totals", "", settings)]);
    assert_eq!(dead_letters(&mut broker, 1).await, [b"no order"]);
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
    let lines = host.logs();
    let reports: Vec<_> = lines.iter().filter(|line| line["message"] == "REPORT").collect();
    assert!(reports.len() <= 1 + 2 * 7, "{}", reports.len());
    let handled = reports.iter().filter(|report| report["outcome"] == "succeeded");
    assert_eq!(handled.map(|report| report["records"].as_u64().unwrap()).sum::<u64>(), 99);
}

#[tokio::test]
async fn the_messages_that_a_handler_names_come_again_and_no_others() {
    let mut broker = broker().await;
    let message = |number: u32| json!({ "fails": number % 4 == 1 }).to_string().into();
    broker.publish("orders", (0..20).map(message)).await;
    let settings = "batch_size = 20\nmaximum_retry_attempts = 1\non_failure = \"broker\"\n\
                    report_batch_item_failures = true";
    let host = broker.host(&[broker.mapping("orders", "names-failures", "", settings)]);
    for records in [20, 5] {
        assert_eq!(report(&host, "orders").await["records"], records);
    }
    assert_eq!(dead_letters(&mut broker, 5).await.len(), 5);
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn what_is_too_old_or_too_large_is_never_handed_to_the_function() {
    let mut broker = broker().await;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let old = Properties { timestamp: Some(now_s - 120), ..Properties::persistent() };
    broker.client.publish("orders", &old, b"old").await.unwrap();
    let large = vec![b'x'; 5_000_000];
    broker.publish("orders", [large.clone(), order(1)]).await;
    let settings = "maximum_record_age = \"60s\"\non_failure = \"broker\"";
    let host = broker.host(&[broker.mapping("orders", "order-totals", "", settings)]);
    let report = report(&host, "orders").await;
    assert_eq!((&report["records"], &report["outcome"]), (&json!(1), &json!("succeeded")));
    let mut dead = dead_letters(&mut broker, 2).await;
    dead.sort();
    assert_eq!(dead, [b"old".to_vec(), large]);
    drain(&host).await;
}

#[tokio::test]
async fn a_message_that_expires_while_it_is_held_leaves_its_batch() {
    let mut broker = broker().await;
    let mortal = Properties { expiration: Some("2000".to_owned()), ..Properties::persistent() };
    broker.client.publish("orders", &mortal, b"mortal").await.unwrap();
    broker.publish("orders", [b"lasting".to_vec()]).await;
    let host = broker.host(&[broker.mapping("orders", "always-err", "", "")]);
    assert_eq!(report(&host, "orders").await["records"], 2);
    host.wait_for(LONG, |line| line["message"] == "REPORT" && line["records"] == 1).await.unwrap();
    assert_eq!(dead_letters(&mut broker, 1).await, [b"mortal"]);
    drain(&host).await;
    broker.wait_for("orders", 1, 0).await;
}
