//! A batch that fails is called again, and given up after five retries; nothing else is disturbed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::host::Host;
use gristmill_testkit::jms;
use serde_json::{Value, json};

use super::{DEAD_LETTERS, host_on, mapping, mapping_named, records, send_texts, wait_for};
use crate::support::{LONG, drain, report, subscribed};

/// The REPORT lines so far.
fn reports(host: &Host) -> Vec<Value> {
    host.logs().into_iter().filter(|line| line["message"] == "REPORT").collect()
}

#[tokio::test]
async fn a_handler_that_always_fails_is_called_six_times_and_the_whole_batch_is_a_dead_letter() {
    let server = ActiveMqServer::start().await.unwrap();
    server.create_queue("orders").await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let mut messages: Vec<_> =
        (0..20).map(|number| jms::Message::text(number.to_string())).collect();
    // Those a broker would drop.
    messages.iter_mut().step_by(3).for_each(|message| message.persistent = false);
    peer.send("orders", &messages).await.unwrap();
    let settings = "batch_size = 20\nmaximum_batching_window = \"300s\"";
    let host = host_on(&server, &[mapping("orders", "always-err", "", settings)]);
    for attempt in 1..=6 {
        let report = report(&host, "orders").await;
        assert_eq!(report["outcome"], "handler_error");
        assert_eq!((&report["attempt"], &report["records"]), (&json!(attempt), &json!(20)));
    }
    let given_up = |line: &Value| line["condition"] == "RetryAttemptsExhausted";
    assert_eq!(host.wait_for(LONG, given_up).await.unwrap()["messages"], 20);
    wait_for(&server, "orders", 0, 0).await;
    let mut dead = peer.take(DEAD_LETTERS, 20, LONG).await.unwrap();
    dead.sort_by_key(|letter| letter.text().unwrap().parse::<u32>().unwrap());
    for (number, letter) in dead.iter().enumerate() {
        assert_eq!(letter.text(), Some(number.to_string().as_str()));
        assert_eq!(letter.original_destination.as_deref(), Some("queue://orders"));
        let jms::Value::Text(cause) = &letter.properties["dlqDeliveryFailureCause"] else {
            panic!("{letter:?}");
        };
        assert!(cause.contains("RetryAttemptsExhausted"), "{cause}");
        assert!(letter.persistent);
    }
    drain(&host).await;
    assert_eq!(reports(&host).len(), 6, "exactly six calls");
    wait_for(&server, DEAD_LETTERS, 0, 0).await;
}

#[tokio::test]
async fn a_handler_that_traps_gets_the_same_batch_again_and_it_says_that_it_is_redelivered() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let host = host_on(server, &[mapping(&queue, "traps-until", "", "")]);
    subscribed(&host, "orders").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Within the five retries, one second apart.
    let due = now + Duration::from_secs(3);
    let body = json!({ "succeed_after_ms": u64::try_from(due.as_millis()).unwrap() });
    send_texts(server, &queue, [body.to_string(), "second".to_owned()]).await;
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
    assert!((2..=6).contains(&attempt), "{attempt}");
    wait_for(server, &queue, 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn the_event_of_a_retry_differs_in_redelivered_only() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_texts(server, &queue, ["a", "b"]).await;
    let settings = "maximum_batching_window = \"300s\"\nbatch_size = 2";
    let limits = "environment = { FAILS = \"1\" }";
    let host = host_on(server, &[mapping(&queue, "prints-event", limits, settings)]);
    let printed = |line: &Value| line["stream"] == "stdout";
    let event = async || {
        let line = host.wait_for(LONG, printed).await.unwrap();
        records(line["message"].as_str().unwrap())
    };
    let first = event().await;
    for _ in 0..2 {
        let mut again = event().await;
        for record in &mut again {
            assert_eq!(record["redelivered"], true);
            record["redelivered"] = json!(false);
        }
        assert_eq!(again, first);
    }
    drain(&host).await;
}

#[tokio::test]
async fn an_endless_loop_is_cut_and_given_up_while_its_neighbour_works() {
    let server = ActiveMqServer::start().await.unwrap();
    for queue in ["bad", "good", DEAD_LETTERS] {
        server.create_queue(queue).await.unwrap();
    }
    send_texts(&server, "bad", ["{}"]).await;
    let host = host_on(
        &server,
        &[
            mapping_named("bad", "bad", "spins", "timeout = \"1s\"", "maximum_retry_attempts = 1"),
            mapping_named("good", "good", "silent", "", ""),
        ],
    );
    let started = |line: &Value| line["message"] == "subscribed" && line["mapping"] == "good";
    host.wait_for(LONG, started).await.unwrap();
    send_texts(&server, "good", (0..100).map(|number| number.to_string())).await;
    wait_for(&server, "good", 0, 0).await;
    wait_for(&server, DEAD_LETTERS, 1, 0).await;
    drain(&host).await;
    let reports = reports(&host);
    let of_bad = reports.iter().filter(|report| report["mapping"] == "bad");
    let outcomes: Vec<_> = of_bad.map(|report| report["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes.len(), 2);
    assert!(
        outcomes.iter().all(|outcome| ["timed_out", "out_of_fuel"].contains(outcome)),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn what_is_too_large_or_too_old_is_never_handed_to_the_function() {
    let server = ActiveMqServer::start().await.unwrap();
    server.create_queue("orders").await.unwrap();
    let mut peer = server.peer().await.unwrap();
    peer.send("orders", &[jms::Message::text("mortal"), jms::Message::bytes(vec![0; 5_000_000])])
        .await
        .unwrap();
    let settings = "maximum_record_age = \"60s\"\nmaximum_batching_window = \"1s\"";
    let host = host_on(&server, &[mapping("orders", "prints-event", "", settings)]);
    let report = report(&host, "orders").await;
    assert_eq!((&report["records"], &report["outcome"]), (&json!(1), &json!("succeeded")));
    let dead = peer.take(DEAD_LETTERS, 1, LONG).await.unwrap();
    assert_eq!(dead[0].body, jms::Body::Bytes(vec![0; 5_000_000]));
    let cause = format!("{:?}", dead[0].properties["dlqDeliveryFailureCause"]);
    assert!(cause.contains("RecordTooLarge"), "{cause}");
    wait_for(&server, "orders", 0, 0).await;
    drain(&host).await;
}

#[tokio::test]
async fn after_ctrl_c_what_was_tried_says_so_and_the_rest_is_as_it_was() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    send_texts(server, &queue, (0..50).map(|number| number.to_string())).await;
    let settings = "batch_size = 10\nmaximum_concurrency = 1";
    let host = host_on(server, &[mapping(&queue, "always-traps", "", settings)]);
    report(&host, "orders").await;
    // Two batches of them are here.
    wait_for(server, &queue, 50, 20).await;
    host.signal("INT").unwrap();
    assert!(host.wait_exit(LONG).await.unwrap().success());
    wait_for(server, &queue, 50, 0).await;
    let ready = server.peer().await.unwrap().take(&queue, 50, LONG).await.unwrap();
    for (number, message) in ready.iter().enumerate() {
        assert_eq!(message.text(), Some(number.to_string().as_str()));
        assert_eq!(message.redelivered, number < 10, "{number}");
    }
}
