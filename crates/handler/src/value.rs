//! Single values, read as leniently as senders write them: text that may be null or a number,
//! numbers that may be text, and base64 that waits to be decoded.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::date::DateText;

/// With serde_json's feature `arbitrary_precision`, which any other crate of the program can switch
/// on, a number reaches a visitor as an object with this key and the number as text.
pub(crate) const NUMBER_KEY: &str = "$serde_json::private::Number";

/// Text that must be there, borrowed where it has no escapes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// A message's body as it stands in the event.
#[derive(Clone, PartialEq)]
pub(crate) struct Body<'a>(Text<'a>);

impl Body<'_> {
    pub(crate) fn decode(&self) -> Result<Vec<u8>, base64::DecodeError> {
        STANDARD.decode(self.0.0.as_bytes())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(Body)
    }
}

/// Bodies do not belong in logs.
impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of base64", self.0.0.len())
    }
}

/// A single value, or the name in an object, whatever it is.
enum Scalar<'a> {
    Null,
    Text(Cow<'a, str>),
    Integer(i64),
    /// An integer above `i64::MAX`, a fraction, or a truth value: they matter as text only.
    Other(String),
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Scalar::Other(number.to_string()), Scalar::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // As serde_json writes it, whose code is there anyway: the standard library's takes 12 KB.
        Ok(Scalar::Other(serde_json::Value::from(number).to_string()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other(value.to_string()))
    }

    /// A destination written as an object, as `replyTo` can be: what counts is its name.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut name = Scalar::Null;
        while let Some(Text(key)) = map.next_key()? {
            match key.as_ref() {
                "physicalName" | "physicalname" | "name" => {
                    name = Scalar::Text(map.next_value::<Text<'de>>()?.0);
                }
                NUMBER_KEY => {
                    let Text(digits) = map.next_value()?;
                    name = match digits.parse() {
                        Ok(number) => Scalar::Integer(number),
                        Err(_) => Scalar::Other(digits.into_owned()),
                    };
                }
                _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        Ok(name)
    }
}

/// Text, or none for null; numbers and truth values as they are written.
pub(crate) fn text<'de, D>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(match deserializer.deserialize_any(ScalarVisitor)? {
        Scalar::Null => None,
        Scalar::Text(text) => Some(text),
        Scalar::Integer(number) => Some(Cow::Owned(number.to_string())),
        Scalar::Other(text) => Some(Cow::Owned(text)),
    })
}

/// The same, where an empty string stands for nothing.
pub(crate) fn text_or_empty<'de, D>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(text(deserializer)?.filter(|text| !text.is_empty()))
}

/// The same, where the word `null` does so too.
pub(crate) fn text_or_word_null<'de, D>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(text_or_empty(deserializer)?.filter(|text| text != "null"))
}

/// An integer, also one written as text, or none for null and for empty text.
pub(crate) fn integer<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let number = match deserializer.deserialize_any(ScalarVisitor)? {
        Scalar::Null => return Ok(None),
        Scalar::Text(text) if text.is_empty() => return Ok(None),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Integer(number) => Some(number),
        Scalar::Other(_) => None,
    };
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(D::Error::custom("a property is not an integer of its range")),
    }
}

/// A date, or none for null.
pub(crate) fn date<'de, D>(deserializer: D) -> Result<Option<DateText<'de>>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(text(deserializer)?.map(DateText::from))
}

/// A truth value; null is false.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<bool>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Any value, or its default for null.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
