//! Batches that fail in part: halves of them, and the records that the function names.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::fake::FakeBroker;
use gristmill_event::BasicProperties;
use gristmill_invocation::Outcome;
use gristmill_mapping::{GiveUp, Settings};
use proptest::prelude::*;
use tokio::runtime::Builder;

use crate::support::{Line, QUEUE, Scripted, fails, succeeds, texts};

fn halves(records: usize, give_up: GiveUp) -> impl FnOnce(&mut Settings) {
    move |settings| {
        settings.batch.records_max = NonZeroUsize::new(records).unwrap();
        settings.prefetch = 2_000.try_into().unwrap();
        settings.bisect_batch_on_function_error = true;
        settings.give_up = give_up;
    }
}

fn reports(settings: &mut Settings) {
    settings.batch.records_max = NonZeroUsize::new(4).unwrap();
    settings.report_batch_item_failures = true;
}

fn tries(most: u32) -> GiveUp {
    GiveUp { maximum_retry_attempts: Some(most), ..GiveUp::default() }
}

fn fails_on(bad: &'static [&'static str]) -> Arc<Scripted> {
    Scripted::new(move |_, bodies| {
        if bodies.iter().any(|body| bad.contains(&body.as_str())) { fails() } else { succeeds() }
    })
}

fn says(response: &str) -> (Duration, Outcome) {
    (Duration::ZERO, Outcome::Succeeded(Some(response.to_owned())))
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_record_of_a_thousand_is_soon_alone() {
    let bodies: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let line = Line::start(fails_on(&["613"]), halves(1_000, tries(0)), &bodies);
    line.until(|broker| broker.dead_letters(QUEUE).len() == 1).await;
    let acked = line.acked(999).await;
    let expected: Vec<&str> = bodies.iter().copied().filter(|body| *body != "613").collect();
    assert_eq!(acked, expected, "in their order");
    let (broker, function) = line.stop().await;
    assert_eq!(texts(broker.dead_letters(QUEUE)), ["613"]);
    assert!(function.calls().len() <= 1 + 2 * 10, "{}", function.calls().len());
}

#[tokio::test(start_paused = true)]
async fn the_left_half_is_settled_before_the_right_one_starts_and_the_next_batch_waits_for_both() {
    // The poisonous one is tried again in its place, and with it the order holds.
    let function = Scripted::new(|number, bodies| {
        if bodies.iter().any(|body| body == "b") && number < 6 { fails() } else { succeeds() }
    });
    let bodies = ["a", "b", "c", "d", "e"];
    let line = Line::start(function, halves(4, GiveUp::default()), &bodies);
    assert_eq!(line.acked(5).await, bodies);
    let (_, function) = line.stop().await;
    let calls = function.bodies();
    let expected: [&[&str]; 9] = [
        &["a", "b", "c", "d"],
        &["a", "b"],
        &["a"],
        &["b"],
        &["b"],
        &["b"],
        &["b"],
        &["c", "d"],
        &["e"],
    ];
    assert_eq!(calls, expected);
}

#[tokio::test(start_paused = true)]
async fn with_more_slots_the_halves_still_take_one() {
    let function = Scripted::new(|_, bodies| {
        if bodies.len() > 1 { fails() } else { (Duration::from_secs(1), succeeds().1) }
    });
    let several = |settings: &mut Settings| {
        halves(4, GiveUp::default())(settings);
        settings.maximum_concurrency = NonZeroUsize::new(3).unwrap();
    };
    let line = Line::start(function, several, &["a", "b", "c", "d"]);
    assert_eq!(line.acked(4).await, ["a", "b", "c", "d"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_records_that_the_function_names_come_again_and_no_others() {
    let function = Scripted::new(|number, _| match number {
        0 => says(r##"{"batchItemFailures":[{"itemIdentifier":"#1"},{"itemIdentifier":"#3"}]}"##),
        1 => says(r##"{"batchItemFailures":[{"itemIdentifier":"#0"}]}"##),
        _ => says(r#"{"batchItemFailures":[]}"#),
    });
    let line = Line::start(function, reports, &["a", "b", "c", "d"]);
    assert_eq!(line.acked(4).await, ["a", "c", "d", "b"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.bodies(), [vec!["a", "b", "c", "d"], vec!["b", "d"], vec!["b"]]);
}

#[tokio::test(start_paused = true)]
async fn records_with_one_id_are_named_together() {
    let broker = FakeBroker::default();
    for (id, body) in [("x", "a"), ("y", "b"), ("x", "c"), ("z", "d")] {
        let message_id = Some(id.to_owned());
        let properties = BasicProperties { message_id, ..BasicProperties::default() };
        broker.publish(QUEUE, properties, body.into());
    }
    let function = Scripted::new(|number, _| match number {
        0 => says(r#"{"batchItemFailures":[{"itemIdentifier":"x"}]}"#),
        _ => succeeds(),
    });
    let line = Line::start_on(broker, function, reports);
    assert_eq!(line.acked(4).await, ["b", "d", "a", "c"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.bodies()[1], ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_means_nothing_fails_the_whole_batch() {
    let function = Scripted::new(|number, _| match number {
        0 => says("no JSON"),
        1 => says(r##"{"batchItemFailures":[{"itemIdentifier":"#9"}]}"##),
        _ => succeeds(),
    });
    let line = Line::start(function, reports, &["a", "b", "c", "d"]);
    line.called(2).await;
    assert!(line.broker.acked(QUEUE).is_empty());
    assert_eq!(line.acked(4).await, ["a", "b", "c", "d"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn unless_it_is_asked_for_nobody_reads_a_response() {
    let named = r##"{"batchItemFailures":[{"itemIdentifier":"#0"}]}"##;
    let line = Line::start(Scripted::new(move |_, _| says(named)), |_| (), &["a", "b"]);
    assert_eq!(line.acked(2).await, ["a", "b"]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_back_the_half_that_failed_and_what_follows_it() {
    let line = Line::start(
        Scripted::new(|_, _| fails()),
        halves(4, GiveUp::default()),
        &["a", "b", "c", "d"],
    );
    line.called(3).await;
    let (broker, _) = line.stop().await;
    assert_eq!(texts(broker.ready(QUEUE)), ["a", "b", "c", "d"]);
    assert_eq!(broker.unsettled(QUEUE), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_up_nothing_that_might_be_handled_alone() {
    let function = Scripted::new(|_, _| (Duration::from_secs(5), fails().1));
    let line = Line::start(function, halves(4, tries(0)), &["a", "b", "c", "d"]);
    line.called(1).await;
    let (broker, function) = line.stop().await;
    assert_eq!(function.calls().len(), 1);
    assert!(broker.dead_letters(QUEUE).is_empty());
    assert_eq!(texts(broker.ready(QUEUE)), ["a", "b", "c", "d"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever fails, and however batches are cut: every message is acked or a dead letter, once, and
    /// those that can be handled are, in their order.
    #[test]
    fn bisection_loses_nothing_and_gives_up_only_what_fails(
        bad in prop::collection::vec(any::<bool>(), 1..40),
        records_max in 1_usize..20,
        most in 0_u32..3,
    ) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bodies: Vec<String> = (0..bad.len()).map(|number| number.to_string()).collect();
            let published: Vec<&str> = bodies.iter().map(String::as_str).collect();
            let is_bad = bad.clone();
            let function = Scripted::new(move |_, bodies| {
                let fails_with = |body: &String| is_bad[body.parse::<usize>().unwrap()];
                if bodies.iter().any(fails_with) { fails() } else { succeeds() }
            });
            let line = Line::start(function, halves(records_max, tries(most)), &published);
            let dead = bad.iter().filter(|bad| **bad).count();
            let good = bad.len() - dead;
            line.until(|broker| {
                (broker.acked(QUEUE).len(), broker.dead_letters(QUEUE).len()) == (good, dead)
            })
            .await;
            let (broker, _) = line.stop().await;
            let of = |wanted: bool| -> Vec<String> {
                let all = bodies.iter().zip(&bad).filter(|(_, bad)| **bad == wanted);
                all.map(|(body, _)| body.clone()).collect()
            };
            assert_eq!(texts(broker.acked(QUEUE)), of(false));
            assert_eq!(texts(broker.dead_letters(QUEUE)), of(true));
        });
    }
}
