//! A queue for given-up messages.
//!
//! What must never happen: a letter that is said to be kept and is not on the disk.

use gristmill_broker::letter_headers::{self, CONDITION, ORIGINAL_EXPIRATION, RECORD};
use gristmill_broker::{DeadLetter, DeadLetters, KeepError, Keeping, Original, Unreadable};
use gristmill_event::RabbitMqMessage;

use super::worker::Request;
use super::{EmbeddedBroker, content};

/// Keeps given-up messages on a queue of an embedded broker.
#[derive(Debug)]
pub struct EmbeddedDeadLetterQueue {
    broker: EmbeddedBroker,
    queue: String,
}

impl EmbeddedDeadLetterQueue {
    pub(super) fn new(broker: EmbeddedBroker, queue: String) -> Self {
        Self { broker, queue }
    }
}

impl DeadLetters for EmbeddedDeadLetterQueue {
    fn check(&self) -> Keeping<'_> {
        Box::pin(async {
            let queue = self.queue.clone();
            let checked = self.broker.ask(Request::Check { queue }).await;
            checked.map(drop).map_err(|error| error.of_keeping(&self.queue))
        })
    }

    fn keep(&self, letters: Vec<DeadLetter>) -> Keeping<'_> {
        Box::pin(async move {
            let messages = letters.into_iter().map(|letter| dead(letter, &self.queue));
            let messages = messages.collect::<Result<_, _>>()?;
            let queue = self.queue.clone();
            let publish = Request::Publish { queue, messages, are_letters: true };
            let published = self.broker.ask(publish).await;
            published.map(drop).map_err(|error| error.of_keeping(&self.queue))
        })
    }
}

/// As it was published, but that it does not expire, with why it is here.
fn dead(letter: DeadLetter, queue: &str) -> Result<RabbitMqMessage, KeepError> {
    let mut message = match content::read(&letter.original) {
        // Its properties cannot be read: that is why it is given up.
        Err(Unreadable::Damaged) => content::read_body(&letter.original).to_vec().into(),
        _ => again(&letter.original, queue)?,
    };
    let expiration = message.properties.expiration.take();
    let headers = message.properties.headers.get_or_insert_default();
    letter_headers::say(headers, CONDITION, letter.condition);
    if let Some(expiration) = expiration {
        letter_headers::say(headers, ORIGINAL_EXPIRATION, &expiration);
    }
    letter_headers::say(headers, RECORD, &letter.record);
    Ok(message)
}

fn again(original: &Original, queue: &str) -> Result<RabbitMqMessage, KeepError> {
    content::read(original).map_err(|unreadable| KeepError::Unsendable {
        queue: queue.to_owned(),
        reason: unreadable.to_string(),
    })
}

impl EmbeddedBroker {
    /// Puts given-up messages back on a queue, in their order, to be handled once more: they no longer
    /// expire. When it returns without an error, all of them outlive a crash of the machine.
    ///
    /// # Errors
    ///
    /// [`KeepError`]; then none of them is there.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have put all of them there or none.
    pub async fn publish_again(
        &self,
        queue: &str,
        originals: Vec<Original>,
    ) -> Result<(), KeepError> {
        let messages = originals.iter().map(|original| {
            let mut message = again(original, queue)?;
            message.properties.expiration = None;
            // From now on it is as old as it is in the queue.
            message.properties.timestamp = None;
            Ok(message)
        });
        let messages = messages.collect::<Result<_, KeepError>>()?;
        self.publish(queue, messages).await.map_err(|error| error.of_keeping(queue))
    }
}
