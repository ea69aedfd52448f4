//! What the broker sends, and what follows from it.

use std::time::Instant;

use bytes::Bytes;

use crate::codec::{self, Frame};
use crate::negotiation;
use crate::structures::{
    ConnectionId, ConnectionInfo, ConsumerControl, ConsumerId, MessageDispatch, Structure,
    Throwable, WireFormatInfo,
};

use super::event::{CloseReason, Delivery, Event, Refusal, RefusalKind, Violation};
use super::ledger::Unsettled;
use super::{Connection, ConsumerKey, Purpose, RequestId, State};

impl Connection {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most structures mean nothing to a client")]
    pub(super) fn handle(&mut self, now: Instant, frame: Bytes) -> Result<(), Violation> {
        let frame = codec::decode(frame, self.agreement.format, &self.settings.limits)?;
        let Frame::Structure(structure) = frame else { return Ok(()) };
        match structure {
            Structure::WireFormatInfo(theirs) => return self.negotiated(now, &theirs),
            _ if self.state == State::Negotiating => return Err(Violation::OutOfOrder),
            Structure::MessageDispatch(dispatch) => return self.dispatched(dispatch),
            Structure::Response(response) => self.answered(response.correlation_id, None),
            Structure::DataResponse(response) => self.answered(response.correlation_id, None),
            Structure::DataArrayResponse(response) => self.answered(response.correlation_id, None),
            Structure::IntegerResponse(response) => self.answered(response.correlation_id, None),
            Structure::ExceptionResponse(response) => {
                self.answered(response.correlation_id, Some(response.exception));
            }
            Structure::ConnectionError(error) => self.failed(Refusal::new(error.exception)),
            // It is answered by another: a response would not count. One is enough for any number
            // of them, so that a peer which sends and does not read cannot make more.
            Structure::KeepAliveInfo(info) if info.header.response_required => self.say_alive()?,
            Structure::BrokerInfo(info) => self.broker = Some(info),
            Structure::ConsumerControl(control) => self.consumer_controlled(&control),
            Structure::ConnectionControl(control) => {
                let reconnect_to = control.reconnect_to.filter(|uri| !uri.is_empty());
                if control.close || control.exit || reconnect_to.is_some() {
                    self.events.push_back(Event::LeaveAsked { reconnect_to });
                }
            }
            Structure::ShutdownInfo(_) => self.end(CloseReason::ShutDown),
            // What concerns brokers among themselves, or what only clients say.
            _ => {}
        }
        Ok(())
    }

    /// Both offers are there: log in.
    fn negotiated(&mut self, now: Instant, theirs: &WireFormatInfo) -> Result<(), Violation> {
        if self.state != State::Negotiating {
            return Err(Violation::OutOfOrder);
        }
        let limits = &self.settings.limits;
        let agreement = negotiation::agree(theirs, self.settings.inactivity, limits)?;
        self.agreement = agreement.ok_or(Violation::TooOld { version: theirs.version })?;
        self.timers.agree(now, &self.agreement);
        self.state = State::LoggingIn;
        let header = self.next_header(true);
        let login = self.settings.login.as_ref();
        let info = ConnectionInfo {
            header,
            connection_id: Some(ConnectionId { value: Some(self.id.clone()) }),
            client_id: Some(self.settings.client_id.as_str().into()),
            password: login.map(|login| login.password.clone()),
            user_name: login.map(|login| login.user_name.clone()),
            manageable: true,
            client_master: true,
            ..ConnectionInfo::default()
        };
        let request = RequestId(header.command_id);
        self.write_as(Some((request, Purpose::Login)), &info)?;
        Ok(())
    }

    /// A command failed that asked for no answer, which an ack can be.
    fn failed(&mut self, refusal: Refusal) {
        for (request, _) in self.outbox.silent() {
            self.events.push_back(Event::Answered(request, Err(refusal.clone())));
        }
        self.events.push_back(Event::Failed(refusal));
    }

    fn answered(&mut self, correlation_id: i32, failure: Option<Option<Throwable>>) {
        let mut answered = self.outbox.answered(RequestId(correlation_id));
        // Nothing is lost with an answer that nobody waits for.
        let Some((request, purpose)) = answered.pop() else { return };
        for (earlier, _) in answered {
            self.events.push_back(Event::Answered(earlier, Ok(())));
        }
        let answer = failure.map_or(Ok(()), |exception| Err(Refusal::new(exception)));
        match (purpose, &answer) {
            (Purpose::Login, Ok(())) => {
                if self.state == State::LoggingIn {
                    self.state = State::Open;
                    self.timers.set_deadline(None);
                    self.events.push_back(Event::LoggedIn);
                }
                return;
            }
            (Purpose::Login, Err(refusal)) => {
                let refusal = refusal.clone();
                return self.end(if refusal.kind == RefusalKind::MissingRight {
                    CloseReason::LoginRefused
                } else {
                    CloseReason::Refused(refusal)
                });
            }
            (Purpose::Close, Ok(()) | Err(_)) => {
                self.end(CloseReason::Requested);
                return self.say_farewell();
            }
            (Purpose::OpenConsumer(key), Err(_))
            | (Purpose::CloseConsumer(key), Ok(()) | Err(_)) => {
                self.consumers.remove(&key);
            }
            (Purpose::OpenProducer(key), Err(_)) => {
                self.producers.remove(&key);
            }
            (Purpose::Pull(key), Err(_)) => self.found_nothing(key),
            (Purpose::OpenConsumer(_) | Purpose::OpenProducer(_), Ok(()))
            | (Purpose::Pull(_), Ok(()))
            | (Purpose::Ack | Purpose::Other, Ok(()) | Err(_)) => {}
        }
        self.events.push_back(Event::Answered(request, answer));
    }

    fn dispatched(&mut self, dispatch: MessageDispatch) -> Result<(), Violation> {
        let Some(key) = dispatch.consumer_id.as_ref().and_then(|id| self.key_of(id)) else {
            return Ok(());
        };
        // Deliveries can still come for a consumer that was just closed: the broker keeps them.
        let consumer = self.consumers.get_mut(&key).filter(|consumer| !consumer.is_closing);
        let Some(consumer) = consumer else { return Ok(()) };
        let Some(message) = dispatch.message else {
            self.found_nothing(key);
            return Ok(());
        };
        let message_id = message.message_id.clone().ok_or(Violation::MessageWithoutId)?;
        let unsettled = Unsettled { message_id, destination: dispatch.destination.clone() };
        let tag = consumer.deliver(unsettled).ok_or(Violation::PrefetchExceeded)?;
        self.events.push_back(Event::Delivered(Delivery {
            consumer: key,
            tag,
            destination: dispatch.destination,
            redelivery_counter: dispatch.redelivery_counter,
            message,
        }));
        Ok(())
    }

    fn found_nothing(&mut self, key: ConsumerKey) {
        if let Some(consumer) = self.consumers.get_mut(&key) {
            consumer.nothing_there();
            self.events.push_back(Event::NothingThere(key));
        }
    }

    fn consumer_controlled(&mut self, control: &ConsumerControl) {
        let Some(key) = control.consumer_id.as_ref().and_then(|id| self.key_of(id)) else { return };
        let Some(consumer) = self.consumers.get_mut(&key) else { return };
        if control.close {
            // The broker has it until this side closes it.
            self.events.push_back(Event::CloseAsked(key));
        } else if let Ok(prefetch) = u32::try_from(control.prefetch) {
            // What the channel behind this consumer holds was decided by the first prefetch.
            let prefetch = prefetch.min(u32::from(u16::MAX));
            consumer.raise_prefetch(prefetch);
            self.events.push_back(Event::PrefetchChanged(key, prefetch));
        }
    }

    fn key_of(&self, id: &ConsumerId) -> Option<ConsumerKey> {
        let is_ours = id.connection_id.as_ref() == Some(&self.id);
        is_ours.then_some(ConsumerKey { session: id.session_id, number: id.value })
    }
}
