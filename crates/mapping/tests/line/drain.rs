//! Stopping: what was taken is finished or given back, and nothing more is taken.

use std::time::Duration;

use gristmill_mapping::Settings;
use tokio::time::sleep;

use crate::support::{LONG, Line, QUEUE, Scripted, concurrency, fails, publish, succeeds, texts};

#[tokio::test(start_paused = true)]
async fn stop_settles_what_was_taken_and_takes_nothing_more() {
    let function = Scripted::new(|_, _| (Duration::from_secs(5), succeeds().1));
    let adjust = |settings: &mut Settings| settings.batch.window = Duration::from_secs(300);
    let line = Line::start(function, adjust, &["a", "b", "c"]);
    line.called(1).await;
    line.stop.cancel();
    sleep(Duration::from_secs(1)).await;
    assert!(line.broker.takes_nothing(QUEUE), "while the call runs");
    publish(&line.broker, &["late"]);
    let (broker, function) = line.stop().await;
    // The open batch was hurried and handled too.
    assert_eq!(function.bodies(), [vec!["a", "b"], vec!["c"]]);
    assert_eq!(texts(broker.acked(QUEUE)), ["a", "b", "c"]);
    assert_eq!(texts(broker.ready(QUEUE)), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_batch_goes_back_and_what_is_behind_it_keeps_its_place() {
    let line = Line::start(Scripted::new(|_, _| fails()), |_| (), &["a", "b", "c", "d", "e"]);
    line.called(3).await;
    let (broker, function) = line.stop().await;
    assert_eq!(texts(broker.ready(QUEUE)), ["a", "b", "c", "d", "e"]);
    assert!(broker.acked(QUEUE).is_empty());
    assert!(function.bodies().iter().all(|bodies| bodies == &["a", "b"]), "order was kept");
}

#[tokio::test(start_paused = true)]
async fn without_an_order_to_keep_waiting_batches_are_finished() {
    let function = Scripted::new(|_, bodies| if bodies[0] == "c" { succeeds() } else { fails() });
    let line = Line::start(function, concurrency(2), &["a", "b"]);
    line.called(2).await;
    publish(&line.broker, &["c", "d"]);
    let acked = line.acked(2).await;
    let (broker, _) = line.stop().await;
    assert_eq!(acked, ["c", "d"]);
    assert_eq!(texts(broker.ready(QUEUE)), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_never_returns_is_cut_off_after_the_drain_timeout() {
    let function = Scripted::new(|_, _| (LONG * 1000, succeeds().1));
    let line = Line::start(function, |_| (), &["a", "b", "c"]);
    line.called(1).await;
    let began = tokio::time::Instant::now();
    let (broker, _) = line.stop().await;
    assert!(began.elapsed() >= Duration::from_secs(30));
    assert!(began.elapsed() < Duration::from_secs(31));
    assert_eq!(texts(broker.ready(QUEUE)), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_without_a_broker_stops_at_once() {
    let line = Line::start(Scripted::new(|_, _| succeeds()), |_| (), &[]);
    line.broker.set_away(true);
    line.broker.cut_connections();
    let began = tokio::time::Instant::now();
    line.stop().await;
    assert!(began.elapsed() < Duration::from_secs(1));
}
