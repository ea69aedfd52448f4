//! Tests of the connection, against a broker that is a function and a clock that is a number.

mod closing;
mod consuming;
mod opening;

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::*;
use crate::structures::*;
use crate::{Frame, Opaque, PrimitiveMap, Value, decode, encode, next_frame};

/// A connection, what it has been told, and the time.
struct Simulation {
    connection: Connection,
    now: Instant,
    from_client: BytesMut,
}

impl Simulation {
    fn new() -> Self {
        let mut settings = Settings::new("ID:test", "client");
        settings.login = Some(Login::new("user", "secret"));
        let now = Instant::now();
        Self { connection: Connection::new(settings, now), now, from_client: BytesMut::new() }
    }

    /// A connection that is logged in, with everything up to then taken away.
    fn open() -> Self {
        let mut simulation = Self::new();
        simulation.broker_offers(12, 30_000);
        simulation.sent();
        simulation.broker_answers(1);
        assert!(matches!(simulation.connection.poll_event(), Some(Event::LoggedIn)));
        simulation
    }

    /// As `open`, with a consumer that the broker has accepted.
    fn consuming(prefetch: u16) -> (Self, ConsumerKey) {
        let mut simulation = Self::open();
        let (session, _) = simulation.connection.open_session().unwrap();
        let options = ConsumerOptions::new(Destination::queue("orders"), prefetch);
        let (consumer, request) = simulation.connection.open_consumer(session, &options).unwrap();
        simulation.broker_answers(request.0);
        simulation.sent();
        while simulation.connection.poll_event().is_some() {}
        (simulation, consumer)
    }

    /// Lets what the client has said reach the broker.
    fn flush(&mut self) {
        if let Some(output) = self.connection.take_output(self.now) {
            self.from_client.extend_from_slice(&output);
        }
    }

    /// What the client has sent since the last time.
    fn sent(&mut self) -> Vec<Structure> {
        self.flush();
        let (limits, format) = (Limits::default(), self.connection.agreement().format);
        let mut sent = Vec::new();
        while let Some(frame) = next_frame(&mut self.from_client, &limits).unwrap() {
            let Ok(Frame::Structure(structure)) = decode(frame, format, &limits) else { panic!() };
            sent.push(structure);
        }
        sent
    }

    fn sent_one(&mut self) -> Structure {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    fn broker_says(&mut self, structure: impl Into<Structure>) {
        let mut input = BytesMut::new();
        let format = self.connection.agreement().format;
        encode(&structure.into(), format, &Limits::default(), &mut input).unwrap();
        self.connection.receive(self.now, &mut input);
    }

    fn broker_offers(&mut self, version: i32, inactivity: i64) {
        let properties: PrimitiveMap =
            [("MaxInactivityDuration", Value::Long(inactivity))].into_iter().collect();
        let marshalled_properties = Some(Opaque(properties.encode().unwrap()));
        self.broker_says(WireFormatInfo { magic: Magic, version, marshalled_properties });
    }

    fn broker_answers(&mut self, correlation_id: i32) {
        self.flush();
        self.broker_says(Response { correlation_id, ..Response::default() });
    }

    fn broker_refuses(&mut self, correlation_id: i32, class: &str) {
        self.flush();
        let exception = Some(Throwable::new(class, "no"));
        let response = ExceptionResponse { correlation_id, exception, ..Default::default() };
        self.broker_says(Box::new(response));
    }

    fn broker_dispatches(&mut self, consumer: ConsumerKey, sequence: i64) {
        let message_id = MessageId { broker_sequence_id: sequence, ..MessageId::default() };
        let message = Message { message_id: Some(message_id), ..Message::default() };
        let mut dispatch = nothing_for(consumer);
        dispatch.destination = Some(Destination::queue("orders"));
        dispatch.message = Some(Box::new(message));
        self.broker_says(dispatch);
    }

    fn time_passes(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }

    fn closed(&mut self) -> Option<CloseReason> {
        while let Some(event) = self.connection.poll_event() {
            if let Event::Closed(reason) = event {
                assert!(self.connection.poll_event().is_none(), "an event after the end");
                return Some(reason);
            }
        }
        None
    }
}

fn id_of(consumer: ConsumerKey) -> ConsumerId {
    ConsumerId {
        connection_id: Some("ID:test".into()),
        session_id: consumer.session,
        value: consumer.number,
    }
}

fn nothing_for(consumer: ConsumerKey) -> MessageDispatch {
    MessageDispatch { consumer_id: Some(id_of(consumer)), ..MessageDispatch::default() }
}

const SECOND: Duration = Duration::from_secs(1);
