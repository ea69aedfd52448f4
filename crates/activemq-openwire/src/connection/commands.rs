//! What this side can ask of the broker once it is logged in.
//!
//! Every command is written to the output at once. Those that return a [`RequestId`] are answered
//! by an [`Event::Answered`](super::Event::Answered) with it. What must never happen: a command that
//! failed and has changed something.

use std::time::{Duration, Instant};

use crate::codec::field::Described;
use crate::codec::{EncodeError, Header};
use crate::structures::{
    AckType, ConnectionId, ConsumerControl, ConsumerId, ConsumerInfo, Destination, Message,
    MessageAck, MessageId, MessagePull, ProducerId, ProducerInfo, RemoveInfo, RemovedObject,
    SessionId, SessionInfo, Throwable,
};

use super::consumer::{Consumer, avoid_default};
use super::ledger::{NOTHING_DELIVERED, Tag, Unsettled};
use super::{
    CloseReason, Connection, ConsumerKey, ConsumerOptions, ProducerKey, Purpose, RequestId,
    SessionKey, State,
};

/// Why a command was not given to the broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The connection is not logged in, or not any more.
    #[error("the connection is not open")]
    NotOpen,
    /// There is no such session, consumer or producer, or not any more.
    #[error("there is no such session, consumer or producer any more")]
    Unknown,
    /// The delivery is settled already, or never came.
    #[error("the delivery is settled already")]
    NotUnsettled,
    /// A pull is unanswered, and a broker heeds one at a time.
    #[error("an earlier pull has not been answered")]
    PullPending,
    /// The command does not fit the wire.
    #[error("the command does not fit the wire")]
    Unencodable(#[from] EncodeError),
}

/// A verdict over deliveries.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// This one is done.
    Individual(Tag),
    /// This one and all unsettled ones before it are done.
    UpTo(Tag),
    /// All unsettled ones from one to another are done. It costs no more than one of them.
    Range {
        /// The earliest.
        first: Tag,
        /// The latest.
        last: Tag,
    },
    /// This one is given up: a broker puts it on its dead-letter queue, or drops it if it is not
    /// persistent.
    Poison {
        /// Which.
        tag: Tag,
        /// Why, for whoever finds it there.
        cause: Option<String>,
    },
    /// This one has expired.
    Expired(Tag),
}

/// How long a pull waits for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullTimeout {
    /// Not at all.
    None,
    /// This long, at least a millisecond.
    After(Duration),
    /// For ever.
    Never,
}

impl Connection {
    /// Opens a session.
    ///
    /// # Errors
    ///
    /// When the connection is not open.
    pub fn open_session(&mut self) -> Result<(SessionKey, RequestId), CommandError> {
        let key = SessionKey(self.next_number());
        let session_id = Some(SessionId { connection_id: Some(self.id.clone()), value: key.0 });
        let request = self.request(Purpose::Other, |header| SessionInfo { header, session_id })?;
        self.sessions.push(key);
        Ok((key, request))
    }

    /// Opens a consumer. Deliveries can come before the answer.
    ///
    /// # Errors
    ///
    /// When the connection is not open, there is no such session, or a name is too long.
    pub fn open_consumer(
        &mut self,
        session: SessionKey,
        options: &ConsumerOptions,
    ) -> Result<(ConsumerKey, RequestId), CommandError> {
        self.check_session(session)?;
        let key = ConsumerKey { session: session.0, number: self.next_number() };
        let consumer_id = Some(self.consumer_id(key));
        let info = |header| ConsumerInfo {
            header,
            consumer_id,
            browser: options.browses,
            destination: Some(options.destination.clone()),
            prefetch_size: i32::from(options.prefetch_sent()),
            dispatch_async: true,
            selector: options.selector.as_deref().map(Into::into),
            exclusive: options.exclusive,
            priority: options.priority,
            ..ConsumerInfo::default()
        };
        let request = self.request(Purpose::OpenConsumer(key), info)?;
        self.consumers.insert(key, Consumer::new(options));
        Ok((key, request))
    }

    /// Opens a producer, which can send anywhere.
    ///
    /// # Errors
    ///
    /// When the connection is not open or there is no such session.
    pub fn open_producer(
        &mut self,
        session: SessionKey,
    ) -> Result<(ProducerKey, RequestId), CommandError> {
        self.check_session(session)?;
        let key = ProducerKey { session: session.0, number: self.next_number() };
        let producer_id = Some(self.producer_id(key));
        let info = |header| ProducerInfo { header, producer_id, ..ProducerInfo::default() };
        let request = self.request(Purpose::OpenProducer(key), info)?;
        self.producers.insert(key, 0);
        Ok((key, request))
    }

    /// Notes that all deliveries up to `tag` have been handed to the application, so that a close
    /// can say so. Nothing happens for a consumer that is not there.
    pub fn hand(&mut self, consumer: ConsumerKey, tag: Tag) {
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            consumer.ledger.hand(tag);
        }
    }

    /// Settles deliveries. From here on they are not this side's any more; an answer that refuses
    /// says what the broker thinks of that.
    ///
    /// That a broker accepts an individual settlement does not prove that anything was removed: it
    /// accepts one for a delivery that it has taken back just as well. Individual ones that leave
    /// in one [output](Self::take_output) are answered together: the last of them asks for an answer,
    /// and if one of the others fails, that is said without its name, so that all of those still
    /// unanswered count as refused.
    ///
    /// # Errors
    ///
    /// When the connection is not open, there is no such consumer, or nothing of it is unsettled.
    pub fn settle(
        &mut self,
        key: ConsumerKey,
        settlement: &Settlement,
    ) -> Result<RequestId, CommandError> {
        let consumer = self.consumer(key)?;
        let (ack_type, tags) = match settlement {
            Settlement::Individual(tag) => (AckType::Individual, *tag..=*tag),
            Settlement::UpTo(last) => (AckType::Standard, Tag(0)..=*last),
            Settlement::Range { first, last } => (AckType::Standard, *first..=*last),
            Settlement::Poison { tag, .. } => (AckType::Poison, *tag..=*tag),
            Settlement::Expired(tag) => (AckType::Expired, *tag..=*tag),
        };
        let range = consumer.ledger.get(tags.clone()).ok_or(CommandError::NotUnsettled)?;
        let (first, Unsettled { message_id: last, destination: from }, count) = range;
        // A range, also of one: without its first, everything before it would go with it.
        let first = (ack_type != AckType::Individual).then(|| first.message_id.clone());
        let last = Some(last.clone());
        let destination = Some(from.as_ref().unwrap_or(&consumer.destination).clone());
        let poison_cause = match settlement {
            Settlement::Poison { cause, .. } => {
                cause.as_deref().map(|text| Throwable::new("java.lang.Throwable", shortened(text)))
            }
            Settlement::Individual(_)
            | Settlement::UpTo(_)
            | Settlement::Range { .. }
            | Settlement::Expired(_) => None,
        };
        let consumer_id = Some(self.consumer_id(key));
        let is_ack = ack_type == AckType::Individual;
        let purpose = if is_ack { Purpose::Ack } else { Purpose::Other };
        let request = self.request(purpose, |header| MessageAck {
            header,
            destination,
            transaction_id: None,
            consumer_id,
            ack_type: ack_type as i8,
            first_message_id: first,
            last_message_id: last,
            message_count: i32::try_from(count).unwrap_or(i32::MAX),
            poison_cause,
        })?;
        self.consumer(key)?.ledger.settle(tags);
        Ok(request)
    }

    /// Asks for one message, for a consumer with a prefetch of 0. What comes of it is a delivery or
    /// [`Event::NothingThere`](super::Event::NothingThere); the answer to the request says no more
    /// than that the broker has understood, and a refusal brings both.
    ///
    /// # Errors
    ///
    /// When the connection is not open, there is no such consumer, or it waits for another pull.
    pub fn pull(
        &mut self,
        key: ConsumerKey,
        timeout: PullTimeout,
    ) -> Result<RequestId, CommandError> {
        let consumer = self.consumer(key)?;
        if consumer.is_pulling() {
            return Err(CommandError::PullPending);
        }
        let destination = Some(consumer.destination.clone());
        let timeout = match timeout {
            PullTimeout::None => -1,
            PullTimeout::After(time) => i64::try_from(time.as_millis().max(1)).unwrap_or(i64::MAX),
            PullTimeout::Never => 0,
        };
        let consumer_id = Some(self.consumer_id(key));
        let request = self.request(Purpose::Pull(key), |header| MessagePull {
            header,
            consumer_id,
            destination,
            timeout,
            ..MessagePull::default()
        })?;
        self.consumer(key)?.pull();
        Ok(request)
    }

    /// Changes a consumer's prefetch.
    ///
    /// # Errors
    ///
    /// When the connection is not open or there is no such consumer.
    pub fn set_prefetch(
        &mut self,
        key: ConsumerKey,
        prefetch: u16,
    ) -> Result<RequestId, CommandError> {
        let consumer = self.consumer(key)?;
        let prefetch = avoid_default(prefetch);
        let destination = Some(consumer.destination.clone());
        let consumer_id = Some(self.consumer_id(key));
        let request = self.request(Purpose::Other, |header| ConsumerControl {
            header,
            destination,
            consumer_id,
            prefetch: i32::from(prefetch),
            ..ConsumerControl::default()
        })?;
        self.consumer(key)?.raise_prefetch(u32::from(prefetch));
        Ok(request)
    }

    /// Sends a message. Its producer, id and header are set here; with an answer, a persistent one
    /// is stored when the answer comes.
    ///
    /// # Errors
    ///
    /// When the connection is not open, there is no such producer, or the message is too large.
    pub fn send(
        &mut self,
        key: ProducerKey,
        destination: Destination,
        mut message: Message,
    ) -> Result<(MessageId, RequestId), CommandError> {
        self.check_open()?;
        let last = self.producers.get_mut(&key).ok_or(CommandError::Unknown)?;
        // A number that comes again would make the broker drop the message as a duplicate, so it
        // counts also if the message is not sent in the end.
        *last = last.saturating_add(1);
        let producer_sequence_id = *last;
        let producer_id = Some(self.producer_id(key));
        let message_id = MessageId {
            producer_id: producer_id.clone(),
            producer_sequence_id,
            ..MessageId::default()
        };
        message.producer_id = producer_id;
        message.message_id = Some(message_id.clone());
        message.destination = Some(destination);
        let request = self.request(Purpose::Other, |header| Message { header, ..message })?;
        Ok((message_id, request))
    }

    /// Closes a consumer. What was [handed](Self::hand) to the application and is unsettled comes
    /// again with a higher redelivery counter, and what was only prefetched with the same.
    ///
    /// # Errors
    ///
    /// When the connection is not open or there is no such consumer.
    pub fn close_consumer(&mut self, key: ConsumerKey) -> Result<RequestId, CommandError> {
        let consumer = self.consumer(key)?;
        let last = consumer.ledger.last_delivered();
        let object = RemovedObject::Consumer(self.consumer_id(key));
        let request = self.remove(Purpose::CloseConsumer(key), object, last)?;
        self.consumer(key)?.is_closing = true;
        Ok(request)
    }

    /// Closes a producer.
    ///
    /// # Errors
    ///
    /// When the connection is not open or there is no such producer.
    pub fn close_producer(&mut self, key: ProducerKey) -> Result<RequestId, CommandError> {
        self.check_open()?;
        if !self.producers.contains_key(&key) {
            return Err(CommandError::Unknown);
        }
        let object = RemovedObject::Producer(self.producer_id(key));
        let request = self.remove(Purpose::Other, object, 0)?;
        self.producers.remove(&key);
        Ok(request)
    }

    /// Closes everything in order: consumers, the connection, and once the broker has confirmed,
    /// says farewell. The end is an [`Event::Closed`](super::Event::Closed), at the latest when the
    /// close timeout has passed. Does nothing if it was called before.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Closing | State::Closed => return,
            State::Negotiating => return self.end(CloseReason::Requested),
            State::LoggingIn => {
                self.end(CloseReason::Requested);
                return self.say_farewell();
            }
            State::Open => {}
        }
        let consumers: Vec<ConsumerKey> = self.consumers.keys().copied().collect();
        for key in consumers {
            // One that is being closed already needs nothing more.
            drop(self.close_consumer(key));
        }
        let id = ConnectionId { value: Some(self.id.clone()) };
        let object = RemovedObject::Connection(id);
        if self.remove(Purpose::Close, object, NOTHING_DELIVERED).is_err() {
            return self.end(CloseReason::Unconfirmed);
        }
        self.state = State::Closing;
        self.timers.set_deadline(now.checked_add(self.settings.close_timeout));
    }

    fn remove(
        &mut self,
        purpose: Purpose,
        object: RemovedObject,
        last_delivered_sequence_id: i64,
    ) -> Result<RequestId, CommandError> {
        let object_id = Some(object);
        self.request(purpose, |header| RemoveInfo { header, object_id, last_delivered_sequence_id })
    }

    fn request<T: Described>(
        &mut self,
        purpose: Purpose,
        command: impl FnOnce(Header) -> T,
    ) -> Result<RequestId, CommandError> {
        self.check_open()?;
        let header = self.next_header(true);
        let request = RequestId(header.command_id);
        self.write_as(Some((request, purpose)), &command(header))?;
        Ok(request)
    }

    fn check_open(&self) -> Result<(), CommandError> {
        if self.state == State::Open { Ok(()) } else { Err(CommandError::NotOpen) }
    }

    fn check_session(&self, session: SessionKey) -> Result<(), CommandError> {
        self.check_open()?;
        if self.sessions.contains(&session) { Ok(()) } else { Err(CommandError::Unknown) }
    }

    fn consumer(&mut self, key: ConsumerKey) -> Result<&mut Consumer, CommandError> {
        self.check_open()?;
        let consumer = self.consumers.get_mut(&key).filter(|consumer| !consumer.is_closing);
        consumer.ok_or(CommandError::Unknown)
    }

    fn next_number(&mut self) -> i64 {
        self.last_number = self.last_number.saturating_add(1);
        self.last_number
    }

    fn consumer_id(&self, key: ConsumerKey) -> ConsumerId {
        let connection_id = Some(self.id.clone());
        ConsumerId { connection_id, session_id: key.session, value: key.number }
    }

    fn producer_id(&self, key: ProducerKey) -> ProducerId {
        let connection_id = Some(self.id.clone());
        ProducerId { connection_id, session_id: key.session, value: key.number }
    }
}

/// A cause that fits the wire, whatever is in it.
fn shortened(text: &str) -> &str {
    let end = text.floor_char_boundary(CAUSE_BYTES_MAX);
    text.get(..end).unwrap_or_default()
}

/// A cause becomes a property of the dead letter. Java's form takes up to half as much again.
const CAUSE_BYTES_MAX: usize = 8_192;
