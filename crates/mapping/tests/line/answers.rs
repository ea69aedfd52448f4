//! What a function says about its failure, and a call whose turn does not come.

use std::time::Duration;

use gristmill_invocation::Outcome;
use gristmill_mapping::Settings;
use tokio::time::Instant;

use crate::support::{Line, QUEUE, Scripted, succeeds, texts};

fn gives_up() -> (Duration, Outcome) {
    (Duration::ZERO, Outcome::GaveUp("not for me".to_owned()))
}

fn retry_after(seconds: u64) -> (Duration, Outcome) {
    let outcome = Outcome::RetryAfter(Duration::from_secs(seconds), "later".to_owned());
    (Duration::ZERO, outcome)
}

#[tokio::test(start_paused = true)]
async fn a_function_gets_its_batch_again_when_it_asked_for_it() {
    let function = Scripted::new(|call, _| if call == 0 { retry_after(300) } else { succeeds() });
    let began = Instant::now();
    let line = Line::start(function, |_| {}, &["a"]);
    line.acked(1).await;
    let waited = began.elapsed().as_secs();
    assert!((300..310).contains(&waited), "{waited} s");
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_asks_for_long_is_not_called_in_a_loop() {
    let function = Scripted::new(|call, _| if call < 4 { retry_after(3600) } else { succeeds() });
    let latest = Duration::from_secs(60);
    let adjust = |settings: &mut Settings| settings.latest_start = latest;
    let began = Instant::now();
    let line = Line::start(function, adjust, &["a"]);
    line.acked(1).await;
    // Each wait is cut to what the broker allows, and every other call ends an epoch.
    let waited = 2 * (latest - Duration::from_secs(1));
    assert!((waited..waited + latest / 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_function_does_not_want_goes_where_given_up_records_go() {
    let function = Scripted::new(|_, _| gives_up());
    let line = Line::start(function, |_| {}, &["a", "b"]);
    line.until(|broker| broker.dead_letters(QUEUE).len() == 2).await;
    assert_eq!(line.function.calls().len(), 1);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_turn_does_not_come_goes_back_and_comes_again() {
    let function = Scripted::new(|call, _| {
        if call < 2 { (Duration::from_secs(30), Outcome::NotStarted) } else { succeeds() }
    });
    let line = Line::start(function, |_| {}, &["a", "b"]);
    line.acked(2).await;
    assert_eq!(texts(line.broker.acked(QUEUE)), ["a", "b"]);
    assert!(line.broker.dead_letters(QUEUE).is_empty());
    line.stop().await;
}
