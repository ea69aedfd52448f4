//! The dead letter that this side makes of a given-up message which the broker would drop.
//!
//! A broker moves what is given up to its dead-letter queue, but by default only what is persistent,
//! and one only of several with the same id. Of the others a copy is sent there, under a new id and
//! otherwise as the broker would make it.

use std::future::Future;
use std::pin::Pin;

use activemq_openwire::structures::{Destination, Message};
use activemq_openwire::{PrimitiveMap, Value};
use gristmill_broker::{DeadLetter, DeadLetters, KeepError, Keeping};

use crate::connection::limits;
use crate::publisher::{self, ActiveMqPublisher};
use crate::translate::message_id;

/// The queue of dead letters that a broker uses for all queues unless it is told otherwise.
pub const DEAD_LETTER_QUEUE: &str = "ActiveMQ.DLQ";

/// The properties that ActiveMQ's own dead letters have.
const CAUSE: &str = "dlqDeliveryFailureCause";
const DELIVERY_MODE: &str = "originalDeliveryMode";
const EXPIRATION: &str = "originalExpiration";

/// As much of a cause as the client tells a broker.
const CAUSE_BYTES_MAX: usize = 8_192;

/// One that they do not need, since they keep their ids.
const MESSAGE_ID: &str = "originalMessageID";

/// The properties that this side adds on a queue of its own.
const CONDITION: &str = "gristmillCondition";
const RECORD: &str = "gristmillInvocationRecord";

/// A queue for the given-up messages of a mapping.
#[derive(Debug)]
pub struct DeadLetterQueue {
    publisher: ActiveMqPublisher,
    to: String,
    /// Where they come from.
    queue: String,
}

impl DeadLetterQueue {
    pub(crate) fn new(publisher: ActiveMqPublisher, to: &str, queue: &str) -> Self {
        Self { publisher, to: to.to_owned(), queue: queue.to_owned() }
    }

    fn letter(&self, letter: DeadLetter) -> Result<Message, KeepError> {
        let DeadLetter { original, condition, cause, record, .. } = letter;
        let message = publisher::read(original, &self.to)?;
        let said = [(CONDITION, condition), (RECORD, &record)];
        Ok(explained(&message, &self.queue, &cause, &said))
    }
}

impl DeadLetters for DeadLetterQueue {
    /// Connects. The queue is made when the first message goes there.
    fn check(&self) -> Keeping<'_> {
        Box::pin(self.publisher.check(None, &self.to))
    }

    fn keep(&self, letters: Vec<DeadLetter>) -> Keeping<'_> {
        Box::pin(async move {
            let messages = letters.into_iter().map(|letter| self.letter(letter));
            self.publisher.send(None, &self.to, messages.collect::<Result<_, _>>()?).await
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.publisher.close())
    }
}

/// The copy of a message of a queue that was given up because of something. It is persistent and never
/// expires, and its properties say what was otherwise; properties that cannot be read stay as they are.
pub(crate) fn dead_letter(message: &Message, queue: &str, cause: &str) -> Message {
    explained(message, queue, cause, &[])
}

fn explained(message: &Message, queue: &str, cause: &str, said: &[(&str, &str)]) -> Message {
    let mut letter =
        Message { original_destination: Some(Destination::queue(queue)), ..copy(message) };
    if let Ok(mut properties) = message.properties(&limits()) {
        explain(&mut properties, message, cause);
        for (name, text) in said {
            properties.insert(*name, *text);
        }
        // Too long for the wire: then what was there already has to do.
        drop(letter.set_properties(&properties));
    }
    letter
}

/// The copy of a message, persistent and without an expiration.
pub(crate) fn copy(message: &Message) -> Message {
    Message {
        kind: message.kind,
        content: message.content.clone(),
        compressed: message.compressed,
        marshalled_properties: message.marshalled_properties.clone(),
        correlation_id: message.correlation_id.clone(),
        reply_to: message.reply_to.clone(),
        r#type: message.r#type.clone(),
        group_id: message.group_id.clone(),
        group_sequence: message.group_sequence,
        priority: message.priority,
        timestamp: message.timestamp,
        persistent: true,
        remote_blob_url: message.remote_blob_url.clone(),
        mime_type: message.mime_type.clone(),
        ..Message::default()
    }
}

fn explain(properties: &mut PrimitiveMap, message: &Message, cause: &str) {
    let end = cause.floor_char_boundary(CAUSE_BYTES_MAX);
    // As the broker prints what it is told of those that it moves itself.
    let cause = format!("java.lang.Throwable: {}", cause.get(..end).unwrap_or_default());
    properties.insert(CAUSE, cause.as_str());
    if !message.persistent {
        properties.insert(DELIVERY_MODE, "NON_PERSISTENT");
    }
    properties.insert(EXPIRATION, Value::Long(message.expiration));
    if let Some(id) = message_id(message) {
        properties.insert(MESSAGE_ID, id.as_str());
    }
}

#[cfg(test)]
mod tests {
    use activemq_openwire::{Body, Outgoing};
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_dead_letter_says_what_it_was() {
        let mut outgoing = Outgoing::text("hello", SystemTime::UNIX_EPOCH);
        outgoing.properties.insert("shop", 7);
        outgoing.persistent = false;
        outgoing.time_to_live = Some(Duration::from_millis(500));
        let letter = dead_letter(&outgoing.into_message().unwrap(), "orders", "no customer 17");
        assert!(letter.persistent && letter.expiration == 0);
        assert_eq!(letter.original_destination, Some(Destination::queue("orders")));
        assert_eq!(letter.body(&limits()), Ok(Body::Text(Some("hello".into()))));
        let properties = letter.properties(&limits()).unwrap();
        assert_eq!(properties.get("shop"), Some(&Value::Int(7)));
        assert_eq!(
            properties.get(CAUSE),
            Some(&Value::from("java.lang.Throwable: no customer 17"))
        );
        assert_eq!(properties.get(DELIVERY_MODE), Some(&Value::from("NON_PERSISTENT")));
        assert_eq!(properties.get(EXPIRATION), Some(&Value::Long(500)));
    }

    #[test]
    fn what_cannot_be_read_is_kept_as_it_is() {
        let broken = activemq_openwire::Opaque(vec![0xFF; 3].into());
        let message = Message { marshalled_properties: Some(broken), ..Message::default() };
        let letter = dead_letter(&message, "orders", "unreadable");
        assert_eq!(letter.marshalled_properties, message.marshalled_properties);
    }
}
