//! A quorum queue deletes what came back too often: no restart of the host may lead to that.

use gristmill_testkit::amqp::Field;
use serde_json::Value;

use crate::support::{Broker, LONG, moved, quorum};

#[tokio::test]
async fn six_restarts_with_a_handler_that_always_fails_lose_nothing() {
    let mut broker = Broker::with(&[]).await;
    let limited = quorum().with("x-delivery-limit", Field::I32(3));
    broker.client.declare_queue("orders", &limited).await.unwrap();
    let bodies: Vec<Vec<u8>> = (0..20).map(|number| vec![number]).collect();
    broker.publish("orders", bodies.clone()).await;
    let settings = "batch_size = 5\ndelivery_limit = 3";
    let mapping = broker.mapping("orders", "always-err", "", settings);
    let mut host = broker.host(&[mapping]);
    let mut held = 0;
    for restart in 0..=6 {
        // Either it fails once more, or it says that it will not try.
        let seen = |line: &Value| {
            line["message"] == "REPORT"
                || line["message"] == "the mapping does not work; somebody must act"
        };
        let line = host.wait_for(LONG, seen).await.unwrap();
        held += u32::from(line["message"] != "REPORT");
        if restart % 2 == 0 {
            host.signal("TERM").unwrap();
            assert!(host.wait_exit(LONG).await.unwrap().success());
        } else {
            host.kill9().await.unwrap();
        }
        if restart < 6 {
            host.restart().await.unwrap();
        }
    }
    assert!(held >= 4, "held in {held} of seven lives");
    broker.wait_for("orders", 20, 0).await;
    let mut ready = Vec::new();
    while let Some(delivery) = broker.client.get("orders").await.unwrap() {
        ready.push(delivery.body);
    }
    ready.sort();
    assert_eq!(ready, bodies);
}

#[tokio::test]
async fn a_held_mapping_says_why_and_goes_on_when_its_file_is_removed() {
    let mut broker = Broker::with(&[]).await;
    let limited = quorum().with("x-delivery-limit", Field::I32(4));
    broker.client.declare_queue("orders", &limited).await.unwrap();
    broker.publish("orders", [b"7".to_vec()]).await;
    let settings = "batch_size = 5\ndelivery_limit = 4";
    let mapping = broker.mapping("orders", "always-err", "", settings);
    let mut host = broker.host(&[mapping]);
    for _ in 0..2 {
        host.wait_for(LONG, |line| line["message"] == "REPORT").await.unwrap();
        host.restart().await.unwrap();
    }
    let line = moved(&host, "orders", "Disabled", "ESM_CONFIG_NOT_VALID").await;
    let result = line["last_processing_result"].as_str().unwrap();
    assert!(
        result.contains(
            "DeliveryLimitNear: the broker has taken the message with messageId \"0\" back 2 times"
        ),
        "{result}"
    );
    let line = host
        .wait_for(LONG, |line| line["message"] == "the mapping does not work; somebody must act")
        .await
        .unwrap();
    let reason = line["reason"].as_str().unwrap();
    let file = host.folder().join("data/held/orders");
    assert!(reason.contains(&file.display().to_string()), "{reason}");
    std::fs::remove_file(file).unwrap();
    host.wait_for(LONG, |line| line["message"] == "REPORT").await.unwrap();
}
