//! A batch that fails is called again until it succeeds; what is not handled stays in the broker.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gristmill_testkit::amqp::{Field, Table};

use crate::support::{Broker, LONG, drain, report, subscribed};
use serde_json::{Value, json};

fn order(id: u32, more: &Value) -> Vec<u8> {
    let mut order = json!({ "id": id, "items": [{ "quantity": 2, "price_cents": 50 }] });
    order.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    order.to_string().into()
}

#[tokio::test]
async fn a_batch_that_fails_twice_is_called_three_times_and_acked() {
    let mut broker = Broker::with(&["orders"]).await;
    let orders = (0..20).map(|id| order(id, &json!({ "fail_twice": id == 7 })));
    broker.publish("orders", orders).await;
    let mapping = broker.mapping("orders", "fails-twice", "", "batch_size = 10");
    let host = broker.host(&[mapping]);
    for (attempt, outcome) in [(1, "handler_error"), (2, "handler_error"), (3, "succeeded")] {
        let report = report(&host, "orders").await;
        assert_eq!(report["attempt"], attempt);
        assert_eq!(report["outcome"], outcome);
        assert_eq!(report["records"], 10);
    }
    // The batch behind it waited, and is handled once.
    let report = report(&host, "orders").await;
    assert_eq!((&report["attempt"], &report["outcome"]), (&json!(1), &json!("succeeded")));
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
    let reports = host.logs().into_iter().filter(|line| line["message"] == "REPORT");
    assert_eq!(reports.count(), 4, "nothing was seen again after its success");
}

#[tokio::test]
async fn a_handler_that_traps_gets_the_same_batch_again_until_it_succeeds() {
    let mut broker = Broker::with(&["orders"]).await;
    let host = broker.host(&[broker.mapping("orders", "traps-until", "", "")]);
    subscribed(&host, "orders").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // The second call comes within a second of the first: both are too early.
    let due = now + Duration::from_secs(8);
    let body = json!({ "succeed_after_ms": u64::try_from(due.as_millis()).unwrap() });
    broker.publish("orders", [body.to_string().into(), b"second".to_vec()]).await;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let report = report(&host, "orders").await;
        assert_eq!((&report["attempt"], &report["records"]), (&json!(attempt), &json!(2)));
        if report["outcome"] == "succeeded" {
            break;
        }
        assert_eq!(report["outcome"], "trapped");
    }
    assert!(attempt >= 3, "trapped at least twice");
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
}

/// Stops a host whose handler always fails, and looks at what the queue holds then.
async fn after_ctrl_c(arguments: &Table) {
    let mut broker = Broker::with(&[]).await;
    broker.client.declare_queue("orders", arguments).await.unwrap();
    let bodies: Vec<Vec<u8>> = (0..50).map(|number| vec![number]).collect();
    broker.publish("orders", bodies.clone()).await;
    let mapping = broker.mapping("orders", "always-traps", "", "batch_size = 10");
    let host = broker.host(&[mapping]);
    report(&host, "orders").await;
    host.signal("INT").unwrap();
    assert!(host.wait_exit(LONG).await.unwrap().success());
    broker.wait_for("orders", 50, 0).await;
    let mut ready = Vec::new();
    while let Some(delivery) = broker.client.get("orders").await.unwrap() {
        ready.push(delivery.body);
    }
    assert_eq!(ready, bodies);
}

#[tokio::test]
async fn after_ctrl_c_the_messages_of_a_failing_handler_are_ready_in_their_old_order() {
    after_ctrl_c(&Table::new()).await;
}

#[tokio::test]
async fn after_ctrl_c_the_same_holds_for_a_quorum_queue() {
    after_ctrl_c(&Table::new().with("x-queue-type", Field::text("quorum"))).await;
}

#[tokio::test]
async fn a_malformed_order_fails_its_batch_and_the_log_names_it() {
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", [order(1, &json!({})), b"no order".to_vec()]).await;
    let host = broker.host(&[broker.mapping("orders", "order-totals", "", "")]);
    let failed = |line: &Value| line["message"] == "batch failed; will call again";
    let line = host.wait_for(LONG, failed).await.unwrap();
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("record 1 of orders::"), "{reason}");
    host.signal("TERM").unwrap();
    assert!(host.wait_exit(LONG).await.unwrap().success());
    broker.wait_for("orders", 2, 0).await;
}
