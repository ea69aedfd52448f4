//! An in-memory broker for tests, which keeps the same contract as the real ones.
//!
//! It redelivers what an ended epoch left unsettled, dead-letters what is rejected, counts what was
//! acked, and drops connections or cancels consumers when a test says so.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gristmill_event::{BasicProperties, Message, RabbitMqMessage};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{
    Delivery, DeliveryToken, Epoch, Original, Received, Settled, Settlement, Source, SourceError,
};

/// An in-memory broker. Clones are handles to the same broker.
#[derive(Debug, Clone, Default)]
pub struct FakeBroker {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<String, Queue>,
    consumers: HashMap<u64, Consumer>,
    consumers_ever: u64,
    published: u64,
    away: bool,
    login_refused: bool,
}

#[derive(Debug, Default)]
struct Queue {
    /// By position, which a message keeps when it comes back.
    ready: BTreeMap<u64, Stored>,
    acked: Vec<Vec<u8>>,
    dead_letters: Vec<Vec<u8>>,
    /// A message that comes back more often is deleted, as a quorum queue without a dead-letter
    /// exchange does.
    delivery_limit: Option<u32>,
    deleted: Vec<Vec<u8>>,
}

impl Queue {
    fn take_back(&mut self, position: u64, stored: Stored) {
        let stored = Stored { redelivered: true, returns: stored.returns + 1, ..stored };
        if self.delivery_limit.is_some_and(|limit| stored.returns > limit) {
            self.deleted.push(stored.body);
        } else {
            self.ready.insert(position, stored);
        }
    }
}

#[derive(Debug)]
struct Stored {
    properties: BasicProperties,
    body: Vec<u8>,
    group: Option<Arc<str>>,
    redelivered: bool,
    returns: u32,
}

#[derive(Debug)]
struct Consumer {
    queue: String,
    prefetch: usize,
    deliveries: u64,
    /// By delivery tag: the position in the queue, and the message.
    unsettled: BTreeMap<u64, (u64, Stored)>,
    /// When each of them was handed over.
    since: BTreeMap<u64, Instant>,
    cancelled: bool,
}

impl FakeBroker {
    /// A source on a queue, which is made when it does not exist.
    #[must_use]
    pub fn source(&self, queue: &str, prefetch: u16) -> FakeSource {
        FakeSource {
            shared: Arc::clone(&self.shared),
            queue: queue.to_owned(),
            prefetch: usize::from(prefetch),
            epoch: Epoch(0),
            consumer: None,
            cancellation_told: false,
        }
    }

    /// Puts a message on a queue.
    pub fn publish(&self, queue: &str, properties: BasicProperties, body: Vec<u8>) {
        self.put(queue, Stored { properties, body, group: None, redelivered: false, returns: 0 });
    }

    /// Puts a message of a group on a queue.
    pub fn publish_in_group(&self, queue: &str, group: &str, body: Vec<u8>) {
        let (properties, group) = (BasicProperties::default(), Some(group.into()));
        self.put(queue, Stored { properties, body, group, redelivered: false, returns: 0 });
    }

    fn put(&self, queue: &str, stored: Stored) {
        let mut state = self.shared.lock();
        state.published += 1;
        let position = state.published;
        state.queue(queue).ready.insert(position, stored);
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Drops every connection: their consumers' epochs end, and what was unsettled is ready again.
    pub fn cut_connections(&self) {
        let mut state = self.shared.lock();
        let consumers: Vec<u64> = state.consumers.keys().copied().collect();
        for consumer in consumers {
            state.remove_consumer(consumer);
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Refuses every new subscription until told otherwise.
    pub fn set_away(&self, away: bool) {
        self.shared.lock().away = away;
    }

    /// Refuses the login of every new subscription until told otherwise.
    pub fn set_login_refused(&self, refused: bool) {
        self.shared.lock().login_refused = refused;
    }

    /// Makes a queue delete what comes back more often than this, as a quorum queue does.
    pub fn set_delivery_limit(&self, queue: &str, limit: u32) {
        self.shared.lock().queue(queue).delivery_limit = Some(limit);
    }

    /// Cancels the consumers of a queue, as a broker does when the queue moves.
    pub fn cancel_consumers(&self, queue: &str) {
        let mut state = self.shared.lock();
        for consumer in state.consumers.values_mut().filter(|consumer| consumer.queue == queue) {
            consumer.cancelled = true;
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// The bodies that are ready for a consumer, in order.
    #[must_use]
    pub fn ready(&self, queue: &str) -> Vec<Vec<u8>> {
        self.shared.lock().queue(queue).ready.values().map(|stored| stored.body.clone()).collect()
    }

    /// How many deliveries of a queue are unsettled.
    #[must_use]
    pub fn unsettled(&self, queue: &str) -> usize {
        let state = self.shared.lock();
        let on_queue = state.consumers.values().filter(|consumer| consumer.queue == queue);
        on_queue.map(|consumer| consumer.unsettled.len()).sum()
    }

    /// How long the oldest unsettled delivery of a queue has been so; zero without one.
    #[must_use]
    pub fn oldest_unsettled(&self, queue: &str) -> Duration {
        let state = self.shared.lock();
        let on_queue = state.consumers.values().filter(|consumer| consumer.queue == queue);
        let oldest = on_queue.flat_map(|consumer| consumer.since.values()).min();
        oldest.map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Whether every consumer of a queue is cancelled, or there is none.
    #[must_use]
    pub fn takes_nothing(&self, queue: &str) -> bool {
        let state = self.shared.lock();
        let mut on_queue = state.consumers.values().filter(|consumer| consumer.queue == queue);
        on_queue.all(|consumer| consumer.cancelled)
    }

    /// The bodies that were acked, in the order of their acks.
    #[must_use]
    pub fn acked(&self, queue: &str) -> Vec<Vec<u8>> {
        self.shared.lock().queue(queue).acked.clone()
    }

    /// The bodies that were rejected, in the order of their rejects.
    #[must_use]
    pub fn dead_letters(&self, queue: &str) -> Vec<Vec<u8>> {
        self.shared.lock().queue(queue).dead_letters.clone()
    }

    /// The bodies that came back too often and were deleted.
    #[must_use]
    pub fn deleted(&self, queue: &str) -> Vec<Vec<u8>> {
        self.shared.lock().queue(queue).deleted.clone()
    }

    /// Waits until something holds of this broker; tests put a timeout around it.
    pub async fn wait_until(&self, holds: impl Fn(&FakeBroker) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, name: &str) -> &mut Queue {
        self.queues.entry(name.to_owned()).or_default()
    }

    fn remove_consumer(&mut self, id: u64) {
        let Some(consumer) = self.consumers.remove(&id) else { return };
        let queue = self.queue(&consumer.queue);
        for (position, stored) in consumer.unsettled.into_values() {
            queue.take_back(position, stored);
        }
    }

    /// Takes the next message for a consumer, if it may have one.
    fn deliver(&mut self, id: u64, epoch: Epoch) -> Option<Delivery> {
        let consumer = self.consumers.get_mut(&id)?;
        if consumer.cancelled || consumer.unsettled.len() >= consumer.prefetch {
            return None;
        }
        let (position, stored) = self.queues.get_mut(&consumer.queue)?.ready.pop_first()?;
        consumer.deliveries += 1;
        let tag = consumer.deliveries;
        let message = RabbitMqMessage {
            properties: stored.properties.clone(),
            redelivered: stored.redelivered,
            body: stored.body.clone(),
        }
        .into();
        let (returns, group) = (stored.returns.into(), stored.group.clone());
        consumer.unsettled.insert(tag, (position, stored));
        consumer.since.insert(tag, Instant::now());
        Some(Delivery { token: DeliveryToken { epoch, tag }, message, returns, group })
    }

    fn settle(&mut self, id: u64, settlement: Settlement<'_>, tag: u64) -> bool {
        let Some(consumer) = self.consumers.get_mut(&id) else { return false };
        let Some((position, stored)) = consumer.unsettled.remove(&tag) else { return false };
        consumer.since.remove(&tag);
        let name = consumer.queue.clone();
        let queue = self.queue(&name);
        match settlement {
            Settlement::Ack => queue.acked.push(stored.body),
            Settlement::Reject(_) | Settlement::Expire => queue.dead_letters.push(stored.body),
            Settlement::Requeue => queue.take_back(position, stored),
        }
        true
    }
}

/// A source on one queue of a [`FakeBroker`].
#[derive(Debug)]
pub struct FakeSource {
    shared: Arc<Shared>,
    queue: String,
    prefetch: usize,
    epoch: Epoch,
    consumer: Option<u64>,
    cancellation_told: bool,
}

impl FakeSource {
    fn lost(&self) -> SourceError {
        SourceError::Lost { queue: self.queue.clone(), reason: "the connection was cut".to_owned() }
    }

    fn try_receive(&mut self) -> Option<Result<Received, SourceError>> {
        let mut state = self.shared.lock();
        let Some(id) = self.consumer.filter(|id| state.consumers.contains_key(id)) else {
            return Some(Err(self.lost()));
        };
        if let Some(delivery) = state.deliver(id, self.epoch) {
            return Some(Ok(Received::Delivery(delivery)));
        }
        let cancelled = state.consumers.get(&id).is_some_and(|consumer| consumer.cancelled);
        if cancelled && !self.cancellation_told {
            self.cancellation_told = true;
            return Some(Ok(Received::Cancelled));
        }
        None
    }
}

impl Source for FakeSource {
    async fn subscribe(&mut self) -> Result<Epoch, SourceError> {
        self.close().await;
        let mut state = self.shared.lock();
        if state.away {
            let reason = "the fake broker is away".into();
            return Err(SourceError::Unreachable { broker: "fake".to_owned(), source: reason });
        }
        if state.login_refused {
            return Err(SourceError::LoginRefused { broker: "fake".to_owned() });
        }
        state.consumers_ever += 1;
        let id = state.consumers_ever;
        let consumer = Consumer {
            queue: self.queue.clone(),
            prefetch: self.prefetch,
            deliveries: 0,
            unsettled: BTreeMap::new(),
            since: BTreeMap::new(),
            cancelled: false,
        };
        state.consumers.insert(id, consumer);
        self.consumer = Some(id);
        self.cancellation_told = false;
        self.epoch = self.epoch.next();
        Ok(self.epoch)
    }

    async fn receive(&mut self) -> Result<Received, SourceError> {
        let shared = Arc::clone(&self.shared);
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(received) = self.try_receive() {
                shared.changed.notify_waiters();
                return received;
            }
            changed.await;
        }
    }

    async fn settle(&mut self, settlement: Settlement<'_>, tokens: &[DeliveryToken]) -> Settled {
        let mut settled = Settled::default();
        for token in tokens {
            let current = self.consumer.filter(|_| token.epoch == self.epoch);
            let sent = current.is_some_and(|id| {
                let mut state = self.shared.lock();
                state.settle(id, settlement, token.tag)
            });
            if sent {
                settled.sent += 1;
            } else {
                settled.stale += 1;
            }
        }
        self.shared.changed.notify_waiters();
        settled
    }

    fn original(&self, token: DeliveryToken, message: Option<&Message>) -> Option<Original> {
        let body = message?.body().to_vec();
        (token.epoch == self.epoch).then_some(Original(body))
    }

    async fn cancel(&mut self) {
        self.cancellation_told = true;
        let mut state = self.shared.lock();
        if let Some(consumer) = self.consumer.and_then(|id| state.consumers.get_mut(&id)) {
            consumer.cancelled = true;
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    async fn close(&mut self) {
        if let Some(id) = self.consumer.take() {
            self.shared.lock().remove_consumer(id);
            self.shared.changed.notify_waiters();
        }
    }
}

impl Drop for FakeSource {
    /// A dropped source is a connection that ended.
    fn drop(&mut self) {
        if let Some(id) = self.consumer.take() {
            self.shared.lock().remove_consumer(id);
            self.shared.changed.notify_waiters();
        }
    }
}
