//! Every log event of a mapping, and every change of its status. Constant messages; what varies is
//! in fields.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::{Disposition, Epoch, KeepError, StopCode, with_causes};
use gristmill_invocation::{Outcome, Report, Uuid};
use tokio::task::JoinError;
use tracing::{error, info, warn};

use crate::batcher::Batch;
use crate::record::Reason;
use crate::settings::Settings;
use crate::status::{Board, Change};

/// The most ids of messages that one line names.
const IDS_MAX: usize = 10;

/// The most characters of what a handler said that the status shows.
const PROBLEM_CHARS_MAX: usize = 1_000;

/// What a mapping says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    mapping: String,
    queue: String,
    board: Arc<Board>,
}

impl Telemetry {
    pub(crate) fn new(settings: &Settings, board: Arc<Board>) -> Self {
        Self { mapping: settings.name.clone(), queue: settings.queue.clone(), board }
    }

    /// Notes a change of the status, and logs it when the state or its reason is another than before.
    pub(crate) fn note(&self, change: Change) {
        if let Some(status) = self.board.note(change) {
            let (mapping, queue) = self.names();
            info!(
                mapping,
                queue,
                state = status.state.as_str(),
                state_transition_reason = status.reason.as_str(),
                last_processing_result = status.last_processing_result(),
                "state changed"
            );
        }
    }

    pub(crate) fn received(&self, messages: usize) {
        self.board.count_received(messages);
    }

    pub(crate) fn handled(&self, messages: usize) {
        self.board.count_handled(messages);
    }

    /// How many messages were handled in all epochs.
    pub(crate) fn handled_so_far(&self) -> u64 {
        self.board.counts().handled
    }

    /// As values they are quoted and escaped.
    fn names(&self) -> (&str, &str) {
        (&self.mapping, &self.queue)
    }

    pub(crate) fn subscribed(&self, epoch: Epoch) {
        let (mapping, queue) = self.names();
        info!(mapping, queue, %epoch, "subscribed");
        self.note(Change::Subscribed);
    }

    pub(crate) fn not_subscribed(&self, reason: &dyn Error, disposition: Disposition) {
        let (mapping, queue) = self.names();
        let reason_text = with_causes(reason);
        match disposition {
            Disposition::Reconnect => {
                warn!(mapping, queue, reason = reason_text, "no subscription; will try again");
                self.note(Change::Away(reason_text));
            }
            Disposition::Stop(code) => {
                error!(
                    mapping,
                    queue,
                    code = code.as_str(),
                    reason = reason_text,
                    "no subscription; somebody must act"
                );
                self.note(Change::Refused(code, reason_text));
            }
        }
    }

    pub(crate) fn cancelled(&self) {
        let (mapping, queue) = self.names();
        warn!(mapping, queue, "the broker cancelled the consumer; will subscribe again");
        self.note(Change::Away(
            "the broker has cancelled the consumer; it will be subscribed again".to_owned(),
        ));
    }

    pub(crate) fn settle_timed_out(&self) {
        let (mapping, queue) = self.names();
        warn!(mapping, queue, "the broker took no settlement in time");
        self.note(Change::Away("the broker took no settlement in time".to_owned()));
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
        self.note(Change::Away("an invocation's task died, which is a bug of the host".to_owned()));
    }

    pub(crate) fn aged(&self) {
        let (mapping, queue) = self.names();
        info!(
            mapping,
            queue,
            "deliveries were unsettled for nearly the broker's consumer_timeout; subscribing again"
        );
    }

    pub(crate) fn held(&self, reason: String) {
        let (mapping, queue) = self.names();
        let code = StopCode::ConfigNotValid;
        error!(
            mapping,
            queue,
            code = code.as_str(),
            reason,
            "the mapping is held; somebody must act"
        );
        self.note(Change::Refused(code, reason));
    }

    pub(crate) fn may_be_deleted(&self, messages: usize) {
        let (mapping, queue) = self.names();
        error!(
            mapping,
            queue,
            messages,
            "messages near the queue's delivery limit go back to the broker, which deletes what comes \
             back too often"
        );
    }

    pub(crate) fn expired(&self, messages: usize) {
        let (mapping, queue) = self.names();
        self.board.count_expired(messages);
        info!(mapping, queue, messages, "messages expired while they were held");
    }

    pub(crate) fn gave_up<'a>(
        &self,
        reason: &Reason,
        messages: usize,
        ids: impl IntoIterator<Item = &'a str>,
    ) {
        let (mapping, queue) = self.names();
        self.board.count_given_up(messages);
        let ids: Vec<&str> = ids.into_iter().take(IDS_MAX).collect();
        warn!(
            mapping,
            queue,
            condition = reason.condition.as_str(),
            messages,
            message_ids = ?ids,
            error = reason.error(),
            "gave up; the messages are dead letters now"
        );
    }

    /// Dead letters could not be kept, and are tried again after a while.
    pub(crate) fn not_kept(&self, reason: &KeepError, wait: Duration) {
        let (mapping, queue) = self.names();
        let (reason_text, retry_in_ms) = (with_causes(reason), milliseconds(wait));
        match reason.disposition() {
            Disposition::Reconnect => {
                warn!(
                    mapping,
                    queue,
                    reason = reason_text,
                    retry_in_ms,
                    "given-up messages are not kept yet; will try again"
                );
                self.note(Change::Failed(reason_text));
            }
            Disposition::Stop(code) => {
                error!(
                    mapping,
                    queue,
                    code = code.as_str(),
                    reason = reason_text,
                    retry_in_ms,
                    "given-up messages cannot be kept; somebody must act"
                );
                self.note(Change::Refused(code, reason_text));
            }
        }
    }

    pub(crate) fn keeping_is_slow(&self) {
        let (mapping, queue) = self.names();
        let problem = "given-up messages are not kept yet: their place takes nothing at the moment, as \
                       a broker that is short of memory or disk space";
        warn!(mapping, queue, problem, "keeping dead letters takes long");
        self.note(Change::Failed(problem.to_owned()));
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

    pub(crate) fn will_bisect(&self, batch: &Batch, outcome: &Outcome) {
        let (mapping, queue) = self.names();
        warn!(
            mapping,
            queue,
            records = batch.len(),
            error.r#type = outcome.name(),
            reason = outcome.to_string(),
            "batch failed; will call again with each half of it"
        );
    }

    pub(crate) fn failed(&self, outcome: &Outcome) {
        let problem: String = outcome.to_string().chars().take(PROBLEM_CHARS_MAX).collect();
        self.note(Change::Failed(problem));
    }

    /// The one line that every invocation ends with, named after Lambda's.
    pub(crate) fn report(&self, function: &str, request_id: Uuid, batch: &Batch, report: &Report) {
        let mapping = self.mapping.as_str();
        let succeeded = report.outcome.is_success();
        self.board.count_invocation(succeeded);
        if succeeded {
            self.note(Change::Handled);
        }
        info!(
            mapping,
            function,
            %request_id,
            outcome = report.outcome.name(),
            records = batch.len(),
            attempt = batch.attempts(),
            cold = report.cold,
            waited_ms = milliseconds(report.waited),
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
