//! What the ending of an invocation means for its batch, and for each of its records. Pure.

use std::time::Duration;

use gristmill_broker::Returns;
use gristmill_invocation::Outcome;

use crate::backoff::Backoff;
use crate::consumer_timeout::START;
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
        let wait = *wait.min(&RETRY_AFTER_MAX);
        let longest = circumstances.time_left.saturating_sub(START);
        // With no time left the whole wait ends the epoch, and the next one has time again.
        Verdict::Retry(if longest >= START { wait.min(longest) } else { wait })
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
}

/// Why one record of a batch that failed is given up; `None`: it is tried again.
///
/// `returns` is how often the broker has taken it back, `attempts` how often this epoch has tried
/// it. Together they are how often the record was tried, as far as anybody knows.
#[must_use]
pub fn fate(
    give_up: &GiveUp,
    outcome: &Outcome,
    returns: Returns,
    attempts: u32,
) -> Option<Condition> {
    let tried = returns.all.saturating_add(attempts);
    let is_near = |left| left <= DELIVERY_LIMIT_MARGIN;
    if matches!(outcome, Outcome::GaveUp(_)) {
        Some(Condition::GivenUpByFunction)
    } else if give_up.maximum_retry_attempts.is_some_and(|most| tried > most) {
        Some(Condition::RetryAttemptsExhausted)
    } else if give_up.returns_left(returns.counted).is_some_and(is_near) {
        Some(Condition::DeliveryLimitNear)
    } else {
        None
    }
}

impl GiveUp {
    /// How often the broker may still take a message back when so many returns have counted; `None`
    /// without a limit.
    #[must_use]
    pub fn returns_left(&self, returns: u32) -> Option<u32> {
        self.delivery_limit.map(|limit| limit.saturating_sub(returns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        (attempts, delivery_limit).prop_map(|(maximum_retry_attempts, delivery_limit)| GiveUp {
            maximum_retry_attempts,
            delivery_limit,
            ..GiveUp::default()
        })
    }

    #[test]
    fn a_record_is_tried_once_and_then_as_often_as_allowed() {
        let give_up = GiveUp { maximum_retry_attempts: Some(2), ..GiveUp::default() };
        let exhausted = Some(Condition::RetryAttemptsExhausted);
        assert_eq!(fate(&give_up, &failed(), 0.into(), 2), None);
        assert_eq!(fate(&give_up, &failed(), 0.into(), 3), exhausted);
        // What the broker counted were attempts too.
        assert_eq!(fate(&give_up, &failed(), 2.into(), 1), exhausted);
    }

    #[test]
    fn within_two_of_the_limit_it_is_not_given_back_any_more() {
        let give_up = GiveUp { delivery_limit: Some(20), ..GiveUp::default() };
        assert_eq!(fate(&give_up, &failed(), 17.into(), 1), None);
        for returns in 18..25 {
            let near = Some(Condition::DeliveryLimitNear);
            assert_eq!(fate(&give_up, &failed(), returns.into(), 1), near);
        }
    }

    proptest! {
        #[test]
        fn only_what_a_rule_names_is_given_up(
            give_up in limits(),
            outcome in outcomes(),
            counted in 0u32..12,
            others in 0u32..3,
            attempts in 1u32..12,
        ) {
            let returns = Returns { all: counted + others, counted };
            let near = give_up.delivery_limit.is_some_and(|limit| counted + 2 >= limit);
            let unwanted = matches!(outcome, Outcome::GaveUp(_));
            let most = give_up.maximum_retry_attempts;
            let tried = most.is_some_and(|most| returns.all + attempts > most);
            let fate = fate(&give_up, &outcome, returns, attempts);
            prop_assert_eq!(fate.is_some(), near || unwanted || tried);
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
                prop_assert!(wait == *after || wait + START == time_left);
                prop_assert!(!wait.is_zero() || after.is_zero(), "no loop without a pause");
            }
        }
    }
}
