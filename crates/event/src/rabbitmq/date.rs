//! Dates as Java prints them.
//!
//! Lambda's event carries timestamps as `DateFormat` text for US English, medium date and medium
//! time, in UTC: `Jul 2, 2023, 1:30:34 AM`. Producers choose the seconds, so every `u64` must have a
//! text, however absurd the year.

use crate::sink::Sink;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Writes the text of a moment, without quotes; `seconds` count from the beginning of 1970 in UTC.
pub(crate) fn write(sink: &mut impl Sink, seconds: u64) {
    let Civil { year, month, day } = Civil::from_days(seconds / DAY_SECONDS);
    sink.text(month);
    sink.text(" ");
    sink.integer(day);
    sink.text(", ");
    sink.integer(year);
    sink.text(", ");

    let hour = seconds / 3600 % 24;
    sink.integer(if hour.is_multiple_of(12) { 12 } else { hour % 12 });
    two_digits(sink, seconds / 60 % 60);
    two_digits(sink, seconds % 60);
    // Java 20 and later put a narrow no-break space here; the event has the ordinary one.
    sink.text(if hour < 12 { " AM" } else { " PM" });
}

fn two_digits(sink: &mut impl Sink, number: u64) {
    sink.text(if number < 10 { ":0" } else { ":" });
    sink.integer(number);
}

/// A day of the Gregorian calendar.
struct Civil {
    year: u64,
    month: &'static str,
    day: u64,
}

impl Civil {
    /// The day that is this many days after 1 January 1970.
    ///
    /// The arithmetic is Howard Hinnant's `civil_from_days`
    /// (<https://howardhinnant.github.io/date_algorithms.html>): years begin in March, so that the
    /// leap day comes last, and the calendar repeats after an era of 400 years.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "days come from dividing a u64 by 86,400, so nothing here comes near its limits"
    )]
    fn from_days(days: u64) -> Self {
        const ERA_DAYS: u64 = 146_097;
        const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;

        let days = days + DAYS_FROM_YEAR_0_TO_1970;
        let era = days / ERA_DAYS;
        let day_of_era = days % ERA_DAYS;
        let leap_days = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
        let year_of_era = (day_of_era - leap_days) / 365;
        let year_start = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
        let day_of_year = day_of_era - year_start;
        let month = (5 * day_of_year + 2) / 153;

        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let year = 400 * era + year_of_era + u64::from(month >= 10);
        Self { year, month: month_from_march(month), day }
    }
}

/// The English name of a month; March is 0 and February 11.
fn month_from_march(month: u64) -> &'static str {
    match month {
        0 => "Mar",
        1 => "Apr",
        2 => "May",
        3 => "Jun",
        4 => "Jul",
        5 => "Aug",
        6 => "Sep",
        7 => "Oct",
        8 => "Nov",
        9 => "Dec",
        10 => "Jan",
        _ => "Feb",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(seconds: u64) -> String {
        let mut text = String::new();
        write(&mut text, seconds);
        text
    }

    #[test]
    fn prints_what_java_prints() {
        let known = [
            (0, "Jan 1, 1970, 12:00:00 AM"),
            (2_021, "Jan 1, 1970, 12:33:41 AM"),
            (43_200, "Jan 1, 1970, 12:00:00 PM"),
            (951_782_399, "Feb 28, 2000, 11:59:59 PM"),
            (951_782_400, "Feb 29, 2000, 12:00:00 AM"),
            (951_868_800, "Mar 1, 2000, 12:00:00 AM"),
            (1_688_261_434, "Jul 2, 2023, 1:30:34 AM"),
            (1_703_980_799, "Dec 30, 2023, 11:59:59 PM"),
            (4_107_542_400, "Mar 1, 2100, 12:00:00 AM"),
            (253_402_300_800, "Jan 1, 10000, 12:00:00 AM"),
        ];
        for (seconds, expected) in known {
            assert_eq!(text(seconds), expected);
        }
    }

    #[test]
    fn the_last_second_has_a_text() {
        assert_eq!(text(u64::MAX), "Nov 9, 584554051223, 7:00:15 AM");
    }

    /// The same calendar told the slow way: whole eras first, then one month at a time.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "what is left shrinks from less than an era, and the year grows by 400 at most"
    )]
    fn by_walking(days: u64) -> (u64, &'static str, u64) {
        const NAMES: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let mut year = 1970 + days / 146_097 * 400;
        let mut left = days % 146_097;
        loop {
            let century = year.is_multiple_of(100);
            let leap = year.is_multiple_of(if century { 400 } else { 4 });
            let february = if leap { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (name, length) in NAMES.into_iter().zip(lengths) {
                if left < length {
                    return (year, name, left + 1);
                }
                left -= length;
            }
            year += 1;
        }
    }

    proptest! {
        #[test]
        fn every_day_is_the_day_found_by_walking(
            seconds in prop_oneof![any::<u64>(), 0..20_000_000_000_u64],
        ) {
            let (year, month, day) = by_walking(seconds / DAY_SECONDS);
            let expected = format!("{month} {day}, {year}, ");
            prop_assert!(text(seconds).starts_with(&expected));
        }
    }
}
