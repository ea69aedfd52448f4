//! Puts messages on a queue and waits until the broker has stored them: over a connection of its own, made
//! when the first has to go.
//!
//! Nobody waits for a limited time: a broker without room takes nothing for a while and then all that it was
//! sent, and to send again would double it. One that is frozen ends the connection by its inactivity.

use activemq_openwire::client::{Address, Client, Producer, RequestError};
use activemq_openwire::connection::CommandError;
use activemq_openwire::structures::{Destination, Message};
use futures_util::FutureExt;
use futures_util::future::join_all;
use gristmill_broker::{KeepError, Original, with_causes};
use tokio::sync::Mutex;

use crate::connection::ActiveMq;
use crate::dead_letter;
use crate::original;

/// Publishes over a connection of its own.
#[derive(Debug)]
pub struct ActiveMqPublisher {
    broker: ActiveMq,
    name: String,
    /// While it is good. Locked while messages are on their way.
    connected: Mutex<Option<Connected>>,
}

#[derive(Debug)]
struct Connected {
    client: Client,
    producer: Producer,
}

impl ActiveMqPublisher {
    pub(crate) fn new(broker: ActiveMq, name: &str) -> Self {
        Self { broker, name: name.to_owned(), connected: Mutex::default() }
    }

    /// Puts messages that were kept on a queue, in their order: persistent, without an expiration, and
    /// otherwise as they were, under new ids. When it returns without an error, the broker has stored all
    /// of them.
    ///
    /// # Errors
    ///
    /// [`KeepError`]; some of them may be on the queue all the same.
    ///
    /// # Cancel safety
    ///
    /// Safe to call again after a dropped future, whose messages may be on the queue.
    pub async fn publish(&self, queue: &str, originals: Vec<Original>) -> Result<(), KeepError> {
        let messages = originals.into_iter().map(|original| read(original, queue));
        let messages = messages.map(|message| message.map(|message| dead_letter::copy(&message)));
        self.send(None, queue, messages.collect::<Result<_, _>>()?).await
    }

    /// Closes the connection, if there is one, when nothing is on its way any more. What follows makes
    /// another.
    ///
    /// # Cancel safety
    ///
    /// Safe: the connection ends all the same.
    pub async fn close(&self) {
        if let Some(connected) = self.connected.lock().await.take() {
            connected.client.close().await;
        }
    }

    /// Connects, if there is no connection; to `near` if it can be had.
    pub(crate) async fn check(&self, near: Option<&Address>, queue: &str) -> Result<(), KeepError> {
        let mut good = self.connected.lock().await;
        let connected = self.connect(good.take(), near, queue).await?;
        *good = Some(connected);
        Ok(())
    }

    /// Sends messages and waits until the broker has stored all of them.
    pub(crate) async fn send(
        &self,
        near: Option<&Address>,
        queue: &str,
        messages: Vec<Message>,
    ) -> Result<(), KeepError> {
        let mut good = self.connected.lock().await;
        // Put back only when all went well.
        let connected = self.connect(good.take(), near, queue).await?;
        let to = Destination::queue(queue);
        let sending = messages.into_iter().map(|message| connected.producer.forward(&to, message));
        for sent in join_all(sending).await {
            sent.map_err(|failed| refused(failed, queue))?;
        }
        *good = Some(connected);
        Ok(())
    }

    async fn connect(
        &self,
        good: Option<Connected>,
        near: Option<&Address>,
        queue: &str,
    ) -> Result<Connected, KeepError> {
        let is_alive = |connected: &Connected| connected.client.closed().now_or_never().is_none();
        if let Some(connected) = good.filter(is_alive) {
            return Ok(connected);
        }
        let client = self.broker.connect(&self.name, near).await.map_err(KeepError::Connection)?;
        let failed = |failed| refused(failed, queue);
        let session = client.session().await.map_err(failed)?;
        let producer = session.producer().await.map_err(failed)?;
        Ok(Connected { client, producer })
    }
}

pub(crate) fn read(original: Original, queue: &str) -> Result<Message, KeepError> {
    original::read(original).map_err(|unreadable| KeepError::Unsendable {
        queue: queue.to_owned(),
        reason: unreadable.to_string(),
    })
}

fn refused(failed: RequestError, queue: &str) -> KeepError {
    let queue = queue.to_owned();
    match failed {
        RequestError::MissingRight(refusal) => KeepError::WriteRefused {
            queue,
            right: "`write` on it, and `admin` where it does not exist yet",
            reason: refusal.to_string(),
        },
        RequestError::UnknownDestination(refusal) => {
            KeepError::QueueMissing { queue, reason: refusal.to_string() }
        }
        RequestError::Refused(refusal) => {
            KeepError::NotTaken { queue, reason: refusal.to_string() }
        }
        RequestError::NotAsked(CommandError::Unencodable(reason)) => {
            KeepError::Unsendable { queue, reason: reason.to_string() }
        }
        // The connection has ended.
        RequestError::BrokerGone(_)
        | RequestError::Violation(_)
        | RequestError::NotAsked(_)
        | _ => KeepError::Lost { queue, reason: with_causes(&failed) },
    }
}
