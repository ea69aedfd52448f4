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
/// `unix_s` is the same moment in seconds since 1970 began in UTC. The expiration (AMQP 0-9-1,
/// `basic.expiration`; RabbitMQ: milliseconds as text) counts from the arrival: the broker counts
/// from the enqueuing, which it does not tell, so a message leaves late rather than early. The age
/// counts from the producer's `timestamp`, where there is one that does not lie in the future, and
/// otherwise from the arrival.
#[must_use]
pub fn leaves(
    message: &Message,
    now: Instant,
    unix_s: u64,
    maximum_record_age: Option<Duration>,
) -> Option<Leaves> {
    let expires = expiration(message)
        .and_then(|lifetime| now.checked_add(lifetime))
        .map(|at| Leaves { at, because: Leaving::Expired });
    let ages = maximum_record_age
        .and_then(|most| {
            let sent = message.properties.timestamp.unwrap_or(unix_s);
            let age = Duration::from_secs(unix_s.saturating_sub(sent));
            now.checked_add(most.saturating_sub(age))
        })
        .map(|at| Leaves { at, because: Leaving::TooOld });
    expires.into_iter().chain(ages).min_by_key(|leaves| leaves.at)
}

fn expiration(message: &Message) -> Option<Duration> {
    message.properties.expiration.as_ref()?.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use gristmill_event::BasicProperties;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn message(expiration: Option<&str>, timestamp: Option<u64>) -> Message {
        let expiration = expiration.map(str::to_owned);
        let properties = BasicProperties { expiration, timestamp, ..BasicProperties::default() };
        Message { properties, ..Message::default() }
    }

    fn after(message: &Message, maximum_record_age: Option<Duration>) -> Option<(u64, Leaving)> {
        let now = Instant::now();
        let leaves = leaves(message, now, 10_000, maximum_record_age)?;
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
    fn the_earlier_end_counts() {
        let both = message(Some("60000"), Some(10_000 - 3590));
        assert_eq!(after(&both, Some(HOUR)), Some((10, Leaving::TooOld)));
    }
}
