//! How long deliveries may stay unsettled.
//!
//! RabbitMQ closes the channel of a consumer that leaves a delivery unsettled for its
//! `consumer_timeout` (RabbitMQ, "Delivery Acknowledgement Timeout"; 30 minutes by default), merely
//! prefetched ones included, and AMQP does not tell a client how long that is. So a batch starts only
//! while the oldest unsettled delivery will not have reached that age when the function's own timeout
//! ends it; otherwise the epoch ends on purpose, in order, and the deliveries come again as new ones.
//!
//! Pure. What must never happen: an invocation that still runs when the broker closes the channel.

use std::time::Duration;

/// What lies between our clock's reading of a delivery's age and the broker's: delays on the way, and
/// the settling of what has just ended.
pub const MARGIN: Duration = Duration::from_secs(60);

/// What it may take to start a batch whose time has just come. Without it a window that barely keeps
/// the rule would end every epoch before its first batch, and so would a wait for as long as possible.
pub(crate) const START: Duration = Duration::from_secs(1);

/// The greatest age of the oldest unsettled delivery at which a batch may still start. `None` if a
/// batch could never start: when `window + timeout` is not below `consumer_timeout` less a minute.
///
/// `window` is how long a batch waits for more after its first record, `timeout` the longest that
/// its invocation may run.
#[must_use]
pub fn latest_start(
    consumer_timeout: Duration,
    window: Duration,
    timeout: Duration,
) -> Option<Duration> {
    let latest = consumer_timeout.checked_sub(MARGIN)?.checked_sub(timeout)?;
    (window < latest).then(|| latest.max(window + START))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn window_and_timeout_have_to_be_below_the_consumer_timeout_less_a_minute() {
        let latest = |window: u32| latest_start(30 * MINUTE, window * MINUTE, 14 * MINUTE);
        assert_eq!(latest(0), Some(15 * MINUTE));
        assert_eq!(latest(14), Some(15 * MINUTE));
        assert_eq!(latest(15), None);
        let barely = 15 * MINUTE - Duration::from_millis(1);
        let latest = latest_start(30 * MINUTE, barely, 14 * MINUTE);
        assert_eq!(latest, Some(barely + START), "a batch starts when its window ends");
        assert_eq!(latest_start(MINUTE, Duration::ZERO, Duration::ZERO), None);
        assert_eq!(latest_start(15 * MINUTE, Duration::ZERO, 14 * MINUTE), None);
    }
}
