//! Records leave in time: given up, or expired.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::fake::FakeBroker;
use gristmill_event::BasicProperties;
use gristmill_invocation::Outcome;
use gristmill_mapping::{GiveUp, Settings};

use crate::support::{Line, QUEUE, Scripted, fails, publish, succeeds, texts};

fn gives_up(give_up: GiveUp) -> impl FnOnce(&mut Settings) {
    move |settings| {
        settings.give_up = give_up;
    }
}

fn fails_on(body: &'static str) -> Arc<Scripted> {
    Scripted::new(
        move |_, bodies| {
            if bodies.iter().any(|given| given == body) { fails() } else { succeeds() }
        },
    )
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_up_after_its_last_retry_and_the_next_one_goes_on() {
    let give_up = GiveUp { maximum_retry_attempts: Some(2), ..GiveUp::default() };
    let line = Line::start(fails_on("bad"), gives_up(give_up), &["bad", "a", "b", "c"]);
    assert_eq!(line.acked(2).await, ["b", "c"]);
    let counts = line.board.counts();
    assert_eq!((counts.given_up, counts.invocations_failed), (2, 3));
    let (broker, function) = line.stop().await;
    assert_eq!(function.calls().len(), 4);
    assert_eq!(texts(broker.dead_letters(QUEUE)), ["bad", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_broker_has_handed_over_before_has_fewer_retries_left() {
    let broker = FakeBroker::default();
    publish(&broker, &["old"]);
    // Somebody else took it once, and went.
    let mut other = broker.source(QUEUE, 1);
    gristmill_broker::Source::subscribe(&mut other).await.unwrap();
    gristmill_broker::Source::receive(&mut other).await.unwrap();
    drop(other);
    publish(&broker, &["new"]);
    let give_up = GiveUp { maximum_retry_attempts: Some(1), ..GiveUp::default() };
    let function = Scripted::new(|_, _| fails());
    let line = Line::start_on(broker, function, gives_up(give_up));
    line.until(|broker| broker.dead_letters(QUEUE).len() == 2).await;
    let (_, function) = line.stop().await;
    assert_eq!(function.bodies(), [vec!["old", "new"], vec!["new"]]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_grows_too_old_leaves_before_the_next_try() {
    let give_up = GiveUp { maximum_record_age: Some(Duration::from_secs(60)), ..GiveUp::default() };
    let line = Line::start(Scripted::new(|_, _| fails()), gives_up(give_up), &["a"]);
    line.until(|broker| broker.dead_letters(QUEUE).len() == 1).await;
    let (_, function) = line.stop().await;
    // Tries after 0, 1, 3, 7, 15, 31 and 63 s at the latest, and with all the jitter twice as soon.
    assert!((6..=8).contains(&function.calls().len()), "{}", function.calls().len());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_expires_while_it_is_held_leaves_its_batch() {
    let broker = FakeBroker::default();
    let expiration = Some("2000".to_owned());
    let mortal = BasicProperties { expiration, ..BasicProperties::default() };
    broker.publish(QUEUE, mortal, b"mortal".to_vec());
    publish(&broker, &["lasting"]);
    let function = Scripted::new(|call, _| if call < 4 { fails() } else { succeeds() });
    let line = Line::start_on(broker, function, |_| {});
    assert_eq!(line.acked(1).await, ["lasting"]);
    assert_eq!(line.board.counts().expired, 1);
    let (broker, function) = line.stop().await;
    assert_eq!(texts(broker.dead_letters(QUEUE)), ["mortal"]);
    assert_eq!(function.bodies()[0], ["mortal", "lasting"]);
    assert_eq!(function.bodies()[4], ["lasting"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fits_no_event_is_given_up_and_the_rest_goes_on() {
    let large = |settings: &mut Settings| settings.batch.bytes_max = 3_000;
    let body = "x".repeat(5_000);
    let line = Line::start(Scripted::new(|_, _| succeeds()), large, &["a", &body, "b"]);
    assert_eq!(line.acked(2).await, ["a", "b"]);
    let (broker, _) = line.stop().await;
    assert_eq!(texts(broker.dead_letters(QUEUE)), [body]);
}

#[tokio::test(start_paused = true)]
async fn near_its_delivery_limit_a_failed_record_is_given_up_and_not_requeued() {
    let broker = FakeBroker::default();
    broker.set_delivery_limit(QUEUE, 3);
    publish(&broker, &["bad"]);
    let adjust = gives_up(GiveUp { delivery_limit: Some(3), ..GiveUp::default() });
    let line = Line::start_on(broker, Scripted::new(|_, _| fails()), adjust);
    line.called(2).await;
    // The first return is the connection's fault.
    line.broker.cut_connections();
    line.until(|broker| broker.dead_letters(QUEUE).len() == 1).await;
    let (broker, _) = line.stop().await;
    assert!(broker.deleted(QUEUE).is_empty());
}

/// The broker closes the channel of a consumer that keeps a delivery for this long.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn no_delivery_is_unsettled_for_as_long_as_the_broker_allows() {
    // 15 s each, one at a time, all of them prefetched: without new epochs the last would wait
    // five minutes.
    let slow = Scripted::new(|call, _| {
        let outcome = if call % 7 == 3 {
            Outcome::HandlerError("no".to_owned())
        } else {
            Outcome::Succeeded(None)
        };
        (Duration::from_secs(15), outcome)
    });
    let bodies: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    let published: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let adjust = |settings: &mut Settings| {
        settings.batch.records_max = NonZeroUsize::MIN;
        settings.latest_start = CONSUMER_TIMEOUT - Duration::from_secs(60 + 20);
    };
    let line = Line::start(slow, adjust, &published);
    let oldest = oldest_until_acked(&line.broker, published.len()).await;
    assert!(oldest < CONSUMER_TIMEOUT - Duration::from_secs(60), "{oldest:?}");
    assert!(oldest > Duration::from_secs(30), "the rule was never needed: {oldest:?}");
    assert_eq!(texts(line.broker.acked(QUEUE)), published, "in order");
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_delivery_grows_too_old_in_backoff() {
    // The waits before the seventh try and later ones are as long as the broker's patience.
    let function = Scripted::new(|call, _| if call < 60 { fails() } else { succeeds() });
    let latest = Duration::from_secs(70);
    let line = Line::start(function, |settings| settings.latest_start = latest, &["a"]);
    let oldest = oldest_until_acked(&line.broker, 1).await;
    assert!(oldest <= latest, "{oldest:?}");
    assert!(oldest > latest / 4, "the rule was never needed: {oldest:?}");
    line.stop().await;
}

/// The greatest age that an unsettled delivery reaches until so many are acked.
async fn oldest_until_acked(broker: &FakeBroker, count: usize) -> Duration {
    let mut oldest = Duration::ZERO;
    while broker.acked(QUEUE).len() < count {
        tokio::time::sleep(Duration::from_millis(500)).await;
        oldest = oldest.max(broker.oldest_unsettled(QUEUE));
    }
    oldest
}
