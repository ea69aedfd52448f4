//! Lambda's invocation record: what goes with a dead letter, and says why it is one. Pure.
//!
//! Its shape is that of the records which Lambda sends to on-failure destinations (AWS Lambda developer
//! guide, "Retaining discarded batches"), where each event source has its own `…BatchInfo`; Amazon MQ
//! has none there, so ours is made after those. One record is about one dead letter: so `messageIds`
//! has one id at most, while `batchSize` says with how many others it was handled last.
//!
//! What must never happen: a record whose size somebody else chooses.

use std::time::{Duration, SystemTime};

use gristmill_invocation::{Outcome, Uuid};
use serde_json::json;

use crate::settings::Settings;
use crate::verdict::Condition;

/// The most characters of an error that go with a dead letter.
const ERROR_CHARS_MAX: usize = 1_000;

/// How a batch failed so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Of the last call.
    request_id: Uuid,
    first_error: String,
    last_error: String,
    /// How many records the last call had.
    batch_size: usize,
}

impl Failure {
    /// What is known after one more call that failed.
    #[must_use]
    pub fn after(
        before: Option<Self>,
        request_id: Uuid,
        outcome: &Outcome,
        batch_size: usize,
    ) -> Self {
        let last_error = shortened(&outcome.to_string());
        let first_error = before.map_or_else(|| last_error.clone(), |before| before.first_error);
        Self { request_id, first_error, last_error, batch_size }
    }
}

/// Why a record is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) condition: Condition,
    /// What is wrong with a message that the function was never given.
    defect: Option<String>,
    failure: Option<Failure>,
}

impl Reason {
    /// A record of a batch, which may have failed before.
    pub(crate) fn of_batch(condition: Condition, failure: Option<Failure>) -> Self {
        Self { condition, defect: None, failure }
    }

    /// A record that no function can be given.
    pub(crate) fn of_message(condition: Condition, defect: &str) -> Self {
        Self { condition, defect: Some(shortened(defect)), failure: None }
    }

    /// What went wrong last, if something did.
    pub(crate) fn error(&self) -> Option<&str> {
        let last = self.failure.as_ref().map(|failure| failure.last_error.as_str());
        last.or(self.defect.as_deref())
    }

    /// The condition, and what went wrong if something did: for brokers that have a place for a cause.
    pub(crate) fn cause(&self) -> String {
        let condition = self.condition.as_str();
        self.error().map_or_else(|| condition.to_owned(), |error| format!("{condition}: {error}"))
    }

    /// The invocation record of a message that was handed to the function so often, given up now.
    pub(crate) fn record(
        &self,
        settings: &Settings,
        message_id: Option<&str>,
        invoke_count: u32,
        given_up_at_ms: u64,
    ) -> String {
        let failure = self.failure.as_ref();
        let first_error = failure.map(|failure| failure.first_error.as_str());
        // Lambda's answer to a call is 200 whatever the function did.
        let response = json!({
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        });
        json!({
            "requestContext": {
                "requestId": failure.map(|failure| failure.request_id.to_string()),
                "functionArn": settings.function_arn,
                "condition": self.condition.as_str(),
                "approximateInvokeCount": invoke_count,
            },
            "responseContext": failure.map(|_| response),
            "version": "1.0",
            "timestamp": timestamp(given_up_at_ms),
            "MQBatchInfo": {
                "broker": settings.event_source_arn,
                "queue": settings.queue,
                "virtualHost": settings.virtual_host,
                "messageIds": Vec::from_iter(message_id),
                "batchSize": failure.map_or(1, |failure| failure.batch_size),
                "firstError": first_error.or(self.defect.as_deref()),
                "lastError": self.error(),
            },
        })
        .to_string()
    }
}

fn timestamp(unix_ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    humantime::format_rfc3339_millis(time).to_string()
}

fn shortened(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    #[test]
    fn a_record_says_how_it_went_and_is_of_bounded_size() {
        let outcome = |text: &str| Outcome::HandlerError(text.to_owned());
        let id = Uuid::from_u128(7);
        let failure = Failure::after(None, Uuid::from_u128(6), &outcome("first"), 10);
        let failure = Failure::after(Some(failure), id, &outcome(&"x".repeat(100_000)), 5);
        let reason = Reason::of_batch(Condition::RetryAttemptsExhausted, Some(failure));
        let record = reason.record(&settings(), Some("m-1"), 3, 1_700_000_000_123);
        assert!(record.len() < 3_000);
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        let error = format!("the handler answered: {}", "x".repeat(978));
        assert_eq!(
            record,
            json!({
                "requestContext": {
                    "requestId": id.to_string(),
                    "functionArn": "arn:function",
                    "condition": "RetryAttemptsExhausted",
                    "approximateInvokeCount": 3,
                },
                "responseContext": {
                    "statusCode": 200,
                    "executedVersion": "$LATEST",
                    "functionError": "Unhandled",
                },
                "version": "1.0",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "MQBatchInfo": {
                    "broker": "arn:broker",
                    "queue": "orders",
                    "virtualHost": "/",
                    "messageIds": ["m-1"],
                    "batchSize": 5,
                    "firstError": "the handler answered: first",
                    "lastError": error,
                },
            })
        );
    }

    #[test]
    fn a_message_that_no_function_was_given_has_no_request() {
        let reason = Reason::of_message(Condition::RecordTooLarge, "too large");
        assert_eq!(reason.cause(), "RecordTooLarge: too large");
        let record = reason.record(&settings(), None, 0, 0);
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert!(record["requestContext"]["requestId"].is_null());
        assert!(record["responseContext"].is_null());
        assert_eq!(record["MQBatchInfo"]["messageIds"], json!([]));
        assert_eq!(record["MQBatchInfo"]["lastError"], "too large");
    }
}
