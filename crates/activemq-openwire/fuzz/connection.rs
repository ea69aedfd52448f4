//! A connection whose broker, user and clock do what a program of bytes says, in any order, beside
//! a model of what the connection has to know.

mod broker;
mod user;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use activemq_openwire::bytes::BytesMut;
use activemq_openwire::connection::{
    CommandError, Connection, ConsumerKey, Event, ProducerKey, RequestId, SessionKey, Settings, Tag,
};
use activemq_openwire::structures::{
    ConsumerId, ExceptionResponse, MessageId, Response, ShutdownInfo, Structure, Throwable,
};
use activemq_openwire::{Frame, Limits, decode, next_frame};

use super::LIMITS;

/// Whatever happens, a connection ends once and says nothing after it, acks only what it was given,
/// keeps within bounds, and forgets nothing over a command that fails.
///
/// The first byte says how far the connection is at the beginning; each step after it is a byte for
/// what happens and others for how.
pub(super) fn play(data: &[u8]) {
    let mut program = Program(data);
    let start = program.byte();
    let mut game = Game::new(start);
    while !program.0.is_empty() {
        game.step(&mut program);
        game.look();
    }
    if start & 16 != 0 {
        game.is_left_alone();
    }
    game.finish();
}

/// The bytes that are left. At the end come zeros.
struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let byte = usize::from(self.byte());
        from.get(byte.checked_rem(from.len())?).copied()
    }
}

struct Game {
    connection: Connection,
    now: Instant,
    input: BytesMut,
    is_open: bool,
    has_ended: bool,
    sessions: Vec<SessionKey>,
    producers: Vec<ProducerKey>,
    consumers: Vec<Consumer>,
    /// What the broker was told that they are called, in the order of `consumers`.
    consumer_ids: Vec<ConsumerId>,
    /// Whose opening, which fails if it is refused, or closing a request is.
    requests: HashMap<RequestId, (ConsumerKey, bool)>,
}

/// What the connection has to know about a consumer.
struct Consumer {
    key: ConsumerKey,
    unsettled: BTreeSet<Tag>,
    delivered: Vec<MessageId>,
    prefetch_max: usize,
    pulls: usize,
    is_pulling: bool,
    is_closing: bool,
    is_gone: bool,
}

impl Game {
    fn new(start: u8) -> Self {
        let now = Instant::now();
        let mut settings = Settings::new("ID:fuzz", "client");
        settings.limits = LIMITS;
        settings.unanswered_bytes_max = if start & 4 == 0 { 32 << 10 } else { 100 };
        let mut game = Self {
            connection: Connection::new(settings, now),
            now,
            input: BytesMut::new(),
            is_open: false,
            has_ended: false,
            sessions: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
            consumer_ids: Vec::new(),
            requests: HashMap::new(),
        };
        if start & 1 == 1 {
            game.offers(12, 30_000, if start & 8 == 0 { 0 } else { 200 });
            // Only a login that has left can be answered.
            game.takes_output();
            game.says(Response { correlation_id: 1, ..Response::default() });
            game.look();
            assert!(game.is_open);
        }
        if start & 3 == 3 {
            game.opens_session();
            game.opens_consumer(0, 5);
            game.takes_output();
        }
        game
    }

    fn step(&mut self, program: &mut Program<'_>) {
        match program.byte() % 24 {
            0 => {
                self.input.extend_from_slice(program.bytes());
                self.connection.receive(self.now, &mut self.input);
            }
            1 => self.says_in_bytes(program.bytes()),
            2 => {
                let inactivity = program.pick(&[30_000, 0, 1, 1_000, -1, i64::MAX]).unwrap();
                let frame_size = program.pick(&[0, 150, 200, 300, 1_000, i64::MAX]).unwrap();
                self.offers(i32::from(program.byte() % 14), inactivity, frame_size);
            }
            3 => {
                self.says(Response { correlation_id: program.byte().into(), ..Default::default() })
            }
            4 => {
                let exception = program.pick(&["javax.jms.JMSSecurityException", "Other"]);
                self.says(Box::new(ExceptionResponse {
                    correlation_id: program.byte().into(),
                    exception: exception.map(|class| Throwable::new(class, "no")),
                    ..ExceptionResponse::default()
                }));
            }
            5 | 6 => self.dispatches(program),
            7 => self.controls(program),
            8 => self.says(ShutdownInfo::default()),
            9 => self.opens_session(),
            10 => {
                let session = program.byte();
                self.opens_consumer(session.into(), program.byte().into());
            }
            11 => self.opens_producer(program),
            12 | 13 => self.settles(program),
            14 => self.pulls(program),
            15 => self.sets_prefetch(program),
            16 => self.closes_consumer(program),
            17 => self.closes_producer(program),
            18 => self.sends(program),
            19 => {
                if let Some(place) = self.consumer(program) {
                    self.connection.hand(self.consumers[place].key, Tag(program.byte().into()));
                }
            }
            20 => {
                let times = [0, 1, 1_000, 5_000, 30_000, 3_600_000].map(Duration::from_millis);
                self.now += program.pick(&times).unwrap();
                self.timeout();
            }
            // A clock that goes back is nobody's fault.
            21 => self.now = self.now.checked_sub(Duration::from_secs(1)).unwrap_or(self.now),
            22 => self.takes_output(),
            _ => match program.byte() {
                0 => self.connection.transport_lost(),
                1 => {
                    self.connection.close(self.now);
                    self.is_open = false;
                }
                _ => self.timeout(),
            },
        }
        if self.connection.is_closed() {
            self.connection.receive(self.now, &mut self.input);
            assert!(self.input.is_empty());
        }
    }

    /// Does what is due, after which nothing is.
    fn timeout(&mut self) {
        for _ in 0..4 {
            self.connection.handle_timeout(self.now);
        }
        assert!(self.connection.next_timeout().is_none_or(|next| next > self.now));
    }

    /// Everything that is sent can be read, and no ack is of what was not delivered.
    fn takes_output(&mut self) {
        let Some(output) = self.connection.take_output(self.now) else { return };
        let (mut output, format) = (BytesMut::from(output), self.connection.agreement().format);
        while let Some(frame) = next_frame(&mut output, &Limits::default()).unwrap() {
            let frame = decode(frame, format, &Limits::default()).unwrap();
            let Frame::Structure(structure) = frame else { unreachable!("{frame:?}") };
            if self.connection.is_closed() {
                assert!(matches!(structure, Structure::ShutdownInfo(_)), "{structure:?}");
            }
            if let Structure::ConsumerInfo(info) = structure {
                self.consumer_ids.extend(info.consumer_id);
            } else if let Structure::MessageAck(ack) = structure {
                let consumer_id = ack.consumer_id.unwrap();
                let place = self.consumer_ids.iter().position(|id| *id == consumer_id).unwrap();
                let delivered = &self.consumers[place].delivered;
                assert!(delivered.contains(&ack.last_message_id.unwrap()));
                assert!(ack.first_message_id.is_none_or(|id| delivered.contains(&id)));
            }
        }
        assert!(output.is_empty());
    }

    fn look(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            assert!(!self.has_ended, "{event:?} after the end");
            self.happened(event);
        }
        assert_eq!(self.has_ended, self.connection.is_closed());
        for consumer in &self.consumers {
            let unsettled = self.connection.unsettled(consumer.key);
            let expected = if consumer.is_gone { 0 } else { consumer.unsettled.len() };
            // Once everything is being closed, consumers go one by one.
            assert!(unsettled == expected || (!self.is_open && unsettled == 0));
            assert!(unsettled <= 2 * consumer.prefetch_max + consumer.pulls);
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::LoggedIn => {
                assert!(!self.is_open);
                self.is_open = true;
            }
            Event::Delivered(delivery) => {
                let consumer = self.known(delivery.consumer);
                assert!(consumer.is_there());
                assert!(consumer.unsettled.insert(delivery.tag));
                consumer.delivered.extend(delivery.message.message_id);
                consumer.is_pulling = false;
            }
            Event::NothingThere(key) => self.known(key).is_pulling = false,
            Event::Answered(request, answer) => {
                if let Some((key, is_close)) = self.requests.remove(&request)
                    && (is_close || answer.is_err())
                {
                    self.known(key).is_gone = true;
                }
            }
            Event::PrefetchChanged(key, prefetch) => {
                assert!(prefetch <= u32::from(u16::MAX));
                self.known(key).may_have(usize::try_from(prefetch).unwrap());
            }
            // A consumer is there until this side closes it.
            Event::CloseAsked(_) | Event::Failed(_) | Event::LeaveAsked { .. } => {}
            Event::Closed(reason) => {
                drop(format!("{reason} {reason:?}"));
                (self.is_open, self.has_ended) = (false, true);
            }
        }
    }

    fn known(&mut self, key: ConsumerKey) -> &mut Consumer {
        self.consumers.iter_mut().find(|consumer| consumer.key == key).unwrap()
    }

    /// A connection whose broker says nothing any more ends, if it was agreed that silence counts.
    fn is_left_alone(&mut self) {
        let silence_counts = self.connection.agreement().inactivity.is_some();
        let has_to_end = !self.is_open || silence_counts;
        self.wait_for_the_end();
        assert!(self.has_ended || !has_to_end);
    }

    /// Lets more time pass than the clock can have gone back.
    fn wait_for_the_end(&mut self) {
        for _ in 0..100 {
            let Some(next) = self.connection.next_timeout() else { break };
            self.now = self.now.max(next);
            self.timeout();
            self.look();
            self.now += Duration::from_secs(60);
        }
    }

    /// A connection that is to close does so while the broker says nothing, and then is still.
    fn finish(mut self) {
        self.connection.close(self.now);
        self.is_open = false;
        self.wait_for_the_end();
        self.look();
        assert!(self.has_ended);
        self.takes_output();
        self.connection.close(self.now);
        self.connection.transport_lost();
        self.says(Response { correlation_id: 1, ..Response::default() });
        self.look();
        assert!(matches!(self.connection.open_session(), Err(CommandError::NotOpen)));
        assert_eq!(
            (self.connection.take_output(self.now), self.connection.output_len()),
            (None, 0)
        );
    }
}

impl Consumer {
    fn is_there(&self) -> bool {
        !self.is_closing && !self.is_gone
    }

    fn may_have(&mut self, prefetch: usize) {
        self.prefetch_max = self.prefetch_max.max(prefetch);
    }
}
