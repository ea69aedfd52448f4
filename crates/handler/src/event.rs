//! The event as a whole: which broker's it is, and its records in order.

use crate::activemq::ActiveMqEvent;
use crate::error::EventError;
use crate::parse;
use crate::rabbitmq::RabbitMqEvent;
use crate::record::{Record, RecordSource};

/// One batch of messages.
///
/// It borrows from the text that it was parsed from.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Messages of RabbitMQ (`rmqMessagesByQueue`).
    RabbitMq(RabbitMqEvent<'a>),
    /// Messages of ActiveMQ (`messages`).
    ActiveMq(ActiveMqEvent<'a>),
}

impl<'a> Event<'a> {
    /// Reads an event.
    ///
    /// Which broker's it is follows from the list it has, not from `eventSource`, for which
    /// senders write one thing or another. Read are both of Lambda's spellings of what differs (such
    /// as `correlationId` and `correlationID`, or an expiration as number or string), fields that
    /// are null or absent, fields that nobody here knows, and a byte order mark at the beginning.
    /// The data of the records is not looked at yet.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, has neither list or both, or a record cannot be read: the error
    /// tells which, and why.
    ///
    /// # Examples
    ///
    /// ```
    /// use gristmill_handler::Event;
    ///
    /// let event = Event::parse(r#"{"eventSource":"aws:rmq","rmqMessagesByQueue":{}}"#)?;
    /// assert!(matches!(event, Event::RabbitMq(_)));
    /// assert_eq!(event.records().count(), 0);
    ///
    /// let error = Event::parse(r#"{"messages":[{"data":"e30="},{}]}"#).unwrap_err();
    /// assert!(error.to_string().contains("record 1 of messages: missing field `data`"));
    /// # Ok::<(), gristmill_handler::EventError>(())
    /// ```
    pub fn parse(text: &'a str) -> Result<Self, EventError> {
        parse::event(text)
    }

    /// The records in the order of the text: queue by queue, and within a queue as they were
    /// delivered. (This host's events have one queue each.)
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let (queues, messages) = match self {
            Event::RabbitMq(event) => (event.queues.as_slice(), [].as_slice()),
            Event::ActiveMq(event) => ([].as_slice(), event.messages.as_slice()),
        };
        let of_rabbitmq = queues.iter().flat_map(|queue| {
            let records = queue.records.iter().enumerate();
            records.map(|(position, record)| {
                (queue.key.as_ref(), position, RecordSource::RabbitMq(record))
            })
        });
        let of_activemq = messages.iter().enumerate().map(|(position, record)| {
            let queue = record.destination.as_deref().unwrap_or_default();
            (queue, position, RecordSource::ActiveMq(record))
        });
        let all = of_rabbitmq.chain(of_activemq).enumerate();
        all.map(|(position, (queue, in_queue, source))| {
            Record::new(position, queue, in_queue, source)
        })
    }

    /// The broker's ARN, where the event has it.
    #[must_use]
    pub fn event_source_arn(&self) -> Option<&str> {
        match self {
            Event::RabbitMq(event) => event.event_source_arn.as_deref(),
            Event::ActiveMq(event) => event.event_source_arn.as_deref(),
        }
    }
}
