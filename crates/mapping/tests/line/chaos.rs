//! Random failures, durations, cuts, cancels and places for dead letters that come and go: nothing is
//! lost, and the order holds where it must.

use std::collections::BTreeSet;
use std::time::Duration;

use gristmill_invocation::Outcome;
use gristmill_mapping::Settings;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::place::{Answer, Place};
use crate::support::{Line, QUEUE, Scripted, concurrency, publish};

/// What a test does to the broker, between two waits.
#[derive(Debug, Clone)]
enum Act {
    Publish(usize),
    Cut,
    Cancel,
    Tell(Answer),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1usize..12).prop_map(Act::Publish),
        1 => Just(Act::Cut),
        1 => Just(Act::Cancel),
        2 => prop_oneof![
            Just(Answer::Keeps),
            Just(Answer::Away),
            Just(Answer::Refuses),
            Just(Answer::Missing),
            Just(Answer::Waits),
        ]
        .prop_map(Act::Tell),
        4 => (0u64..4_000).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..30)
}

/// Some messages belong to a group, by their last digit.
fn group_of(body: &str) -> Option<&str> {
    body.get(3..).filter(|digit| ["1", "2", "3"].contains(digit))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_message_is_handled_or_kept_and_what_has_an_order_keeps_it(
        acts in acts(),
        outcomes in prop::collection::vec((0u8..4, 0u64..3_000), 1..40),
        most_at_once in 1usize..5,
        bisects: bool,
    ) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let function = Scripted::new(move |call, _| {
                // After the script it always succeeds, or the test would never end.
                let (outcome, ms) = outcomes.get(call).copied().unwrap_or((0, 1));
                let outcome = match outcome {
                    0 | 1 => Outcome::Succeeded(None),
                    2 => Outcome::HandlerError("no".to_owned()),
                    _ => Outcome::GaveUp("no".to_owned()),
                };
                (Duration::from_millis(ms), outcome)
            });
            let place = Place::new(Answer::Keeps);
            let adjust = |settings: &mut Settings| {
                place.set(settings);
                concurrency(most_at_once)(settings);
                settings.bisect_batch_on_function_error = bisects;
            };
            let line = Line::start(function, adjust, &[]);
            let mut published = 0;
            for act in acts {
                match act {
                    Act::Publish(count) => {
                        for number in published..published + count {
                            let body = format!("{number:04}");
                            match group_of(&body) {
                                Some(group) => {
                                    line.broker.publish_in_group(QUEUE, group, body.clone().into_bytes());
                                }
                                None => publish(&line.broker, &[&body]),
                            }
                        }
                        published += count;
                    }
                    Act::Cut => line.broker.cut_connections(),
                    Act::Cancel => line.broker.cancel_consumers(QUEUE),
                    Act::Tell(answer) => place.tell(answer),
                    Act::Wait(ms) => sleep(Duration::from_millis(ms)).await,
                }
            }
            place.tell(Answer::Keeps);
            let acked = line.acked(published).await;
            let (broker, function) = line.stop().await;
            assert_eq!(acked.len(), published, "each message is acked once");
            assert_eq!(acked.iter().collect::<BTreeSet<_>>().len(), published);
            assert!(broker.ready(QUEUE).is_empty());
            assert!(function.most_at_once() <= most_at_once);
            let handled = function.calls().into_iter().filter(|call| call.succeeded);
            let handled = handled.flat_map(|call| call.bodies).chain(place.bodies());
            let handled: BTreeSet<_> = handled.collect();
            assert_eq!(handled.len(), published, "each was in a call that succeeded, or is kept");
            for group in ["1", "2", "3"] {
                let of_group = acked.iter().filter(|body| group_of(body) == Some(group));
                assert!(of_group.is_sorted(), "group {group} acked in order: {acked:?}");
            }
            if most_at_once == 1 {
                assert!(acked.is_sorted(), "acked in order: {acked:?}");
            }
        });
    }
}
