//! What a mapping says about itself while the broker does what brokers do.

use gristmill_mapping::status::{State, StateTransitionReason};
use tokio::time::{Duration, Instant};

use crate::support::{Line, QUEUE, Scripted, fails, publish, succeeds};

#[tokio::test(start_paused = true)]
async fn a_refused_login_disables_with_its_code_and_heals_by_itself() {
    let line = Line::start(Scripted::new(|_, _| succeeds()), |_| {}, &[]);
    line.status(|status| status.subscribed).await;
    line.broker.set_login_refused(true);
    line.broker.cut_connections();
    let status = line.status(|status| status.state == State::Disabled).await;
    assert_eq!(status.reason.as_str(), "EVENT_SOURCE_AUTHN_ERROR");
    assert!(status.last_processing_result().contains("check the user name and password"));
    line.broker.set_login_refused(false);
    publish(&line.broker, &["a"]);
    assert_eq!(line.acked(1).await, ["a"]);
    let status = line.status(|status| status.last_processing_result() == "OK").await;
    assert_eq!((status.state, status.subscribed), (State::Enabled, true));
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_nudge_ends_the_wait_for_the_next_look() {
    let line = Line::start(Scripted::new(|_, _| succeeds()), |_| {}, &[]);
    line.broker.set_login_refused(true);
    line.broker.cut_connections();
    line.status(|status| status.state == State::Disabled).await;
    // By now the next look is minutes away.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    line.broker.set_login_refused(false);
    let mended = Instant::now();
    line.nudge.notify_one();
    line.status(|status| status.subscribed).await;
    assert!(mended.elapsed() < Duration::from_millis(10), "{:?}", mended.elapsed());
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_long_absence_is_looked_at_again_soon() {
    let line = Line::start(Scripted::new(|_, _| succeeds()), |_| {}, &[]);
    line.status(|status| status.subscribed).await;
    line.broker.set_away(true);
    line.broker.cut_connections();
    tokio::time::sleep(Duration::from_secs(1000)).await;
    line.broker.set_login_refused(true);
    line.broker.set_away(false);
    line.status(|status| status.state == State::Disabled).await;
    line.broker.set_login_refused(false);
    let mended = Instant::now();
    line.status(|status| status.subscribed).await;
    assert!(mended.elapsed() <= Duration::from_secs(5), "{:?}", mended.elapsed());
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_leaves_the_mapping_enabled() {
    let line = Line::start(Scripted::new(|_, _| succeeds()), |_| {}, &[]);
    line.status(|status| status.subscribed).await;
    line.broker.set_away(true);
    line.broker.cut_connections();
    let status = line.status(|status| !status.subscribed).await;
    assert_eq!(status.state, State::Enabled);
    assert_eq!(status.reason, StateTransitionReason::UserInitiated);
    assert!(status.last_processing_result().starts_with("PROBLEM: "));
    line.broker.set_away(false);
    let status = line.status(|status| status.subscribed).await;
    assert_eq!(status.last_processing_result(), "No records processed");
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_handler_is_a_problem_that_the_next_success_ends() {
    let function = Scripted::new(|call, _| if call < 2 { fails() } else { succeeds() });
    let line = Line::start(function, |_| {}, &["a"]);
    let status = line.status(|status| status.last_processing_result().starts_with("PROBLEM")).await;
    assert_eq!(status.state, State::Enabled);
    line.status(|status| status.last_processing_result() == "OK").await;
    line.until(|broker| broker.acked(QUEUE).len() == 1).await;
    let counts = line.board.counts();
    assert_eq!((counts.received, counts.invocations_ok, counts.invocations_failed), (1, 1, 2));
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_disabled_by_its_user() {
    let line = Line::start(Scripted::new(|_, _| succeeds()), |_| {}, &["a"]);
    line.acked(1).await;
    let board = line.board.clone();
    line.stop().await;
    let status = board.status();
    assert_eq!((status.state, status.subscribed), (State::Disabled, false));
    assert_eq!(status.reason, StateTransitionReason::UserInitiated);
    assert_eq!(board.counts().handled, 1);
}
