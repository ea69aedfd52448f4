//! How long to wait before trying again: doubling from a first wait to a longest, with jitter; or
//! always the same.

use std::time::Duration;

/// Waits that double from a first to a longest, or are all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    has_jitter: bool,
}

impl Backoff {
    /// A failed batch of a broker that lets it be tried for ever: 1 s doubling to 60 s.
    pub const RETRY: Self = Self::new(Duration::from_secs(1), Duration::from_secs(60));
    /// A failed batch of ActiveMQ: 1 s each time, which is what its own clients wait (ActiveMQ,
    /// "Redelivery Policy").
    pub const REDELIVERY: Self = Self::constant(Duration::from_secs(1));
    /// A broker that is away: 500 ms doubling to 30 s.
    pub const RECONNECT: Self = Self::new(Duration::from_millis(500), Duration::from_secs(30));
    /// An error that needs a person: looked at again after 5 s, doubling to 5 min.
    pub const PROBE: Self = Self::new(Duration::from_secs(5), Duration::from_secs(300));

    /// Waits that double from `first` to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, has_jitter: true }
    }

    /// The same wait each time, without jitter.
    #[must_use]
    pub const fn constant(wait: Duration) -> Self {
        Self { first: wait, longest: wait, has_jitter: false }
    }

    /// The wait after the `failures`-th failure in a row, counted from 1.
    ///
    /// `jitter` lies in 0.0..1.0 and takes away up to half of the wait, so that many who failed
    /// together do not come back together.
    #[must_use]
    pub fn wait(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        if self.has_jitter { whole.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0) } else { whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let seconds: Vec<u64> =
            (1..=8).map(|failures| Backoff::RETRY.wait(failures, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_constant_wait_stays_as_it_is() {
        for failures in [0, 1, 5, u32::MAX] {
            assert_eq!(Backoff::REDELIVERY.wait(failures, 0.9), Duration::from_secs(1));
        }
    }

    proptest! {
        #[test]
        fn jitter_takes_away_half_at_most(failures in any::<u32>(), jitter in 0.0..1.0f64) {
            let whole = Backoff::RETRY.wait(failures, 0.0);
            let wait = Backoff::RETRY.wait(failures, jitter);
            prop_assert!(whole / 2 <= wait && wait <= whole);
        }
    }
}
