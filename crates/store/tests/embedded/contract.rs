//! An embedded broker keeps the contract of a source.

use gristmill_store::embedded::{EmbeddedBroker, EmbeddedSource};
use gristmill_testkit::contract::Harness;
use gristmill_testkit::contract_suite;
use tempfile::TempDir;

use super::{DEAD, QUEUE, broker, publish, ready, settings, wait_for};

struct Real {
    folder: TempDir,
    broker: EmbeddedBroker,
}

impl Real {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = broker(folder.path());
        Self { folder, broker }
    }
}

impl Harness for Real {
    type Source = EmbeddedSource;

    fn source(&self, prefetch: u16) -> EmbeddedSource {
        self.broker.source(QUEUE, prefetch)
    }

    async fn publish(&self, bodies: &[&str]) {
        publish(&self.broker, bodies).await;
    }

    async fn wait_for(&self, ready: usize, unsettled: usize) {
        wait_for(&self.broker, QUEUE, ready as u64, unsettled as u64).await;
    }

    async fn dead_letters(&self, count: usize) -> Vec<String> {
        wait_for(&self.broker, DEAD, count as u64, 0).await;
        ready(&self.broker, DEAD).await
    }

    async fn cut_connections(&self) {
        self.broker.close().await;
    }

    async fn cancel_consumers(&self) {
        let mut without = settings(self.folder.path());
        without.queues.remove(QUEUE);
        self.broker.configure(without);
    }
}

contract_suite!(Real::new());
