//! The rules of batching.

use std::num::NonZeroUsize;
use std::time::Duration;

use gristmill_event::{ActiveMqMessage, EVENT_BYTES_MAX, Profile, RabbitMqMessage};
use proptest::prelude::*;

use super::*;

const WINDOW: Duration = Duration::from_millis(500);

fn batcher(records_max: usize, bytes_max: usize) -> Batcher {
    let records_max = NonZeroUsize::new(records_max).unwrap();
    let envelope = Arc::new(Envelope::rabbitmq("arn", "orders", "/"));
    Batcher::new(BatchLimits { records_max, bytes_max, window: WINDOW }, envelope, Epoch(1))
}

fn delivery(tag: u64, body_bytes: usize) -> Delivery {
    let message = RabbitMqMessage { body: vec![b'x'; body_bytes], ..RabbitMqMessage::default() };
    of(tag, message, None)
}

fn of(tag: u64, message: impl Into<Message>, group: Option<&str>) -> Delivery {
    let token = DeliveryToken { epoch: Epoch(1), tag };
    Delivery { token, message: message.into(), returns: 0.into(), group: group.map(Into::into) }
}

/// The size of an event with one record of such a body.
fn event_bytes_of_one(body_bytes: usize) -> usize {
    let envelope = batcher(1, usize::MAX).envelope;
    envelope.event_bytes(1, envelope.record_bytes(&delivery(1, body_bytes).message))
}

impl Batcher {
    /// Measures and pushes.
    fn add(&mut self, delivery: Delivery, now: Instant, closed: &mut VecDeque<Batch>) {
        let record_bytes = self.measure(&delivery.message).unwrap();
        self.push(Taken { delivery, leaves: None }, record_bytes, now, closed);
    }
}

fn tags(batches: &VecDeque<Batch>) -> Vec<Vec<u64>> {
    let tags = |batch: &Batch| batch.tokens().iter().map(|token| token.tag).collect();
    batches.iter().map(tags).collect()
}

#[test]
fn a_full_batch_closes_and_the_next_one_begins() {
    let (mut batcher, now) = (batcher(2, EVENT_BYTES_MAX), Instant::now());
    let mut closed = VecDeque::new();
    for tag in 1..=5 {
        batcher.add(delivery(tag, 1), now, &mut closed);
    }
    assert_eq!(tags(&closed), [[1, 2], [3, 4]]);
    batcher.close(&mut closed);
    assert_eq!(tags(&closed).last().unwrap(), &[5]);
}

#[test]
fn the_window_counts_from_the_first_record() {
    let (mut batcher, now) = (batcher(10, EVENT_BYTES_MAX), Instant::now());
    let mut closed = VecDeque::new();
    assert_eq!(batcher.closes_at(), None);
    batcher.add(delivery(1, 1), now, &mut closed);
    batcher.add(delivery(2, 1), now + WINDOW / 2, &mut closed);
    assert_eq!(batcher.closes_at(), Some(now + WINDOW));
    batcher.close_if_due(now + WINDOW - Duration::from_nanos(1), &mut closed);
    assert!(closed.is_empty());
    batcher.close_if_due(now + WINDOW, &mut closed);
    assert_eq!(tags(&closed), [[1, 2]]);
    assert_eq!(batcher.closes_at(), None);
}

#[test]
fn three_messages_of_three_megabytes_make_three_batches() {
    let (mut batcher, now) = (batcher(100, EVENT_BYTES_MAX), Instant::now());
    let mut closed = VecDeque::new();
    for tag in 1..=3 {
        batcher.add(delivery(tag, 3_000_000), now, &mut closed);
    }
    batcher.close(&mut closed);
    assert_eq!(tags(&closed), [[1], [2], [3]]);
}

#[test]
fn a_record_that_fits_no_event_is_refused_and_the_one_that_just_fits_is_not() {
    let alone = event_bytes_of_one(300);
    let message = delivery(1, 300).message;
    batcher(1, alone).measure(&message).unwrap();
    let refused = batcher(1, alone - 1).measure(&message);
    assert_eq!(refused, Err(RecordTooLarge { event_bytes: alone }));
}

#[test]
fn what_is_taken_out_of_a_batch_leaves_another_event() {
    let (mut batcher, now) = (batcher(10, EVENT_BYTES_MAX), Instant::now());
    let envelope = Arc::clone(&batcher.envelope);
    let mut closed = VecDeque::new();
    for tag in 1..=4 {
        batcher.add(delivery(tag, 10), now, &mut closed);
    }
    batcher.close(&mut closed);
    let mut batch = closed.pop_front().unwrap();
    let whole = batch.event(&envelope).to_owned();
    let (gone, left) = batch.split(&envelope, |taken| taken.delivery.token.tag % 2 == 0);
    assert_eq!(gone.len(), 2);
    let mut left = left.unwrap();
    assert_eq!(left.tokens().iter().map(|token| token.tag).collect::<Vec<_>>(), [1, 3]);
    let event = left.event(&envelope).to_owned();
    assert!(event.len() < whole.len());
    assert_eq!(event.len(), left.event_bytes);
    let (gone, left) = left.split(&envelope, |_| true);
    assert_eq!((gone.len(), left.is_none()), (2, true));
}

#[test]
fn a_batch_knows_when_its_first_record_leaves() {
    use crate::lifetime::Leaving;
    let (mut batcher, now) = (batcher(10, EVENT_BYTES_MAX), Instant::now());
    let mut closed = VecDeque::new();
    for (tag, seconds) in [(1, None), (2, Some(9)), (3, Some(5))] {
        let leaves = seconds.map(|seconds| Leaves {
            at: now + Duration::from_secs(seconds),
            because: Leaving::Expired,
        });
        batcher.push(Taken { delivery: delivery(tag, 1), leaves }, 1, now, &mut closed);
    }
    batcher.close(&mut closed);
    let batch = closed.pop_front().unwrap();
    assert!(!batch.has_leaving(now + Duration::from_millis(4_999)));
    assert!(batch.has_leaving(now + Duration::from_secs(5)));
}

proptest! {
    #[test]
    fn batches_keep_order_and_limits_and_lose_nothing(
        sizes in prop::collection::vec(0usize..2_000, 0..80),
        records_max in 1usize..20,
        bytes_max in 4_000usize..12_000,
    ) {
        let (mut batcher, now) = (batcher(records_max, bytes_max), Instant::now());
        let envelope = Arc::clone(&batcher.envelope);
        let mut closed = VecDeque::new();
        for (tag, size) in (1..).zip(&sizes) {
            batcher.add(delivery(tag, *size), now, &mut closed);
        }
        batcher.close(&mut closed);
        let all: Vec<u64> = tags(&closed).concat();
        prop_assert_eq!(all, (1..=sizes.len() as u64).collect::<Vec<_>>());
        for batch in &mut closed {
            prop_assert!((1..=records_max).contains(&batch.len()));
            let event = batch.event(&envelope).to_owned();
            prop_assert!(event.len() <= bytes_max);
            prop_assert_eq!(event.len(), batch.event_bytes);
            prop_assert_eq!(batch.event(&envelope), event);
        }
    }
}

#[test]
fn a_retry_of_rabbitmq_sees_the_same_event_and_one_of_activemq_says_what_it_is() {
    let activemq = Envelope::activemq("arn", Profile::Documented);
    let rabbitmq = Envelope::rabbitmq("arn", "orders", "/");
    let of_activemq = |redelivered| ActiveMqMessage { redelivered, ..ActiveMqMessage::default() };
    let fresh = [Message::from(of_activemq(false)), of_activemq(true).into()];
    for (envelope, messages, changes) in [
        (rabbitmq, [RabbitMqMessage::default().into(), RabbitMqMessage::default().into()], false),
        (activemq, fresh, true),
    ] {
        let limits = BatchLimits {
            records_max: NonZeroUsize::new(2).unwrap(),
            bytes_max: EVENT_BYTES_MAX,
            window: WINDOW,
        };
        let envelope = Arc::new(envelope);
        let mut batcher = Batcher::new(limits, Arc::clone(&envelope), Epoch(1));
        let mut closed = VecDeque::new();
        for (tag, message) in (1..).zip(messages) {
            batcher.add(of(tag, message, None), Instant::now(), &mut closed);
        }
        let mut batch = closed.pop_front().unwrap();
        let mut events = Vec::new();
        for _ in 0..3 {
            batch.count_attempt(&envelope);
            let event = batch.event(&envelope).to_owned();
            assert_eq!(event.len(), batch.event_bytes);
            events.push(event);
        }
        assert_eq!(events[0] != events[1], changes);
        assert_eq!(events[1], events[2]);
        let redelivered = |event: &String| event.matches("\"redelivered\":true").count();
        let expected = if changes { [1, 2, 2] } else { [0, 0, 0] };
        assert_eq!(events.iter().map(redelivered).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_batch_knows_the_groups_of_its_messages() {
    let (mut batcher, now) = (batcher(3, EVENT_BYTES_MAX), Instant::now());
    let mut closed = VecDeque::new();
    for (tag, group) in [(1, Some("b")), (2, None), (3, Some("b"))] {
        batcher.add(of(tag, RabbitMqMessage::default(), group), now, &mut closed);
    }
    let groups: Vec<&str> = closed[0].groups().iter().map(|group| &**group).collect();
    assert_eq!(groups, ["b"]);
}
