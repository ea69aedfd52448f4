//! How much is kept at once, and what is not there.

use std::future::ready;

use gristmill_broker::Epoch;

use super::*;
use crate::settings::tests::settings;
use crate::verdict::Condition;

/// Messages that no event can show, each given up on its own.
fn unusable(count: u64) -> Letters {
    let mut letters = Letters::default();
    for tag in 1..=count {
        let letter = Letter::without_record(DeliveryToken { epoch: Epoch(1), tag }, None);
        let reason = Reason::of_message(Condition::UnsupportedMessageType, "an ObjectMessage");
        letters.push(Group::new(vec![letter], reason, Instant::now(), 0));
    }
    letters
}

#[test]
fn no_more_is_kept_at_once_than_the_bound_whatever_the_messages_show() {
    let mut letters = unusable(50);
    let original = |_, _: Option<&Message>| Some(Original(vec![0; 1 << 20]));
    let mut taken = 0;
    let keep = |kept: Vec<DeadLetter>| -> Keep {
        taken = kept.len();
        Box::pin(ready(Ok(())))
    };
    letters.take_up(&settings(), Instant::now(), &original, keep).unwrap();
    assert_eq!(taken, 8);
    assert_eq!(letters.kept().len(), 8);
    assert!(!letters.is_empty());
}

#[test]
fn a_record_whose_original_is_missing_is_not_passed_over() {
    let mut letters = unusable(3);
    let original = |token: DeliveryToken, _: Option<&Message>| {
        (token.tag != 2).then(|| Original(b"message".to_vec()))
    };
    let keep = |_: Vec<DeadLetter>| -> Keep { Box::pin(ready(Ok(()))) };
    let taken_up = letters.take_up(&settings(), Instant::now(), &original, keep);
    assert_eq!(taken_up, Err(OriginalMissing));
    assert_eq!(letters.leave(), 3);
}
