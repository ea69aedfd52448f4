//! The same orders to the same handler in every language that there is a template in.
//!
//! Each has a queue and a mapping of its own in one host, with default settings but for the size of
//! batches. What is compared is the line that each writes for a batch.

use gristmill_testkit::guests::ORDER_TOTALS;

use serde_json::Value;

use crate::support::{Broker, LONG, drain, nothing_panicked};

#[tokio::test]
async fn handlers_in_all_languages_say_the_same_of_the_same_messages() {
    let mut broker = Broker::with(&ORDER_TOTALS).await;
    let order = |number: u64| {
        let item = format!(r#"{{"sku":"Ä-{number}","quantity":{number},"price_cents":125}}"#);
        format!(r#"{{"id":{number},"customer":"Zoë","items":[{item},{item}]}}"#).into_bytes()
    };
    for queue in ORDER_TOTALS {
        broker.publish(queue, (0..20).map(order)).await;
    }
    // A batch is full with 10, so the two batches are the same for all.
    let mapping = |queue| {
        broker.mapping(queue, queue, "", "batch_size = 10\nmaximum_batching_window = \"60s\"")
    };
    let host = broker.host(&ORDER_TOTALS.map(mapping));
    // One after another is compiled, which takes seconds for those that bring an engine along.
    let mut ended = 0;
    let all_have_ended = |line: &Value| {
        ended += u32::from(line["message"] == "REPORT" && line["outcome"] == "succeeded");
        ended == 10
    };
    host.wait_for(4 * LONG, all_have_ended).await.unwrap();
    for queue in ORDER_TOTALS {
        broker.wait_for(queue, 0, 0).await;
    }
    let logs = host.logs();
    for queue in ORDER_TOTALS {
        let function = format!("{queue}-on-{queue}");
        let said: Vec<_> = logs
            .iter()
            .filter(|line| line["function"] == function.as_str() && line["stream"].is_string())
            .filter_map(|line| line["message"].as_str())
            .collect();
        let sums = ["10 orders, 90 items, total 112.50", "10 orders, 290 items, total 362.50"];
        assert_eq!(said, sums, "{queue}");
    }
    drain(&host).await;
    nothing_panicked(&host);
}
