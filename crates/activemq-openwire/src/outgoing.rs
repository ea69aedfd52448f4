//! A message to be sent, in words of its sender.

use std::time::{Duration, SystemTime};

use crate::structures::{Destination, Message};
use crate::{Body, EncodeError, PrimitiveMap};

/// A message to be sent.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use activemq_openwire::Outgoing;
///
/// let mut message = Outgoing::text("hello", SystemTime::now());
/// message.properties.insert("kind", "greeting");
/// message.time_to_live = Some(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The body.
    pub body: Body,
    /// The properties.
    pub properties: PrimitiveMap,
    /// When it is sent, which the receiver sees as the message's timestamp.
    pub sent_at: SystemTime,
    /// After what time it expires; `None`: never.
    pub time_to_live: Option<Duration>,
    /// 0 to 9; higher ones are read as 9. 4 is usual.
    pub priority: u8,
    /// Whether it survives a restart of the broker. Those that do not are dropped instead of
    /// becoming dead letters.
    pub persistent: bool,
    /// What it belongs to.
    pub correlation_id: Option<String>,
    /// Where answers go.
    pub reply_to: Option<Destination>,
    /// The sender's word for what it is.
    pub r#type: Option<String>,
    /// The group whose messages all go to one consumer.
    pub group_id: Option<String>,
}

impl Outgoing {
    /// A persistent message that never expires.
    #[must_use]
    pub fn new(body: Body, sent_at: SystemTime) -> Self {
        Self {
            body,
            properties: PrimitiveMap::new(),
            sent_at,
            time_to_live: None,
            priority: 4,
            persistent: true,
            correlation_id: None,
            reply_to: None,
            r#type: None,
            group_id: None,
        }
    }

    /// A text.
    #[must_use]
    pub fn text(text: &str, sent_at: SystemTime) -> Self {
        Self::new(Body::Text(Some(text.into())), sent_at)
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<bytes::Bytes>, sent_at: SystemTime) -> Self {
        Self::new(Body::Bytes(bytes.into()), sent_at)
    }

    /// The message as the wire has it.
    ///
    /// # Errors
    ///
    /// When something in it is too long for the wire.
    pub fn into_message(self) -> Result<Message, EncodeError> {
        let timestamp = millis(self.sent_at);
        let expiration = match self.time_to_live {
            // 0 would mean never.
            Some(time) => millis(self.sent_at.checked_add(time).unwrap_or(self.sent_at)).max(1),
            None => 0,
        };
        let mut message = Message {
            persistent: self.persistent,
            priority: i8::try_from(self.priority.min(9)).unwrap_or(9),
            timestamp,
            expiration,
            correlation_id: self.correlation_id.map(Into::into),
            reply_to: self.reply_to,
            r#type: self.r#type.map(Into::into),
            group_id: self.group_id.map(Into::into),
            ..Message::default()
        };
        message.set_body(&self.body)?;
        message.set_properties(&self.properties)?;
        Ok(message)
    }
}

/// Milliseconds since 1970; 0 before it.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn what_is_sent_can_be_read() {
        let sent_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000);
        let mut outgoing = Outgoing::text("a\0😀", sent_at);
        outgoing.properties.insert("count", 3);
        outgoing.time_to_live = Some(Duration::from_millis(500));
        outgoing.priority = 200;
        outgoing.persistent = false;
        let message = outgoing.clone().into_message().unwrap();
        assert_eq!(message.body(&Limits::default()), Ok(outgoing.body));
        assert_eq!(message.properties(&Limits::default()), Ok(outgoing.properties));
        assert_eq!((message.timestamp, message.expiration), (1_000, 1_500));
        assert_eq!((message.priority, message.persistent), (9, false));
    }
}
