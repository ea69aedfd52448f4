//! What a running host says about its mappings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_mapping::status::{Board, Counts, Status};
use uuid::Uuid;

use crate::plan::Plan;

/// A handle to the status of every mapping of a host, which outlives the host. Clones are handles to
/// the same.
#[derive(Debug, Clone, Default)]
pub struct HostStatus(Arc<Mutex<BTreeMap<String, Entry>>>);

/// A mapping, and where it writes its status.
#[derive(Debug)]
struct Entry {
    plan: Arc<Plan>,
    board: Arc<Board>,
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
    /// The virtual host that the queue is in, where its broker has such.
    pub virtual_host: Option<String>,
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
    /// Shows a mapping with these settings. One of this name that was here keeps its board.
    pub(crate) fn show(&self, plan: Arc<Plan>) -> Arc<Board> {
        let mut entries = self.entries();
        let before = entries.remove(&plan.name).map(|entry| entry.board);
        let board = before.unwrap_or_default();
        entries.insert(plan.name.clone(), Entry { plan, board: Arc::clone(&board) });
        board
    }

    /// Shows a mapping no more.
    pub(crate) fn remove(&self, mapping: &str) {
        self.entries().remove(mapping);
    }

    /// What every mapping says now, in the order of their names.
    #[must_use]
    pub fn mappings(&self) -> Vec<MappingStatus> {
        let mapping = |Entry { plan, board }: &Entry| MappingStatus {
            name: plan.name.clone(),
            uuid: plan.uuid,
            broker: plan.mapping.broker.clone(),
            queue: plan.mapping.queue.clone(),
            virtual_host: plan.mapping.virtual_host.clone(),
            function: plan.mapping.function.clone(),
            enabled: plan.mapping.enabled,
            status: board.status(),
            counts: board.counts(),
        };
        self.entries().values().map(mapping).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
