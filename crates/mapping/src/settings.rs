//! What a mapping is told, validated by whoever makes it.

use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use gristmill_event::Envelope;

use crate::backoff::Backoff;

/// What a mapping is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The mapping's name, for logs.
    pub name: String,
    /// The queue's name, for logs.
    pub queue: String,
    /// Everything of its events but the records.
    pub envelope: Envelope,
    /// When a batch closes.
    pub batch: BatchLimits,
    /// The most unsettled deliveries the broker gives; the source is subscribed with the same.
    pub prefetch: NonZeroU16,
    /// The most batches at once, those waiting for their next try included. With 1, records reach
    /// the function in queue order.
    pub maximum_concurrency: NonZeroUsize,
    /// How long a failed batch waits before its next try.
    pub retry: Backoff,
    /// How long a drain may take; what is unsettled then goes back to the broker.
    pub drain_timeout: Duration,
}

/// When a batch closes: at whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// The most records of a batch.
    pub records_max: NonZeroUsize,
    /// The most bytes of a batch's event, envelope and base64 included.
    pub bytes_max: usize,
    /// The longest that a batch's first record waits for others. Zero: a batch takes what is in hand.
    pub window: Duration,
}
