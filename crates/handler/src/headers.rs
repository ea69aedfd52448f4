//! The headers of a RabbitMQ message, in the JSON form that Lambda gives them.
//!
//! Some AMQP types share a form. What cannot be told apart is said at each variant; nothing is
//! guessed.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::date::DateText;
use crate::value::{NUMBER_KEY, Text};

/// A table of headers, in the order of the event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Headers<'a>(Vec<(Cow<'a, str>, HeaderValue<'a>)>);

impl<'a> Headers<'a> {
    /// The value of this name; of several, the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&HeaderValue<'a>> {
        self.0.iter().rfind(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// The text of this name, if its value is a long string of UTF-8: what most headers are.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HeaderValue<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One value of a table of headers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum HeaderValue<'a> {
    /// A long string, the type of most headers: bytes that are mostly text. (A table with a single
    /// list of bytes called `bytes` looks the same.)
    LongString(Vec<u8>),
    /// A truth value.
    Boolean(bool),
    /// An integer of any width, exact.
    Integer(i64),
    /// An integer that is larger than [`Integer`](HeaderValue::Integer) can be. AMQP has none such.
    Large(u64),
    /// A float, a double, or a decimal with a fraction.
    Number(f64),
    /// A list of one or more integers from -128 to 127, as bytes: a byte array, or an array of small
    /// integers. The event does not tell which, see [`elements`](HeaderValue::elements).
    ByteArray(Vec<u8>),
    /// A timestamp.
    Date(DateText<'a>),
    /// A table in the table.
    Table(Headers<'a>),
    /// An array of anything but small integers only, or an empty one or an empty byte array.
    Array(Vec<HeaderValue<'a>>),
    /// No value; also a float that is no number, and what is nested too deeply.
    Null,
}

impl<'a> HeaderValue<'a> {
    /// The text of a long string, if it is UTF-8, or of a date.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            HeaderValue::LongString(bytes) => str::from_utf8(bytes).ok(),
            HeaderValue::Date(date) => Some(date.as_str()),
            HeaderValue::Boolean(_)
            | HeaderValue::Integer(_)
            | HeaderValue::Large(_)
            | HeaderValue::Number(_)
            | HeaderValue::ByteArray(_)
            | HeaderValue::Table(_)
            | HeaderValue::Array(_)
            | HeaderValue::Null => None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        if let HeaderValue::Integer(number) = self { Some(*number) } else { None }
    }

    /// The elements of an array, also of one that looks like a byte array.
    #[must_use]
    pub fn elements(&self) -> Option<Cow<'_, [HeaderValue<'a>]>> {
        match self {
            HeaderValue::Array(elements) => Some(Cow::Borrowed(elements)),
            HeaderValue::ByteArray(bytes) => Some(Cow::Owned(integers(bytes))),
            HeaderValue::LongString(_)
            | HeaderValue::Boolean(_)
            | HeaderValue::Integer(_)
            | HeaderValue::Large(_)
            | HeaderValue::Number(_)
            | HeaderValue::Date(_)
            | HeaderValue::Table(_)
            | HeaderValue::Null => None,
        }
    }
}

fn integers<'a>(bytes: &[u8]) -> Vec<HeaderValue<'a>> {
    bytes.iter().map(|byte| HeaderValue::Integer(byte.cast_signed().into())).collect()
}

/// A byte as Java writes it, from -128 to 127.
fn signed_byte(value: &HeaderValue<'_>) -> Option<u8> {
    i8::try_from(value.integer()?).ok().map(i8::cast_unsigned)
}

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut headers = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            headers.push((name, value));
        }
        Ok(Headers(headers))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for HeaderValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = HeaderValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of a header")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(HeaderValue::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(HeaderValue::Boolean(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(HeaderValue::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(HeaderValue::Large(number), HeaderValue::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(HeaderValue::Number(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(HeaderValue::Date(DateText::from(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(HeaderValue::Date(DateText::from(Cow::Owned(text.to_owned()))))
    }

    /// Small integers are kept as bytes for as long as there is nothing else: 32 times smaller.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Vec::new();
        let mut elements = Vec::new();
        while let Some(value) = list.next_element()? {
            if let (Some(byte), true) = (signed_byte(&value), elements.is_empty()) {
                bytes.push(byte);
            } else {
                if elements.is_empty() {
                    elements = integers(&std::mem::take(&mut bytes));
                }
                elements.push(value);
            }
        }
        let is_of_bytes = elements.is_empty() && !bytes.is_empty();
        Ok(if is_of_bytes { HeaderValue::ByteArray(bytes) } else { HeaderValue::Array(elements) })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Headers(headers) = HeadersVisitor.visit_map(map)?;
        Ok(match headers.as_slice() {
            [(name, HeaderValue::ByteArray(_) | HeaderValue::Array(_))] if name == "bytes" => {
                long_string(headers)
            }
            [(name, HeaderValue::Date(digits))] if name == NUMBER_KEY => {
                number(digits.as_str()).unwrap_or(HeaderValue::Table(Headers(headers)))
            }
            _ => HeaderValue::Table(Headers(headers)),
        })
    }
}

/// What an object with the single key `bytes` is: a long string, where its list is one of bytes.
/// They may be written unsigned as well.
fn long_string<'a>(mut headers: Vec<(Cow<'a, str>, HeaderValue<'a>)>) -> HeaderValue<'a> {
    let bytes = match headers.first_mut() {
        Some((_, HeaderValue::ByteArray(bytes))) => Some(std::mem::take(bytes)),
        Some((_, HeaderValue::Array(elements))) => elements
            .iter()
            .map(|value| signed_byte(value).or_else(|| u8::try_from(value.integer()?).ok()))
            .collect(),
        _ => None,
    };
    bytes.map_or(HeaderValue::Table(Headers(headers)), HeaderValue::LongString)
}

fn number<'a>(digits: &str) -> Option<HeaderValue<'a>> {
    let number: serde_json::Number = serde_json::from_str(digits).ok()?;
    let integer = || number.as_i64().map(HeaderValue::Integer);
    let large = || number.as_u64().map(HeaderValue::Large);
    integer().or_else(large).or_else(|| number.as_f64().map(HeaderValue::Number))
}
