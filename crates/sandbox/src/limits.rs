//! What one call of a function may use.
//!
//! The caller fills a [`Limits`]; loading a function checks it. Nothing runs under limits that
//! were not checked.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::error::LimitsError;

/// The longest timeout, and the default: AWS Lambda gives a function that reads from Amazon MQ
/// 14 minutes for one batch.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(14 * 60);

/// Fuel that buys one second of `timeout`, unless a function says otherwise.
///
/// Compiled Rust burns about 1.5 × 10^10 a second on a current machine. The default lies above
/// that, so that fuel does not end a handler much before its timeout; a handler that is slower
/// per unit of fuel runs into the wall clock first.
pub const FUEL_PER_SECOND: u64 = 20_000_000_000;

/// The default memory limit of an instance, 128 MiB as in AWS Lambda.
pub const MEMORY_MAX_BYTES: u64 = 128 * 1024 * 1024;

/// The most bytes of a response, 6 MiB as in AWS Lambda (quotas, "Invocation payload"); also the most
/// that one call of the host copies out of a handler.
pub const RESPONSE_BYTES_MAX: usize = 6 * 1024 * 1024;

/// One WebAssembly page: no memory can be smaller and hold anything.
const MEMORY_LEAST_BYTES: u64 = 64 * 1024;

/// All that a 32-bit memory can address.
pub(crate) const MEMORY_MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// What one call of a function may use, and whether its instance is kept for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of one call, instantiation included; also what its fuel is worth.
    /// More than zero, at most [`TIMEOUT_MAX`].
    pub timeout: Duration,
    /// Fuel (roughly one per instruction) that one second of `timeout` buys. Not zero.
    pub fuel_per_second: u64,
    /// The most linear memory that one instance may hold, all its memories together, in bytes.
    /// 64 KiB to 4 GiB.
    pub memory_max_bytes: u64,
    /// Whether an instance that ended a call well serves the next one. Its state persists then,
    /// as it does in AWS Lambda between calls of one execution environment.
    pub instance_reuse: bool,
    /// After so many calls an instance is dropped, which bounds what a leak in it can hold; `None`:
    /// after any number.
    pub instance_max_invocations: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            timeout: TIMEOUT_MAX,
            fuel_per_second: FUEL_PER_SECOND,
            memory_max_bytes: MEMORY_MAX_BYTES,
            instance_reuse: true,
            instance_max_invocations: None,
        }
    }
}

impl Limits {
    /// Checks every limit against its range.
    ///
    /// # Errors
    ///
    /// Names the first limit that is out of range, and the range.
    pub fn validate(&self) -> Result<(), LimitsError> {
        if self.timeout.is_zero() || self.timeout > TIMEOUT_MAX {
            return Err(LimitsError::Timeout { timeout: self.timeout });
        }
        if self.fuel_per_second == 0 {
            return Err(LimitsError::FuelPerSecond);
        }
        if !is_memory_limit(self.memory_max_bytes) {
            return Err(LimitsError::Memory { bytes: self.memory_max_bytes });
        }
        Ok(())
    }

    /// The fuel of one call: `timeout` × `fuel_per_second`, and never nothing.
    pub(crate) fn fuel(&self) -> u64 {
        let nanoseconds = self.timeout.as_nanos() * u128::from(self.fuel_per_second);
        u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX).max(1)
    }
}

/// Whether a handler could hold so much, and something in it.
pub(crate) fn is_memory_limit(bytes: u64) -> bool {
    (MEMORY_LEAST_BYTES..=MEMORY_MOST_BYTES).contains(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_buy_fourteen_minutes_of_fuel() {
        let limits = Limits::default();
        assert_eq!(limits.validate(), Ok(()));
        assert_eq!(limits.fuel(), 840 * 20_000_000_000);
    }

    #[test]
    fn a_fraction_of_a_second_buys_a_fraction_of_the_fuel_but_never_none() {
        let limits = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
        assert_eq!(limits.fuel(), 4_000_000_000);
        let least =
            Limits { timeout: Duration::from_nanos(1), fuel_per_second: 1, ..Limits::default() };
        assert_eq!(least.fuel(), 1);
        let most = Limits { fuel_per_second: u64::MAX, ..Limits::default() };
        assert_eq!(most.fuel(), u64::MAX);
    }

    #[test]
    fn a_limit_out_of_range_is_refused_with_the_range() {
        let too_long = Limits { timeout: Duration::from_secs(841), ..Limits::default() };
        let message = too_long.validate().unwrap_err().to_string();
        assert_eq!(message, "a timeout of 841s is out of range; set it above 0 and at most 840 s");
        let none = Limits { timeout: Duration::ZERO, ..Limits::default() };
        assert!(matches!(none.validate(), Err(LimitsError::Timeout { .. })));
        let no_fuel = Limits { fuel_per_second: 0, ..Limits::default() };
        assert_eq!(no_fuel.validate(), Err(LimitsError::FuelPerSecond));
        for bytes in [0, 65_535, 4 * 1024 * 1024 * 1024 + 1] {
            let memory = Limits { memory_max_bytes: bytes, ..Limits::default() };
            assert_eq!(memory.validate(), Err(LimitsError::Memory { bytes }));
        }
    }
}
