//! Everything goes wrong at once, on each kind of broker: short runs of `cargo xtask chaos`, with
//! seeds whose first faults are of every kind.

use std::collections::BTreeSet;
use std::path::Path;

use gristmill_testkit::chaos::{self, Broker, Length, Plan};

/// Of a schedule, the first storm, whose faults are of so many kinds.
async fn nothing_is_lost(broker: Broker, seed: u64, kinds: usize) {
    let gristmill = Path::new(env!("CARGO_BIN_EXE_gristmill")).to_owned();
    let plan = Plan { broker, length: Length::Storm, seed, gristmill };
    let outcome = chaos::run(&plan, &|_| {}).await.unwrap();
    outcome.verdict().unwrap();
    let happened: BTreeSet<_> = outcome.faults.iter().map(|fault| fault.fault.kind()).collect();
    assert_eq!(happened.len(), kinds, "{happened:?}");
}

#[tokio::test]
async fn nothing_is_lost_on_rabbitmq() {
    nothing_is_lost(Broker::RabbitMq, 16_856, 12).await;
}

#[tokio::test]
async fn nothing_is_lost_on_activemq() {
    nothing_is_lost(Broker::ActiveMq, 10_169, 12).await;
}

#[tokio::test]
async fn nothing_is_lost_on_the_embedded_queue() {
    nothing_is_lost(Broker::Embedded, 45_631, 6).await;
}
