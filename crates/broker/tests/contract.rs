//! The in-memory fake keeps the contract of a source.

use gristmill_broker::fake::{FakeBroker, FakeSource};
use gristmill_event::BasicProperties;
use gristmill_testkit::contract::Harness;
use gristmill_testkit::contract_suite;

const QUEUE: &str = "orders";

struct Fake(FakeBroker);

impl Harness for Fake {
    type Source = FakeSource;

    fn source(&self, prefetch: u16) -> FakeSource {
        self.0.source(QUEUE, prefetch)
    }

    async fn publish(&self, bodies: &[&str]) {
        for body in bodies {
            self.0.publish(QUEUE, BasicProperties::default(), body.as_bytes().to_vec());
        }
    }

    async fn wait_for(&self, ready: usize, unsettled: usize) {
        let counts = |broker: &FakeBroker| (broker.ready(QUEUE).len(), broker.unsettled(QUEUE));
        self.0.wait_until(|broker| counts(broker) == (ready, unsettled)).await;
    }

    async fn dead_letters(&self, count: usize) -> Vec<String> {
        self.0.wait_until(|broker| broker.dead_letters(QUEUE).len() == count).await;
        let letters = self.0.dead_letters(QUEUE).into_iter();
        letters.map(|body| String::from_utf8_lossy(&body).into_owned()).collect()
    }

    async fn cut_connections(&self) {
        self.0.cut_connections();
    }

    async fn cancel_consumers(&self) {
        self.0.cancel_consumers(QUEUE);
    }
}

contract_suite!(Fake(FakeBroker::default()));
