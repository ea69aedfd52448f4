//! The envelope: everything of an event that is not a record.
//!
//! A mapping makes one envelope when it starts and encodes every batch with it, so that the names
//! in it are escaped once. The records must keep the order they are given in, and an event must not
//! depend on anything but the envelope and the messages: the same batch gives the same bytes.

use crate::activemq::{self, Profile};
use crate::message::Message;
use crate::rabbitmq;
use crate::sink::{Count, Sink};

/// The largest event in bytes of encoded JSON, envelope and base64 included: 6 MB, which is
/// Lambda's quota for the payload of an invocation.
pub const EVENT_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Everything of an event but its records, encoded once per mapping.
///
/// # Examples
///
/// ```
/// use gristmill_event::{ActiveMqMessage, Envelope, Message, Profile};
///
/// let arn = "arn:aws:mq:eu-west-1:1:broker:orders:b-1";
/// let envelope = Envelope::activemq(arn, Profile::Observed);
/// let message = ActiveMqMessage { body: "hello".into(), ..ActiveMqMessage::default() };
/// let message = Message::from(message);
///
/// let event_bytes = envelope.event_bytes(1, envelope.record_bytes(&message));
/// let event = envelope.encode([&message], event_bytes);
///
/// assert_eq!(event.len(), event_bytes);
/// assert!(event.contains(r#""messages":[{"messageID":"","#));
/// ```
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The event's text up to where the first record begins.
    head: String,
    /// What closes the list of records and everything around it.
    tail: &'static str,
    /// How records of ActiveMQ are spelled.
    profile: Profile,
}

impl Envelope {
    /// The envelope of events with messages from one RabbitMQ queue.
    ///
    /// `event_source_arn` names the broker. The key of the records is `queue::virtual_host`.
    #[must_use]
    pub fn rabbitmq(event_source_arn: &str, queue: &str, virtual_host: &str) -> Self {
        let mut head = String::new();
        head.text(r#"{"eventSource":"aws:rmq","eventSourceArn":"#);
        head.string(event_source_arn);
        head.text(r#","rmqMessagesByQueue":{""#);
        head.escaped(queue);
        head.text("::");
        head.escaped(virtual_host);
        head.text(r#"":["#);
        Self { head, tail: "]}}", profile: Profile::default() }
    }

    /// The envelope of events with messages from one ActiveMQ broker, in one of the spellings.
    ///
    /// `event_source_arn` names the broker.
    #[must_use]
    pub fn activemq(event_source_arn: &str, profile: Profile) -> Self {
        let mut head = String::new();
        head.text(r#"{"eventSource":"aws:mq","eventSourceArn":"#);
        head.string(event_source_arn);
        head.text(r#","messages":["#);
        Self { head, tail: "]}", profile }
    }

    /// The exact size in bytes of a message's record inside an event, without the comma between two
    /// records.
    ///
    /// It reads the properties and never touches the body, whose share follows from its length.
    #[must_use]
    pub fn record_bytes(&self, message: &Message) -> usize {
        let mut count = Count::default();
        self.record(&mut count, message);
        count.bytes()
    }

    /// The exact size in bytes of an event of `record_count` records whose
    /// [`Envelope::record_bytes`] add up to `records_bytes`.
    #[must_use]
    pub fn event_bytes(&self, record_count: usize, records_bytes: usize) -> usize {
        let commas = record_count.saturating_sub(1);
        let shell = self.head.len().saturating_add(self.tail.len());
        shell.saturating_add(commas).saturating_add(records_bytes)
    }

    /// The event with these messages as its records, in this order.
    ///
    /// `event_bytes` is what [`Envelope::event_bytes`] says of them: the text is then allocated once
    /// and exactly. A wrong size costs memory or time and changes nothing else.
    #[must_use]
    pub fn encode<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a Message>,
        event_bytes: usize,
    ) -> String {
        let mut event = String::with_capacity(event_bytes);
        event.push_str(&self.head);
        let mut separator = "";
        for message in messages {
            event.push_str(separator);
            separator = ",";
            self.record(&mut event, message);
        }
        event.push_str(self.tail);
        event
    }

    fn record(&self, sink: &mut impl Sink, message: &Message) {
        match message {
            Message::RabbitMq(message) => rabbitmq::record::write(sink, message),
            Message::ActiveMq(message) => activemq::record::write(sink, message, self.profile),
        }
    }
}
