//! A handler that misbehaves is cut off and tried again, and another mapping of the same process
//! goes on as if nothing were.

use crate::support::{Broker, drain, report, subscribed};

/// Lets a guest misbehave on one queue and works on another meanwhile.
async fn beside(guest: &str, function: &str, outcomes: &[&str]) {
    let mut broker = Broker::with(&["bad", "good"]).await;
    broker.publish("bad", [b"{}".to_vec()]).await;
    let bad = broker.mapping("bad", guest, function, "");
    let good = broker.mapping("good", "echo", "", "batch_size = 1");
    let host = broker.host(&[bad, good]);
    // Cut off, and called again.
    for attempt in 1..=2 {
        let report = report(&host, "bad").await;
        assert!(outcomes.contains(&report["outcome"].as_str().unwrap()), "{report}");
        assert_eq!(report["attempt"], attempt);
    }
    for number in 0..20 {
        broker.publish("good", [vec![number]]).await;
        let report = report(&host, "good").await;
        assert_eq!(report["outcome"], "succeeded");
    }
    broker.wait_for("good", 0, 0).await;
    // The bad one is given back.
    drain(&host).await;
    broker.wait_for("bad", 1, 0).await;
}

#[tokio::test]
async fn an_endless_loop_is_cut_off_by_the_clock() {
    beside("spins", "timeout = \"200ms\"", &["timed_out", "out_of_fuel"]).await;
}

#[tokio::test]
async fn an_endless_loop_is_cut_off_by_its_fuel() {
    beside("spins", "timeout = \"60s\"\nfuel_per_second = 1_000_000", &["out_of_fuel"]).await;
}

#[tokio::test]
async fn a_sleeper_is_cut_off() {
    beside("sleeps", "timeout = \"200ms\"", &["timed_out"]).await;
}

#[tokio::test]
async fn a_handler_that_allocates_without_end_is_cut_off() {
    beside("grows-memory", "memory = \"64MiB\"", &["out_of_memory"]).await;
}

#[tokio::test]
async fn endless_loops_on_every_processor_hold_up_nobody_else() {
    let mut broker = Broker::with(&["bad", "good"]).await;
    let processors = std::thread::available_parallelism().unwrap().get();
    let spinners = 2 * processors;
    broker.publish("bad", vec![b"{}".to_vec(); spinners]).await;
    let many = format!("batch_size = 1\nmaximum_concurrency = {spinners}");
    let bad = broker.mapping("bad", "spins", "timeout = \"10m\"", &many);
    let good = broker.mapping("good", "echo", "", "batch_size = 1");
    let host = broker.host(&[bad, good]);
    subscribed(&host, "good").await;
    broker.wait_for("bad", 0, spinners as u64).await;
    // If these waited for a spinner, the first would take ten minutes.
    for number in 0..100 {
        broker.publish("good", [vec![number]]).await;
        assert_eq!(report(&host, "good").await["outcome"], "succeeded");
    }
    assert!(
        !host.logs().iter().any(|line| line["mapping"] == "bad" && line["message"] == "REPORT")
    );
    host.kill9().await.unwrap();
}
