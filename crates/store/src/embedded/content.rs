//! Properties and messages as bytes.
//!
//! ```text
//! properties   MessagePack of BasicProperties; none for a message that has none
//! original     version (1 byte) · flags (1 byte) · length of the properties (4 bytes, big-endian)
//!              · properties · body
//! ```
//!
//! What must never happen: a property that is lost on the way, or damaged bytes that are taken for a
//! message.

use gristmill_broker::{Original, Unreadable};
use gristmill_event::{
    BasicProperties, HEADER_LEVELS_MAX, HeaderTable, HeaderValue, Message, RabbitMqMessage,
};

const VERSION: u8 = 1;

/// The message was handed out before.
const REDELIVERED: u8 = 1;

/// `None` for a message without properties.
pub(super) fn write_properties(
    properties: &BasicProperties,
) -> Result<Option<Vec<u8>>, Unreadable> {
    if *properties == BasicProperties::default() {
        return Ok(None);
    }
    if !properties.headers.as_ref().is_none_or(|headers| is_flat(headers, HEADER_LEVELS_MAX)) {
        return Err(Unreadable::NoEvent("its headers nest too deep".to_owned()));
    }
    rmp_serde::to_vec(properties).map(Some).map_err(|_unwritable| Unreadable::Damaged)
}

/// Whether tables and arrays nest no deeper than so many levels.
fn is_flat(headers: &HeaderTable, levels: u8) -> bool {
    headers.iter().all(|(_, value)| is_flat_value(value, levels))
}

fn is_flat_value(value: &HeaderValue, levels: u8) -> bool {
    let below = levels.checked_sub(1);
    match value {
        HeaderValue::Table(table) => below.is_some_and(|levels| is_flat(table, levels)),
        HeaderValue::Array(values) => {
            below.is_some_and(|levels| values.iter().all(|value| is_flat_value(value, levels)))
        }
        HeaderValue::Boolean(_)
        | HeaderValue::Integer(_)
        | HeaderValue::Float(_)
        | HeaderValue::Double(_)
        | HeaderValue::Decimal { .. }
        | HeaderValue::LongString(_)
        | HeaderValue::ByteArray(_)
        | HeaderValue::Timestamp(_)
        | HeaderValue::Void => true,
    }
}

/// Bounds by itself how deep it reads.
pub(super) fn read_properties(bytes: Option<&[u8]>) -> Result<BasicProperties, Unreadable> {
    let Some(bytes) = bytes else { return Ok(BasicProperties::default()) };
    rmp_serde::from_slice(bytes).map_err(|_damaged| Unreadable::Damaged)
}

/// The original of a message whose properties cannot be read.
pub(super) fn write_unread(properties: Option<&[u8]>, body: &[u8]) -> Original {
    let properties = properties.unwrap_or_default();
    Original(join(0, u32::try_from(properties.len()).unwrap_or(u32::MAX), properties, body))
}

pub(super) fn write(message: &RabbitMqMessage) -> Result<Original, Unreadable> {
    let flags = if message.redelivered { REDELIVERED } else { 0 };
    let properties = write_properties(&message.properties)?.unwrap_or_default();
    let length = u32::try_from(properties.len()).map_err(|_large| Unreadable::Damaged)?;
    Ok(Original(join(flags, length, &properties, &message.body)))
}

fn join(flags: u8, length: u32, properties: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(6 + properties.len() + body.len());
    bytes.extend([VERSION, flags]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(properties);
    bytes.extend(body);
    bytes
}

pub(super) fn read(original: &Original) -> Result<RabbitMqMessage, Unreadable> {
    let [version, flags, rest @ ..] = original.0.as_slice() else {
        return Err(Unreadable::Damaged);
    };
    let redelivered = match (*version, *flags) {
        (VERSION, 0) => false,
        (VERSION, REDELIVERED) => true,
        (0..=VERSION, _) => return Err(Unreadable::Damaged),
        (later, _) => return Err(Unreadable::Later(later)),
    };
    let (length, rest) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (properties, body) = rest.split_at_checked(length).ok_or(Unreadable::Damaged)?;
    let properties = read_properties((length > 0).then_some(properties))?;
    Ok(RabbitMqMessage { properties, redelivered, body: body.to_vec() })
}

/// The body of an original whose properties may be damaged.
pub(super) fn read_body(original: &Original) -> &[u8] {
    let body = || {
        let (length, rest) = original.0.get(2..)?.split_first_chunk()?;
        rest.get(u32::from_be_bytes(*length) as usize..)
    };
    body().unwrap_or_default()
}

/// The message of an original that an embedded broker's source has given, as its event shows it.
///
/// # Errors
///
/// [`Unreadable`].
pub fn message(original: &Original) -> Result<Message, Unreadable> {
    read(original).map(Message::from)
}

#[cfg(test)]
mod tests;
