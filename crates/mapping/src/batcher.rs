//! Groups deliveries into batches: by count, by bytes of the encoded event, and by time.
//!
//! Pure: it is given deliveries and the time, and gives back closed batches. What must never happen:
//! a batch whose event would pass the limit, an empty batch, or a record out of order.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::mem;
use std::sync::Arc;

use gristmill_broker::{Delivery, DeliveryToken, Epoch};
use gristmill_event::{Envelope, Message};
use gristmill_invocation::{Outcome, Uuid};
use tokio::time::Instant;

use crate::lifetime::Leaves;
use crate::record::Failure;
use crate::settings::BatchLimits;

/// A delivery that was taken, with what limits the time it may be held.
#[derive(Debug)]
pub struct Taken {
    /// The delivery.
    pub delivery: Delivery,
    /// When it leaves its batch; `None`: never.
    pub leaves: Option<Leaves>,
}

/// Deliveries that one invocation handles together. Never empty.
#[derive(Debug)]
pub struct Batch {
    epoch: Epoch,
    taken: Vec<Taken>,
    /// When the first of them came.
    arrived: Instant,
    /// When the first of them leaves.
    first_leaves: Option<Instant>,
    /// The groups that its messages belong to.
    groups: BTreeSet<Arc<str>>,
    event_bytes: usize,
    event: Option<String>,
    attempts: u32,
    /// How it failed so far, if it did.
    failure: Option<Failure>,
    /// What follows in its slot when it is settled, the next one last: the other halves of what it was a
    /// part of.
    behind: Vec<Batch>,
}

impl Batch {
    /// The subscription that its deliveries came from.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many records it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// When the first of its deliveries came.
    #[must_use]
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// Always false; there is no empty batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// How often it was handed to the function.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts one more attempt. From the second on, the messages of some brokers say so in the event.
    pub fn count_attempt(&mut self, envelope: &Envelope) {
        self.attempts += 1;
        if self.attempts == 2 {
            let mut changed = false;
            for taken in &mut self.taken {
                changed |= taken.delivery.message.try_again();
            }
            if changed {
                self.measure_again(envelope);
            }
        }
    }

    /// Notes that the call with this id failed, which had so many records.
    pub fn fail(&mut self, request_id: Uuid, outcome: &Outcome, records: usize) {
        let before = self.failure.take();
        self.failure = Some(Failure::after(before, request_id, outcome, records));
    }

    /// How it failed so far, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Takes out what follows in its slot.
    #[must_use]
    pub fn take_behind(&mut self) -> Vec<Batch> {
        mem::take(&mut self.behind)
    }

    /// Puts it back.
    #[must_use]
    pub fn followed_by(self, behind: Vec<Batch>) -> Self {
        Self { behind, ..self }
    }

    /// The first of what was to follow in a slot, followed by the others.
    #[must_use]
    pub fn first_of(mut behind: Vec<Batch>) -> Option<Self> {
        behind.pop().map(|next| next.followed_by(behind))
    }

    /// Its first half, which the second one follows in its slot. That it was called as a whole is no try
    /// of either, but the messages have been handed out. A batch of one record stays as it is.
    #[must_use]
    pub fn bisect(mut self, envelope: &Envelope) -> Self {
        let second = self.taken.split_off(self.taken.len().div_ceil(2));
        if second.is_empty() {
            return self;
        }
        self.attempts = self.attempts.saturating_sub(1);
        let behind = self.take_behind();
        let half = |taken: Vec<Taken>, behind| {
            let mut half = Self {
                epoch: self.epoch,
                arrived: self.arrived,
                first_leaves: first_leaves(&taken),
                // Those of the whole, which stay under way until both halves are settled.
                groups: self.groups.clone(),
                taken,
                event_bytes: 0,
                event: None,
                attempts: self.attempts,
                failure: self.failure.clone(),
                behind,
            };
            for taken in &mut half.taken {
                taken.delivery.message.try_again();
            }
            half.measure_again(envelope);
            half
        };
        let mut behind = behind;
        behind.push(half(second, Vec::new()));
        half(mem::take(&mut self.taken), behind)
    }

    /// What settles its deliveries and those of what follows it.
    #[must_use]
    pub fn all_tokens(&self) -> Vec<DeliveryToken> {
        let behind = self.behind.iter().rev().flat_map(Batch::all_tokens);
        self.tokens().into_iter().chain(behind).collect()
    }

    /// What settles its deliveries, in queue order.
    #[must_use]
    pub fn tokens(&self) -> Vec<DeliveryToken> {
        self.deliveries().map(|delivery| delivery.token).collect()
    }

    /// The token of its first delivery, by which batches of one epoch are in queue order.
    #[must_use]
    pub fn first_token(&self) -> Option<DeliveryToken> {
        self.taken.first().map(|taken| taken.delivery.token)
    }

    /// The token of its last delivery.
    #[must_use]
    pub fn last_token(&self) -> Option<DeliveryToken> {
        self.taken.last().map(|taken| taken.delivery.token)
    }

    /// The groups that its messages belong to: while it is under way, no other batch with one of them
    /// may be.
    #[must_use]
    pub fn groups(&self) -> &BTreeSet<Arc<str>> {
        &self.groups
    }

    /// Its deliveries, in queue order.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.taken.iter().map(|taken| &taken.delivery)
    }

    /// Whether a delivery's time is over, so that it leaves before the next attempt.
    #[must_use]
    pub fn has_leaving(&self, now: Instant) -> bool {
        self.first_leaves.is_some_and(|at| at <= now)
    }

    /// Whether there is such a delivery.
    #[must_use]
    pub fn has(&self, which: impl Fn(&Taken) -> bool) -> bool {
        self.taken.iter().any(which)
    }

    /// Takes deliveries out. Gives them, in queue order, and what is left of the batch, whose next
    /// event is another one.
    #[must_use]
    pub fn split(
        mut self,
        envelope: &Envelope,
        goes: impl Fn(&Taken) -> bool,
    ) -> (Vec<Delivery>, Option<Self>) {
        let gone = self.taken.extract_if(.., |taken| goes(taken));
        let gone: Vec<Delivery> = gone.map(|taken| taken.delivery).collect();
        if gone.is_empty() {
            return (gone, Some(self));
        }
        if self.taken.is_empty() {
            return (gone, None);
        }
        self.measure_again(envelope);
        self.first_leaves = first_leaves(&self.taken);
        (gone, Some(self))
    }

    /// Forgets its event: the next one is another.
    fn measure_again(&mut self, envelope: &Envelope) {
        let record_bytes = |delivery: &Delivery| envelope.record_bytes(&delivery.message);
        let records_bytes = self.deliveries().map(record_bytes).sum();
        self.event_bytes = envelope.event_bytes(self.taken.len(), records_bytes);
        self.event = None;
    }

    /// Its event, encoded at the first call and kept: a retry sees the same bytes, unless the broker's
    /// event tells it from a first try.
    pub fn event(&mut self, envelope: &Envelope) -> &str {
        let messages = self.taken.iter().map(|taken| &taken.delivery.message);
        self.event.get_or_insert_with(|| envelope.encode(messages, self.event_bytes))
    }
}

fn first_leaves(taken: &[Taken]) -> Option<Instant> {
    taken.iter().filter_map(|taken| taken.leaves.map(|leaves| leaves.at)).min()
}

/// One message alone makes an event over the limit: it can never be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordTooLarge {
    /// The size of an event with this record alone, in bytes.
    pub event_bytes: usize,
}

impl fmt::Display for RecordTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_bytes } = self;
        write!(f, "alone it makes an event of {event_bytes} bytes, more than an event may have")
    }
}

/// Gathers deliveries of one epoch into batches.
#[derive(Debug)]
pub struct Batcher {
    limits: BatchLimits,
    envelope: Arc<Envelope>,
    epoch: Epoch,
    open: Vec<Taken>,
    open_bytes: usize,
    /// When the open batch's first record came.
    opened_at: Option<Instant>,
}

impl Batcher {
    /// An empty batcher for the deliveries of one epoch.
    #[must_use]
    pub fn new(limits: BatchLimits, envelope: Arc<Envelope>, epoch: Epoch) -> Self {
        Self { limits, envelope, epoch, open: Vec::new(), open_bytes: 0, opened_at: None }
    }

    /// When the open batch's window ends; `None` without an open batch.
    #[must_use]
    pub fn closes_at(&self) -> Option<Instant> {
        self.opened_at.map(|opened_at| opened_at + self.limits.window)
    }

    /// When the open batch's first record came; `None` without an open batch.
    #[must_use]
    pub fn opened_at(&self) -> Option<Instant> {
        self.opened_at
    }

    /// The size in bytes of a message's record, which [`Batcher::push`] wants to know.
    ///
    /// # Errors
    ///
    /// [`RecordTooLarge`], when no event has room for it.
    pub fn measure(&self, message: &Message) -> Result<usize, RecordTooLarge> {
        let record_bytes = self.envelope.record_bytes(message);
        let event_bytes = self.envelope.event_bytes(1, record_bytes);
        if event_bytes > self.limits.bytes_max {
            return Err(RecordTooLarge { event_bytes });
        }
        Ok(record_bytes)
    }

    /// Adds a delivery, whose record was measured, and gives out the batches that it closes: the one
    /// before it, when there is no room left for it, and its own, when that is full.
    pub fn push(
        &mut self,
        taken: Taken,
        record_bytes: usize,
        now: Instant,
        closed: &mut VecDeque<Batch>,
    ) {
        let with = self.envelope.event_bytes(self.open.len() + 1, self.open_bytes + record_bytes);
        if with > self.limits.bytes_max {
            self.close(closed);
        }
        if self.open.is_empty() {
            self.opened_at = Some(now);
        }
        self.open.push(taken);
        self.open_bytes += record_bytes;
        if self.open.len() >= self.limits.records_max.get() {
            self.close(closed);
        }
    }

    /// Closes the open batch, if its window has ended.
    pub fn close_if_due(&mut self, now: Instant, closed: &mut VecDeque<Batch>) {
        if self.closes_at().is_some_and(|closes_at| closes_at <= now) {
            self.close(closed);
        }
    }

    /// Closes the open batch, if there is one.
    pub fn close(&mut self, closed: &mut VecDeque<Batch>) {
        let Some(arrived) = self.opened_at.take() else { return };
        // The next batch is likely to be as large as this one.
        let next = Vec::with_capacity(self.open.len());
        let taken = mem::replace(&mut self.open, next);
        let records_bytes = mem::take(&mut self.open_bytes);
        closed.push_back(Batch {
            epoch: self.epoch,
            event_bytes: self.envelope.event_bytes(taken.len(), records_bytes),
            arrived,
            first_leaves: first_leaves(&taken),
            groups: taken.iter().filter_map(|taken| taken.delivery.group.clone()).collect(),
            taken,
            event: None,
            attempts: 0,
            failure: None,
            behind: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests;
