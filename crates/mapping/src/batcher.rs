//! Groups deliveries into batches: by count, by bytes of the encoded event, and by time.
//!
//! Pure: it is given deliveries and the time, and gives back closed batches. What must never happen:
//! a batch whose event would pass the limit, an empty batch, or a record out of order.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use gristmill_broker::{Delivery, DeliveryToken, Epoch};
use gristmill_event::Envelope;
use tokio::time::Instant;

use crate::settings::BatchLimits;

/// Deliveries that one invocation handles together. Never empty.
#[derive(Debug)]
pub struct Batch {
    epoch: Epoch,
    deliveries: Vec<Delivery>,
    event_bytes: usize,
    event: Option<String>,
    attempts: u32,
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
        self.deliveries.len()
    }

    /// Always false; there is no empty batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// How often it was handed to the function.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts one more attempt.
    pub fn count_attempt(&mut self) {
        self.attempts += 1;
    }

    /// What settles its deliveries, in queue order.
    #[must_use]
    pub fn tokens(&self) -> Vec<DeliveryToken> {
        self.deliveries.iter().map(|delivery| delivery.token).collect()
    }

    /// Its event, encoded at the first call and kept: a retry sees the same bytes.
    pub fn event(&mut self, envelope: &Envelope) -> &str {
        let messages = self.deliveries.iter().map(|delivery| &delivery.message);
        self.event.get_or_insert_with(|| envelope.encode(messages, self.event_bytes))
    }
}

/// One message alone makes an event over the limit: it can never be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordTooLarge {
    /// The size of an event with this record alone, in bytes.
    pub event_bytes: usize,
}

/// Gathers deliveries of one epoch into batches.
#[derive(Debug)]
pub struct Batcher {
    limits: BatchLimits,
    envelope: Arc<Envelope>,
    epoch: Epoch,
    open: Vec<Delivery>,
    open_bytes: usize,
    closes_at: Option<Instant>,
}

impl Batcher {
    /// An empty batcher for the deliveries of one epoch.
    #[must_use]
    pub fn new(limits: BatchLimits, envelope: Arc<Envelope>, epoch: Epoch) -> Self {
        Self { limits, envelope, epoch, open: Vec::new(), open_bytes: 0, closes_at: None }
    }

    /// When the open batch's window ends; `None` without an open batch.
    #[must_use]
    pub fn closes_at(&self) -> Option<Instant> {
        self.closes_at
    }

    /// Adds a delivery, and gives out the batches that it closes: the one before it, when there is
    /// no room left for it, and its own, when that is full.
    ///
    /// # Errors
    ///
    /// [`RecordTooLarge`]; the delivery is dropped, so that its epoch must end.
    pub fn push(
        &mut self,
        delivery: Delivery,
        now: Instant,
        closed: &mut VecDeque<Batch>,
    ) -> Result<(), RecordTooLarge> {
        let record_bytes = delivery.message.record_bytes();
        let alone = self.envelope.event_bytes(1, record_bytes);
        if alone > self.limits.bytes_max {
            return Err(RecordTooLarge { event_bytes: alone });
        }
        let with = self.envelope.event_bytes(self.open.len() + 1, self.open_bytes + record_bytes);
        if with > self.limits.bytes_max {
            self.close(closed);
        }
        if self.open.is_empty() {
            self.closes_at = Some(now + self.limits.window);
        }
        self.open.push(delivery);
        self.open_bytes += record_bytes;
        if self.open.len() >= self.limits.records_max.get() {
            self.close(closed);
        }
        Ok(())
    }

    /// Closes the open batch, if its window has ended.
    pub fn close_if_due(&mut self, now: Instant, closed: &mut VecDeque<Batch>) {
        if self.closes_at.is_some_and(|closes_at| closes_at <= now) {
            self.close(closed);
        }
    }

    /// Closes the open batch, if there is one.
    pub fn close(&mut self, closed: &mut VecDeque<Batch>) {
        self.closes_at = None;
        if self.open.is_empty() {
            return;
        }
        // The next batch is likely to be as large as this one.
        let next = Vec::with_capacity(self.open.len());
        let deliveries = mem::replace(&mut self.open, next);
        let records_bytes = mem::take(&mut self.open_bytes);
        closed.push_back(Batch {
            epoch: self.epoch,
            event_bytes: self.envelope.event_bytes(deliveries.len(), records_bytes),
            deliveries,
            event: None,
            attempts: 0,
        });
    }
}

#[cfg(test)]
mod tests;
