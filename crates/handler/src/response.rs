//! The response that names the messages to have again.

use serde::Serialize;

use crate::record::Record;

/// The records of a batch that failed, for a handler whose mapping sets
/// `report_batch_item_failures`: those are tried again, and all others are done.
///
/// # Examples
///
/// ```
/// use gristmill_handler::{BatchItemFailures, Event};
///
/// let event = r#"{"rmqMessagesByQueue":{"q::/":[{"data":"e30="},{"data":"?"}]}}"#;
/// let event = Event::parse(event)?;
/// let failed = event.records().filter(|record| record.data().is_err());
/// let failures: BatchItemFailures = failed.collect();
///
/// let json = r##"{"batchItemFailures":[{"itemIdentifier":"#1"}]}"##;
/// assert_eq!(failures.to_json(), json);
/// # Ok::<(), gristmill_handler::EventError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailures {
    batch_item_failures: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    item_identifier: String,
}

impl BatchItemFailures {
    /// No failures.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record, by its place in the event.
    pub fn push(&mut self, record: &Record<'_>) {
        self.push_identifier(record.item_identifier());
    }

    /// Adds what an identifier names: `#` and a place in the event, or else every record with that
    /// message id. One that names nothing fails the whole batch.
    pub fn push_identifier(&mut self, item_identifier: impl Into<String>) {
        self.batch_item_failures.push(Item { item_identifier: item_identifier.into() });
    }

    /// Whether nothing failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch_item_failures.is_empty()
    }

    /// How many were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch_item_failures.len()
    }

    /// The response: `{"batchItemFailures":[{"itemIdentifier":"#1"}]}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // It is made of strings only, which always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What `handle-batch` returns: the response, or nothing if nothing failed.
    #[must_use]
    pub fn into_response(self) -> Option<String> {
        (!self.is_empty()).then(|| self.to_json())
    }
}

impl<'e> FromIterator<Record<'e>> for BatchItemFailures {
    fn from_iter<I: IntoIterator<Item = Record<'e>>>(records: I) -> Self {
        let mut failures = Self::new();
        failures.extend(records);
        failures
    }
}

impl<'e> Extend<Record<'e>> for BatchItemFailures {
    fn extend<I: IntoIterator<Item = Record<'e>>>(&mut self, records: I) {
        for record in records {
            self.push(&record);
        }
    }
}
