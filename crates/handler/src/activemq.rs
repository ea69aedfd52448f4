//! Messages of ActiveMQ.
//!
//! Two spellings of its event are in use, the one that the Lambda guide prints and the one that the
//! service sends, which differ in a name and in what stands for nothing. Both become the same here.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::value::{self, Body, Text};

/// A batch of messages of ActiveMQ.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ActiveMqEvent<'a> {
    /// The broker's ARN.
    pub event_source_arn: Option<Cow<'a, str>>,
    /// The messages in the order in which they were delivered.
    pub messages: Vec<ActiveMqRecord<'a>>,
}

/// A message of ActiveMQ. Its body is read through [`Record`](crate::Record).
///
/// What the event shows as null, as an empty string or (for `replyTo`) as the word `null` is `None`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Written<'de>", bound(deserialize = "'de: 'a"))]
#[non_exhaustive]
pub struct ActiveMqRecord<'a> {
    /// The broker's identifier of the message (`messageID`).
    pub message_id: Option<Cow<'a, str>>,
    /// Whether the body was sent as text or as bytes.
    pub message_type: Option<MessageType<'a>>,
    /// 1 for a transient message, 2 for a persistent one.
    pub delivery_mode: Option<u8>,
    /// Where an answer should go.
    pub reply_to: Option<Cow<'a, str>>,
    /// The producer's name for the type of message; the event calls it `type`.
    pub kind: Option<Cow<'a, str>>,
    /// When the message expires, in milliseconds since 1970 in UTC; 0 is never.
    pub expiration: Option<i64>,
    /// Priority, 0 to 9.
    pub priority: Option<u8>,
    /// Which request this message answers (`correlationId` or `correlationID`).
    pub correlation_id: Option<Cow<'a, str>>,
    /// Whether the message was handed out before.
    pub redelivered: bool,
    /// The name of the queue that the message was sent to (`destination.physicalName`).
    pub destination: Option<Cow<'a, str>>,
    /// When the producer sent the message, in milliseconds since 1970 in UTC.
    pub timestamp: Option<i64>,
    /// When the broker received it, in milliseconds since 1970 in UTC.
    pub broker_in_time: Option<i64>,
    /// When the broker handed it out, in milliseconds since 1970 in UTC.
    pub broker_out_time: Option<i64>,
    /// What the producer attached.
    pub properties: Properties<'a>,
    /// The body in base64.
    pub(crate) data: Body<'a>,
}

/// How the body was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageType<'a> {
    /// `jms/text-message`: text, in UTF-8.
    Text,
    /// `jms/bytes-message`.
    Bytes,
    /// Anything else.
    Other(Cow<'a, str>),
}

/// Names and values that a producer attached to a message, in the order of the event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl Properties<'_> {
    /// The value of this name; of several, the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().filter(|(other, _)| *other == name).last().map(|(_, value)| value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
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

impl<'de: 'a, 'a> Deserialize<'de> for Properties<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PropertiesVisitor;

        impl<'de> Visitor<'de> for PropertiesVisitor {
            type Value = Properties<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of properties")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut properties = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    // A property without a value is none.
                    if let OptionalText(Some(value)) = map.next_value()? {
                        properties.push((name, value));
                    }
                }
                Ok(Properties(properties))
            }
        }

        deserializer.deserialize_map(PropertiesVisitor)
    }
}

#[derive(Deserialize)]
struct OptionalText<'a>(#[serde(borrow, deserialize_with = "value::text")] Option<Cow<'a, str>>);

/// A record as it is written, in any of its spellings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(borrow, rename = "messageID", default, deserialize_with = "value::text_or_empty")]
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "value::text_or_empty")]
    message_type: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "value::integer")]
    delivery_mode: Option<u8>,
    #[serde(borrow, default, deserialize_with = "value::text_or_word_null")]
    reply_to: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type", default, deserialize_with = "value::text_or_empty")]
    kind: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "value::integer")]
    expiration: Option<i64>,
    #[serde(default, deserialize_with = "value::integer")]
    priority: Option<u8>,
    #[serde(borrow, default, deserialize_with = "value::text_or_empty")]
    correlation_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "correlationID", default, deserialize_with = "value::text_or_empty")]
    correlation_id_observed: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "value::flag")]
    redelivered: bool,
    #[serde(borrow, default, deserialize_with = "value::text_or_empty")]
    destination: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "value::integer")]
    timestamp: Option<i64>,
    #[serde(default, deserialize_with = "value::integer")]
    broker_in_time: Option<i64>,
    #[serde(default, deserialize_with = "value::integer")]
    broker_out_time: Option<i64>,
    #[serde(borrow, default, deserialize_with = "value::or_default")]
    properties: Properties<'a>,
    #[serde(borrow)]
    data: Body<'a>,
}

impl<'a> From<Written<'a>> for ActiveMqRecord<'a> {
    fn from(written: Written<'a>) -> Self {
        Self {
            message_id: written.message_id,
            message_type: written.message_type.map(MessageType::from),
            delivery_mode: written.delivery_mode,
            reply_to: written.reply_to,
            kind: written.kind,
            expiration: written.expiration,
            priority: written.priority,
            correlation_id: written.correlation_id.or(written.correlation_id_observed),
            redelivered: written.redelivered,
            destination: written.destination,
            timestamp: written.timestamp,
            broker_in_time: written.broker_in_time,
            broker_out_time: written.broker_out_time,
            properties: written.properties,
            data: written.data,
        }
    }
}

impl<'a> From<Cow<'a, str>> for MessageType<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text.as_ref() {
            "jms/text-message" => MessageType::Text,
            "jms/bytes-message" => MessageType::Bytes,
            _ => MessageType::Other(text),
        }
    }
}
