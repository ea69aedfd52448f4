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
    /// The greatest age of the oldest unsettled delivery at which a batch may still start; see
    /// [`consumer_timeout`](crate::consumer_timeout).
    pub latest_start: Duration,
    /// Whether a failed batch of several records is called again as two halves, so that one record that
    /// cannot be handled is soon alone. A half is no further try of its records.
    pub bisect_batch_on_function_error: bool,
    /// Whether the function's response says which records it wants again; otherwise it is not read.
    pub report_batch_item_failures: bool,
    /// When a record is given up, and where it goes then.
    pub give_up: GiveUp,
    /// How long a drain may take; what is unsettled then goes back to the broker.
    pub drain_timeout: Duration,
}

/// When a record is given up, and where it goes then.
///
/// Whoever sets one of the first two sets `on_failure` too: without it nothing may be given up, and
/// they count for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GiveUp {
    /// The most tries after the first; `None`: for ever.
    pub maximum_retry_attempts: Option<u32>,
    /// The greatest age of a record that is still handed to the function; `None`: any.
    pub maximum_record_age: Option<Duration>,
    /// How often the broker takes a message back before it deletes or dead-letters it; `None`: as
    /// often as need be.
    pub delivery_limit: Option<u32>,
    /// Where given-up records go; `None`: nowhere, so that a mapping stops rather than lose one.
    pub on_failure: Option<OnFailure>,
}

/// Where given-up records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// They are rejected, so that the broker moves them to the queue's dead-letter exchange; it
    /// deletes them where there is none.
    Broker,
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
