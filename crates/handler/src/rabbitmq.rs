//! Messages of RabbitMQ.

use std::borrow::Cow;

use serde::Deserialize;

use crate::date::DateText;
use crate::headers::Headers;
use crate::value::{self, Body};

/// A batch of messages of RabbitMQ.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RabbitMqEvent<'a> {
    /// The broker's ARN.
    pub event_source_arn: Option<Cow<'a, str>>,
    /// The queues in the order of the text. No two have the same key.
    pub queues: Vec<Queue<'a>>,
}

/// The messages of one queue.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Queue<'a> {
    /// `queue::virtualHost`.
    pub key: Cow<'a, str>,
    /// The messages in the order in which they were delivered.
    pub records: Vec<RabbitMqRecord<'a>>,
}

impl Queue<'_> {
    /// The queue's name: what stands before the last `::` of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.rsplit_once("::").map_or(&self.key, |(name, _)| name)
    }

    /// The virtual host: what stands after the last `::` of the key, if there is one.
    #[must_use]
    pub fn virtual_host(&self) -> Option<&str> {
        self.key.rsplit_once("::").map(|(_, virtual_host)| virtual_host)
    }
}

/// A message of RabbitMQ. Its body is read through [`Record`](crate::Record).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RabbitMqRecord<'a> {
    /// What the producer said about the message.
    #[serde(borrow, default, deserialize_with = "value::or_default")]
    pub basic_properties: BasicProperties<'a>,
    /// Whether the broker handed the message out before.
    #[serde(default, deserialize_with = "value::flag")]
    pub redelivered: bool,
    /// The body in base64.
    pub(crate) data: Body<'a>,
}

/// The properties of a message, as AMQP 0-9-1 defines them for the class `basic`, and the size of its
/// body. A property that the producer did not set is `None`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct BasicProperties<'a> {
    /// MIME type of the body.
    #[serde(borrow, deserialize_with = "value::text")]
    pub content_type: Option<Cow<'a, str>>,
    /// MIME encoding of the body.
    #[serde(borrow, deserialize_with = "value::text")]
    pub content_encoding: Option<Cow<'a, str>>,
    /// The headers. No headers and empty ones are two different things.
    #[serde(borrow)]
    pub headers: Option<Headers<'a>>,
    /// 1 for a transient message, 2 for a persistent one.
    #[serde(deserialize_with = "value::integer")]
    pub delivery_mode: Option<u8>,
    /// Priority, 0 to 255.
    #[serde(deserialize_with = "value::integer")]
    pub priority: Option<u8>,
    /// Which request this message answers.
    #[serde(borrow, deserialize_with = "value::text")]
    pub correlation_id: Option<Cow<'a, str>>,
    /// Where an answer should go.
    #[serde(borrow, deserialize_with = "value::text")]
    pub reply_to: Option<Cow<'a, str>>,
    /// Time to live in milliseconds: text in AMQP, which a producer chose.
    #[serde(borrow, deserialize_with = "value::text")]
    pub expiration: Option<Cow<'a, str>>,
    /// The producer's identifier of the message.
    #[serde(borrow, deserialize_with = "value::text")]
    pub message_id: Option<Cow<'a, str>>,
    /// When the producer says it sent the message.
    #[serde(borrow, deserialize_with = "value::date")]
    pub timestamp: Option<DateText<'a>>,
    /// The producer's name for the type of message; AMQP and the event call it `type`.
    #[serde(borrow, rename = "type", deserialize_with = "value::text")]
    pub kind: Option<Cow<'a, str>>,
    /// The user who published.
    #[serde(borrow, deserialize_with = "value::text")]
    pub user_id: Option<Cow<'a, str>>,
    /// The application that published.
    #[serde(borrow, deserialize_with = "value::text")]
    pub app_id: Option<Cow<'a, str>>,
    /// The cluster the message belongs to.
    #[serde(borrow, deserialize_with = "value::text")]
    pub cluster_id: Option<Cow<'a, str>>,
    /// The body's size in bytes, as the sender of the event counted it.
    #[serde(deserialize_with = "value::integer")]
    pub body_size: Option<u64>,
}
