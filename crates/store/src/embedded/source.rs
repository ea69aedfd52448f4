//! One consumer on one queue. Its epoch is its subscription with the worker.
//!
//! What must never happen: see the port.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use gristmill_broker::{
    Defect, Delivery, DeliveryToken, Epoch, Original, Received, Settled, Settlement, Source,
    SourceError, Unusable,
};
use gristmill_event::Message;
use tokio::sync::mpsc;

use super::EmbeddedBroker;
use super::content;
use super::memory::HandedOut;
use super::worker::{Push, Request, Verdict};

/// A source on a queue of an embedded broker.
#[derive(Debug)]
pub struct EmbeddedSource {
    broker: EmbeddedBroker,
    queue: String,
    prefetch: usize,
    epoch: Epoch,
    state: State,
    /// The unsettled ones that no event can show.
    unreadable: BTreeMap<u64, Original>,
}

#[derive(Debug)]
enum State {
    Closed,
    Consuming { consumer: u64, inbox: Inbox, tried: u64 },
    Cancelled { consumer: u64, inbox: Inbox, tried: u64 },
}

#[derive(Debug)]
struct Inbox {
    pushes: mpsc::UnboundedReceiver<Push>,
    messages: VecDeque<HandedOut>,
}

impl Inbox {
    async fn next(&mut self) -> Next {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Next::Message(message);
            }
            match self.pushes.recv().await {
                Some(Push::Messages(messages)) => self.messages = messages.into(),
                Some(Push::Cancelled) => return Next::Cancelled,
                Some(Push::Lost(reason)) => return Next::Lost(reason),
                None => return Next::Lost("the embedded broker has ended".to_owned()),
            }
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for every message")]
enum Next {
    Message(HandedOut),
    Cancelled,
    Lost(String),
}

impl EmbeddedSource {
    pub(super) fn new(broker: EmbeddedBroker, queue: String, prefetch: u16) -> Self {
        let prefetch = usize::from(prefetch);
        let (state, unreadable) = (State::Closed, BTreeMap::new());
        Self { broker, queue, prefetch, epoch: Epoch(0), state, unreadable }
    }

    fn lost(&mut self, reason: impl Into<String>) -> SourceError {
        self.state = State::Closed;
        SourceError::Lost { queue: self.queue.clone(), reason: reason.into() }
    }

    fn stop_consuming(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Closed) {
            State::Consuming { consumer, inbox, tried } => {
                State::Cancelled { consumer, inbox, tried }
            }
            other @ (State::Closed | State::Cancelled { .. }) => other,
        };
    }

    fn take_subscription(&mut self) -> Option<Request> {
        self.unreadable.clear();
        match mem::replace(&mut self.state, State::Closed) {
            State::Closed => None,
            State::Consuming { consumer, tried, .. } | State::Cancelled { consumer, tried, .. } => {
                Some(Request::Unsubscribe { consumer, tried })
            }
        }
    }
}

impl Source for EmbeddedSource {
    async fn subscribe(&mut self) -> Result<Epoch, SourceError> {
        self.close().await;
        let consumer = self.broker.next_consumer();
        #[expect(clippy::disallowed_methods, reason = "the prefetch bounds it")]
        let (inbox, pushes) = mpsc::unbounded_channel();
        let (queue, prefetch) = (self.queue.clone(), self.prefetch);
        // Before it is waited for, so that a dropped future leaves nobody subscribed.
        self.state = State::Consuming {
            consumer,
            inbox: Inbox { pushes, messages: VecDeque::new() },
            tried: 0,
        };
        self.epoch = Epoch(consumer);
        let subscribe = Request::Subscribe { queue, consumer, prefetch, inbox };
        if let Err(error) = self.broker.ask(subscribe).await {
            self.state = State::Closed;
            return Err(error.of_source(&self.queue));
        }
        Ok(self.epoch)
    }

    async fn receive(&mut self) -> Result<Received, SourceError> {
        match &mut self.state {
            State::Closed => Err(self.lost("it is not subscribed")),
            State::Consuming { inbox, .. } => match inbox.next().await {
                Next::Message(HandedOut { tag, returns, message }) => {
                    let returns = returns.into();
                    let token = DeliveryToken { epoch: self.epoch, tag };
                    Ok(match message {
                        Ok(message) => {
                            let message = Message::from(message);
                            Received::Delivery(Delivery { token, message, returns, group: None })
                        }
                        Err((unreadable, original)) => {
                            self.unreadable.insert(tag, original);
                            Received::Unusable(Unusable {
                                token,
                                message_id: None,
                                defect: Defect::Unsupported,
                                reason: unreadable.to_string(),
                            })
                        }
                    })
                }
                Next::Cancelled => {
                    self.stop_consuming();
                    Ok(Received::Cancelled)
                }
                Next::Lost(reason) => Err(self.lost(reason)),
            },
            // What was on its way stays unsettled, and goes back at the end.
            State::Cancelled { inbox, .. } => loop {
                if let Next::Lost(reason) = inbox.next().await {
                    return Err(self.lost(reason));
                }
            },
        }
    }

    /// Does not wait for the disk: what was settled is done with in the order of the settlements, and comes
    /// again if the machine or the process ends before.
    async fn settle(&mut self, settlement: Settlement<'_>, tokens: &[DeliveryToken]) -> Settled {
        let consumer = match self.state {
            State::Closed => return Settled { sent: 0, stale: tokens.len() },
            State::Consuming { consumer, .. } | State::Cancelled { consumer, .. } => consumer,
        };
        let current = tokens.iter().filter(|token| token.epoch == self.epoch);
        let tags: Vec<u64> = current.map(|token| token.tag).collect();
        if !self.unreadable.is_empty() {
            self.unreadable.retain(|tag, _| !tags.contains(tag));
        }
        let settled = Settled { sent: tags.len(), stale: tokens.len() - tags.len() };
        let verdict = match settlement {
            Settlement::Ack => Verdict::Ack,
            Settlement::Requeue => Verdict::Requeue,
            Settlement::Expire => Verdict::Expire,
            Settlement::Reject(_) => Verdict::Reject,
        };
        self.broker.tell(Request::Settle { consumer, verdict, tags });
        settled
    }

    fn tried(&mut self, up_to: DeliveryToken) {
        if let State::Consuming { tried, .. } | State::Cancelled { tried, .. } = &mut self.state
            && up_to.epoch == self.epoch
        {
            *tried = up_to.tag.max(*tried);
        }
    }

    fn original(&self, token: DeliveryToken, message: Option<&Message>) -> Option<Original> {
        if matches!(self.state, State::Closed) || token.epoch != self.epoch {
            return None;
        }
        match message {
            Some(Message::RabbitMq(message)) => content::write(message).ok(),
            Some(Message::ActiveMq(_)) => None,
            None => self.unreadable.get(&token.tag).cloned(),
        }
    }

    async fn cancel(&mut self) {
        if let State::Consuming { consumer, .. } = self.state {
            // It has ended if this fails, and then nothing comes either.
            drop(self.broker.ask(Request::Cancel { consumer }).await);
        }
        self.stop_consuming();
    }

    async fn close(&mut self) {
        if let Some(unsubscribe) = self.take_subscription() {
            drop(self.broker.ask(unsubscribe).await);
        }
    }
}

impl Drop for EmbeddedSource {
    fn drop(&mut self) {
        if let Some(unsubscribe) = self.take_subscription() {
            self.broker.tell(unsubscribe);
        }
    }
}
