//! Given-up records are kept first and acked then, whatever their place does.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::fake::FakeBroker;
use gristmill_invocation::Outcome;
use gristmill_mapping::status::{State, StateTransitionReason};
use gristmill_mapping::{Finished, Settings};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::place::{Answer, Place};
use crate::support::{LONG, Line, QUEUE, Scripted, concurrency, fails, publish, succeeds, texts};

pub(crate) fn fails_on(body: &'static str) -> Arc<Scripted> {
    Scripted::new(
        move |_, bodies| {
            if bodies.iter().any(|given| given == body) { fails() } else { succeeds() }
        },
    )
}

/// Each record alone, given up after its first try.
pub(crate) fn singly(place: &Arc<Place>) -> impl FnOnce(&mut Settings) + use<> {
    let place = Arc::clone(place);
    move |settings| {
        settings.batch.records_max = NonZeroUsize::MIN;
        settings.give_up.maximum_retry_attempts = Some(0);
        place.set(settings);
    }
}

pub(crate) async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_kept_with_its_record_and_acked() {
    let place = Place::new(Answer::Keeps);
    let adjust = |settings: &mut Settings| {
        place.set(settings);
        settings.give_up.maximum_retry_attempts = Some(1);
    };
    let line = Line::start(fails_on("bad"), adjust, &["bad", "a", "b"]);
    assert_eq!(line.acked(3).await, ["bad", "a", "b"]);
    assert_eq!(place.bodies(), ["bad", "a"]);
    assert_eq!(line.board.counts().given_up, 2);
    let record = &place.records()[0];
    assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(record["MQBatchInfo"]["batchSize"], 2);
    assert_eq!(record["MQBatchInfo"]["lastError"], "the handler answered: no");
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert_eq!((place.asked(), place.closed()), (1, 0), "together");
    line.stop().await;
    assert_eq!(place.closed(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_function_named_was_in_a_batch_of_all() {
    let place = Place::new(Answer::Keeps);
    let adjust = |settings: &mut Settings| {
        place.set(settings);
        settings.give_up.maximum_retry_attempts = Some(0);
        settings.report_batch_item_failures = true;
    };
    let named = r##"{"batchItemFailures":[{"itemIdentifier":"#1"}]}"##;
    let says = |_, _: &[String]| (Duration::ZERO, Outcome::Succeeded(Some(named.to_owned())));
    let line = Line::start(Scripted::new(says), adjust, &["a", "bad"]);
    line.acked(2).await;
    assert_eq!(place.bodies(), ["bad"]);
    assert_eq!(place.records()[0]["MQBatchInfo"]["batchSize"], 2);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fits_no_event_is_kept_and_the_rest_goes_on() {
    let place = Place::new(Answer::Keeps);
    let adjust = |settings: &mut Settings| {
        place.set(settings);
        settings.batch.bytes_max = 3_000;
    };
    let body = "x".repeat(5_000);
    let line = Line::start(Scripted::new(|_, _| succeeds()), adjust, &["a", &body, "b"]);
    line.acked(3).await;
    assert_eq!(place.bodies(), [body]);
    let record = &place.records()[0];
    assert_eq!(record["requestContext"]["condition"], "RecordTooLarge");
    assert_eq!(record["responseContext"], json!(null));
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acked_before_it_is_kept_and_with_concurrency_1_the_next_batch_waits() {
    let place = Place::new(Answer::Waits);
    let line = Line::start(fails_on("bad"), singly(&place), &["a", "bad", "b"]);
    assert_eq!(line.acked(1).await, ["a"]);
    until(|| place.asked() == 1).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(line.broker.unsettled(QUEUE), 2);
    assert_eq!(line.function.bodies(), [["a"], ["bad"]]);
    assert_eq!(line.board.status().state, State::Enabled);
    let problem = line.board.status().last_processing_result();
    assert!(problem.contains("given-up messages are not kept yet"), "{problem}");
    place.tell(Answer::Keeps);
    assert_eq!(line.acked(3).await, ["a", "bad", "b"]);
    assert_eq!((place.bodies(), place.asked()), (vec!["bad".to_owned()], 1));
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_right_half_waits_until_the_left_one_is_kept() {
    let place = Place::new(Answer::Waits);
    let adjust = |settings: &mut Settings| {
        singly(&place)(settings);
        settings.batch.records_max = NonZeroUsize::new(2).unwrap();
        settings.bisect_batch_on_function_error = true;
    };
    let line = Line::start(fails_on("bad"), adjust, &["bad", "a", "b", "c"]);
    until(|| place.asked() == 1).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(line.function.bodies(), [vec!["bad", "a"], vec!["bad"]]);
    place.tell(Answer::Keeps);
    assert_eq!(line.acked(4).await, ["bad", "a", "b", "c"]);
    assert_eq!(line.function.bodies()[2..], [vec!["a"], vec!["b", "c"]]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_more_concurrency_others_go_on_beside_it() {
    let place = Place::new(Answer::Waits);
    let adjust = |settings: &mut Settings| {
        singly(&place)(settings);
        concurrency(2)(settings);
    };
    let line = Line::start(fails_on("bad"), adjust, &["bad", "a", "b", "c"]);
    assert_eq!(line.acked(3).await, ["a", "b", "c"]);
    assert!(place.bodies().is_empty());
    place.tell(Answer::Keeps);
    line.acked(4).await;
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_away_is_tried_again_and_the_function_is_not() {
    let place = Place::new(Answer::Keeps);
    let line = Line::start(fails_on("bad"), singly(&place), &[]);
    line.status(|status| status.subscribed).await;
    place.tell(Answer::Away);
    publish(&line.broker, &["bad", "a"]);
    until(|| place.asked() > 10).await;
    assert_eq!(line.board.status().state, State::Enabled);
    let problem = line.board.status().last_processing_result();
    assert!(problem.contains("cannot publish given-up messages"), "{problem}");
    place.tell(Answer::Keeps);
    assert_eq!(line.acked(2).await, ["bad", "a"]);
    let (_, function) = line.stop().await;
    assert_eq!(function.bodies(), [["bad"], ["a"]]);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_refuses_stops_the_mapping_which_goes_on_when_it_takes_them() {
    for most_at_once in [1, 3] {
        let place = Place::new(Answer::Refuses);
        let adjust = |settings: &mut Settings| {
            singly(&place)(settings);
            concurrency(most_at_once)(settings);
            settings.prefetch = 4.try_into().unwrap();
        };
        let line =
            Line::start(fails_on("bad"), adjust, &["a", "bad", "b", "c", "d", "e", "f", "g"]);
        let status = line.status(|status| status.state == State::Disabled).await;
        assert_ne!(status.reason, StateTransitionReason::UserInitiated);
        let problem = status.last_processing_result();
        assert!(problem.contains("`dead` takes no given-up messages"), "{problem}");
        sleep(Duration::from_secs(600)).await;
        assert!(line.broker.takes_nothing(QUEUE));
        assert!(line.broker.ready(QUEUE).len() >= 3, "nothing new is taken");
        let calls = line.function.calls().len();
        assert!(calls <= 5, "{calls}");
        place.tell(Answer::Keeps);
        let acked = line.acked(8).await;
        if most_at_once == 1 {
            assert_eq!(acked, ["a", "bad", "b", "c", "d", "e", "f", "g"]);
        }
        assert_eq!(place.bodies(), ["bad"]);
        assert_eq!(line.board.status().state, State::Enabled);
        let (_, function) = line.stop().await;
        assert_eq!(function.calls().len(), 8, "each once");
    }
}

#[tokio::test(start_paused = true)]
async fn without_its_place_a_mapping_takes_nothing_until_it_is_there() {
    let place = Place::new(Answer::Missing);
    let line = Line::start(fails_on("bad"), singly(&place), &["a"]);
    let status = line.status(|status| status.state == State::Disabled).await;
    let problem = status.last_processing_result();
    assert!(problem.contains("no queue `dead` for given-up messages"), "{problem}");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(line.broker.ready(QUEUE).len(), 1);
    place.tell(Answer::Keeps);
    line.nudge.notify_one();
    line.acked(1).await;
    assert_eq!(line.board.status().state, State::Enabled);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_that_says_nothing_keeps_no_mapping_from_its_queue() {
    let place = Place::new(Answer::Waits);
    let line = Line::start(fails_on("bad"), singly(&place), &["a", "bad"]);
    let problem = |problem: &str| problem.contains("given-up messages are not kept yet");
    line.status(|status| problem(&status.last_processing_result())).await;
    assert_eq!(line.acked(1).await, ["a"]);
    until(|| place.asked() == 1).await;
    place.tell(Answer::Keeps);
    assert_eq!(line.acked(2).await, ["a", "bad"]);
    line.stop().await;
}

/// The time until a place is asked once more.
async fn until_asked_again(place: &Place) -> Duration {
    let (began, asked) = (Instant::now(), place.asked());
    until(|| place.asked() > asked).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_place_was_long_away_is_looked_at_again_soon() {
    let place = Place::new(Answer::Keeps);
    let line = Line::start(fails_on("bad"), singly(&place), &[]);
    line.status(|status| status.subscribed).await;
    place.tell(Answer::Away);
    publish(&line.broker, &["bad"]);
    until(|| place.asked() > 10).await;
    place.tell(Answer::Refuses);
    line.status(|status| status.state == State::Disabled).await;
    let wait = until_asked_again(&place).await;
    assert!(wait < Duration::from_secs(6), "{wait:?}");
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_nudge_ends_the_rest_after_a_refusal() {
    let place = Place::new(Answer::Refuses);
    let line = Line::start(fails_on("bad"), singly(&place), &["bad"]);
    until(|| place.asked() > 6).await;
    let wait = until_asked_again(&place).await;
    assert!(wait > Duration::from_secs(100), "{wait:?}");
    place.tell(Answer::Keeps);
    let mended = Instant::now();
    line.nudge.notify_one();
    line.acked(1).await;
    assert!(mended.elapsed() < Duration::from_secs(1), "{:?}", mended.elapsed());
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_is_being_kept_and_gives_back_what_was_refused() {
    for (answer, kept) in [(Answer::Waits, true), (Answer::Refuses, false), (Answer::Away, false)] {
        let place = Place::new(Answer::Keeps);
        let line = Line::start(fails_on("bad"), singly(&place), &[]);
        line.status(|status| status.subscribed).await;
        place.tell(answer);
        publish(&line.broker, &["bad", "a"]);
        until(|| place.asked() == 1).await;
        let telling = async {
            sleep(Duration::from_secs(5)).await;
            place.tell(Answer::Keeps);
        };
        let began = Instant::now();
        let ((broker, _), ()) = tokio::join!(line.stop(), async {
            if kept {
                telling.await;
            }
        });
        assert!(began.elapsed() < Duration::from_secs(6), "{answer:?}");
        let (ready, acked) = (texts(broker.ready(QUEUE)), texts(broker.acked(QUEUE)));
        if kept {
            assert_eq!((ready, acked), (vec![], vec!["bad".to_owned(), "a".to_owned()]));
        } else {
            assert_eq!(ready, ["bad", "a"], "in order");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_in_time_goes_back_before_the_broker_loses_patience() {
    let place = Place::new(Answer::Waits);
    let latest = Duration::from_secs(100);
    let adjust = |settings: &mut Settings| {
        singly(&place)(settings);
        settings.latest_start = latest;
    };
    let line = Line::start(fails_on("bad"), adjust, &["bad", "a"]);
    let mut oldest = Duration::ZERO;
    while place.asked() < 4 {
        sleep(Duration::from_secs(1)).await;
        oldest = oldest.max(line.broker.oldest_unsettled(QUEUE));
    }
    assert!(oldest <= latest + Duration::from_secs(1), "{oldest:?}");
    place.tell(Answer::Keeps);
    assert_eq!(line.acked(2).await, ["bad", "a"]);
    line.stop().await;
}

pub(crate) fn limited(limit: u32, place: &Arc<Place>) -> impl FnOnce(&mut Settings) + use<> {
    let place = Arc::clone(place);
    move |settings| {
        settings.give_up.delivery_limit = Some(limit);
        place.set(settings);
    }
}

#[tokio::test(start_paused = true)]
async fn near_its_delivery_limit_a_failed_record_is_kept() {
    let place = Place::new(Answer::Keeps);
    let broker = FakeBroker::default();
    broker.set_delivery_limit(QUEUE, 3);
    publish(&broker, &["bad"]);
    let line = Line::start_on(broker, fails_on("bad"), limited(3, &place));
    line.called(2).await;
    // The first return is the connection's fault.
    line.broker.cut_connections();
    line.acked(1).await;
    assert_eq!(place.bodies(), ["bad"]);
    assert_eq!(place.records()[0]["requestContext"]["condition"], "DeliveryLimitNear");
    assert_eq!(line.hold.sentence(), None);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn if_it_cannot_be_kept_either_the_mapping_is_held_and_the_message_stays() {
    for most_at_once in [1, 4] {
        let place = Place::new(Answer::Refuses);
        let broker = FakeBroker::default();
        broker.set_delivery_limit(QUEUE, 3);
        publish(&broker, &["bad", "a", "b"]);
        let adjust = |settings: &mut Settings| {
            limited(3, &place)(settings);
            concurrency(most_at_once)(settings);
        };
        let line = Line::start_on(broker, fails_on("bad"), adjust);
        for asked in 1..3 {
            until(|| place.asked() >= asked || line.board.status().subscribed).await;
            line.until(|broker| broker.unsettled(QUEUE) > 0).await;
            line.broker.cut_connections();
        }
        let (hold, board) = (Arc::clone(&line.hold), Arc::clone(&line.board));
        line.until(|broker| broker.unsettled(QUEUE) > 0).await;
        line.broker.cut_connections();
        let (broker, finished) = line.end().await;
        assert_eq!((finished, place.closed()), (Finished::Held, 1));
        let sentence = hold.sentence().unwrap();
        assert!(sentence.contains("taken the message without messageId back 2 times"));
        assert_eq!(board.status().state, State::Disabled);
        assert!(broker.deleted(QUEUE).is_empty());
        assert!(texts(broker.ready(QUEUE)).contains(&"bad".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_break_again_and_again_delete_nothing() {
    let place = Place::new(Answer::Keeps);
    let broker = FakeBroker::default();
    broker.set_delivery_limit(QUEUE, 4);
    publish(&broker, &["slow"]);
    let slow = Scripted::new(|_, _| (Duration::from_secs(600), Outcome::Succeeded(None)));
    let line = Line::start_on(broker, slow, limited(4, &place));
    for _ in 0..4 {
        line.until(|broker| broker.unsettled(QUEUE) == 1).await;
        line.broker.cut_connections();
    }
    let hold = Arc::clone(&line.hold);
    let (broker, finished) = line.end().await;
    assert_eq!(finished, Finished::Held);
    assert!(hold.sentence().is_some());
    assert_eq!(texts(broker.ready(QUEUE)), ["slow"]);
    assert!(broker.deleted(QUEUE).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_last_chance_that_succeeds_lets_the_mapping_go() {
    let place = Place::new(Answer::Keeps);
    let broker = FakeBroker::default();
    publish(&broker, &["a"]);
    let slow = Scripted::new(|_, _| (Duration::from_secs(60), Outcome::Succeeded(None)));
    let line = Line::start_on(broker, slow, limited(2, &place));
    line.until(|broker| broker.unsettled(QUEUE) == 1).await;
    line.broker.cut_connections();
    line.until(|broker| broker.unsettled(QUEUE) == 1).await;
    line.acked(1).await;
    assert_eq!(line.hold.sentence(), None);
    line.stop().await;
}
