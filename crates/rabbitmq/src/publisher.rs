//! Puts messages on a queue and waits until the broker has them.
//!
//! They go through the default exchange and are `mandatory`, so that the broker returns what has no queue
//! instead of dropping it; and only a confirm without a return counts. Nobody waits for a limited time: a
//! broker in an alarm takes nothing for as long as it lasts and then all that it was sent, and to publish
//! again would double it. One that is frozen ends the connection by its heartbeat.
//!
//! What must never happen: a message that is said to be on the queue and was not confirmed.

use std::sync::Arc;

use futures_util::future::join_all;
use gristmill_broker::{KeepError, Original};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Mutex;

use crate::connection::RabbitMq;
use crate::error;
use crate::publication::{Publication, Terms};

/// Publishes on one channel of a connection. The connection must be another one than mappings consume on:
/// in an alarm a broker stops reading from whoever publishes, and acks and heartbeats would stop too.
/// Several publishers may share it.
#[derive(Debug)]
pub struct RabbitMqPublisher {
    broker: Arc<RabbitMq>,
    /// Locked while messages are on their way.
    channel: Mutex<Option<Open>>,
}

/// A channel in confirm mode on which nothing is under way.
#[derive(Debug)]
struct Open {
    channel: Channel,
    terms: Terms,
}

impl RabbitMqPublisher {
    pub(crate) fn new(broker: Arc<RabbitMq>) -> Self {
        Self { broker, channel: Mutex::default() }
    }

    pub(crate) fn broker(&self) -> &RabbitMq {
        &self.broker
    }

    /// Puts messages that were kept on a queue, in their order: persistent, and without what would have
    /// them vanish or go somewhere else as well. When it returns without an error, the broker has
    /// confirmed all of them.
    ///
    /// # Errors
    ///
    /// [`KeepError`]; some of them may be on the queue all the same.
    ///
    /// # Cancel safety
    ///
    /// Safe to call again after a dropped future, whose messages may be on the queue.
    pub async fn publish(&self, queue: &str, originals: Vec<Original>) -> Result<(), KeepError> {
        let publications = originals.iter().map(|original| Publication::again(original, queue));
        self.send(queue, publications.collect::<Result<_, _>>()?).await
    }

    pub(crate) async fn send(
        &self,
        queue: &str,
        publications: Vec<Publication<'_>>,
    ) -> Result<(), KeepError> {
        let mut slot = self.channel.lock().await;
        // Put back only when all went well: one that failed, or that somebody no longer waited for, has
        // confirms and returns under way that nobody would tell from later ones.
        let open = match slot.take().filter(|open| open.channel.status().connected()) {
            Some(open) => open,
            None => self.open(queue).await?,
        };
        // Before the first goes: what cannot be sent must not double the others each time it is tried.
        let fitting = publications.iter().map(|one| one.fitting(&open.terms, queue));
        let fitting = fitting.collect::<Result<Vec<_>, _>>()?;
        let publishing = self.broker.abandoned.publishing(&open.channel);
        let sent = send(&open.channel, queue, fitting).await;
        publishing.end(sent.is_ok());
        sent?;
        *slot = Some(open);
        Ok(())
    }

    async fn open(&self, queue: &str) -> Result<Open, KeepError> {
        let connected = self.broker.connection(None).await.map_err(KeepError::Connection)?;
        let connection = connected.connection;
        let failed = |failed| error::publishing(&failed, queue);
        let channel = connection.create_channel().await.map_err(failed)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        let terms = Terms {
            frame_bytes_max: connection.configuration().frame_max() as usize,
            username: connection.status().username(),
        };
        Ok(Open { channel, terms })
    }
}

async fn send(
    channel: &Channel,
    queue: &str,
    publications: Vec<(BasicProperties, &[u8])>,
) -> Result<(), KeepError> {
    let failed = |failed| error::publishing(&failed, queue);
    let routing_key = error::queue_name(queue)?;
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let mut confirms = Vec::with_capacity(publications.len());
    // All are on their way before the first is waited for.
    for (properties, body) in publications {
        let default_exchange = ShortString::default();
        let publishing =
            channel.basic_publish(default_exchange, routing_key.clone(), options, body, properties);
        confirms.push(publishing.await.map_err(failed)?);
    }
    // The client may give a return to another confirm than its own, so any of them fails all.
    for confirmed in join_all(confirms).await {
        match confirmed.map_err(failed)? {
            Confirmation::Ack(None) => {}
            Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
                return Err(KeepError::QueueMissing {
                    queue: queue.to_owned(),
                    reason: returned.reply_text.to_string(),
                });
            }
            Confirmation::Nack(None) => {
                return Err(KeepError::NotTaken {
                    queue: queue.to_owned(),
                    reason: "basic.nack".to_owned(),
                });
            }
            Confirmation::NotRequested => {
                let reason = "the channel is not in confirm mode".to_owned();
                return Err(KeepError::Lost { queue: queue.to_owned(), reason });
            }
        }
    }
    Ok(())
}
