//! A message of ActiveMQ as its producer sent it, in plain types.
//!
//! As for RabbitMQ, the broker's client translates once at the edge, and the body must never be
//! printed. There are two spellings of the event, and handlers exist for either: see [`Profile`].

mod java;
pub(crate) mod record;

use std::fmt;

use crate::sink::Count;

/// How the event spells what the Lambda guide and the live service spell in two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As the Lambda guide prints it: `correlationId`; what is absent is null; the expiration is a
    /// string.
    #[default]
    Documented,
    /// As the live service has been captured sending it: `correlationID`; absent are an empty string
    /// for it and for `type`, and the string `null` for `replyTo`; the expiration is a number.
    Observed,
}

/// A message of ActiveMQ, with what the broker said about this hand-over of it.
#[derive(Clone, Default, PartialEq)]
pub struct ActiveMqMessage {
    /// The text form of the message's id, which the broker made.
    pub message_id: String,
    /// Whether the body was sent as text or as bytes.
    pub message_type: MessageType,
    /// Whether the broker keeps the message over a restart: delivery mode 2, otherwise 1.
    pub persistent: bool,
    /// The text form of where an answer should go, such as `queue://answers`.
    pub reply_to: Option<String>,
    /// The producer's name for the type of message; JMS and the event call it `type`.
    pub kind: Option<String>,
    /// When the message expires, in milliseconds since 1970 in UTC; 0 is never.
    pub expiration: i64,
    /// Priority, 0 to 9.
    pub priority: u8,
    /// Which request this message answers.
    pub correlation_id: Option<String>,
    /// Whether it was handed out before, by the broker's count or by our own retries.
    pub redelivered: bool,
    /// The name of the queue that the message was sent to.
    pub destination: String,
    /// When the producer sent it, in milliseconds since 1970 in UTC.
    pub timestamp: i64,
    /// When the broker received it, in milliseconds since 1970 in UTC.
    pub broker_in_time: i64,
    /// When the broker handed it out, in milliseconds since 1970 in UTC.
    pub broker_out_time: i64,
    /// What the producer attached, in the order in which the client gives it. A name that stands here
    /// twice stands in the event twice.
    pub properties: Vec<(String, PropertyValue)>,
    /// What the producer sent, inflated: the bytes, or the text in UTF-8.
    pub body: Vec<u8>,
}

impl ActiveMqMessage {
    /// The exact size in bytes of this message's record inside an event, without the comma between
    /// two records.
    ///
    /// It never touches the body, whose share follows from its length.
    #[must_use]
    pub fn record_bytes(&self, profile: Profile) -> usize {
        let mut count = Count::default();
        record::write(&mut count, self, profile);
        count.bytes()
    }
}

impl fmt::Debug for ActiveMqMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveMqMessage")
            .field("message_id", &self.message_id)
            .field("message_type", &self.message_type)
            .field("destination", &self.destination)
            .field("redelivered", &self.redelivered)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The types of message that an event can show. Others have no form in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageType {
    /// `jms/text-message`.
    #[default]
    Text,
    /// `jms/bytes-message`.
    Bytes,
}

/// The value of a property. The event shows each as Java's `String.valueOf` has it.
#[derive(Clone, Debug, PartialEq)]
pub enum PropertyValue {
    /// `true` or `false`.
    Boolean(bool),
    /// Every integer type, of 8 to 64 bits.
    Integer(i64),
    /// A number of 32 bits: `1.5`, `1.0`, `1.0E10`, `NaN`.
    Float(f32),
    /// A number of 64 bits, in the same forms.
    Double(f64),
    /// Text, or a single character.
    String(String),
    /// No value. JMS cannot tell it from a property that is not there, so the event leaves it out.
    Null,
}
