//! Where dead letters are published: a connection of its own, made when the first has to go.

use activemq_openwire::client::{Address, Client, Producer, RequestError};
use activemq_openwire::structures::{Destination, Message};
use futures_util::future::try_join_all;
use gristmill_broker::SourceError;

use crate::connection::ActiveMq;
use crate::dead_letter::DEAD_LETTER_QUEUE;
use crate::error;

/// A connection that only publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    client: Client,
    producer: Producer,
}

impl Publisher {
    /// Connects, to `near` if it can be had. `queue` is what is consumed.
    pub(crate) async fn connect(
        broker: &ActiveMq,
        near: &Address,
        name: &str,
        queue: &str,
    ) -> Result<Self, SourceError> {
        let client = broker.connect(name, Some(near)).await?;
        let session = client.session().await.map_err(|failed| refused(&failed, queue))?;
        let producer = session.producer().await.map_err(|failed| refused(&failed, queue))?;
        Ok(Self { client, producer })
    }

    /// Puts messages on the dead-letter queue and waits until the broker has stored all of them.
    pub(crate) async fn publish(
        &self,
        letters: Vec<Message>,
        queue: &str,
    ) -> Result<(), SourceError> {
        let to = Destination::queue(DEAD_LETTER_QUEUE);
        let sending = letters.into_iter().map(|letter| self.producer.forward(&to, letter));
        try_join_all(sending).await.map_err(|failed| refused(&failed, queue))?;
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.client.close().await;
    }
}

fn refused(failed: &RequestError, queue: &str) -> SourceError {
    if let RequestError::MissingRight(refusal) | RequestError::UnknownDestination(refusal) = failed
    {
        return SourceError::DeadLetterRefused {
            queue: queue.to_owned(),
            dead_letter_queue: DEAD_LETTER_QUEUE.to_owned(),
            reason: refusal.to_string(),
        };
    }
    error::lost(failed, queue)
}
