//! Epochs that end: by a lost connection, or a consumer that the broker cancels.

use std::time::Duration;

use crate::support::{Line, QUEUE, Scripted, concurrency, fails, publish, succeeds, texts};

#[tokio::test(start_paused = true)]
async fn a_success_after_the_loss_is_stale_and_the_batch_is_handled_again() {
    let function = Scripted::new(|_, _| (Duration::from_secs(10), succeeds().1));
    let line = Line::start(function, |_| (), &["a", "b"]);
    line.called(1).await;
    line.broker.cut_connections();
    assert_eq!(line.acked(2).await, ["a", "b"]);
    let (broker, function) = line.stop().await;
    assert_eq!(function.bodies(), [["a", "b"], ["a", "b"]]);
    assert_eq!(function.most_at_once(), 1, "the first call kept its slot over the reconnect");
    assert!(function.calls()[1].event.contains(r#""redelivered":true"#));
    assert_eq!(texts(broker.acked(QUEUE)), ["a", "b"], "acked once, by the second call");
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_backoff_is_not_called_again_after_its_epoch() {
    let function = Scripted::new(|call, _| if call == 0 { fails() } else { succeeds() });
    let line = Line::start(function, |_| (), &["a", "b"]);
    line.called(1).await;
    line.broker.cut_connections();
    line.acked(2).await;
    let (_, function) = line.stop().await;
    let calls = function.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls[1].event.contains(r#""redelivered":true"#), "from the broker, not from memory");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_waited_for() {
    let line = Line::start(Scripted::new(|_, _| succeeds()), |_| (), &[]);
    line.broker.set_away(true);
    line.broker.cut_connections();
    tokio::time::advance(Duration::from_secs(600)).await;
    line.broker.set_away(false);
    publish(&line.broker, &["a"]);
    assert_eq!(line.acked(1).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_consumer_settles_what_is_in_hand_and_subscribes_again() {
    let function = Scripted::new(|_, _| (Duration::from_secs(5), succeeds().1));
    let line = Line::start(function, concurrency(2), &["a", "b"]);
    line.called(1).await;
    line.broker.cancel_consumers(QUEUE);
    publish(&line.broker, &["c"]);
    assert_eq!(line.acked(3).await, ["a", "b", "c"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.bodies(), [vec!["a", "b"], vec!["c"]], "nothing was handled twice");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_invocation_loses_nothing() {
    let function = Scripted::new(|call, _| {
        assert!(call != 0, "the first call panics, as a bug of ours would");
        succeeds()
    });
    let line = Line::start(function, |_| (), &["a", "b", "c"]);
    assert_eq!(line.acked(3).await, ["a", "b", "c"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.bodies(), [vec!["a", "b"], vec!["a", "b"], vec!["c"]]);
}
