//! Numbers as Java prints them: `Float.toString` and `Double.toString` of Java 19 and later, which
//! take the fewest digits that tell a number from its neighbours.
//!
//! From 0.001 on and below 10,000,000 they are written out, otherwise as `1.0E10`, always with a
//! digit behind the point. A producer chose them, so every number has a text.

use std::fmt::LowerExp;

use crate::sink::Sink;

/// Writes the text of a number of 32 or 64 bits.
pub(crate) fn number(sink: &mut impl Sink, value: impl zmij::Float + LowerExp + Copy) {
    let mut buffer = zmij::Buffer::new();
    // `-12.5`, `1e+20`, `1.5e-7`, `inf` or `NaN`.
    let mut text = buffer.format(value);
    // Of numbers that a single digit tells, Java takes the nearest of two digits: for the smallest
    // of all not `5.0E-324` but `4.9E-324`.
    let nearest;
    if text.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count() == 1 {
        nearest = format!("{value:.1e}");
        text = &nearest;
    }
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |text| ("-", text));
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()),
        None => (text, Some(0_i32)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    match exponent {
        Some(exponent) if is_number => {
            sink.text(sign);
            digits(sink, whole, fraction, exponent);
        }
        _ if text == "NaN" => sink.text("NaN"),
        _ => {
            sink.text(sign);
            sink.text("Infinity");
        }
    }
}

/// Writes `whole.fraction × 10^exponent`.
fn digits(sink: &mut impl Sink, whole: &str, fraction: &str, exponent: i32) {
    let all = [whole, fraction].concat();
    let significant = all.trim_start_matches('0');
    let leading_zeros = all.len().saturating_sub(significant.len());
    let significant = significant.trim_end_matches('0');
    // Where the point stands, counted from before the first significant digit.
    let point = i32::try_from(whole.len()).unwrap_or(i32::MAX).saturating_add(exponent);
    let point = point.saturating_sub(i32::try_from(leading_zeros).unwrap_or(i32::MAX));
    let Some((first, others)) = significant.split_at_checked(1).filter(|(d, _)| !d.is_empty())
    else {
        return sink.text("0.0");
    };
    if (-2..=7).contains(&point) {
        match usize::try_from(point) {
            Ok(point) if point > 0 => {
                let (before, after) =
                    significant.split_at_checked(point).unwrap_or((significant, ""));
                sink.text(before);
                for _ in before.len()..point {
                    sink.text("0");
                }
                sink.text(".");
                sink.text(if after.is_empty() { "0" } else { after });
            }
            _ => {
                sink.text("0.");
                for _ in point..0 {
                    sink.text("0");
                }
                sink.text(significant);
            }
        }
    } else {
        sink.text(first);
        sink.text(".");
        sink.text(if others.is_empty() { "0" } else { others });
        sink.text("E");
        sink.integer(point.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut text = String::new();
        number(&mut text, value);
        text
    }

    #[test]
    fn numbers_are_written_as_java_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1.5, "1.5"),
            (-12.25, "-12.25"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.01, "0.01"),
            (0.000_999, "9.99E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (1e10, "1.0E10"),
            (1.5e300, "1.5E300"),
            (f64::MAX, "1.7976931348623157E308"),
            (5e-324, "4.9E-324"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(value), expected, "{value:e}");
        }
        let mut float = String::new();
        number(&mut float, 1.1_f32);
        assert_eq!(float, "1.1");
    }

    proptest! {
        #[test]
        fn every_number_is_read_back_as_itself(value in prop::num::f64::NORMAL) {
            prop_assert_eq!(text(value).parse::<f64>(), Ok(value));
        }
    }
}
