//! A handler that misbehaves is cut off and tried again, and another mapping of the same process
//! goes on as if nothing were.

use crate::support::{Broker, drain, report};

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
