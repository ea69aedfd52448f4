//! What becomes of a batch that fails, and of the ones behind it.

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gristmill_broker::fake::FakeBroker;
use gristmill_invocation::Outcome;
use gristmill_mapping::Settings;
use gristmill_mapping::backoff::Backoff;
use tokio::time::timeout;

use crate::support::{Line, QUEUE, Scripted, concurrency, fails, publish, succeeds};

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_called_again_with_the_same_bytes_and_acked_once_it_succeeds() {
    let function = Scripted::new(|call, _| match call {
        0 => (Duration::ZERO, Outcome::Trapped("unreachable".to_owned())),
        1 => fails(),
        _ => succeeds(),
    });
    let line = Line::start(function, |_| (), &["a", "b"]);
    assert_eq!(line.acked(2).await, ["a", "b"]);
    let (broker, function) = line.stop().await;
    let calls = function.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.event == calls[0].event));
    assert_eq!(broker.unsettled("orders"), 0);
}

#[tokio::test(start_paused = true)]
async fn with_concurrency_1_nothing_overtakes_a_failing_batch() {
    let function = Scripted::new(|call, _| if call < 5 { fails() } else { succeeds() });
    let line = Line::start(function, |_| (), &["a", "b", "c", "d", "e", "f"]);
    assert_eq!(line.acked(6).await, ["a", "b", "c", "d", "e", "f"]);
    let bodies = line.function.bodies();
    assert_eq!(bodies[..6], vec![["a", "b"]; 6]);
    assert_eq!(bodies[6..], [["c", "d"], ["e", "f"]]);
    assert_eq!(line.function.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_more_concurrency_others_go_on_beside_a_failing_batch() {
    let function = Scripted::new(|_, bodies| if bodies[0] == "a" { fails() } else { succeeds() });
    let line = Line::start(function, concurrency(2), &["a", "b", "c", "d", "e", "f"]);
    assert_eq!(line.acked(4).await, ["c", "d", "e", "f"]);
    let (broker, function) = line.stop().await;
    assert!(function.most_at_once() <= 2);
    assert_eq!(broker.ready("orders").len(), 2);
}

/// In real time, since paused time does not pass while there is something to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_never_runs_dry_does_not_hold_up_a_failed_batch() {
    let broker = FakeBroker::default();
    let bodies: Vec<String> = (0..60_000).map(|number| number.to_string()).collect();
    publish(&broker, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let ready = Arc::new(OnceLock::new());
    let function = {
        let (broker, ready, has_failed) = (broker.clone(), Arc::clone(&ready), OnceLock::new());
        Scripted::new(move |_, bodies| {
            if bodies[0] != "0" {
                return succeeds();
            }
            if has_failed.set(()).is_ok() {
                return fails();
            }
            ready.set(broker.ready(QUEUE).len()).unwrap();
            succeeds()
        })
    };
    let adjust = |settings: &mut Settings| {
        concurrency(2)(settings);
        settings.batch.records_max = NonZeroUsize::new(100).unwrap();
        settings.prefetch = NonZeroU16::MAX;
        settings.retry = Backoff::constant(Duration::from_millis(1));
    };
    let line = Line::start_on(broker, function, adjust);
    let done = |broker: &FakeBroker| broker.unsettled(QUEUE) + broker.ready(QUEUE).len() == 0;
    timeout(Duration::from_secs(60), line.until(done)).await.unwrap();
    assert!(*ready.get().unwrap() > 0);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_closes_before_its_window_when_everything_prefetched_is_in_hand() {
    let line = Line::start(
        Scripted::new(|_, _| succeeds()),
        |settings| {
            settings.batch.records_max = NonZeroUsize::new(10).unwrap();
            settings.batch.window = Duration::from_secs(300);
            settings.prefetch = NonZeroU16::new(3).unwrap();
        },
        &["a", "b", "c"],
    );
    let began = tokio::time::Instant::now();
    line.acked(3).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(line.function.bodies(), [["a", "b", "c"]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_while_another_with_the_same_group_is_under_way() {
    let broker = FakeBroker::default();
    for (group, body) in [("g", "g1"), ("h", "h1"), ("g", "g2"), ("h", "h2")] {
        broker.publish_in_group(QUEUE, group, body.into());
    }
    // The first of the group fails twice, and keeps its place in the group meanwhile.
    let function = Scripted::new(
        |number, bodies| {
            if bodies == ["g1"] && number < 3 { fails() } else { succeeds() }
        },
    );
    let line = Line::start_on(broker, function, singly);
    assert_eq!(line.acked(4).await, ["h1", "g1", "g2", "h2"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.bodies().concat(), ["g1", "h1", "g1", "g1", "g2", "h2"]);
}

/// Each message in a batch of its own, several at once.
fn singly(settings: &mut Settings) {
    settings.batch.records_max = NonZeroUsize::MIN;
    settings.maximum_concurrency = NonZeroUsize::new(4).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_let_a_group_overtake_its_failing_batch() {
    let broker = FakeBroker::default();
    for body in ["g1", "g2"] {
        broker.publish_in_group(QUEUE, "g", body.into());
    }
    let function = Scripted::new(|_, _| fails());
    let line = Line::start_on(broker, function, singly);
    line.called(1).await;
    let (broker, function) = line.stop().await;
    assert_eq!(function.bodies().concat(), ["g1"]);
    assert_eq!(broker.ready(QUEUE).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_group_waits_for_its_batch_from_an_epoch_that_was_lost() {
    let broker = FakeBroker::default();
    for body in ["g1", "g2"] {
        broker.publish_in_group(QUEUE, "g", body.into());
    }
    // The first call outlasts the loss.
    let function = Scripted::new(|number, _| {
        let seconds = if number == 0 { 120 } else { 0 };
        (Duration::from_secs(seconds), Outcome::Succeeded(None))
    });
    let line = Line::start_on(broker, function, singly);
    line.called(1).await;
    line.broker.cut_connections();
    assert_eq!(line.acked(2).await, ["g1", "g2"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.bodies().concat(), ["g1", "g1", "g2"]);
    assert_eq!(function.most_at_once(), 1);
}
