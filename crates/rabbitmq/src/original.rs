//! A message as AMQP 0-9-1 writes it, to be kept or published again.
//!
//! ```text
//! version (1 byte) · flags (1 byte) · property list of a content header (4.2.6.1) · body
//! ```
//!
//! What must never happen: a property that is lost on the way, or damaged bytes that are taken for a
//! message.

use gristmill_broker::{Original, Unreadable};
use gristmill_event::{BasicProperties, Message, RabbitMqMessage};
use lapin::protocol::basic::{gen_properties, parse_properties};

use crate::translate;

const VERSION: u8 = 1;

/// The broker said that it had handed the message over before.
const REDELIVERED: u8 = 1;

/// The parts of an original.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) redelivered: bool,
    pub(crate) properties: BasicProperties,
    pub(crate) body: &'a [u8],
}

/// Writes a message. `None` if it cannot be written, which no message is that came from a broker.
pub(crate) fn write(message: &RabbitMqMessage) -> Option<Original> {
    let flags = if message.redelivered { REDELIVERED } else { 0 };
    let list = property_list(&translate::back::properties(&message.properties).ok()?)?;
    let mut bytes = Vec::with_capacity(2 + list.len() + message.body.len());
    bytes.extend([VERSION, flags]);
    bytes.extend(list);
    bytes.extend(&message.body);
    Some(Original(bytes))
}

/// The property list of a content header.
pub(crate) fn property_list(properties: &lapin::BasicProperties) -> Option<Vec<u8>> {
    let written = gen_properties(properties)(Vec::<u8>::new().into()).ok()?;
    Some(written.write)
}

/// Reads what was written.
pub(crate) fn read(original: &Original) -> Result<Parts<'_>, Unreadable> {
    let [version, flags, rest @ ..] = original.0.as_slice() else {
        return Err(Unreadable::Damaged);
    };
    let redelivered = match (*version, *flags) {
        (VERSION, 0) => false,
        (VERSION, REDELIVERED) => true,
        (0..=VERSION, _) => return Err(Unreadable::Damaged),
        (later, _) => return Err(Unreadable::Later(later)),
    };
    let (body, properties) = parse_properties(rest).map_err(|_incomplete| Unreadable::Damaged)?;
    Ok(Parts { redelivered, properties: translate::properties(&properties), body })
}

/// The message that was kept, as its event shows it.
///
/// # Errors
///
/// [`Unreadable`].
pub fn message(original: &Original) -> Result<Message, Unreadable> {
    let Parts { redelivered, properties, body } = read(original)?;
    Ok(RabbitMqMessage { properties, redelivered, body: body.to_vec() }.into())
}

#[cfg(test)]
mod tests;
