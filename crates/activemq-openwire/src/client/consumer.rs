//! A consumer and what it does with its deliveries.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;

use super::error::{ReceiveError, RequestError};
use super::shared::Shared;
use crate::connection::{CloseReason, ConsumerKey, Delivery, PullTimeout, Settlement, Tag};

/// A consumer on a destination. Dropping it closes it without waiting for the broker.
pub struct Consumer {
    pub(super) shared: Arc<Shared>,
    pub(super) key: ConsumerKey,
    pub(super) arrived: Arc<Notify>,
}

impl Consumer {
    /// Waits for the next delivery.
    ///
    /// # Errors
    ///
    /// When the broker has closed the consumer, or the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no delivery.
    pub async fn receive(&mut self) -> Result<Delivery, ReceiveError> {
        let delivery = self.receive_ahead().await?;
        self.hand(delivery.tag);
        Ok(delivery)
    }

    /// Waits for the next delivery, which the broker is not to count as delivered yet: that is what
    /// [`hand`](Self::hand) is for, once it goes where it may have an effect.
    ///
    /// # Errors
    ///
    /// Those of [`receive`](Self::receive).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no delivery.
    pub async fn receive_ahead(&mut self) -> Result<Delivery, ReceiveError> {
        loop {
            if let Some(delivery) = self.next()? {
                return Ok(delivery);
            }
            self.arrived.notified().await;
        }
    }

    /// Notes that a delivery and all before it are delivered, so that those of them which are
    /// unsettled at the close come again with a higher redelivery counter.
    pub fn hand(&self, up_to: Tag) {
        self.shared.lock().connection.hand(self.key, up_to);
    }

    /// Asks for one delivery, where the prefetch is 0, and waits for it; `None` if there is none, or
    /// if the broker refuses to look.
    ///
    /// # Errors
    ///
    /// When the broker has closed the consumer, or the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the broker may still answer; the next call takes that answer
    /// instead of asking again, so that no delivery is lost.
    pub async fn pull(&mut self, timeout: PullTimeout) -> Result<Option<Delivery>, ReceiveError> {
        if let Some(delivery) = self.next()? {
            self.hand(delivery.tag);
            return Ok(Some(delivery));
        }
        if !self.is_pulling() {
            let mut inner = self.shared.lock();
            inner.connection.pull(self.key, timeout).map_err(ReceiveError::NotAsked)?;
            if let Some(inbox) = inner.consumers.get_mut(&self.key) {
                inbox.is_pulling = true;
            }
            drop(inner);
            self.shared.wake.notify_one();
        }
        loop {
            if let Some(delivery) = self.next()? {
                self.hand(delivery.tag);
                return Ok(Some(delivery));
            }
            if !self.is_pulling() {
                return Ok(None);
            }
            self.arrived.notified().await;
        }
    }

    /// Settles deliveries. The verdict is on its way when this returns its future, also if nobody
    /// waits for it, so that many can be on their way at once.
    ///
    /// That the broker accepts an individual settlement does not prove that it removed anything. Those
    /// that leave together share one answer.
    ///
    /// # Errors
    ///
    /// The future fails when the delivery is settled already, when the broker refuses, or when the
    /// connection ends before the answer: then the delivery can come again.
    pub fn settle(
        &self,
        settlement: &Settlement,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        let asked = self.shared.ask(|inner| {
            let request = inner.connection.settle(self.key, settlement)?;
            Ok(((), request))
        });
        async move { asked?.1.wait().await }
    }

    /// Acks one delivery: [`settle`](Self::settle) with [`Settlement::Individual`].
    ///
    /// # Errors
    ///
    /// Those of [`settle`](Self::settle).
    pub fn ack(&self, tag: Tag) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        self.settle(&Settlement::Individual(tag))
    }

    /// Changes the prefetch. With 0 nothing comes any more but what is on its way already and what
    /// is pulled.
    ///
    /// # Errors
    ///
    /// The future fails when the broker refuses or the connection ends before the answer.
    pub fn set_prefetch(
        &self,
        prefetch: u16,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        let asked = self.shared.ask(|inner| {
            let request = inner.connection.set_prefetch(self.key, prefetch)?;
            Ok(((), request))
        });
        async move { asked?.1.wait().await }
    }

    /// How many deliveries are unsettled, those not received yet included.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.shared.lock().connection.unsettled(self.key)
    }

    /// Closes the consumer and waits for the broker. What was received and is unsettled comes again
    /// with a higher redelivery counter, and what was not received with the same.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub async fn close(self) -> Result<(), RequestError> {
        let asked = self.shared.ask(|inner| {
            inner.consumers.remove(&self.key);
            Ok(((), inner.connection.close_consumer(self.key)?))
        });
        asked?.1.wait().await
    }

    /// Takes the next delivery that is there.
    fn next(&self) -> Result<Option<Delivery>, ReceiveError> {
        let mut inner = self.shared.lock();
        let Some(inbox) = inner.consumers.get_mut(&self.key) else {
            let reason: Option<CloseReason> = self.shared.close_reason();
            return Err(reason.map_or(ReceiveError::CloseAsked, ReceiveError::Ended));
        };
        Ok(inbox.deliveries.pop_front())
    }

    fn is_pulling(&self) -> bool {
        self.shared.lock().consumers.get(&self.key).is_some_and(|inbox| inbox.is_pulling)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.consumers.remove(&self.key);
        // An error says that it is closed already.
        if inner.connection.close_consumer(self.key).is_ok() {
            self.shared.wake.notify_one();
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("key", &self.key).finish_non_exhaustive()
    }
}
