//! One message, whichever broker it is from.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::activemq::ActiveMqRecord;
use crate::error::{RecordError, RecordErrorReason};
use crate::rabbitmq::RabbitMqRecord;

/// A message of an event: what both brokers have, and where in the event it stands.
///
/// Printed, it names itself for a log or an error: `record 3 of orders::/ (message id order-20)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record<'e> {
    position: usize,
    queue: &'e str,
    position_in_queue: usize,
    source: RecordSource<'e>,
}

/// A record with what only its own broker has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RecordSource<'e> {
    /// A message of RabbitMQ.
    RabbitMq(&'e RabbitMqRecord<'e>),
    /// A message of ActiveMQ.
    ActiveMq(&'e ActiveMqRecord<'e>),
}

impl<'e> Record<'e> {
    pub(crate) fn new(
        position: usize,
        queue: &'e str,
        position_in_queue: usize,
        source: RecordSource<'e>,
    ) -> Self {
        Self { position, queue, position_in_queue, source }
    }

    /// The message's body, decoded anew by each call.
    ///
    /// # Errors
    ///
    /// When the record's `data` is not base64.
    pub fn data(&self) -> Result<Vec<u8>, RecordError> {
        let encoded = match self.source {
            RecordSource::RabbitMq(record) => &record.data,
            RecordSource::ActiveMq(record) => &record.data,
        };
        encoded.decode().map_err(|error| self.error(RecordErrorReason::Base64(error)))
    }

    /// The message's body as text, decoded anew by each call.
    ///
    /// # Errors
    ///
    /// When the record's `data` is not base64, or the body is not UTF-8.
    pub fn text(&self) -> Result<String, RecordError> {
        String::from_utf8(self.data()?)
            .map_err(|error| self.error(RecordErrorReason::Utf8(error.utf8_error())))
    }

    /// The message's body read as JSON.
    ///
    /// # Errors
    ///
    /// When the record's `data` is not base64, or the body is not JSON for a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, RecordError> {
        serde_json::from_slice(&self.data()?)
            .map_err(|error| self.error(RecordErrorReason::Json(error)))
    }

    /// The message's id: RabbitMQ's `messageId`, which producers need not set, or ActiveMQ's
    /// `messageID`.
    #[must_use]
    pub fn message_id(&self) -> Option<&'e str> {
        match self.source {
            RecordSource::RabbitMq(record) => record.basic_properties.message_id.as_deref(),
            RecordSource::ActiveMq(record) => record.message_id.as_deref(),
        }
    }

    /// Where the message comes from: for RabbitMQ the event's key, `queue::virtualHost`, for
    /// ActiveMQ the name of the destination, empty where the event has none.
    #[must_use]
    pub fn queue(&self) -> &'e str {
        self.queue
    }

    /// Whether the message was handed out before, as far as the broker knows.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        match self.source {
            RecordSource::RabbitMq(record) => record.redelivered,
            RecordSource::ActiveMq(record) => record.redelivered,
        }
    }

    /// The place in the event, over all queues; the first is 0.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// The place in the list that the record stands in: that of its queue for RabbitMQ, that of all
    /// messages for ActiveMQ. The first is 0.
    #[must_use]
    pub fn position_in_queue(&self) -> usize {
        self.position_in_queue
    }

    /// What names this record among the batch item failures of a response: `#` and its
    /// [`position`](Self::position). A message id would do as well, but a message need not have one, and
    /// two may have the same.
    #[must_use]
    pub fn item_identifier(&self) -> String {
        format!("#{}", self.position)
    }

    /// Everything that this message's broker says of it.
    #[must_use]
    pub fn source(&self) -> RecordSource<'e> {
        self.source
    }

    fn error(&self, reason: RecordErrorReason) -> RecordError {
        RecordError { record: self.to_string(), position: self.position, reason }
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (position, queue) = (self.position_in_queue, self.queue);
        let id = self.message_id().unwrap_or("none");
        write!(f, "record {position} of {queue} (message id {id})")
    }
}
