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
//! delivery that was not to be acked, a poison ack for a message that the broker would then drop, or one
//! that calls a message expired which lives.

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
use activemq_openwire::structures::{Destination, Message};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use gristmill_broker::{
    Delivery, DeliveryToken, Epoch, Received, Settled, Settlement, Source, SourceError, Unusable,
};
use tokio::time::{Instant, timeout};

use crate::connection::ActiveMq;
use crate::dead_letter::dead_letter;
use crate::error;
use crate::publisher::Publisher;
use crate::translate::{NoForm, Translator, message_id};

/// A broker that does not start a consumer in this time is frozen.
const CONSUME_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// Unsettled messages that are not persistent, by their tags: the broker would drop them.
    fleeting: HashMap<u64, Box<Message>>,
    /// From when on an unsettled message has expired, by its tag, where it ever does.
    expiries: HashMap<u64, Instant>,
    /// The answers that have not come yet.
    answers: FuturesUnordered<Answer>,
    publisher: Option<Publisher>,
    /// Why the epoch has to end.
    failure: Option<SourceError>,
}

impl ActiveMqSource {
    pub(crate) fn new(broker: ActiveMq, settings: SourceSettings) -> Self {
        Self { broker, settings, translator: Translator::new(), epoch: Epoch(0), state: None }
    }

    fn received(&mut self, incoming: Incoming) -> Received {
        let token = DeliveryToken { epoch: self.epoch, tag: incoming.tag.0 };
        let Incoming { message, redelivery_counter, .. } = incoming;
        let received = match self.translator.message(&message, redelivery_counter) {
            Ok(shown) => Received::Delivery(Delivery {
                token,
                message: shown.into(),
                returns: u32::try_from(redelivery_counter).unwrap_or(0),
                group: self.translator.group(&message),
            }),
            Err(NoForm { defect, reason }) => {
                let message_id = message_id(&message);
                Received::Unusable(Unusable { token, message_id, defect, reason })
            }
        };
        if let Some(subscription) = &mut self.state {
            if message.expiration > 0 {
                let expiry = Instant::now() + time_to_live(&message);
                subscription.expiries.insert(token.tag, expiry);
            }
            if !message.persistent {
                subscription.fleeting.insert(token.tag, message);
            }
        }
        received
    }

    /// Gives messages up. Those that the broker would drop are published first, and acked once they
    /// are stored.
    async fn reject(&mut self, tags: &[u64], cause: &str) -> usize {
        let Some(subscription) = &mut self.state else { return 0 };
        let is_fleeting = |tag: &&u64| subscription.fleeting.contains_key(tag);
        let (fleeting, persistent): (Vec<u64>, Vec<u64>) = tags.iter().partition(is_fleeting);
        let mut verdicts: Vec<Verdict> = persistent
            .into_iter()
            .map(|tag| Verdict::Poison { tag: Tag(tag), cause: Some(cause.to_owned()) })
            .collect();
        let queue = &self.settings.queue;
        let letters = fleeting.iter().filter_map(|tag| subscription.fleeting.get(tag));
        let letters: Vec<_> = letters.map(|message| dead_letter(message, queue, cause)).collect();
        match subscription.publish(letters, &self.broker, &self.settings).await {
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
        let SourceSettings { queue, client_id, prefetch } = settings;
        let client = broker.connect(client_id).await?;
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
            fleeting: HashMap::new(),
            expiries: HashMap::new(),
            answers: FuturesUnordered::new(),
            publisher: None,
            failure: None,
        })
    }

    /// Drops what was kept of messages that are settled.
    fn forget(&mut self, tags: &[u64]) {
        if self.fleeting.is_empty() && self.expiries.is_empty() {
            return;
        }
        for tag in tags {
            self.fleeting.remove(tag);
            self.expiries.remove(tag);
        }
    }

    /// Sends a verdict, whose answer is looked at later. False if it could not be sent.
    fn send(&mut self, verdict: &Verdict) -> bool {
        let mut answer: Answer = Box::pin(self.consumer.settle(verdict));
        match (&mut answer).now_or_never() {
            Some(answered) => answered.is_ok(),
            None => {
                self.answers.push(answer);
                true
            }
        }
    }

    async fn publish(
        &mut self,
        letters: Vec<Message>,
        broker: &ActiveMq,
        settings: &SourceSettings,
    ) -> Result<(), SourceError> {
        if letters.is_empty() {
            return Ok(());
        }
        let SourceSettings { queue, client_id, .. } = settings;
        // Put back only when all went well.
        let publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => Publisher::connect(broker, client_id, queue).await?,
        };
        publisher.publish(letters, queue).await?;
        self.publisher = Some(publisher);
        Ok(())
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
                reason = self.client.closed(), if !self.is_taking => {
                    return Err(error::receiving(&ReceiveError::Ended(reason), queue));
                }
            }
        }
    }
}

/// How long a message that has just come lives at the most. A broker takes this side's word for it that
/// one has expired, so what counts is the broker's own clock; one that does not tell its time has to
/// leave it to us.
fn time_to_live(message: &Message) -> Duration {
    if message.broker_out_time <= 0 {
        return Duration::ZERO;
    }
    let left_ms = message.expiration.saturating_sub(message.broker_out_time);
    u64::try_from(left_ms).map_or(Duration::ZERO, Duration::from_millis)
}

impl Source for ActiveMqSource {
    async fn subscribe(&mut self) -> Result<Epoch, SourceError> {
        self.close().await;
        self.state = Some(Subscription::start(&self.broker, &self.settings).await?);
        self.epoch = self.epoch.next();
        Ok(self.epoch)
    }

    async fn receive(&mut self) -> Result<Received, SourceError> {
        let Some(subscription) = &mut self.state else {
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
                self.state = None;
                Err(error)
            }
        }
    }

    async fn settle(&mut self, settlement: Settlement<'_>, tokens: &[DeliveryToken]) -> Settled {
        let current = tokens.iter().filter(|token| token.epoch == self.epoch);
        let mut tags: Vec<u64> = current.map(|token| token.tag).collect();
        tags.sort_unstable();
        let Some(subscription) = &mut self.state else {
            return Settled { sent: 0, stale: tokens.len() };
        };
        let sent = match settlement {
            Settlement::Ack => {
                let mut sent = 0;
                for run in tags.chunk_by(|one, next| one + 1 == *next) {
                    let (Some(&first), Some(&last)) = (run.first(), run.last()) else { continue };
                    let range = Verdict::Range { first: Tag(first), last: Tag(last) };
                    sent += if subscription.send(&range) { run.len() } else { 0 };
                }
                sent
            }
            Settlement::Expire => {
                let now = Instant::now();
                tags.retain(|tag| {
                    subscription.expiries.get(tag).is_some_and(|expiry| *expiry <= now)
                });
                let expired = |tag: &&u64| subscription.send(&Verdict::Expired(Tag(**tag)));
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
        subscription.client.close().await;
        if let Some(publisher) = subscription.publisher {
            publisher.close().await;
        }
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
