//! Nothing overtakes a given-up record that is not kept yet, where there is an order to keep.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gristmill_broker::Source;
use gristmill_broker::fake::FakeBroker;
use gristmill_event::BasicProperties;
use gristmill_mapping::Settings;
use tokio::time::sleep;

use crate::keeping::{fails_on, singly, until};
use crate::place::{Answer, Place};
use crate::support::{Line, QUEUE, Scripted, concurrency, fails, publish, succeeds};

/// Several batches at once, of that many records, each given up after its first try.
fn several(place: &Arc<Place>, records_max: usize) -> impl FnOnce(&mut Settings) + use<> {
    let place = Arc::clone(place);
    move |settings| {
        singly(&place)(settings);
        concurrency(4)(settings);
        settings.batch.records_max = NonZeroUsize::new(records_max).unwrap();
    }
}

fn with_groups(messages: &[(&str, &str)]) -> FakeBroker {
    let broker = FakeBroker::default();
    for (group, body) in messages {
        broker.publish_in_group(QUEUE, group, body.as_bytes().to_vec());
    }
    broker
}

#[tokio::test(start_paused = true)]
async fn a_group_waits_until_its_record_is_kept() {
    let place = Place::new(Answer::Waits);
    let broker = with_groups(&[("h", "a"), ("g", "bad"), ("i", "b"), ("g", "c"), ("g", "d")]);
    let line = Line::start_on(broker, fails_on("bad"), several(&place, 1));
    until(|| place.asked() == 1).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(line.acked(2).await, ["a", "b"]);
    assert_eq!(line.function.bodies().concat(), ["a", "bad", "b"]);
    place.tell(Answer::Keeps);
    assert_eq!(line.acked(5).await, ["a", "b", "bad", "c", "d"]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_right_half_of_a_group_waits_until_the_left_one_is_kept() {
    let place = Place::new(Answer::Waits);
    let broker = with_groups(&[("g", "bad"), ("g", "a")]);
    let adjust = |settings: &mut Settings| {
        several(&place, 2)(settings);
        settings.bisect_batch_on_function_error = true;
    };
    let line = Line::start_on(broker, fails_on("bad"), adjust);
    until(|| place.asked() == 1).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(line.function.bodies(), [vec!["bad", "a"], vec!["bad"]]);
    place.tell(Answer::Keeps);
    assert_eq!(line.acked(2).await, ["bad", "a"]);
    line.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_batch_waits_until_its_first_record_is_kept() {
    for most_at_once in [1, 4] {
        let place = Place::new(Answer::Waits);
        let broker = with_groups(&[("g", "old")]);
        // Somebody else took it once, and went: so it has one try less.
        let mut other = broker.source(QUEUE, 1);
        other.subscribe().await.unwrap();
        other.receive().await.unwrap();
        drop(other);
        broker.publish_in_group(QUEUE, "g", b"new".to_vec());
        let function = Scripted::new(|call, _| if call == 0 { fails() } else { succeeds() });
        let adjust = |settings: &mut Settings| {
            several(&place, 2)(settings);
            concurrency(most_at_once)(settings);
            settings.give_up.maximum_retry_attempts = Some(1);
        };
        let line = Line::start_on(broker, function, adjust);
        until(|| place.asked() == 1).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(line.function.bodies(), [["old", "new"]]);
        place.tell(Answer::Keeps);
        assert_eq!(line.acked(2).await, ["old", "new"]);
        line.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_right_half_waits_until_a_left_one_that_grew_too_old_is_kept() {
    let place = Place::new(Answer::Waits);
    let broker = FakeBroker::default();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let old = BasicProperties { timestamp: Some(now - 50), ..BasicProperties::default() };
    broker.publish(QUEUE, old, b"old".to_vec());
    publish(&broker, &["new"]);
    let function =
        Scripted::new(
            |call, _| {
                if call == 0 { (Duration::from_secs(20), fails().1) } else { succeeds() }
            },
        );
    let adjust = |settings: &mut Settings| {
        place.set(settings);
        settings.give_up.maximum_record_age = Some(Duration::from_secs(60));
        settings.bisect_batch_on_function_error = true;
    };
    let line = Line::start_on(broker, function, adjust);
    until(|| place.asked() == 1).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(line.function.bodies(), [["old", "new"]]);
    place.tell(Answer::Keeps);
    assert_eq!(line.acked(2).await, ["old", "new"]);
    assert_eq!(place.bodies(), ["old"]);
    line.stop().await;
}
