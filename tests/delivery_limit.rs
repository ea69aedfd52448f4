//! A quorum queue deletes what came back too often: no restart of the host may lead to that.
//!
//! A message that comes back with a failed call goes to the store. One that is killed on its way
//! to the handler again and again cannot: there the mapping stops, and says why.

use gristmill_testkit::amqp::Field;

use crate::dead_letters::list;
use crate::support::{Broker, LONG, quorum};

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
    for restart in 0..=6 {
        host.wait_for(LONG, |line| {
            let reason = line["reason"].as_str().unwrap_or_default();
            line["message"] == "subscribed" || reason.starts_with("DeliveryLimitNear")
        })
        .await
        .unwrap();
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
    let mut left = Vec::new();
    while let Some(delivery) = broker.client.get("orders").await.unwrap() {
        left.push(delivery.body);
    }
    for letter in list(&host) {
        let id: u8 = letter["message_id"].as_str().unwrap().parse().unwrap();
        left.push(vec![id]);
    }
    left.sort();
    left.dedup();
    assert_eq!(left, bodies, "on the queue or in the store");
}
