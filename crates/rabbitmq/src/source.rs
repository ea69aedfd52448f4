//! One consumer on one queue: a channel of its own, whose life is the epoch.
//!
//! ```text
//! Closed ── subscribe ──▶ Consuming ── cancel, or the broker cancels ──▶ Cancelled
//!    ▲                        │                                             │
//!    └──── close, or the channel or the connection is lost ─────────────────┘
//! ```
//!
//! What must never happen: a tag of another epoch on this channel, or a delivery that is neither
//! given out nor left to the broker.

use std::mem;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use gristmill_broker::{
    Delivery, DeliveryToken, Disposition, Epoch, Original, Received, Settled, Settlement, Source,
    SourceError,
};
use gristmill_event::Message;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::time::{sleep, timeout};

use crate::connection::{Connected, REPLY_SUCCESS, RabbitMq};
use crate::error;
use crate::ledger::{Frame, Ledger};
use crate::original;
use crate::translate;

/// A broker that does not start a consumer in this time is frozen.
const CONSUME_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a cancelled consumer looks whether its channel still stands: nothing tells it.
const CHANNEL_CHECK: Duration = Duration::from_secs(1);

/// A broker that does not answer a cancel in this time is left to the close of the channel.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What to consume.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// The queue, 1 to 255 bytes; it must exist.
    pub queue: String,
    /// Names the consumer in the broker, 1 to 255 bytes.
    pub consumer_tag: String,
    /// The most unsettled deliveries. Never 0, which means *unlimited* in RabbitMQ.
    pub prefetch: NonZeroU16,
}

/// One consumer on one queue.
#[derive(Debug)]
pub struct RabbitMqSource {
    broker: Arc<RabbitMq>,
    settings: SourceSettings,
    epoch: Epoch,
    state: State,
    /// The address of a node that did not start a consumer, which one that is cut off from its cluster
    /// does not (RabbitMQ 4.3): the next attempt goes elsewhere.
    avoided: Option<usize>,
}

#[derive(Debug)]
enum State {
    Closed,
    Consuming { channel: Channel, consumer: Consumer, ledger: Ledger },
    Cancelled { channel: Channel, ledger: Ledger },
}

impl RabbitMqSource {
    pub(crate) fn new(broker: Arc<RabbitMq>, settings: SourceSettings) -> Self {
        Self { broker, settings, epoch: Epoch(0), state: State::Closed, avoided: None }
    }

    /// Opens a channel and starts a consumer on it.
    async fn consume(&self, connection: &Connection) -> Result<(Channel, Consumer), lapin::Error> {
        let channel = connection.create_channel().await?;
        // Before the consumer, since RabbitMQ applies it to consumers that come after it.
        let prefetch = self.settings.prefetch.get();
        channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
        let queue = short_string(&self.settings.queue)?;
        let consumer_tag = short_string(&self.settings.consumer_tag)?;
        let options = BasicConsumeOptions::default();
        let arguments = FieldTable::default();
        let consumer = channel.basic_consume(queue, consumer_tag, options, arguments).await?;
        Ok((channel, consumer))
    }

    fn lost(&self, reason: impl ToString) -> SourceError {
        SourceError::Lost { queue: self.settings.queue.clone(), reason: reason.to_string() }
    }

    /// The channel stays open and keeps its unsettled deliveries.
    fn stop_consuming(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Closed) {
            State::Consuming { channel, ledger, consumer: _ } => {
                State::Cancelled { channel, ledger }
            }
            other @ (State::Closed | State::Cancelled { .. }) => other,
        };
    }
}

impl Source for RabbitMqSource {
    async fn subscribe(&mut self) -> Result<Epoch, SourceError> {
        self.close().await;
        let Connected { address, connection } = self.broker.connection(self.avoided).await?;
        let consuming = timeout(CONSUME_TIMEOUT, self.consume(&connection));
        let failed = match consuming.await {
            Ok(Ok((channel, consumer))) => {
                self.epoch = self.epoch.next();
                self.state = State::Consuming { channel, consumer, ledger: Ledger::new() };
                return Ok(self.epoch);
            }
            Ok(Err(refusal)) => error::consuming(&refusal, &self.settings.queue),
            Err(_elapsed) => self.lost("the broker did not answer in time"),
        };
        if failed.disposition() == Disposition::Reconnect {
            self.avoided = Some(address);
        }
        Err(failed)
    }

    async fn receive(&mut self) -> Result<Received, SourceError> {
        match &mut self.state {
            State::Closed => Err(self.lost("it is not subscribed")),
            State::Consuming { consumer, ledger, .. } => match consumer.next().await {
                Some(Ok(delivery)) => {
                    let tag = delivery.delivery_tag;
                    if !ledger.deliver(tag) {
                        return Err(self.lost("the broker skipped a delivery tag"));
                    }
                    let token = DeliveryToken { epoch: self.epoch, tag };
                    let returns = translate::returns(&delivery);
                    let message = translate::message(delivery);
                    Ok(Received::Delivery(Delivery { token, message, returns, group: None }))
                }
                Some(Err(error)) => {
                    self.state = State::Closed;
                    Err(self.lost(error))
                }
                None => {
                    self.stop_consuming();
                    Ok(Received::Cancelled)
                }
            },
            State::Cancelled { channel, .. } => {
                while channel.status().connected() {
                    sleep(CHANNEL_CHECK).await;
                }
                self.state = State::Closed;
                Err(self.lost("the channel closed"))
            }
        }
    }

    async fn settle(&mut self, settlement: Settlement<'_>, tokens: &[DeliveryToken]) -> Settled {
        let stale = Settled { sent: 0, stale: tokens.len() };
        let (channel, ledger) = match &mut self.state {
            State::Closed => return stale,
            State::Consuming { channel, ledger, .. } | State::Cancelled { channel, ledger } => {
                (channel, ledger)
            }
        };
        let current = tokens.iter().filter(|token| token.epoch == self.epoch);
        let mut known = 0;
        let frames = ledger.settle(current.inspect(|_| known += 1).map(|token| token.tag));
        let sending = frames.into_iter().map(|frame| send(channel, settlement, frame));
        // All are on their way before the first is waited for.
        if join_all(sending).await.into_iter().all(|sent| sent.is_ok()) {
            Settled { sent: known, stale: tokens.len() - known }
        } else {
            stale
        }
    }

    fn original(&self, token: DeliveryToken, message: Option<&Message>) -> Option<Original> {
        let (State::Consuming { ledger, .. } | State::Cancelled { ledger, .. }) = &self.state
        else {
            return None;
        };
        let is_unsettled = token.epoch == self.epoch && ledger.is_unsettled(token.tag);
        match message {
            Some(Message::RabbitMq(message)) if is_unsettled => original::write(message),
            _ => None,
        }
    }

    async fn cancel(&mut self) {
        if let State::Consuming { channel, consumer, .. } = &self.state {
            let cancelling = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            // Neither ending matters: a dead channel gives no deliveries either.
            drop(timeout(CANCEL_TIMEOUT, cancelling).await);
        }
        self.stop_consuming();
    }

    async fn close(&mut self) {
        match mem::replace(&mut self.state, State::Closed) {
            State::Closed => {}
            State::Consuming { channel, .. } | State::Cancelled { channel, .. } => {
                // An error says that it is closed already.
                drop(channel.close(REPLY_SUCCESS, "".into()).await);
            }
        }
    }
}

async fn send(
    channel: &Channel,
    settlement: Settlement<'_>,
    Frame { tag, multiple }: Frame,
) -> Result<(), lapin::Error> {
    match settlement {
        Settlement::Ack => channel.basic_ack(tag, BasicAckOptions { multiple }).await,
        Settlement::Requeue => {
            channel.basic_nack(tag, BasicNackOptions { multiple, requeue: true }).await
        }
        // The broker does the same with what expires in the queue (RabbitMQ, "Time-to-Live").
        Settlement::Reject(_) | Settlement::Expire => {
            channel.basic_nack(tag, BasicNackOptions { multiple, requeue: false }).await
        }
    }
}

fn short_string(text: &str) -> Result<ShortString, lapin::Error> {
    ShortString::try_new(text).map_err(|error| std::io::Error::other(error).into())
}
