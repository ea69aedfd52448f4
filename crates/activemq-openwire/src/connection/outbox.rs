//! What waits for the socket, and what is on its way without an answer.
//!
//! Requests leave in their order, and only so many bytes of them at once: a broker that does not
//! answer is not buried. Keep-alives pass them. Of acks of single messages that leave together, only
//! the last asks for an answer, which stands for all of them: a broker does what one connection says
//! in order. Each answer costs the broker a packet, and this side a wake-up, more than the ack itself.
//!
//! What must never happen: a request that waits while nothing is on its way, or an ack that no answer
//! stands for.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Purpose, RequestId};
use crate::EncodeError;
use crate::codec::RESPONSE_REQUIRED_AT;

#[derive(Default)]
pub(super) struct Outbox {
    /// Keep-alives, which pass everything.
    urgent: BytesMut,
    /// All other frames, in their order.
    ordered: BytesMut,
    /// The length of each frame in `ordered`, and the request if it is one.
    frames: VecDeque<(Option<Request>, usize)>,
    /// The requests that were taken and have no answer.
    on_their_way: VecDeque<OnItsWay>,
    /// The sum of their lengths.
    unanswered: usize,
}

/// A request and what it was for.
pub(super) type Request = (RequestId, Purpose);

struct OnItsWay {
    request: Request,
    length: usize,
    /// Whether the answer to a later one stands for it.
    is_silent: bool,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.urgent.len().saturating_add(self.ordered.len())
    }

    /// Adds a frame that `encode` writes, behind all others. That of a request asks for an answer.
    pub(super) fn put(
        &mut self,
        request: Option<Request>,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let before = self.ordered.len();
        encode(&mut self.ordered)?;
        let length = self.ordered.len().saturating_sub(before);
        self.frames.push_back((request, length));
        Ok(())
    }

    /// Adds a frame before all others, unless one is there already.
    pub(super) fn put_urgent(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        if self.urgent.is_empty() { encode(&mut self.urgent) } else { Ok(()) }
    }

    /// Takes what may go now, with at most `unanswered_max` bytes of requests on their way.
    pub(super) fn take(&mut self, unanswered_max: usize) -> Option<Bytes> {
        let mut total = 0_usize;
        let mut last_ack = None;
        while let Some((request, length)) = self.frames.front().copied() {
            if let Some(request) = request {
                let unanswered = self.unanswered.saturating_add(length);
                if self.unanswered > 0 && unanswered > unanswered_max {
                    break;
                }
                self.unanswered = unanswered;
                if request.1 == Purpose::Ack
                    && let Some((place, start)) = last_ack.replace((self.on_their_way.len(), total))
                {
                    self.silence(place, start);
                }
                self.on_their_way.push_back(OnItsWay { request, length, is_silent: false });
            }
            total = total.saturating_add(length);
            self.frames.pop_front();
        }
        let ordered = self.ordered.split_to(total);
        let mut taken = self.urgent.split();
        if taken.is_empty() {
            taken = ordered;
        } else {
            taken.extend_from_slice(&ordered);
        }
        (!taken.is_empty()).then(|| taken.freeze())
    }

    /// Lets an ack ask for nothing. Its frame begins at `start`.
    fn silence(&mut self, place: usize, start: usize) {
        let at = start.saturating_add(RESPONSE_REQUIRED_AT);
        if let (Some(ack), Some(flag)) =
            (self.on_their_way.get_mut(place), self.ordered.get_mut(at))
        {
            ack.is_silent = true;
            *flag = 0;
        }
    }

    /// Notes that a request is answered, and returns it behind those for which the answer stands as
    /// well; nothing if there is no such request.
    pub(super) fn answered(&mut self, request: RequestId) -> Vec<Request> {
        // Brokers answer more or less in order, so that it is one of the first.
        let place = self.on_their_way.iter().position(|own| own.request.0 == request);
        let Some(place) = place else {
            // An answer to what has not left yet, or to nothing. No other will come, so that nothing
            // may wait for one.
            let is_it = |known: &Option<Request>| known.is_some_and(|(known, _)| known == request);
            let waiting = self.frames.iter_mut().find(|(known, _)| is_it(known));
            return waiting.and_then(|(known, _)| known.take()).into_iter().collect();
        };
        let is_ack = self.on_their_way.get(place).is_some_and(|own| own.request.1 == Purpose::Ack);
        self.take_out(place, |own| own.request.0 == request || (is_ack && own.is_silent))
    }

    /// Takes out the acks that ask for no answer.
    pub(super) fn silent(&mut self) -> Vec<Request> {
        self.take_out(self.on_their_way.len(), |own| own.is_silent)
    }

    /// Takes out those up to a place that `is_meant` says.
    fn take_out(&mut self, last: usize, is_meant: impl Fn(&OnItsWay) -> bool) -> Vec<Request> {
        let (mut meant, mut others) = (Vec::new(), Vec::new());
        let count = last.saturating_add(1).min(self.on_their_way.len());
        for own in self.on_their_way.drain(..count) {
            if is_meant(&own) {
                self.unanswered = self.unanswered.saturating_sub(own.length);
                meant.push(own.request);
            } else {
                others.push(own);
            }
        }
        for own in others.into_iter().rev() {
            self.on_their_way.push_front(own);
        }
        meant
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(outbox: &mut Outbox, request: Option<i32>, bytes: &[u8]) {
        let encode = |out: &mut BytesMut| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        outbox.put(request.map(|id| (RequestId(id), Purpose::Other)), encode).unwrap();
    }

    fn take(outbox: &mut Outbox, max: usize) -> Vec<u8> {
        outbox.take(max).map_or(Vec::new(), |bytes| bytes.to_vec())
    }

    #[test]
    fn requests_wait_for_answers_and_one_always_goes() {
        let mut outbox = Outbox::default();
        for request in 1..=4 {
            put(&mut outbox, Some(request), b"four");
        }
        put(&mut outbox, None, b"last");
        assert_eq!(take(&mut outbox, 8), b"fourfour");
        assert_eq!(take(&mut outbox, 8), b"");
        outbox.answered(RequestId(2));
        outbox.answered(RequestId(2));
        outbox.answered(RequestId(9));
        assert_eq!(take(&mut outbox, 8), b"four");
        outbox.answered(RequestId(1));
        outbox.answered(RequestId(3));
        assert_eq!(take(&mut outbox, 1), b"fourlast");
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn nothing_waits_for_a_request_that_was_answered_before_it_left() {
        let mut outbox = Outbox::default();
        put(&mut outbox, Some(1), b"one");
        outbox.answered(RequestId(1));
        put(&mut outbox, Some(2), b"two");
        put(&mut outbox, Some(3), b"three");
        assert_eq!(take(&mut outbox, 1), b"onetwo");
        outbox.answered(RequestId(2));
        assert_eq!(take(&mut outbox, 1), b"three");
    }

    #[test]
    fn a_keep_alive_passes_what_waits_and_is_there_once() {
        let mut outbox = Outbox::default();
        put(&mut outbox, Some(1), b"one");
        put(&mut outbox, Some(2), b"two");
        assert_eq!(take(&mut outbox, 3), b"one");
        for _ in 0..3 {
            let encode = |out: &mut BytesMut| {
                out.extend_from_slice(b"!");
                Ok(())
            };
            outbox.put_urgent(encode).unwrap();
        }
        assert_eq!(take(&mut outbox, 3), b"!");
        assert_eq!(outbox.len(), 3);
    }
}
