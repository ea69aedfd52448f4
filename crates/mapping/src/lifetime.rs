//! How long a record may be held before it leaves its batch: until its own expiration, or until it
//! is older than the mapping hands to the function.
//!
//! Pure. What must never happen: a record that leaves although nobody limited its life.

use std::time::Duration;

use gristmill_event::Message;
use tokio::time::Instant;

/// When and why a record leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaves {
    /// From when on.
    pub at: Instant,
    /// Why.
    pub because: Leaving,
}

/// Why a record leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Its producer's expiration has passed: the broker would have removed it.
    Expired,
    /// It is older than the mapping's `maximum_record_age`.
    TooOld,
}

/// When a message that arrives at `now` leaves; `None`: never.
///
/// `unix_ms` is the same moment in milliseconds since 1970 began in UTC. How much of its life a
/// message has left, and how old it is already, [`Message`] knows.
#[must_use]
pub fn leaves(
    message: &Message,
    now: Instant,
    unix_ms: u64,
    maximum_record_age: Option<Duration>,
) -> Option<Leaves> {
    let expires = message
        .time_to_live(unix_ms)
        .and_then(|lifetime| now.checked_add(lifetime))
        .map(|at| Leaves { at, because: Leaving::Expired });
    let ages = maximum_record_age
        .and_then(|most| now.checked_add(most.saturating_sub(message.age(unix_ms))))
        .map(|at| Leaves { at, because: Leaving::TooOld });
    expires.into_iter().chain(ages).min_by_key(|leaves| leaves.at)
}

#[cfg(test)]
mod tests {
    use gristmill_event::{ActiveMqMessage, BasicProperties, RabbitMqMessage};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn message(expiration: Option<&str>, timestamp: Option<u64>) -> Message {
        let expiration = expiration.map(str::to_owned);
        let properties = BasicProperties { expiration, timestamp, ..BasicProperties::default() };
        RabbitMqMessage { properties, ..RabbitMqMessage::default() }.into()
    }

    fn after(message: &Message, maximum_record_age: Option<Duration>) -> Option<(u64, Leaving)> {
        let now = Instant::now();
        let leaves = leaves(message, now, 10_000_000, maximum_record_age)?;
        Some(((leaves.at - now).as_secs(), leaves.because))
    }

    #[test]
    fn without_a_limit_a_record_stays() {
        assert_eq!(after(&message(None, Some(1)), None), None);
    }

    #[test]
    fn the_expiration_counts_from_the_arrival() {
        assert_eq!(after(&message(Some("5000"), Some(1)), None), Some((5, Leaving::Expired)));
    }

    #[test]
    fn what_is_no_number_is_no_expiration() {
        for text in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(after(&message(Some(text), None), None), None, "{text}");
        }
    }

    #[test]
    fn an_expiration_without_end_never_comes() {
        let eternal = message(Some(&u64::MAX.to_string()), None);
        assert!(after(&eternal, None).is_none_or(|(seconds, _)| seconds > 1 << 40));
    }

    #[test]
    fn the_age_counts_from_the_timestamp() {
        let old = message(None, Some(10_000 - 3000));
        assert_eq!(after(&old, Some(HOUR)), Some((600, Leaving::TooOld)));
    }

    #[test]
    fn what_is_too_old_on_arrival_leaves_at_once() {
        assert_eq!(after(&message(None, Some(0)), Some(HOUR)), Some((0, Leaving::TooOld)));
    }

    #[test]
    fn without_a_timestamp_or_with_one_in_the_future_the_age_counts_from_the_arrival() {
        for timestamp in [None, Some(20_000), Some(u64::MAX)] {
            let record = message(None, timestamp);
            assert_eq!(after(&record, Some(HOUR)), Some((3600, Leaving::TooOld)));
        }
    }

    #[test]
    fn in_activemq_the_brokers_own_clock_counts() {
        // Its clock is behind.
        let broker_out_time = 5_000_000;
        let message = ActiveMqMessage {
            expiration: broker_out_time + 5000,
            broker_in_time: broker_out_time - 3_000_000,
            broker_out_time,
            ..ActiveMqMessage::default()
        };
        assert_eq!(after(&message.clone().into(), None), Some((6, Leaving::Expired)));
        let eternal = Message::from(ActiveMqMessage { expiration: 0, ..message.clone() });
        assert_eq!(after(&eternal, None), None);
        assert_eq!(after(&eternal, Some(HOUR)), Some((600, Leaving::TooOld)));
        let hostile = ActiveMqMessage { expiration: i64::MIN, broker_in_time: i64::MAX, ..message };
        assert_eq!(after(&hostile.into(), Some(HOUR)), Some((3600, Leaving::TooOld)));
        let timeless = ActiveMqMessage { expiration: 10_005_000, ..ActiveMqMessage::default() };
        assert_eq!(after(&timeless.into(), None), Some((6, Leaving::Expired)));
    }

    #[test]
    fn the_earlier_end_counts() {
        let both = message(Some("60000"), Some(10_000 - 3590));
        assert_eq!(after(&both, Some(HOUR)), Some((10, Leaving::TooOld)));
    }
}
