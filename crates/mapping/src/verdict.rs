//! What the ending of an invocation means for its batch, and for each of its records. Pure.

use std::time::Duration;

use gristmill_invocation::Outcome;

use crate::backoff::Backoff;
use crate::settings::GiveUp;

/// What becomes of a batch after an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Tell the broker that the batch was handled.
    Ack,
    /// Give the batch back to the broker: there is no next try here.
    Requeue,
    /// Call the function again with the same batch, after this wait.
    Retry(Duration),
    /// It did not start in time, so the epoch ends on purpose and the broker gets it back.
    TooLate,
    /// Forget it: its epoch has ended, and the broker hands the messages over again.
    Stale,
}

/// The longest that a function can have a batch put off: meanwhile it keeps its slot, its prefetch and
/// its groups.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The circumstances under which an invocation ended.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Whether the batch's epoch has ended meanwhile.
    pub epoch_ended: bool,
    /// Whether the mapping is finishing, so that there will be no next try.
    pub finishing: bool,
    /// How often the batch was handed to the function, this time included.
    pub attempts: u32,
    /// How long the batch may still rest before its deliveries are unsettled for too long.
    pub time_left: Duration,
    /// A random number in 0.0..1.0.
    pub jitter: f64,
}

/// Decides about a batch.
///
/// A failed batch is tried again for ever; that is how Lambda treats a RabbitMQ queue, where a
/// message leaves only when it was handled or has expired. A function may say when it wants it, and
/// gets it sooner where the broker would not leave it unsettled for so long.
#[must_use]
pub fn decide(outcome: &Outcome, retry: &Backoff, circumstances: Circumstances) -> Verdict {
    if circumstances.epoch_ended {
        Verdict::Stale
    } else if outcome.is_success() {
        Verdict::Ack
    } else if *outcome == Outcome::NotStarted {
        Verdict::TooLate
    } else if circumstances.finishing {
        Verdict::Requeue
    } else if let Outcome::RetryAfter(wait, _) = outcome {
        let wait = wait.min(&RETRY_AFTER_MAX);
        // With no time left the whole wait ends the epoch, and the next one has time again.
        let has_time = circumstances.time_left >= Duration::from_secs(1);
        Verdict::Retry(if has_time { (*wait).min(circumstances.time_left) } else { *wait })
    } else {
        Verdict::Retry(retry.wait(circumstances.attempts, circumstances.jitter))
    }
}

/// A record this near to its queue's delivery limit is not given back any more: the host may crash
/// once, and the broker once, and the message is still there.
pub const DELIVERY_LIMIT_MARGIN: u32 = 2;

/// Why a record was given up, in the words of Lambda's invocation records where it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// It was tried as often as the mapping allows.
    RetryAttemptsExhausted,
    /// It is older than the mapping allows.
    MaximumRecordAgeExceeded,
    /// Alone it makes an event over the limit.
    RecordTooLarge,
    /// The broker would soon delete it for having been taken back too often.
    DeliveryLimitNear,
    /// The function does not want it again.
    GivenUpByFunction,
    /// It has no form in an event.
    UnsupportedMessageType,
}

/// The most characters of an error that go with a dead letter.
const CAUSE_CHARS_MAX: usize = 1_000;

impl Condition {
    /// The condition's name in logs and dead letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Condition::MaximumRecordAgeExceeded => "MaximumRecordAgeExceeded",
            Condition::RecordTooLarge => "RecordTooLarge",
            Condition::DeliveryLimitNear => "DeliveryLimitNear",
            Condition::GivenUpByFunction => "GivenUpByFunction",
            Condition::UnsupportedMessageType => "UnsupportedMessageType",
        }
    }

    /// What a dead letter says of itself: the condition, and the last error if there was one.
    #[must_use]
    pub fn cause(self, error: Option<&str>) -> String {
        let mut cause = self.as_str().to_owned();
        if let Some(error) = error {
            cause.push_str(": ");
            cause.extend(error.chars().take(CAUSE_CHARS_MAX));
        }
        cause
    }
}

/// What becomes of one record of a batch that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is tried again.
    Retry,
    /// It goes where given-up records go.
    GiveUp(Condition),
    /// It can be neither tried again without end nor given up: its mapping stops.
    Impasse,
}

/// Decides about one record of a batch that failed.
///
/// `returns` is how often the broker has taken it back, `attempts` how often this epoch has tried
/// it. Together they are how often the record was tried, as far as anybody knows. Without a place
/// for it, a record that the function does not want again is tried again all the same.
#[must_use]
pub fn fate(give_up: &GiveUp, outcome: &Outcome, returns: u32, attempts: u32) -> Fate {
    let tried = returns.saturating_add(attempts);
    let can_give_up = give_up.on_failure.is_some();
    if can_give_up && matches!(outcome, Outcome::GaveUp(_)) {
        return Fate::GiveUp(Condition::GivenUpByFunction);
    }
    if can_give_up && give_up.maximum_retry_attempts.is_some_and(|most| tried > most) {
        return Fate::GiveUp(Condition::RetryAttemptsExhausted);
    }
    match give_up.returns_left(returns) {
        None | Some(DELIVERY_LIMIT_MARGIN_PLUS_ONE..) => Fate::Retry,
        Some(_) if can_give_up => Fate::GiveUp(Condition::DeliveryLimitNear),
        // The next return deletes it, and stopping would be one: there is only trying it in place.
        Some(0) => Fate::Retry,
        Some(_) => Fate::Impasse,
    }
}

const DELIVERY_LIMIT_MARGIN_PLUS_ONE: u32 = DELIVERY_LIMIT_MARGIN + 1;

impl GiveUp {
    /// How often the broker may still take a message back that it has taken back so often; `None`
    /// without a limit.
    #[must_use]
    pub fn returns_left(&self, returns: u32) -> Option<u32> {
        self.delivery_limit.map(|limit| limit.saturating_sub(returns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::OnFailure;
    use proptest::prelude::*;

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Succeeded(None)),
            Just(Outcome::HandlerError("no".into())),
            Just(Outcome::Trapped("unreachable".into())),
            Just(Outcome::OutOfFuel),
            Just(Outcome::TimedOut),
            Just(Outcome::OutOfMemory),
            Just(Outcome::ResponseTooLarge),
            Just(Outcome::NotStarted),
            Just(Outcome::GaveUp("no".into())),
            (0u64..100).prop_map(|s| Outcome::RetryAfter(Duration::from_secs(s), "no".into())),
        ]
    }

    fn failed() -> Outcome {
        Outcome::HandlerError("no".to_owned())
    }

    fn limits() -> impl Strategy<Value = GiveUp> {
        let attempts = proptest::option::of(0u32..10);
        let delivery_limit = proptest::option::of(0u32..10);
        let on_failure = proptest::option::of(Just(OnFailure::Broker));
        (attempts, delivery_limit, on_failure).prop_map(
            |(maximum_retry_attempts, delivery_limit, on_failure)| GiveUp {
                maximum_retry_attempts,
                maximum_record_age: None,
                delivery_limit,
                on_failure,
            },
        )
    }

    #[test]
    fn a_record_is_tried_once_and_then_as_often_as_allowed() {
        let give_up = GiveUp {
            maximum_retry_attempts: Some(2),
            on_failure: Some(OnFailure::Broker),
            ..GiveUp::default()
        };
        assert_eq!(fate(&give_up, &failed(), 0, 2), Fate::Retry);
        assert_eq!(
            fate(&give_up, &failed(), 0, 3),
            Fate::GiveUp(Condition::RetryAttemptsExhausted)
        );
        // What the broker counted were attempts too.
        assert_eq!(
            fate(&give_up, &failed(), 2, 1),
            Fate::GiveUp(Condition::RetryAttemptsExhausted)
        );
    }

    #[test]
    fn within_two_of_the_limit_a_mapping_without_a_place_for_it_stops() {
        let give_up = GiveUp { delivery_limit: Some(20), ..GiveUp::default() };
        assert_eq!(fate(&give_up, &failed(), 17, 1), Fate::Retry);
        assert_eq!(fate(&give_up, &failed(), 18, 1), Fate::Impasse);
        assert_eq!(fate(&give_up, &failed(), 19, 1), Fate::Impasse);
        assert_eq!(fate(&give_up, &failed(), 20, 1), Fate::Retry, "to stop would delete it");
    }

    proptest! {
        #[test]
        fn nothing_is_given_up_without_a_place_for_it(
            give_up in limits(),
            outcome in outcomes(),
            returns in 0u32..12,
            attempts in 1u32..12,
        ) {
            let fate = fate(&give_up, &outcome, returns, attempts);
            if give_up.on_failure.is_none() {
                prop_assert!(!matches!(fate, Fate::GiveUp(_)));
            } else {
                prop_assert_ne!(fate, Fate::Impasse);
                let near = give_up.delivery_limit.is_some_and(|limit| returns + 2 >= limit);
                let unwanted = matches!(outcome, Outcome::GaveUp(_));
                prop_assert!(!(near || unwanted) || matches!(fate, Fate::GiveUp(_)), "{fate:?}");
            }
        }

        #[test]
        fn only_a_success_in_a_living_epoch_is_acked(
            outcome in outcomes(),
            epoch_ended: bool,
            finishing: bool,
            attempts in 1u32..100,
            seconds_left in 0u64..100,
            jitter in 0.0..1.0f64,
        ) {
            let time_left = Duration::from_secs(seconds_left);
            let circumstances =
                Circumstances { epoch_ended, finishing, attempts, time_left, jitter };
            let verdict = decide(&outcome, &Backoff::RETRY, circumstances);
            prop_assert_eq!(verdict == Verdict::Ack, outcome.is_success() && !epoch_ended);
            prop_assert_eq!(verdict == Verdict::Stale, epoch_ended);
            prop_assert!(!(finishing && matches!(verdict, Verdict::Retry(_))));
            if let (Outcome::RetryAfter(after, _), Verdict::Retry(wait)) = (&outcome, verdict) {
                prop_assert!(wait == *after || wait == time_left.min(*after));
                prop_assert!(!wait.is_zero() || after.is_zero(), "no loop without a pause");
            }
        }
    }
}
