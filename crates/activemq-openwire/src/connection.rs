//! A connection as a state machine: no socket, no clock, no task.
//!
//! ```text
//! Negotiating ── the broker's offer ──▶ LoggingIn ── accepted ──▶ Open ── close ──▶ Closing
//!      │                                    │                       │                  │
//!      └────── refused, timeout, silence, loss, violation ──────────┴── confirmed ─────┴──▶ Closed
//! ```
//!
//! Whoever drives it brings bytes in ([`receive`](Connection::receive)) and out
//! ([`take_output`](Connection::take_output)), says what time it is, calls
//! [`handle_timeout`](Connection::handle_timeout) when [`next_timeout`](Connection::next_timeout)
//! has come, and polls [events](Connection::poll_event). Commands are methods that write to the
//! output at once; the broker's answers come as events.
//!
//! What must never happen: a panic or unbounded memory over what the peer sends; an ack for what
//! this connection did not deliver; anything sent after the end.

mod commands;
mod consumer;
mod event;
mod incoming;
mod ledger;
mod outbox;
mod settings;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::codec::field::Described;
use crate::codec::{self, EncodeError, Header};
use crate::negotiation::{self, Agreement};
use crate::structures::{BrokerInfo, KeepAliveInfo, ShutdownInfo};
use crate::{Format, Limits, Text};
use consumer::Consumer;
use outbox::{Outbox, Request};
use timers::{Due, Timers};

pub use commands::{CommandError, PullTimeout, Settlement};
pub use consumer::ConsumerOptions;
pub use event::{CloseReason, Delivery, Event, Refusal, RefusalKind, Violation};
pub use ledger::Tag;
pub use settings::{Login, Settings};

/// A request that the broker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(i32);

/// A session of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(i64);

/// A consumer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerKey {
    session: i64,
    number: i64,
}

/// A producer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerKey {
    session: i64,
    number: i64,
}

/// A connection to a broker. `Debug` shows its state and nothing that was or is to be sent.
pub struct Connection {
    settings: Settings,
    /// The connection's id as the wire has it, shared by all ids that are made of it.
    id: Text,
    state: State,
    agreement: Agreement,
    timers: Timers,
    outbox: Outbox,
    events: VecDeque<Event>,
    broker: Option<Box<BrokerInfo>>,
    last_command: i32,
    /// The last number given to a session, a consumer or a producer.
    last_number: i64,
    sessions: Vec<SessionKey>,
    consumers: HashMap<ConsumerKey, Consumer>,
    /// Producers and the last number of their messages.
    producers: HashMap<ProducerKey, i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Negotiating,
    LoggingIn,
    Open,
    Closing,
    Closed,
}

/// What a request was for, where its answer changes something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Login,
    OpenConsumer(ConsumerKey),
    CloseConsumer(ConsumerKey),
    OpenProducer(ProducerKey),
    Pull(ConsumerKey),
    Close,
    /// Of a single message.
    Ack,
    Other,
}

impl Connection {
    /// Begins a connection over a transport that has just been made.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        let mut connection = Self {
            id: settings.connection_id.as_str().into(),
            state: State::Negotiating,
            agreement: Agreement {
                format: Format::default(),
                inactivity: None,
                initial_delay: Duration::ZERO,
                frame_bytes_max: settings.limits.frame_bytes_max,
            },
            timers: Timers::new(now, settings.login_timeout),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            broker: None,
            last_command: 0,
            last_number: 0,
            sessions: Vec::new(),
            consumers: HashMap::new(),
            producers: HashMap::new(),
            settings,
        };
        // Neither side waits for the other's offer.
        let offer = negotiation::offer(connection.settings.inactivity, &connection.settings.limits);
        if let Err(error) = offer.and_then(|offer| connection.write(&offer)) {
            connection.end(CloseReason::Violated(error.into()));
        }
        connection
    }

    /// Takes the complete frames off `input`; what is left there is the beginning of the next.
    ///
    /// To be called whenever bytes have been added.
    pub fn receive(&mut self, now: Instant, input: &mut BytesMut) {
        self.timers.received(now);
        while self.state != State::Closed {
            match codec::next_frame(input, &self.settings.limits) {
                Ok(Some(frame)) => {
                    if let Err(violation) = self.handle(now, frame) {
                        self.end(CloseReason::Violated(violation));
                    }
                }
                Ok(None) => return,
                Err(error) => self.end(CloseReason::Violated(error.into())),
            }
        }
        input.clear();
    }

    /// Takes what is to be written to the transport. Some of the output can stay until the broker
    /// has answered what was taken before: see [`Settings::unanswered_bytes_max`].
    pub fn take_output(&mut self, now: Instant) -> Option<Bytes> {
        let output = self.outbox.take(self.settings.unanswered_bytes_max)?;
        self.timers.sent(now);
        Some(output)
    }

    /// How many bytes wait for [`take_output`](Self::take_output). Whoever gives commands has to
    /// hold back while it is much, since nothing here does.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.outbox.len()
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); it changes with every call here.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.is_closed() { None } else { self.timers.next() }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        match self.timers.due(now) {
            Some(Due::Deadline) if self.state == State::Closing => {
                self.end(CloseReason::Unconfirmed);
            }
            Some(Due::Deadline) => self.end(CloseReason::LoginTimeout),
            Some(Due::PeerSilent) => self.end(CloseReason::Silent),
            Some(Due::KeepAlive) => {
                if let Err(error) = self.say_alive() {
                    self.end(CloseReason::Violated(error.into()));
                }
                // Until the output is taken there is nothing more to say.
                self.timers.sent(now);
            }
            None => {}
        }
    }

    /// Ends the connection because the transport has ended.
    pub fn transport_lost(&mut self) {
        if !self.is_closed() {
            self.end(CloseReason::Lost);
        }
    }

    /// Whether the connection has ended. What is left to write then is a farewell.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// What the broker has said about itself, if it has.
    #[must_use]
    pub fn broker(&self) -> Option<&BrokerInfo> {
        self.broker.as_deref()
    }

    /// What both sides have agreed on, as far as they have.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// How many deliveries of a consumer are unsettled.
    #[must_use]
    pub fn unsettled(&self, consumer: ConsumerKey) -> usize {
        self.consumers.get(&consumer).map_or(0, |consumer| consumer.ledger.unsettled())
    }

    fn end(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.outbox.clear();
        self.consumers.clear();
        self.producers.clear();
        self.sessions.clear();
        self.events.push_back(Event::Closed(reason));
    }

    /// Says that this side is there, before everything that waits.
    fn say_alive(&mut self) -> Result<(), EncodeError> {
        let (format, limits) = (self.agreement.format, self.settings.limits);
        let info = KeepAliveInfo { header: Header::default() };
        self.outbox.put_urgent(|out| codec::encode_one(&info, format, &limits, out))
    }

    /// Says that nothing more comes, as the last thing.
    fn say_farewell(&mut self) {
        let header = self.next_header(false);
        // A farewell that does not fit is none.
        drop(self.write(&ShutdownInfo { header }));
    }

    fn next_header(&mut self, response_required: bool) -> Header {
        // A broker numbers its own commands 0.
        self.last_command = self.last_command.checked_add(1).unwrap_or(1);
        Header { command_id: self.last_command, response_required }
    }

    fn write(&mut self, structure: &impl Described) -> Result<(), EncodeError> {
        self.write_as(None, structure)
    }

    fn write_as(
        &mut self,
        request: Option<Request>,
        structure: &impl Described,
    ) -> Result<(), EncodeError> {
        let frame_bytes_max = self.agreement.frame_bytes_max;
        let limits = Limits { frame_bytes_max, ..self.settings.limits };
        let format = self.agreement.format;
        self.outbox.put(request, |out| codec::encode_one(structure, format, &limits, out))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("agreement", &self.agreement)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
