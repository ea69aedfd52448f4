//! Dates as the event has them: what Java prints for US English, medium date and medium time, in
//! UTC.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer};

use crate::value::Text;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date of a RabbitMQ event, `Jul 2, 2023, 1:30:34 AM` in UTC, exactly as it stands there.
///
/// # Examples
///
/// ```
/// # use std::borrow::Cow;
/// # use gristmill_handler::DateText;
/// let date = DateText::from(Cow::Borrowed("Jul 2, 2023, 1:30:34 AM"));
/// assert_eq!(date.unix_seconds(), Some(1_688_261_434));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateText<'a>(Cow<'a, str>);

impl DateText<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The seconds since 1970 began in UTC; none if the text is not such a date.
    #[must_use]
    pub fn unix_seconds(&self) -> Option<u64> {
        // Java 20 and later print a narrow no-break space before AM or PM.
        let mut words = self.0.split([' ', '\u{202f}']);
        let month = words.next()?;
        let month = MONTHS.iter().zip(1..).find(|(name, _)| **name == month)?.1;
        let day = number(words.next()?.strip_suffix(',')?)?;
        let year = number(words.next()?.strip_suffix(',')?)?;
        let mut clock = words.next()?.split(':').map(number);
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        let half_day = match words.next()? {
            "AM" => 0,
            "PM" => 12,
            _ => return None,
        };
        let is_clock = (1..=12).contains(&hour) && minute < 60 && second < 60;
        if !is_clock || clock.next().is_some() || words.next().is_some() {
            return None;
        }
        let hour = (hour % 12).checked_add(half_day)?;
        let minutes = hour.checked_mul(60)?.checked_add(minute)?;
        let seconds = minutes.checked_mul(60)?.checked_add(second)?;
        days(year, month, day)?.checked_mul(24 * 60 * 60)?.checked_add(seconds)
    }
}

impl<'a> From<Cow<'a, str>> for DateText<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(text)
    }
}

impl fmt::Display for DateText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for DateText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|Text(text)| Self(text))
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The days from 1 January 1970 to a date of the Gregorian calendar.
///
/// The arithmetic is Howard Hinnant's `days_from_civil`
/// (<https://howardhinnant.github.io/date_algorithms.html>): years begin in March, so that the leap
/// day comes last.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;

    let leap = year.is_multiple_of(if year.is_multiple_of(100) { 400 } else { 4 });
    let month_days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=month_days).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let leap_days = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    let month_from_march = month.checked_add(9)? % 12;
    let month_start = month_from_march.checked_mul(153)?.checked_add(2)? / 5;
    let days = year.checked_mul(365)?.checked_add(leap_days)?.checked_add(month_start)?;
    days.checked_add(day)?.checked_sub(1)?.checked_sub(DAYS_FROM_YEAR_0_TO_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        DateText::from(Cow::Borrowed(text)).unix_seconds()
    }

    #[test]
    fn dates_are_seconds() {
        for (text, expected) in [
            ("Jan 1, 1970, 12:00:00 AM", 0),
            ("Jan 1, 1970, 12:33:41 AM", 2_021),
            ("Jan 1, 1970, 12:00:00 PM", 43_200),
            ("Feb 28, 2000, 11:59:59 PM", 951_782_399),
            ("Feb 29, 2000, 12:00:00 AM", 951_782_400),
            ("Mar 1, 2000, 12:00:00\u{202f}AM", 951_868_800),
            ("Dec 30, 2023, 11:59:59 PM", 1_703_980_799),
            ("Jan 1, 10000, 12:00:00 AM", 253_402_300_800),
            ("Nov 9, 584554051223, 7:00:15 AM", u64::MAX),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_has_no_seconds() {
        for text in [
            "",
            "Jul 2, 2023",
            "2023-07-02T01:30:34Z",
            "jul 2, 2023, 1:30:34 AM",
            "Jul 2, 2023, 0:30:34 AM",
            "Jul 2, 2023, 13:30:34 PM",
            "Jul 2, 2023, 1:60:34 AM",
            "Jul 2, 2023, 1:30:34:1 AM",
            "Jul 2, 2023, 1:30:34 AM ",
            "Feb 29, 2100, 1:30:34 AM",
            "Jul 0, 2023, 1:30:34 AM",
            "Jul +2, 2023, 1:30:34 AM",
            "Dec 31, 1969, 11:59:59 PM",
            "Nov 9, 584554051223, 7:00:16 AM",
            "Jul 2, 99999999999999999999, 1:30:34 AM",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
