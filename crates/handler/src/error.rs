//! What can be wrong with an event, and with one record of it.

use std::error::Error;
use std::fmt;
use std::str::Utf8Error;

/// A text is not an event of messages.
#[derive(Debug)]
#[non_exhaustive]
pub enum EventError {
    /// The text is not JSON, or not a JSON object of an event's shape.
    Shape(serde_json::Error),
    /// It has neither `rmqMessagesByQueue` nor `messages`.
    NoMessages {
        /// What it says it comes from.
        event_source: Option<String>,
    },
    /// It has both lists.
    TwoBrokers,
    /// A record cannot be read.
    Record {
        /// The key of its queue; none for ActiveMQ.
        queue: Option<String>,
        /// Its place in the list that it stands in; the first is 0.
        position: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event is not one of RabbitMQ or ActiveMQ messages: ")?;
        match self {
            EventError::Shape(error) => error.fmt(f),
            EventError::NoMessages { event_source } => {
                f.write_str("it has neither `rmqMessagesByQueue` nor `messages`")?;
                match event_source {
                    Some(source) => write!(f, "; its source is {source:?}"),
                    None => Ok(()),
                }
            }
            EventError::TwoBrokers => {
                f.write_str("it has both `rmqMessagesByQueue` and `messages`")
            }
            EventError::Record { queue, position, error } => {
                let queue = queue.as_deref().unwrap_or("messages");
                write!(f, "record {position} of {queue}: {error}")
            }
        }
    }
}

impl Error for EventError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            EventError::Shape(error) | EventError::Record { error, .. } => Some(error),
            EventError::NoMessages { .. } | EventError::TwoBrokers => None,
        }
    }
}

/// A record's body is not what was asked for.
#[derive(Debug)]
pub struct RecordError {
    /// The record, as it prints itself.
    pub(crate) record: String,
    pub(crate) position: usize,
    pub(crate) reason: RecordErrorReason,
}

/// What is wrong with a record's body.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecordErrorReason {
    /// The record's `data` is not base64.
    Base64(base64::DecodeError),
    /// The body is not UTF-8.
    Utf8(Utf8Error),
    /// The body is not the JSON that was asked for.
    Json(serde_json::Error),
}

impl RecordError {
    /// What is wrong.
    #[must_use]
    pub fn reason(&self) -> &RecordErrorReason {
        &self.reason
    }

    /// The record's place in the event; see [`Record::position`](crate::Record::position).
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.record, self.reason)
    }
}

impl fmt::Display for RecordErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordErrorReason::Base64(error) => write!(f, "its data is not base64: {error}"),
            RecordErrorReason::Utf8(error) => write!(f, "its body is not text: {error}"),
            RecordErrorReason::Json(error) => {
                write!(f, "its body is not the JSON that is expected: {error}")
            }
        }
    }
}

impl Error for RecordError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match &self.reason {
            RecordErrorReason::Base64(error) => error,
            RecordErrorReason::Utf8(error) => error,
            RecordErrorReason::Json(error) => error,
        })
    }
}
