//! Random failures, durations, cuts and cancels: nothing is lost, and the order holds where it must.

use std::collections::BTreeSet;
use std::time::Duration;

use gristmill_invocation::Outcome;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::support::{Line, QUEUE, Scripted, concurrency, publish};

/// What a test does to the broker, between two waits.
#[derive(Debug, Clone)]
enum Act {
    Publish(usize),
    Cut,
    Cancel,
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1usize..12).prop_map(Act::Publish),
        1 => Just(Act::Cut),
        1 => Just(Act::Cancel),
        4 => (0u64..4_000).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_message_is_handled_and_with_concurrency_1_in_order(
        acts in acts(),
        outcomes in prop::collection::vec((any::<bool>(), 0u64..3_000), 1..40),
        most_at_once in 1usize..5,
    ) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let function = Scripted::new(move |call, _| {
                // After the script it always succeeds, or the test would never end.
                let (succeeds, ms) = outcomes.get(call).copied().unwrap_or((true, 1));
                let failed = Outcome::HandlerError("no".to_owned());
                let outcome = if succeeds { Outcome::Succeeded(None) } else { failed };
                (Duration::from_millis(ms), outcome)
            });
            let line = Line::start(function, concurrency(most_at_once), &[]);
            let mut published = 0;
            for act in acts {
                match act {
                    Act::Publish(count) => {
                        for number in published..published + count {
                            publish(&line.broker, &[&format!("{number:04}")]);
                        }
                        published += count;
                    }
                    Act::Cut => line.broker.cut_connections(),
                    Act::Cancel => line.broker.cancel_consumers(QUEUE),
                    Act::Wait(ms) => sleep(Duration::from_millis(ms)).await,
                }
            }
            let acked = line.acked(published).await;
            let (broker, function) = line.stop().await;
            assert_eq!(acked.len(), published, "each message is acked once");
            assert_eq!(acked.iter().collect::<BTreeSet<_>>().len(), published);
            assert!(broker.ready(QUEUE).is_empty());
            assert!(function.most_at_once() <= most_at_once);
            let handled: BTreeSet<_> = function.calls().into_iter()
                .filter(|call| call.succeeded).flat_map(|call| call.bodies).collect();
            assert_eq!(handled.len(), published, "each message was in a call that succeeded");
            if most_at_once == 1 {
                assert!(acked.is_sorted(), "acked in order: {acked:?}");
            }
        });
    }
}
