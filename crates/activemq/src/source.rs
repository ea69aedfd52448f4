//! One consumer on one queue: a connection of its own, whose life is the epoch.
//!
//! ```text
//! Closed ── subscribe ──▶ taking ── cancel, or the broker wants the consumer closed ──▶ finishing
//!    ▲                      │                                                              │
//!    └── close, or the connection is lost, or the broker does not take a verdict ──────────┘
//! ```
//!
//! A batch whose deliveries follow one another is acked with one frame, whatever else is unsettled:
//! OpenWire's ranges have two ends. Nobody waits for the broker's answers to acks; one that refuses
//! ends the epoch, so that what the broker thinks and what is thought here never differ for long. A
//! given-up message is waited for.
//!
//! What must never happen: a tag of another epoch on this connection, an ack whose range holds a
//! delivery that was not to be acked, or a poison ack for a message that the broker would then drop.

use std::collections::HashMap;
use std::future::Future;
use std::mem;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::time::Duration;

use activemq_openwire::client::{Client, Consumer, ReceiveError, RequestError};
use activemq_openwire::connection::{
    ConsumerOptions, Delivery as Incoming, Settlement as Verdict, Tag,
};
use activemq_openwire::structures::{Destination, DestinationKind, Message};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use gristmill_broker::{
    Delivery, DeliveryToken, Epoch, Original, Received, Settled, Settlement, Source, SourceError,
    Unusable,
};
use tokio::time::{sleep, timeout};

use crate::connection::ActiveMq;
use crate::dead_letter::{DEAD_LETTER_QUEUE, dead_letter};
use crate::error;
use crate::original;
use crate::publisher::ActiveMqPublisher;
use crate::translate::{NoForm, Translator, message_id};

/// A broker that does not start a consumer in this time is frozen.
const CONSUME_TIMEOUT: Duration = Duration::from_secs(30);

/// From a full queue a broker hands out one page, 200 messages by default, and goes on when it hears
/// something of a consumer (ActiveMQ, "Per Destination Policies", `maxPageSize`). Who waits for more before
/// he acks has to say so: after so many deliveries, and after so long without one.
const REMIND_EVERY: u32 = 100;
const REMIND_AFTER: Duration = Duration::from_millis(10);

/// A dead-letter queue that does not take its messages in this time is full, or its broker is frozen:
/// sooner than the mapping gives up on the whole settlement.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(20);

/// What to consume.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// The queue. It is made by the broker when there is none, if the login may do so.
    pub queue: String,
    /// What the ids of the connections begin with, which an operator sees.
    pub client_id: String,
    /// The most unsettled deliveries. Exactly 1,000 is Java's default, which a broker's policy may
    /// replace by another number; 999 is asked for instead.
    pub prefetch: NonZeroU16,
    /// Whether originals are asked for. Costs some hundred bytes for each unsettled message, beside the
    /// body, which is there once.
    pub keeps_originals: bool,
}

/// One consumer on one queue.
#[derive(Debug)]
pub struct ActiveMqSource {
    broker: ActiveMq,
    settings: SourceSettings,
    translator: Translator,
    epoch: Epoch,
    state: Option<Subscription>,
}

/// The broker's answer to a verdict.
type Answer = Pin<Box<dyn Future<Output = Result<(), RequestError>> + Send>>;

/// What there is while an epoch lasts.
struct Subscription {
    consumer: Consumer,
    client: Client,
    /// Whether deliveries are given out; the others are the broker's when the epoch ends.
    is_taking: bool,
    /// Whether the epoch has ended, and only the close is left, which tells the broker how far it came.
    is_over: bool,
    prefetch: u16,
    /// Deliveries since the broker last heard of the consumer.
    unheard: u32,
    /// Unsettled messages by their tags: all, if originals are asked for; otherwise those that the broker
    /// would drop rather than make dead letters of.
    kept: HashMap<u64, Box<Message>>,
    /// The answers that have not come yet.
    answers: FuturesUnordered<Answer>,
    publisher: ActiveMqPublisher,
    /// Why the epoch has to end.
    failure: Option<SourceError>,
}

impl ActiveMqSource {
    pub(crate) fn new(broker: ActiveMq, settings: SourceSettings) -> Self {
        Self { broker, settings, translator: Translator::new(), epoch: Epoch(0), state: None }
    }

    fn received(&mut self, incoming: Incoming) -> Received {
        let token = DeliveryToken { epoch: self.epoch, tag: incoming.tag.0 };
        let Incoming { mut message, redelivery_counter, .. } = incoming;
        let received = match self.translator.message(&message, redelivery_counter) {
            Ok(shown) => Received::Delivery(Delivery {
                token,
                message: shown.into(),
                returns: u32::try_from(redelivery_counter).unwrap_or(0).into(),
                group: self.translator.group(&message),
            }),
            Err(NoForm { defect, reason }) => {
                let message_id = message_id(&message);
                Received::Unusable(Unusable { token, message_id, defect, reason })
            }
        };
        if let Some(subscription) = &mut self.state {
            subscription.count();
            if self.settings.keeps_originals || would_be_dropped(&message) {
                message.redelivery_counter = redelivery_counter;
                subscription.kept.insert(token.tag, message);
            }
        }
        received
    }

    /// Gives messages up. Those that the broker would drop are published first, and acked once they
    /// are stored.
    async fn reject(&mut self, tags: &[u64], cause: &str) -> usize {
        let Some(subscription) = &mut self.state else { return 0 };
        let is_fleeting = |tag: &&u64| {
            subscription.kept.get(tag).is_some_and(|message| would_be_dropped(message))
        };
        let (fleeting, persistent): (Vec<u64>, Vec<u64>) = tags.iter().partition(is_fleeting);
        let mut verdicts: Vec<Verdict> = persistent
            .into_iter()
            .map(|tag| Verdict::Poison { tag: Tag(tag), cause: Some(cause.to_owned()) })
            .collect();
        let queue = &self.settings.queue;
        let letters = fleeting.iter().filter_map(|tag| subscription.kept.get(tag));
        let letters: Vec<_> = letters.map(|message| dead_letter(message, queue, cause)).collect();
        let publishing = subscription.publish(letters, queue);
        let published = timeout(PUBLISH_TIMEOUT, publishing).await;
        match published.unwrap_or_else(|_elapsed| Err(late(queue))) {
            Ok(()) => {
                verdicts.extend(fleeting.into_iter().map(|tag| Verdict::Individual(Tag(tag))))
            }
            Err(error) => subscription.failure = Some(error),
        }
        // All are on their way before the first is waited for.
        let answers: Vec<_> =
            verdicts.iter().map(|verdict| subscription.consumer.settle(verdict)).collect();
        let mut taken = 0;
        for answer in answers {
            match answer.await {
                Ok(()) => taken += 1,
                // Settled before.
                Err(RequestError::NotAsked(_)) => {}
                Err(refusal) => subscription.failure = Some(error::refused(&refusal, queue)),
            }
        }
        taken
    }
}

impl Subscription {
    async fn start(broker: &ActiveMq, settings: &SourceSettings) -> Result<Self, SourceError> {
        let SourceSettings { queue, client_id, prefetch, .. } = settings;
        let client = broker.connect(client_id, None).await?;
        let options = ConsumerOptions::new(Destination::queue(queue), prefetch.get());
        let consuming = async { client.session().await?.consumer(&options).await };
        let consumer = match timeout(CONSUME_TIMEOUT, consuming).await {
            Ok(Ok(consumer)) => consumer,
            Ok(Err(refusal)) => return Err(error::consuming(&refusal, queue)),
            Err(_elapsed) => {
                let reason = "the broker did not answer in time".to_owned();
                return Err(SourceError::Lost { queue: queue.clone(), reason });
            }
        };
        Ok(Self {
            consumer,
            client,
            is_taking: true,
            is_over: false,
            prefetch: prefetch.get(),
            unheard: 0,
            kept: HashMap::new(),
            answers: FuturesUnordered::new(),
            publisher: broker.publisher(client_id),
            failure: None,
        })
    }

    /// Drops what was kept of messages that are settled.
    fn forget(&mut self, tags: &[u64]) {
        if self.kept.is_empty() {
            return;
        }
        for tag in tags {
            self.kept.remove(tag);
        }
    }

    /// Sends a verdict, whose answer is looked at later. False if it could not be sent.
    fn send(&mut self, verdict: &Verdict, queue: &str) -> bool {
        let mut answer: Answer = Box::pin(self.consumer.settle(verdict));
        match (&mut answer).now_or_never() {
            Some(Ok(())) => true,
            // Settled before.
            Some(Err(RequestError::NotAsked(_))) => false,
            Some(Err(refusal)) => {
                self.failure = Some(error::refused(&refusal, queue));
                false
            }
            None => {
                self.answers.push(answer);
                self.unheard = 0;
                true
            }
        }
    }

    fn count(&mut self) {
        self.unheard += 1;
        if self.unheard >= REMIND_EVERY {
            self.remind();
        }
    }

    /// Tells the broker the prefetch once more, so that it looks whether there is room.
    fn remind(&mut self) {
        self.unheard = 0;
        if (1..usize::from(self.prefetch)).contains(&self.consumer.unsettled()) {
            let answer: Answer = Box::pin(self.consumer.set_prefetch(self.prefetch));
            self.answers.push(answer);
        }
    }

    async fn publish(&mut self, letters: Vec<Message>, queue: &str) -> Result<(), SourceError> {
        if letters.is_empty() {
            return Ok(());
        }
        let near = Some(self.client.address());
        let sent = self.publisher.send(near, DEAD_LETTER_QUEUE, letters).await;
        sent.map_err(|error| error::not_kept(error, queue))
    }

    /// The next thing that is not a mere confirmation.
    async fn next(&mut self, queue: &str) -> Result<Option<Incoming>, SourceError> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            tokio::select! {
                biased;
                Some(answer) = self.answers.next() => {
                    answer.map_err(|refusal| error::refused(&refusal, queue))?;
                }
                received = self.consumer.receive_ahead(), if self.is_taking => return match received {
                    Ok(incoming) => Ok(Some(incoming)),
                    Err(ReceiveError::CloseAsked) => Ok(None),
                    Err(ended) => Err(error::receiving(&ended, queue)),
                },
                () = async { sleep(REMIND_AFTER).await }, if self.is_taking && self.unheard > 0 => {
                    self.remind();
                }
                // A broker that moves its clients elsewhere is left in order.
                () = self.client.leave_asked(), if self.is_taking => return Ok(None),
                reason = self.client.closed(), if !self.is_taking => {
                    return Err(error::receiving(&ReceiveError::Ended(reason), queue));
                }
            }
        }
    }
}

fn late(queue: &str) -> SourceError {
    let reason = format!("{DEAD_LETTER_QUEUE} did not take the messages given up in time");
    SourceError::Lost { queue: queue.to_owned(), reason }
}

/// Whether a broker drops a message rather than make a dead letter of it: by default it keeps the
/// persistent ones only, and one of several with the same id, as the copies of a virtual topic's message
/// have it (ActiveMQ, "Message Redelivery and DLQ Handling", `processNonPersistent`, `enableAudit`).
fn would_be_dropped(message: &Message) -> bool {
    let is_topic = |from: &Destination| from.kind == DestinationKind::Topic;
    !message.persistent || message.original_destination.as_ref().is_some_and(is_topic)
}

impl Source for ActiveMqSource {
    async fn subscribe(&mut self) -> Result<Epoch, SourceError> {
        self.close().await;
        self.state = Some(Subscription::start(&self.broker, &self.settings).await?);
        self.epoch = self.epoch.next();
        Ok(self.epoch)
    }

    async fn receive(&mut self) -> Result<Received, SourceError> {
        let Some(subscription) = self.state.as_mut().filter(|it| !it.is_over) else {
            let (queue, reason) = (self.settings.queue.clone(), "it is not subscribed".to_owned());
            return Err(SourceError::Lost { queue, reason });
        };
        match subscription.next(&self.settings.queue).await {
            Ok(Some(incoming)) => Ok(self.received(incoming)),
            Ok(None) => {
                subscription.is_taking = false;
                Ok(Received::Cancelled)
            }
            Err(error) => {
                subscription.is_over = true;
                Err(error)
            }
        }
    }

    async fn settle(&mut self, settlement: Settlement<'_>, tokens: &[DeliveryToken]) -> Settled {
        let current = tokens.iter().filter(|token| token.epoch == self.epoch);
        let mut tags: Vec<u64> = current.map(|token| token.tag).collect();
        tags.sort_unstable();
        let queue = &self.settings.queue;
        let Some(subscription) = self.state.as_mut().filter(|it| !it.is_over) else {
            return Settled { sent: 0, stale: tokens.len() };
        };
        let sent = match settlement {
            Settlement::Ack => {
                let mut sent = 0;
                for run in tags.chunk_by(|one, next| one + 1 == *next) {
                    let (Some(&first), Some(&last)) = (run.first(), run.last()) else { continue };
                    let range = Verdict::Range { first: Tag(first), last: Tag(last) };
                    sent += if subscription.send(&range, queue) { run.len() } else { 0 };
                }
                sent
            }
            Settlement::Expire => {
                let expired = |tag: &&u64| subscription.send(&Verdict::Expired(Tag(**tag)), queue);
                tags.iter().filter(expired).count()
            }
            // It comes again when the consumer has gone; there is no other way.
            Settlement::Requeue => {
                if let Some(&last) = tags.last() {
                    subscription.consumer.hand(Tag(last));
                }
                tags.len()
            }
            Settlement::Reject(cause) => self.reject(&tags, cause).await,
        };
        if settlement != Settlement::Requeue
            && let Some(subscription) = &mut self.state
        {
            subscription.forget(&tags);
        }
        Settled { sent, stale: tokens.len() - sent }
    }

    fn original(
        &self,
        token: DeliveryToken,
        _message: Option<&gristmill_event::Message>,
    ) -> Option<Original> {
        let subscription = self.state.as_ref().filter(|_| token.epoch == self.epoch)?;
        original::write(subscription.kept.get(&token.tag)?)
    }

    fn tried(&mut self, up_to: DeliveryToken) {
        if let Some(subscription) = self.state.as_ref().filter(|_| up_to.epoch == self.epoch) {
            subscription.consumer.hand(Tag(up_to.tag));
        }
    }

    async fn cancel(&mut self) {
        let Some(subscription) = &mut self.state else { return };
        subscription.is_taking = false;
        let answer: Answer = Box::pin(subscription.consumer.set_prefetch(0));
        subscription.answers.push(answer);
    }

    async fn close(&mut self) {
        let Some(subscription) = mem::take(&mut self.state) else { return };
        // Closes the consumer too, which tells the broker how far it has come.
        tokio::join!(subscription.client.close(), subscription.publisher.close());
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("client", &self.client)
            .field("is_taking", &self.is_taking)
            .finish_non_exhaustive()
    }
}
