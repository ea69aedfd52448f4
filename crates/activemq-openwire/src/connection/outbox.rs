//! What waits for the socket, and what is on its way without an answer.
//!
//! Requests leave in their order, and only so many bytes of them at once: a broker that does not
//! answer is not buried. Keep-alives pass them. What must never happen: a request that waits while
//! nothing is on its way.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::RequestId;
use crate::EncodeError;

#[derive(Default)]
pub(super) struct Outbox {
    /// Keep-alives, which pass everything.
    urgent: BytesMut,
    /// All other frames, in their order.
    ordered: BytesMut,
    /// The length of each frame in `ordered`, and the request if it is one.
    frames: VecDeque<(Option<RequestId>, usize)>,
    /// The requests that were taken and have no answer, and their lengths.
    on_their_way: VecDeque<(RequestId, usize)>,
    /// The sum of those lengths.
    unanswered: usize,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.urgent.len().saturating_add(self.ordered.len())
    }

    /// Adds a frame that `encode` writes, behind all others.
    pub(super) fn put(
        &mut self,
        request: Option<RequestId>,
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
        while let Some((request, length)) = self.frames.front().copied() {
            if let Some(request) = request {
                let unanswered = self.unanswered.saturating_add(length);
                if self.unanswered > 0 && unanswered > unanswered_max {
                    break;
                }
                self.unanswered = unanswered;
                self.on_their_way.push_back((request, length));
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

    /// Notes that a request is answered.
    pub(super) fn answered(&mut self, request: RequestId) {
        // Brokers answer more or less in order, so that it is one of the first.
        let place = self.on_their_way.iter().position(|(known, _)| *known == request);
        if let Some((_, length)) = place.and_then(|place| self.on_their_way.remove(place)) {
            self.unanswered = self.unanswered.saturating_sub(length);
            return;
        }
        // An answer to what has not left yet. No other will come, so that nothing may wait for one.
        let waiting = self.frames.iter_mut().find(|(known, _)| *known == Some(request));
        if let Some((known, _)) = waiting {
            *known = None;
        }
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
        outbox.put(request.map(RequestId), encode).unwrap();
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
