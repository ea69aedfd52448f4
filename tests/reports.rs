//! The line that every invocation ends with, as tools read it.

use serde_json::{Value, json};

use crate::support::{Broker, drain, report};

/// A REPORT of one record that succeeded, which has every figure.
fn check(report: &Value, cold: bool) {
    assert_eq!(
        (&report["function"], &report["outcome"], &report["records"], &report["attempt"]),
        (&json!("silent-on-m"), &json!("succeeded"), &json!(1), &json!(1))
    );
    assert_eq!(report["request_id"].as_str().unwrap().len(), 36);
    assert_eq!(report["cold"], cold);
    assert!(report["duration_ms"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["waited_ms"].as_f64().unwrap() >= 0.0, "{report}");
    assert!(report["fuel"].as_u64().unwrap() > 0, "{report}");
    assert!(report["memory_bytes"].as_u64().unwrap() > 0, "{report}");
}

#[tokio::test]
async fn a_report_has_its_figures_and_tells_a_new_instance_from_one_that_was_kept() {
    let mut broker = Broker::with(&["m"]).await;
    let host = broker.host(&[broker.mapping("m", "silent", "", "batch_size = 1")]);
    for cold in [true, false, false] {
        broker.publish("m", [b"{}".to_vec()]).await;
        check(&report(&host, "m").await, cold);
    }
    drain(&host).await;
}

#[tokio::test]
async fn without_reuse_every_call_has_a_new_instance() {
    let mut broker = Broker::with(&["m"]).await;
    let function = "instance_reuse = false";
    let host = broker.host(&[broker.mapping("m", "silent", function, "batch_size = 1")]);
    for _ in 0..2 {
        broker.publish("m", [b"{}".to_vec()]).await;
        check(&report(&host, "m").await, true);
    }
    drain(&host).await;
}
