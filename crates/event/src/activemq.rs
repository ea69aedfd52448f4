//! A message of ActiveMQ as its producer sent it, in plain types.
//!
//! As for RabbitMQ, the broker's client translates once at the edge, and the body must never be
//! printed. There are two spellings of the event, and handlers exist for either: see [`Profile`].

mod java;
pub(crate) mod record;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

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
    pub destination: Arc<str>,
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
    pub body: Bytes,
}

impl ActiveMqMessage {
    /// Until its expiration is past, by the clock of the broker where it tells its time. A second more,
    /// because a broker takes its client's word for it that a message has expired, and what it is told
    /// too early is lost to everybody until it restarts.
    pub(crate) fn time_to_live(&self, unix_ms: u64) -> Option<Duration> {
        let now = self.handed_out_ms(unix_ms);
        (self.expiration > 0).then(|| between(now, self.expiration.saturating_add(MARGIN_MS)))
    }

    /// Since the broker got it, by the clock of the broker where it tells its time.
    pub(crate) fn age(&self, unix_ms: u64) -> Duration {
        let now = self.handed_out_ms(unix_ms);
        if self.broker_in_time > 0 { between(self.broker_in_time, now) } else { Duration::ZERO }
    }

    fn handed_out_ms(&self, unix_ms: u64) -> i64 {
        if self.broker_out_time > 0 {
            self.broker_out_time
        } else {
            i64::try_from(unix_ms).unwrap_or(i64::MAX)
        }
    }
}

/// How much later than it says a message counts as expired, in milliseconds.
const MARGIN_MS: i64 = 1_000;

/// From one moment to a later one; zero if it is an earlier one.
fn between(from_ms: i64, to_ms: i64) -> Duration {
    let milliseconds = to_ms.saturating_sub(from_ms);
    u64::try_from(milliseconds).map_or(Duration::ZERO, Duration::from_millis)
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
