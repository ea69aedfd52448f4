//! What a mapping is told, validated by whoever makes it.

use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::DeadLetters;
use gristmill_event::Envelope;

use crate::backoff::Backoff;

/// What a mapping is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The mapping's name, for logs.
    pub name: String,
    /// The queue's name, for logs and dead letters.
    pub queue: String,
    /// The virtual host that the queue is in, where its broker has such, for dead letters.
    pub virtual_host: Option<String>,
    /// The broker's ARN, for dead letters.
    pub event_source_arn: String,
    /// The function's ARN, for dead letters.
    pub function_arn: String,
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
#[derive(Debug, Clone, Default)]
pub struct GiveUp {
    /// The most tries after the first; `None`: for ever.
    pub maximum_retry_attempts: Option<u32>,
    /// The greatest age of a record that is still handed to the function; `None`: any.
    pub maximum_record_age: Option<Duration>,
    /// How often the broker takes a message back before it deletes or dead-letters it; `None`: as
    /// often as need be.
    pub delivery_limit: Option<u32>,
    /// Where given-up records go.
    pub on_failure: OnFailure,
}

/// Where given-up records go.
#[derive(Debug, Clone, Default)]
pub enum OnFailure {
    /// They are rejected, so that the broker moves them where it keeps dead letters: the queue's
    /// dead-letter exchange in RabbitMQ, which deletes them where there is none.
    #[default]
    Broker,
    /// They are kept there, and acked then.
    Keep(Arc<dyn DeadLetters>),
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

#[cfg(test)]
pub(crate) mod tests {
    use gristmill_event::EVENT_BYTES_MAX;

    use super::*;

    /// Those of a mapping that nobody runs.
    pub(crate) fn settings() -> Settings {
        Settings {
            name: "test".to_owned(),
            queue: "orders".to_owned(),
            virtual_host: Some("/".to_owned()),
            event_source_arn: "arn:broker".to_owned(),
            function_arn: "arn:function".to_owned(),
            envelope: Envelope::rabbitmq("arn:broker", "orders", "/"),
            batch: BatchLimits {
                records_max: NonZeroUsize::MIN,
                bytes_max: EVENT_BYTES_MAX,
                window: Duration::ZERO,
            },
            prefetch: NonZeroU16::MIN,
            maximum_concurrency: NonZeroUsize::MIN,
            retry: Backoff::RETRY,
            latest_start: Duration::MAX,
            bisect_batch_on_function_error: false,
            report_batch_item_failures: false,
            give_up: GiveUp::default(),
            drain_timeout: Duration::ZERO,
        }
    }
}
