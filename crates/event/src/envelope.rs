//! The envelope: everything of an event that is not a record.
//!
//! A mapping makes one envelope when it starts and encodes every batch with it, so that the names
//! in it are escaped once. The records must keep the order they are given in, and an event must not
//! depend on anything but the envelope and the messages: the same batch gives the same bytes.

use crate::activemq::{self, ActiveMqMessage, Profile};
use crate::message::Message;
use crate::record;
use crate::sink::Sink;

/// The largest event in bytes of encoded JSON, envelope and base64 included: 6 MB, which is
/// Lambda's quota for the payload of an invocation.
pub const EVENT_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Everything of an event of RabbitMQ messages but its records, encoded once per mapping.
#[derive(Clone, Debug)]
pub struct Envelope(Shell);

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
        Self(Shell { head, tail: "]}}" })
    }

    /// The exact size in bytes of an event of `record_count` records whose
    /// [`Message::record_bytes`] add up to `records_bytes`.
    #[must_use]
    pub fn event_bytes(&self, record_count: usize, records_bytes: usize) -> usize {
        self.0.event_bytes(record_count, records_bytes)
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
        self.0.encode(messages, event_bytes, record::write)
    }
}

/// Everything of an event of ActiveMQ messages but its records, encoded once per mapping.
///
/// # Examples
///
/// ```
/// use gristmill_event::{ActiveMqEnvelope, ActiveMqMessage, Profile};
///
/// let profile = Profile::Observed;
/// let envelope = ActiveMqEnvelope::new("arn:aws:mq:eu-west-1:1:broker:orders:b-1", profile);
/// let message = ActiveMqMessage { body: b"hello".to_vec(), ..ActiveMqMessage::default() };
///
/// let event_bytes = envelope.event_bytes(1, message.record_bytes(profile));
/// let event = envelope.encode([&message], event_bytes);
///
/// assert_eq!(event.len(), event_bytes);
/// assert!(event.contains(r#""messages":[{"messageID":"","#));
/// ```
#[derive(Clone, Debug)]
pub struct ActiveMqEnvelope {
    shell: Shell,
    profile: Profile,
}

impl ActiveMqEnvelope {
    /// The envelope of events with messages from one broker, in one of the spellings.
    ///
    /// `event_source_arn` names the broker.
    #[must_use]
    pub fn new(event_source_arn: &str, profile: Profile) -> Self {
        let mut head = String::new();
        head.text(r#"{"eventSource":"aws:mq","eventSourceArn":"#);
        head.string(event_source_arn);
        head.text(r#","messages":["#);
        Self { shell: Shell { head, tail: "]}" }, profile }
    }

    /// The exact size in bytes of an event of `record_count` records whose
    /// [`ActiveMqMessage::record_bytes`] add up to `records_bytes`.
    #[must_use]
    pub fn event_bytes(&self, record_count: usize, records_bytes: usize) -> usize {
        self.shell.event_bytes(record_count, records_bytes)
    }

    /// The event with these messages as its records, in this order; `event_bytes` as for
    /// [`Envelope::encode`].
    #[must_use]
    pub fn encode<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a ActiveMqMessage>,
        event_bytes: usize,
    ) -> String {
        self.shell.encode(messages, event_bytes, |event, message| {
            activemq::record::write(event, message, self.profile);
        })
    }
}

/// What stands around the records.
#[derive(Clone, Debug)]
struct Shell {
    /// The event's text up to where the first record begins.
    head: String,
    /// What closes the list of records and everything around it.
    tail: &'static str,
}

impl Shell {
    fn event_bytes(&self, record_count: usize, records_bytes: usize) -> usize {
        let commas = record_count.saturating_sub(1);
        let shell = self.head.len().saturating_add(self.tail.len());
        shell.saturating_add(commas).saturating_add(records_bytes)
    }

    fn encode<M>(
        &self,
        messages: impl IntoIterator<Item = M>,
        event_bytes: usize,
        write: impl Fn(&mut String, M),
    ) -> String {
        let mut event = String::with_capacity(event_bytes);
        event.push_str(&self.head);
        let mut separator = "";
        for message in messages {
            event.push_str(separator);
            separator = ",";
            write(&mut event, message);
        }
        event.push_str(self.tail);
        event
    }
}
