//! A queue for given-up messages.
//!
//! What must never happen: a letter that is said to be kept before the broker has confirmed it.

use std::sync::Arc;

use gristmill_broker::{DeadLetter, DeadLetters, Keeping};

use crate::connection::RabbitMq;
use crate::publication::Publication;
use crate::publisher::RabbitMqPublisher;

/// Keeps the given-up messages of a mapping on a queue of the same broker and virtual host.
#[derive(Debug)]
pub struct DeadLetterQueue {
    publisher: RabbitMqPublisher,
    queue: String,
}

impl DeadLetterQueue {
    pub(crate) fn new(broker: Arc<RabbitMq>, queue: String) -> Self {
        Self { publisher: RabbitMqPublisher::new(broker), queue }
    }
}

impl DeadLetters for DeadLetterQueue {
    /// Sees whether the queue is there. Whether the login may write to it, the broker says to what is
    /// published only.
    fn check(&self) -> Keeping<'_> {
        Box::pin(self.publisher.broker().find(&self.queue))
    }

    fn keep(&self, letters: Vec<DeadLetter>) -> Keeping<'_> {
        Box::pin(async move {
            let queue = self.queue.as_str();
            let publications = letters.iter().map(|letter| Publication::dead(letter, queue));
            self.publisher.send(queue, publications.collect::<Result<_, _>>()?).await
        })
    }
}
