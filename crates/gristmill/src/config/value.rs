//! Single values: their types, ranges and spellings, and the words that refuse them.
//!
//! Every function here gives the value exactly as written or says what is wrong with it; none knows
//! which key it reads. Whatever is quoted is escaped, so that a problem stays one line.

use std::fmt::Display;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

/// The units of a duration with their milliseconds, in the order in which they are written.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of a size with their bytes, largest first.
const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Says which type was found and which was wanted.
pub(super) fn wrong_type(found: &DeValue<'_>, wanted: &str) -> String {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date-time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    format!("is {found}, but has to be {wanted}")
}

/// Names the candidate that was probably meant, or all of them if none is near.
pub(super) fn hint<'a>(word: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = candidates
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min()
        // A third of the letters wrong is still a slip of the keys; beyond, it is another word.
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(3));
    if let Some((_, nearest)) = nearest {
        return format!("did you mean `{}`?", nearest.escape_debug());
    }
    let all: Vec<String> =
        candidates.map(|candidate| format!("`{}`", candidate.escape_debug())).collect();
    match all.as_slice() {
        [] => "there is none to choose from".to_owned(),
        [only] => format!("the only one is {only}"),
        [..] => format!("choose from {}", all.join(", ")),
    }
}

/// Checks the name of a broker, function or mapping. The rule is Lambda's for function names.
pub(super) fn name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err("a name has 1 to 64 characters, each a letter of a-z or A-Z, a digit, `-` or `_`"
            .to_owned())
    }
}

pub(super) fn string<'a>(value: &'a DeValue<'_>) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| wrong_type(value, "a string"))
}

/// The name of a queue of RabbitMQ or of an embedded broker.
pub(super) fn queue_name(name: &str) -> Result<(), String> {
    length(name, u16::from(u8::MAX)).map_err(|problem| format!("the queue's name {problem}"))
}

/// A string of 1 to 255 bytes, which is what fits an AMQP 0-9-1 short string.
pub(super) fn short_string(value: &DeValue<'_>) -> Result<String, String> {
    let text = string(value)?;
    length(text, u16::from(u8::MAX))?;
    Ok(text.to_owned())
}

/// Whether a text has 1 to `most` bytes.
pub(super) fn length(text: &str, most: u16) -> Result<(), String> {
    match text.len() {
        0 => Err(format!("is empty, but has to be 1 to {most} bytes long")),
        length if length > usize::from(most) => {
            Err(format!("is {length} bytes long, but has to be 1 to {most}"))
        }
        _ => Ok(()),
    }
}

/// A path, taken from `folder` unless it is absolute.
pub(super) fn path(value: &DeValue<'_>, folder: &Path) -> Result<PathBuf, String> {
    match string(value)? {
        "" => Err("is empty, but has to be a path".to_owned()),
        path => Ok(folder.join(path)),
    }
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| wrong_type(value, "a boolean, `true` or `false`"))
}

/// An integer in a range.
pub(super) fn integer<T>(value: &DeValue<'_>, range: RangeInclusive<T>) -> Result<T, String>
where
    T: TryFrom<i128> + PartialOrd + Display,
{
    let DeValue::Integer(written) = value else {
        return Err(wrong_type(value, "an integer"));
    };
    i128::from_str_radix(written.as_str(), written.radix())
        .ok()
        .and_then(|integer| T::try_from(integer).ok())
        .filter(|integer| range.contains(integer))
        .ok_or_else(|| out_of_range(written, range.start(), range.end()))
}

/// An integer from 1 to `most`.
pub(super) fn count(value: &DeValue<'_>, most: u16) -> Result<NonZeroU16, String> {
    let count = integer(value, 1..=most)?;
    NonZeroU16::try_from(count).map_err(|_| out_of_range(count, 1, most))
}

/// A duration in a range.
pub(super) fn duration_in(
    value: &DeValue<'_>,
    range: RangeInclusive<Duration>,
) -> Result<Duration, String> {
    let duration = duration(value)?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let [least, most] = [*range.start(), *range.end()].map(duration_text);
    Err(out_of_range(string(value)?, least, most))
}

/// A duration of any length, such as "500ms" or "1m30s".
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, String> {
    if let DeValue::Integer(number) = value {
        return Err(format!(
            "{number} has no unit; write a duration, such as \"{number}s\" or \"{number}ms\""
        ));
    }
    let text = value.as_str().ok_or_else(|| wrong_type(value, "a duration, such as \"10s\""))?;
    parse_duration(text).ok_or_else(|| {
        format!(
            "{text:?} is not a duration; write whole numbers with their units, \
             such as \"500ms\", \"10s\", \"14m\", \"1h\" or \"1m30s\""
        )
    })
}

/// Reads a duration as the file writes it: whole numbers with units, from the largest unit to the
/// smallest, each unit once at most, such as `14m` or `1m30s`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut units = DURATION_UNITS.iter();
    let mut rest = text;
    let mut total_ms = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = split_number(rest);
        let (unit, tail) =
            tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let (_, unit_ms) = units.find(|(name, _)| *name == unit)?;
        let part_ms = number.parse::<u64>().ok()?.checked_mul(*unit_ms)?;
        total_ms = total_ms.checked_add(part_ms)?;
        rest = tail;
    }
    Some(Duration::from_millis(total_ms))
}

/// Writes a duration of whole milliseconds as the file would.
pub(super) fn duration_text(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, unit_ms) in DURATION_UNITS {
        let count = left / u128::from(unit_ms);
        left %= u128::from(unit_ms);
        if count > 0 {
            text += &format!("{count}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size in bytes in a range: an integer, or a string with a unit, such as "64MiB".
pub(super) fn size(value: &DeValue<'_>, range: RangeInclusive<u64>) -> Result<u64, String> {
    if matches!(value, DeValue::Integer(_)) {
        return integer(value, range);
    }
    let text = value.as_str().ok_or_else(|| wrong_type(value, "a size, such as \"128MiB\""))?;
    let bytes = parse_size(text).ok_or_else(|| {
        format!(
            "{text:?} is not a size; write a whole number with the unit KiB, MiB or GiB, \
             such as \"128MiB\", or an integer of bytes"
        )
    })?;
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    let [least, most] = [*range.start(), *range.end()].map(size_text);
    Err(out_of_range(text, least, most))
}

/// Reads a size as the file writes it: a whole number with its unit, such as `128MiB`. In bytes.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text);
    let (_, unit_bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*unit_bytes)
}

/// Writes a size in the largest unit that leaves a whole number, as the file would.
pub(super) fn size_text(bytes: u64) -> String {
    match SIZE_UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// The digits that a text begins with, and what follows them.
fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn out_of_range<T: Display>(found: impl Display, least: T, most: T) -> String {
    format!("{found} is out of range; it has to be between {least} and {most}")
}
