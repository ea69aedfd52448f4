//! The invocations that are running: tasks on the guests' runtimes.
//!
//! They outlive an epoch. A function that is still at work on a batch of an ended epoch keeps its
//! slot, so that `maximum_concurrency`, and with 1 the order, hold over a reconnect too.
//!
//! What must never happen: a batch in two invocations, or a guest on the threads that do I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gristmill_event::Envelope;
use gristmill_invocation::{Function, Invocation, Outcome, Report, Uuid};
use tokio::task::{Id, JoinError, JoinSet};

use crate::batcher::Batch;
use crate::failures::failed_records;
use crate::lanes::Lanes;

/// A batch back from its invocation.
#[derive(Debug)]
pub(crate) struct Invoked {
    pub(crate) batch: Batch,
    pub(crate) request_id: Uuid,
    pub(crate) report: Report,
    /// The positions of the records that the function wants again, or what is wrong with its response.
    pub(crate) failed: Result<BTreeSet<usize>, String>,
}

/// The running invocations of one mapping. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Slots<F> {
    function: Arc<F>,
    envelope: Arc<Envelope>,
    lanes: Lanes,
    /// Whether the function's responses are read.
    reads_responses: bool,
    /// Whether the function's last invocation computed for long; shared with those that run.
    was_long: Arc<AtomicBool>,
    running: JoinSet<Invoked>,
    /// The groups of those whose batches have any.
    groups: HashMap<Id, BTreeSet<Arc<str>>>,
}

impl<F: Function> Slots<F> {
    pub(crate) fn new(
        function: Arc<F>,
        envelope: Arc<Envelope>,
        lanes: Lanes,
        reads_responses: bool,
    ) -> Self {
        Self {
            function,
            envelope,
            lanes,
            reads_responses,
            was_long: Arc::default(),
            running: JoinSet::new(),
            groups: HashMap::new(),
        }
    }

    pub(crate) fn function_name(&self) -> &str {
        self.function.name()
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// The groups of the batches that run, also of those from an ended epoch.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &BTreeSet<Arc<str>>> {
        self.groups.values()
    }

    /// Starts an invocation, which may wait so long for its turn. Encoding the event is part of it:
    /// it costs as much as a small handler, and the threads that do I/O have no time for it.
    pub(crate) fn start(&mut self, mut batch: Batch, wait_max: Duration) {
        let function = Arc::clone(&self.function);
        let envelope = Arc::clone(&self.envelope);
        batch.count_attempt(&envelope);
        let request_id = Uuid::new_v4();
        let groups = batch.groups().clone();
        let reads_responses = self.reads_responses;
        let invocation = async move {
            let attempt = batch.attempts();
            let event = batch.event(&envelope);
            let invocation = Invocation { request_id, event, attempt, wait_max };
            let report = function.invoke(invocation).await;
            // Reading it may take as long as the function did.
            let mut failed = Ok(BTreeSet::new());
            if let Outcome::Succeeded(response) = &report.outcome
                && reads_responses
            {
                let ids = batch.deliveries().map(|delivery| delivery.message.id());
                failed = failed_records(response.as_deref(), &ids.collect::<Vec<_>>());
            }
            Invoked { batch, request_id, report, failed }
        };
        let id = self.lanes.spawn_in(&mut self.running, &self.was_long, invocation);
        if !groups.is_empty() {
            self.groups.insert(id, groups);
        }
    }

    /// The next invocation that ends; waits for ever while none runs.
    ///
    /// # Cancel safety
    ///
    /// Safe: an ending is given out once, to a call that completes.
    pub(crate) async fn next(&mut self) -> Result<Invoked, JoinError> {
        let Some(ended) = self.running.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(lost) => lost.id(),
        };
        self.groups.remove(&id);
        ended.map(|(_, invoked)| invoked)
    }
}
