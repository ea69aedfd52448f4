//! Messages become batches by count, by time and by size, in the order of the queue.

use serde_json::Value;
use tokio::time::timeout;

use crate::support::{Broker, LONG, drain, printed, report, subscribed};

/// The bodies of an event, decoded by an ordinary library.
fn bodies(event: &str) -> Vec<Vec<u8>> {
    use base64::Engine;
    let event: Value = serde_json::from_str(event).unwrap();
    let queues = event["rmqMessagesByQueue"].as_object().unwrap();
    let records = queues.values().next().unwrap().as_array().unwrap().iter();
    let decode = |data: &Value| {
        base64::engine::general_purpose::STANDARD.decode(data.as_str().unwrap()).unwrap()
    };
    records.map(|record| decode(&record["data"])).collect()
}

#[tokio::test]
async fn a_thousand_messages_make_ten_events_in_order() {
    let mut broker = Broker::with(&["orders"]).await;
    let messages: Vec<Vec<u8>> = (0..1_000).map(|number| format!("{number}").into()).collect();
    broker.publish("orders", messages.clone()).await;
    // The longest window: nothing but the count may close a batch.
    let mapping = "batch_size = 100\nmaximum_batching_window = \"300s\"";
    let host = broker.host(&[broker.mapping("orders", "prints-event", "", mapping)]);
    let mut handled = Vec::new();
    for _ in 0..10 {
        let event = bodies(&printed(&host).await);
        assert_eq!(event.len(), 100);
        handled.extend(event);
    }
    assert_eq!(handled, messages);
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn seven_messages_arrive_in_one_event_after_the_window() {
    let mut broker = Broker::with(&["orders"]).await;
    let mapping = "maximum_batching_window = \"15s\"";
    let host = broker.host(&[broker.mapping("orders", "prints-event", "", mapping)]);
    subscribed(&host, "orders").await;
    broker.publish("orders", [vec![0]]).await;
    // The host has it, and the window is open for the others.
    let taken = async { while broker.client.queue_status("orders").await.unwrap().messages > 0 {} };
    timeout(LONG, taken).await.unwrap();
    broker.publish("orders", (1..7).map(|number| vec![number])).await;
    assert_eq!(bodies(&printed(&host).await), (0..7).map(|n| vec![n]).collect::<Vec<_>>());
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn three_messages_of_three_megabytes_arrive_in_three_events() {
    let mut broker = Broker::with(&["orders"]).await;
    broker.publish("orders", (0..3).map(|number| vec![number; 3_000_000])).await;
    // The handler answers with the event; what it says of its memory shows that events stay small.
    let host = broker.host(&[broker.mapping("orders", "echo", "", "")]);
    for _ in 0..3 {
        let report = report(&host, "orders").await;
        assert_eq!(report["records"], 1);
        assert_eq!(report["outcome"], "succeeded");
    }
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
}
