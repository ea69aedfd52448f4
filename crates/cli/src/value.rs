//! Values of options, written as in the configuration.

use std::time::Duration;

use gristmill::config::{parse_duration, parse_size};

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and its unit, such as 500ms or 14m".into())
}

pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "write a number and its unit, such as 128MiB".into())
}

/// `NAME=VALUE`; the value may hold further equals signs, or be empty.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}
