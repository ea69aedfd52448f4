//! What the ending of an invocation means for its batch. Pure.

use std::time::Duration;

use gristmill_broker::Settlement;
use gristmill_invocation::Outcome;

use crate::backoff::Backoff;

/// What becomes of a batch after an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Tell the broker.
    Settle(Settlement),
    /// Call the function again with the same batch, after this wait.
    Retry(Duration),
    /// Forget it: its epoch has ended, and the broker hands the messages over again.
    Stale,
}

/// The circumstances under which an invocation ended.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Whether the batch's epoch has ended meanwhile.
    pub epoch_ended: bool,
    /// Whether the mapping is finishing, so that there will be no next try.
    pub finishing: bool,
    /// How often the batch was handed to the function, this time included.
    pub attempts: u32,
    /// A random number in 0.0..1.0.
    pub jitter: f64,
}

/// Decides about a batch.
///
/// A failed batch is tried again for ever; that is how Lambda treats a RabbitMQ queue, where a
/// message leaves only when it was handled or has expired.
#[must_use]
pub fn decide(outcome: &Outcome, retry: &Backoff, circumstances: Circumstances) -> Verdict {
    if circumstances.epoch_ended {
        Verdict::Stale
    } else if outcome.is_success() {
        Verdict::Settle(Settlement::Ack)
    } else if circumstances.finishing {
        Verdict::Settle(Settlement::Requeue)
    } else {
        Verdict::Retry(retry.wait(circumstances.attempts, circumstances.jitter))
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
        ]
    }

    proptest! {
        #[test]
        fn only_a_success_in_a_living_epoch_is_acked_and_nothing_is_rejected(
            outcome in outcomes(),
            epoch_ended: bool,
            finishing: bool,
            attempts in 1u32..100,
            jitter in 0.0..1.0f64,
        ) {
            let circumstances = Circumstances { epoch_ended, finishing, attempts, jitter };
            let verdict = decide(&outcome, &Backoff::RETRY, circumstances);
            let acked = verdict == Verdict::Settle(Settlement::Ack);
            prop_assert_eq!(acked, outcome.is_success() && !epoch_ended);
            prop_assert_ne!(verdict, Verdict::Settle(Settlement::Reject));
            prop_assert_eq!(verdict == Verdict::Stale, epoch_ended);
            prop_assert!(!(finishing && matches!(verdict, Verdict::Retry(_))));
        }
    }
}
