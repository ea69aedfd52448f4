//! A producer. It belongs on a connection of its own: a broker that has no room for messages stops
//! reading from the connection, and then acks wait there as well.

use std::fmt;
use std::sync::Arc;

use super::error::RequestError;
use super::shared::Shared;
use crate::Outgoing;
use crate::connection::ProducerKey;
use crate::structures::{Destination, Message, MessageId};

/// A producer, which can send anywhere. Dropping it closes it.
pub struct Producer {
    pub(super) shared: Arc<Shared>,
    pub(super) key: ProducerKey,
}

impl Producer {
    /// Sends a message and waits until the broker has it; a persistent one is stored then. Calls
    /// can run side by side.
    ///
    /// # Errors
    ///
    /// When the message does not fit the wire, when the broker refuses it, or when the connection
    /// ends before the answer: then nobody knows whether the broker has it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message may have been sent or not.
    pub async fn send(
        &self,
        destination: &Destination,
        message: Outgoing,
    ) -> Result<MessageId, RequestError> {
        self.forward(destination, message.into_message()?).await
    }

    /// Sends a message as it is, such as one that was received, under a new id.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// That of [`send`](Self::send).
    pub async fn forward(
        &self,
        destination: &Destination,
        message: Message,
    ) -> Result<MessageId, RequestError> {
        self.shared.room().await;
        let asked =
            self.shared.ask(|inner| inner.connection.send(self.key, destination.clone(), message));
        let (id, answer) = asked?;
        answer.wait().await?;
        Ok(id)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // An error says that it is closed already.
        if self.shared.lock().connection.close_producer(self.key).is_ok() {
            self.shared.wake.notify_one();
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("key", &self.key).finish_non_exhaustive()
    }
}
