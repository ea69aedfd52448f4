//! How many calls run at once: a function's own bound over all its mappings, and the host's.

use std::time::{Duration, Instant};

use gristmill_testkit::guests;
use serde_json::json;

use crate::support::{Broker, LONG, drain, host_on, report};

const QUEUES: [&str; 2] = ["one", "two"];

#[tokio::test]
async fn reserved_concurrency_bounds_a_function_over_all_its_mappings() {
    const AT_ONCE: u32 = 2;
    const CALLS: usize = 20;
    let mut broker = Broker::with(&QUEUES).await;
    let component = guests::component("slow");
    let function =
        format!("[function.f]\ncomponent = {component:?}\nreserved_concurrency = {AT_ONCE}\n\n");
    let mapping = |queue| {
        format!(
            "[mapping.{queue}]\nbroker = \"broker\"\nvirtual_host = {:?}\nqueue = \"{queue}\"\n\
             function = \"f\"\nbatch_size = 1\nmaximum_concurrency = 10\n\n",
            broker.virtual_host
        )
    };
    let host = host_on(broker.server, &[function, mapping("one"), mapping("two")]);
    // In any order.
    for _ in QUEUES {
        host.wait_for(LONG, |line| line["message"] == "subscribed").await.unwrap();
    }
    let began = Instant::now();
    for queue in QUEUES {
        broker.publish(queue, vec![json!({ "sleep_ms": 100 }).to_string().into(); CALLS]).await;
    }
    let mut called_ms = 0.0;
    for _ in 0..CALLS * QUEUES.len() {
        let report = host.wait_for(LONG, |line| line["message"] == "REPORT").await.unwrap();
        assert_eq!(report["outcome"], "succeeded");
        called_ms += report["duration_ms"].as_f64().unwrap();
    }
    // However slow the machine: so much calling fits into the time, and no more. Twenty at once would
    // have taken a tenth of it.
    let called = Duration::from_secs_f64(called_ms / 1e3);
    let fits = AT_ONCE * began.elapsed();
    assert!(called <= fits, "{called:?} were called in what has room for {fits:?}");
    for queue in QUEUES {
        broker.wait_for(queue, 0, 0).await;
    }
    drain(&host).await;
}

#[tokio::test]
async fn with_room_for_one_instance_two_functions_take_turns() {
    let mut broker = Broker::with(&QUEUES).await;
    let settings = "batch_size = 1\nmaximum_concurrency = 4";
    let [one, two] = QUEUES.map(|queue| broker.mapping(queue, "silent", "", settings));
    let host = broker.host(&["[host]\ninstances_max = 1\n\n".to_owned(), one, two]);
    // One after the other: the one takes the place of what the other keeps for its next call.
    for _ in 0..3 {
        for queue in QUEUES {
            broker.publish(queue, [b"{}".to_vec()]).await;
            let report = report(&host, queue).await;
            assert_eq!((&report["outcome"], &report["cold"]), (&json!("succeeded"), &json!(true)));
        }
    }
    // And all together.
    for queue in QUEUES {
        broker.publish(queue, vec![b"{}".to_vec(); 50]).await;
    }
    for _ in 0..100 {
        let report = host.wait_for(LONG, |line| line["message"] == "REPORT").await.unwrap();
        assert_eq!(report["outcome"], "succeeded");
    }
    for queue in QUEUES {
        broker.wait_for(queue, 0, 0).await;
    }
    drain(&host).await;
}
