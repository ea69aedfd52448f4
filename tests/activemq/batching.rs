//! Messages become batches by count, by time and by size, in the order of the queue.

use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms;

use super::{host_on, mapping, send_texts, texts, wait_for};
use crate::support::{drain, printed, report, subscribed};

#[tokio::test]
async fn a_thousand_messages_make_ten_events_in_order() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let sent: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    send_texts(server, &queue, &sent).await;
    // The longest window: nothing but the count may close a batch.
    let settings = "batch_size = 100\nmaximum_batching_window = \"300s\"\nmaximum_concurrency = 1";
    let host = host_on(server, &[mapping(&queue, "prints-event", "", settings)]);
    let mut handled = Vec::new();
    for _ in 0..10 {
        let event = texts(&printed(&host).await);
        assert_eq!(event.len(), 100);
        handled.extend(event);
    }
    assert_eq!(handled, sent);
    wait_for(server, &queue, 0, 0).await;
    drain(&host).await;
}

/// More than a broker hands out of a full queue at once.
#[tokio::test]
async fn a_batch_of_a_thousand_fills_from_a_full_queue() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_texts(server, &queue, (0..2_000).map(|number| number.to_string())).await;
    let settings = "batch_size = 1000\nmaximum_batching_window = \"300s\"";
    let host = host_on(server, &[mapping(&queue, "silent", "", settings)]);
    for _ in 0..2 {
        assert_eq!(report(&host, "orders").await["records"], 1_000);
    }
    wait_for(server, &queue, 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn seven_messages_arrive_in_one_event_after_the_window() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let settings = "maximum_batching_window = \"15s\"";
    let host = host_on(server, &[mapping(&queue, "prints-event", "", settings)]);
    subscribed(&host, "orders").await;
    send_texts(server, &queue, ["0"]).await;
    // The host has it, and the window is open for the others.
    wait_for(server, &queue, 1, 1).await;
    send_texts(server, &queue, ["1", "2", "3", "4", "5", "6"]).await;
    assert_eq!(texts(&printed(&host).await), ["0", "1", "2", "3", "4", "5", "6"]);
    wait_for(server, &queue, 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn three_messages_of_three_megabytes_arrive_in_three_events() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let messages = [0, 1, 2].map(|number| jms::Message::bytes(vec![number; 3_000_000]));
    server.peer().await.unwrap().send(&queue, &messages).await.unwrap();
    let host = host_on(server, &[mapping(&queue, "echo", "", "")]);
    for _ in 0..3 {
        let report = report(&host, "orders").await;
        assert_eq!((&report["records"], &report["outcome"]), (&1.into(), &"succeeded".into()));
    }
    wait_for(server, &queue, 0, 0).await;
    drain(&host).await;
}
