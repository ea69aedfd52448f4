//! What keeps a mapping stopped, over restarts of the host too, and the reasons for it.
//!
//! Some messages can be neither handled nor given up without losing them. To stop and start again
//! would hand them over once more each time, and a quorum queue deletes what came back too often: so
//! a mapping that stops for such a message is held until somebody has acted.

use std::fmt;

/// Remembers, outside of this process, that a mapping must not subscribe.
pub trait Hold: Send + Sync + 'static {
    /// Holds the mapping. The sentence says why and what to do. Is durable when it returns, as far
    /// as it can be; a failure is the implementation's to report.
    fn set(&self, sentence: &str);

    /// Lets the mapping go. Without a hold it does nothing.
    fn clear(&self);
}

/// A message that can be neither handled nor given up without losing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Impasse {
    /// Alone it makes an event over the limit.
    RecordTooLarge { message_id: Option<String>, event_bytes: usize },
    /// No event can show it.
    Unusable { message_id: Option<String>, reason: String },
    /// The broker would soon delete it for having been taken back too often.
    DeliveryLimitNear { message_id: Option<String>, returns: u32, limit: u32 },
}

impl fmt::Display for Impasse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecordTooLarge { message_id, event_bytes } => write!(
                f,
                "RecordTooLarge: the message {} alone makes an event of {event_bytes} bytes, more \
                 than an event may have, and nothing behind it can be handled; give the queue a \
                 dead-letter exchange and set `on_failure = \"broker\"`, or take the message from \
                 the queue",
                Name(message_id.as_deref())
            ),
            Self::Unusable { message_id, reason } => write!(
                f,
                "the message {} cannot be handled: {reason}; set \
                 `on_failure = \"broker\"`, or take the message from the queue",
                Name(message_id.as_deref())
            ),
            Self::DeliveryLimitNear { message_id, returns, limit } => write!(
                f,
                "DeliveryLimitNear: the broker has taken the message {} back {returns} times and \
                 deletes it when it has done so more than {limit} times; mend the handler, or give \
                 the queue a dead-letter exchange and set `on_failure = \"broker\"`, or raise the \
                 queue's delivery limit and the mapping's `delivery_limit`",
                Name(message_id.as_deref())
            ),
        }
    }
}

/// A message's own id, escaped because its producer chose it.
struct Name<'a>(Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "with messageId {id:?}"),
            None => f.write_str("without messageId"),
        }
    }
}
