//! What the handles of a client and the task that drives its socket share.
//!
//! The connection stands behind a lock that nobody holds over an await. Handles call its methods,
//! which write to its output, and wake the driver, which alone touches the socket.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use super::error::RequestError;
use crate::connection::{
    CloseReason, CommandError, Connection, ConsumerKey, Delivery, Event, Refusal, RequestId,
};

/// Producers wait while more bytes than this wait for the socket.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// How far a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Open,
    /// The broker wants this side to leave.
    LeaveAsked,
    Closed(CloseReason),
}

pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// The connection has something to write, or its timeout has changed.
    pub(super) wake: Notify,
    /// Output has been taken.
    room: Notify,
    pub(super) phase: watch::Sender<Phase>,
}

pub(super) struct Inner {
    pub(super) connection: Connection,
    waiting: HashMap<RequestId, oneshot::Sender<Result<(), Refusal>>>,
    pub(super) consumers: HashMap<ConsumerKey, Inbox>,
    is_logged_in: bool,
    is_asked_to_leave: bool,
    /// What ended the socket, if that is what has ended the connection.
    pub(super) transport_error: Option<io::Error>,
}

impl Inner {
    /// Ends the connection over an error of the socket.
    pub(super) fn lose(&mut self, error: io::Error) {
        self.connection.transport_lost();
        self.transport_error = Some(error);
    }
}

/// What has come for a consumer and has not been received. The connection bounds it: it ends itself
/// when a broker delivers more than twice the prefetch.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) deliveries: VecDeque<Delivery>,
    /// Whether the last pull is under way.
    pub(super) is_pulling: bool,
    pub(super) arrived: Arc<Notify>,
}

impl Shared {
    pub(super) fn new(connection: Connection) -> Self {
        let inner = Inner {
            connection,
            waiting: HashMap::new(),
            consumers: HashMap::new(),
            is_logged_in: false,
            is_asked_to_leave: false,
            transport_error: None,
        };
        Self {
            inner: Mutex::new(inner),
            wake: Notify::new(),
            room: Notify::new(),
            phase: watch::Sender::new(Phase::Connecting),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the connection whole: its methods do not panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a command to the connection and returns what to wait for its answer with.
    pub(super) fn ask<T>(
        self: &Arc<Self>,
        command: impl FnOnce(&mut Inner) -> Result<(T, RequestId), CommandError>,
    ) -> Result<(T, Answer), RequestError> {
        let mut inner = self.lock();
        let (value, request) = command(&mut inner).map_err(|error| self.refused(error))?;
        let (sender, receiver) = oneshot::channel();
        inner.waiting.insert(request, sender);
        drop(inner);
        self.wake.notify_one();
        Ok((value, Answer { shared: Arc::clone(self), receiver }))
    }

    /// What a command that was not taken means: that the connection has ended, says how.
    fn refused(&self, error: CommandError) -> RequestError {
        match (&error, self.close_reason()) {
            (CommandError::NotOpen | CommandError::Unknown, Some(reason)) => reason.into(),
            _ => RequestError::NotAsked(error),
        }
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        match &*self.phase.borrow() {
            Phase::Closed(reason) => Some(reason.clone()),
            Phase::Connecting | Phase::Open | Phase::LeaveAsked => None,
        }
    }

    /// Waits until the socket keeps up.
    pub(super) async fn room(&self) {
        loop {
            let taken = self.room.notified();
            if self.lock().connection.output_len() <= OUTPUT_BYTES_MAX {
                return;
            }
            taken.await;
        }
    }

    pub(super) fn output_taken(&self) {
        self.room.notify_waiters();
    }

    /// Hands on what has happened.
    pub(super) fn pass_on_events(&self, inner: &mut Inner) {
        while let Some(event) = inner.connection.poll_event() {
            match event {
                Event::LoggedIn => {
                    inner.is_logged_in = true;
                    self.open(inner);
                }
                Event::LeaveAsked { .. } => {
                    inner.is_asked_to_leave = true;
                    self.open(inner);
                }
                Event::Answered(request, answer) => {
                    if let Some(waiting) = inner.waiting.remove(&request) {
                        // Whoever has stopped waiting does not want to know.
                        drop(waiting.send(answer));
                    }
                }
                Event::Delivered(delivery) => {
                    if let Some(inbox) = inner.consumers.get_mut(&delivery.consumer) {
                        inbox.is_pulling = false;
                        // Whoever receives goes on until nothing is left.
                        if inbox.deliveries.is_empty() {
                            inbox.arrived.notify_one();
                        }
                        inbox.deliveries.push_back(delivery);
                    }
                }
                Event::NothingThere(consumer) => {
                    if let Some(inbox) = inner.consumers.get_mut(&consumer) {
                        inbox.is_pulling = false;
                        inbox.arrived.notify_one();
                    }
                }
                Event::CloseAsked(consumer) => {
                    if let Some(inbox) = inner.consumers.remove(&consumer) {
                        inbox.arrived.notify_one();
                    }
                }
                // Only acks that others are answered for ask for no answer of their own. Which of
                // them failed nobody knows, so that the connection is not to be relied on any more.
                Event::Failed(refusal) => inner.lose(io::Error::other(refusal)),
                Event::PrefetchChanged(..) => {}
                Event::Closed(reason) => self.end(inner, reason),
            }
        }
    }

    /// A broker can ask to leave before it has answered the login.
    fn open(&self, inner: &Inner) {
        if inner.is_logged_in {
            let phase = if inner.is_asked_to_leave { Phase::LeaveAsked } else { Phase::Open };
            self.phase.send_replace(phase);
        }
    }

    fn end(&self, inner: &mut Inner, reason: CloseReason) {
        self.phase.send_replace(Phase::Closed(reason));
        inner.waiting.clear();
        for (_, inbox) in inner.consumers.drain() {
            inbox.arrived.notify_one();
        }
        self.room.notify_waiters();
    }
}

/// The answer to a request, to be waited for or not.
pub(super) struct Answer {
    shared: Arc<Shared>,
    receiver: oneshot::Receiver<Result<(), Refusal>>,
}

impl Answer {
    pub(super) async fn wait(self) -> Result<(), RequestError> {
        match self.receiver.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.shared.close_reason().unwrap_or(CloseReason::Lost).into()),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("phase", &*self.phase.borrow()).finish_non_exhaustive()
    }
}
