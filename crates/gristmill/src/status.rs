//! What a running host says about its mappings.

use std::sync::Arc;

use gristmill_mapping::status::{Board, Counts, Status};
use uuid::Uuid;

/// A handle to the status of every mapping of a host, which outlives the host. Clones are handles to
/// the same.
#[derive(Debug, Clone)]
pub struct HostStatus(Arc<[Entry]>);

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) broker: String,
    pub(crate) queue: String,
    pub(crate) virtual_host: String,
    pub(crate) function: String,
    pub(crate) enabled: bool,
    pub(crate) board: Arc<Board>,
}

/// What one mapping says at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its identity, which names the consumer.
    pub uuid: Uuid,
    /// The name of its broker.
    pub broker: String,
    /// Its queue.
    pub queue: String,
    /// The virtual host that the queue is in.
    pub virtual_host: String,
    /// The name of its function.
    pub function: String,
    /// Whether the configuration wants it to work.
    pub enabled: bool,
    /// Its state, and why.
    pub status: Status,
    /// Its counts since the host started.
    pub counts: Counts,
}

impl HostStatus {
    pub(crate) fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self(entries.into_iter().collect())
    }

    pub(crate) fn board(&self, mapping: &str) -> Option<Arc<Board>> {
        let entry = self.0.iter().find(|entry| entry.name == mapping)?;
        Some(Arc::clone(&entry.board))
    }

    /// What every mapping says now, in the order of their names.
    #[must_use]
    pub fn mappings(&self) -> Vec<MappingStatus> {
        let mapping = |entry: &Entry| MappingStatus {
            name: entry.name.clone(),
            uuid: entry.uuid,
            broker: entry.broker.clone(),
            queue: entry.queue.clone(),
            virtual_host: entry.virtual_host.clone(),
            function: entry.function.clone(),
            enabled: entry.enabled,
            status: entry.board.status(),
            counts: entry.board.counts(),
        };
        self.0.iter().map(mapping).collect()
    }
}
