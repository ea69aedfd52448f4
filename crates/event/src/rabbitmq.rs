//! A message of RabbitMQ as its producer sent it, in plain types.
//!
//! The broker's client translates what it received into these types once, at the edge. No type of a
//! client library may appear here, and the body must never be printed: it belongs to the users, not
//! to the log.

mod date;
pub(crate) mod record;
mod signed;

use std::fmt;
use std::time::Duration;

/// The most tables and arrays that an event shows one inside another, within a header table.
///
/// AMQP lets one frame nest tables thousands deep, and readers of JSON stop far earlier (serde_json
/// at 128 levels, of which an event takes eight for itself). A table or an array inside this many
/// others is written as null. Whoever builds a [`HeaderValue`] from hostile bytes should stop here
/// as well, because dropping, cloning or comparing a value recurses once per level.
pub const HEADER_LEVELS_MAX: u8 = 64;

/// A message of RabbitMQ, with what the broker said about this hand-over of it.
#[derive(Clone, Default, PartialEq)]
pub struct RabbitMqMessage {
    /// What the producer said about the message.
    pub properties: BasicProperties,
    /// Whether the broker says that it handed the message out before.
    pub redelivered: bool,
    /// What the producer sent, as it came.
    pub body: Vec<u8>,
}

impl RabbitMqMessage {
    /// The expiration (AMQP 0-9-1, `basic.expiration`; RabbitMQ: milliseconds as text), which the
    /// broker counts from the enqueuing and does not say when that was.
    pub(crate) fn time_to_live(&self) -> Option<Duration> {
        self.properties.expiration.as_ref()?.parse().ok().map(Duration::from_millis)
    }

    /// Since the producer's timestamp, if there is one that does not lie in the future.
    pub(crate) fn age(&self, unix_ms: u64) -> Duration {
        let sent_ms = self.properties.timestamp.map(|seconds| seconds.saturating_mul(1000));
        sent_ms.map_or(Duration::ZERO, |sent| Duration::from_millis(unix_ms.saturating_sub(sent)))
    }
}

/// A message without properties.
impl From<Vec<u8>> for RabbitMqMessage {
    fn from(body: Vec<u8>) -> Self {
        Self { body, ..Self::default() }
    }
}

/// A message without properties.
impl From<&str> for RabbitMqMessage {
    fn from(body: &str) -> Self {
        body.as_bytes().to_vec().into()
    }
}

impl fmt::Debug for RabbitMqMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqMessage")
            .field("properties", &self.properties)
            .field("redelivered", &self.redelivered)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The properties of a message's content header, as AMQP 0-9-1 defines them for the class `basic`.
///
/// `None` means that the producer did not set the property, which the event shows as null. The
/// broker reads only a few of them; the rest is whatever the producer wrote.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct BasicProperties {
    /// MIME type of the body.
    pub content_type: Option<String>,
    /// MIME encoding of the body.
    pub content_encoding: Option<String>,
    /// The header table. `None` and an empty table are two different things, here and in the event.
    pub headers: Option<HeaderTable>,
    /// 1 for a transient message, 2 for a persistent one.
    pub delivery_mode: Option<u8>,
    /// Priority, 0 to 255.
    pub priority: Option<u8>,
    /// Which request this message answers.
    pub correlation_id: Option<String>,
    /// Where an answer should go.
    pub reply_to: Option<String>,
    /// Time to live in milliseconds, as text: AMQP made it a string, and so does the event.
    pub expiration: Option<String>,
    /// The producer's identifier of the message.
    pub message_id: Option<String>,
    /// When the producer says it sent the message, in seconds since 1970 began in UTC.
    pub timestamp: Option<u64>,
    /// The producer's name for the type of message; AMQP and the event call it `type`.
    pub kind: Option<String>,
    /// The user who published, checked by the broker when set.
    pub user_id: Option<String>,
    /// The application that published.
    pub app_id: Option<String>,
    /// The cluster the message belongs to; deprecated, and still in the event.
    pub cluster_id: Option<String>,
}

/// Headers in the order in which the client gives them.
///
/// A name that stands here twice stands in the event twice. AMQP 0-9-1 (4.2.5.5) calls duplicate
/// names illegal, so the client is expected to have settled on one of them.
pub type HeaderTable = Vec<(String, HeaderValue)>;

/// One value of a header table: what the AMQP 0-9-1 types mean, with RabbitMQ's reading of them. No two
/// types become one, so that a message can be published again as it came.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HeaderValue {
    /// `t`: true or false.
    Boolean(bool),
    /// Every integer type, of 8 to 64 bits, which the event shows without a difference.
    Integer(HeaderInteger),
    /// `f`: a number of 32 bits. NaN and the infinities have no JSON form and become null.
    Float(f32),
    /// `d`: a number of 64 bits. NaN and the infinities have no JSON form and become null.
    Double(f64),
    /// `D`: the number `value × 10^-scale`, which the event shows digit by digit.
    Decimal {
        /// How many of the digits stand behind the point.
        scale: u8,
        /// All the digits. AMQP 0-9-1 (4.2.5.5) calls them signed although its grammar says
        /// `long-uint`; RabbitMQ's Java client reads them as signed, and so does the event.
        value: i32,
    },
    /// `S`: bytes that are mostly UTF-8 text, but need not be. An object with the key `bytes`.
    LongString(Vec<u8>),
    /// `x`: bytes. An array of signed integers.
    ByteArray(Vec<u8>),
    /// `T`: seconds since 1970 began in UTC. Date text, as in [`BasicProperties::timestamp`].
    Timestamp(u64),
    /// `F`: a table inside the table. See [`HEADER_LEVELS_MAX`].
    Table(HeaderTable),
    /// `A`: a list of values. See [`HEADER_LEVELS_MAX`].
    Array(Vec<HeaderValue>),
    /// `V`: no value; null.
    Void,
}

/// A whole number of a header, in the type that its producer gave it. RabbitMQ has no unsigned integer of
/// 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HeaderInteger {
    /// `b`.
    I8(i8),
    /// `B`.
    U8(u8),
    /// `s`.
    I16(i16),
    /// `u`.
    U16(u16),
    /// `I`.
    I32(i32),
    /// `i`.
    U32(u32),
    /// `l`.
    I64(i64),
}

impl From<HeaderInteger> for i64 {
    fn from(given: HeaderInteger) -> i64 {
        match given {
            HeaderInteger::I8(value) => value.into(),
            HeaderInteger::U8(value) => value.into(),
            HeaderInteger::I16(value) => value.into(),
            HeaderInteger::U16(value) => value.into(),
            HeaderInteger::I32(value) => value.into(),
            HeaderInteger::U32(value) => value.into(),
            HeaderInteger::I64(value) => value,
        }
    }
}
