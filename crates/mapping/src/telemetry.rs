//! Every log event of a mapping. Constant messages; what varies is in fields.

use std::time::Duration;

use gristmill_broker::{Disposition, Epoch, SourceError};
use gristmill_invocation::{Outcome, Report, Uuid};
use tokio::task::JoinError;
use tracing::{error, info, warn};

use crate::batcher::{Batch, RecordTooLarge};
use crate::settings::Settings;

/// What a mapping says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    mapping: String,
    queue: String,
}

impl Telemetry {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { mapping: settings.name.clone(), queue: settings.queue.clone() }
    }

    /// As values they are quoted and escaped.
    fn names(&self) -> (&str, &str) {
        (&self.mapping, &self.queue)
    }

    pub(crate) fn subscribed(&self, epoch: Epoch) {
        let (mapping, queue) = self.names();
        info!(mapping, queue, %epoch, "subscribed");
    }

    pub(crate) fn not_subscribed(&self, reason: &SourceError) {
        let (mapping, queue) = self.names();
        let reason_text = chain(reason);
        match reason.disposition() {
            Disposition::Reconnect => {
                warn!(mapping, queue, reason = reason_text, "no subscription; will try again");
            }
            Disposition::Stop(code) => error!(
                mapping,
                queue,
                code = code.as_str(),
                reason = reason_text,
                "no subscription; somebody must act"
            ),
        }
    }

    pub(crate) fn cancelled(&self) {
        let (mapping, queue) = self.names();
        warn!(mapping, queue, "the broker cancelled the consumer; will subscribe again");
    }

    pub(crate) fn settle_timed_out(&self) {
        let (mapping, queue) = self.names();
        warn!(mapping, queue, "the broker took no settlement in time");
    }

    pub(crate) fn close_timed_out(&self) {
        let (mapping, queue) = self.names();
        warn!(mapping, queue, "the channel did not close in time; left to the broker");
    }

    pub(crate) fn invocation_lost(&self, lost: &JoinError) {
        let (mapping, queue) = self.names();
        error!(
            mapping,
            queue,
            panicked = lost.is_panic(),
            "an invocation's task died, which is a bug of the host; its batch comes again"
        );
    }

    pub(crate) fn record_too_large(&self, record: RecordTooLarge) {
        let (mapping, queue) = self.names();
        error!(
            mapping,
            queue,
            event_bytes = record.event_bytes,
            "the next message alone makes an event over the limit, so nothing behind it can be \
             handled: the mapping stops; take the message from the queue and restart the host"
        );
    }

    pub(crate) fn cut_short(&self) {
        let (mapping, queue) = self.names();
        warn!(mapping, queue, "the broker held up the drain; what was not settled comes again");
    }

    pub(crate) fn drained(&self, given_back: usize) {
        let (mapping, queue) = self.names();
        info!(mapping, queue, given_back, "drained");
    }

    pub(crate) fn stale(&self, messages: usize) {
        let (mapping, queue) = self.names();
        warn!(mapping, queue, messages, "settled too late; the broker hands these over again");
    }

    pub(crate) fn will_retry(&self, batch: &Batch, outcome: &Outcome, wait: Duration) {
        let (mapping, queue) = self.names();
        warn!(
            mapping,
            queue,
            records = batch.len(),
            attempt = batch.attempts(),
            error.r#type = outcome.name(),
            // As a value it is quoted and escaped: a handler repeats what producers wrote.
            reason = outcome.to_string(),
            retry_in_ms = milliseconds(wait),
            "batch failed; will call again"
        );
    }

    /// The one line that every invocation ends with, named after Lambda's.
    pub(crate) fn report(&self, function: &str, request_id: Uuid, batch: &Batch, report: &Report) {
        let mapping = self.mapping.as_str();
        info!(
            mapping,
            function,
            %request_id,
            outcome = report.outcome.name(),
            records = batch.len(),
            attempt = batch.attempts(),
            duration_ms = milliseconds(report.duration),
            fuel = report.fuel,
            memory_bytes = report.memory_bytes,
            "REPORT"
        );
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// An error with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
