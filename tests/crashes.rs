//! Killed at any moment, ten times over: the host or the broker. Nothing is lost.

use std::collections::BTreeSet;

use gristmill_testkit::amqp::{Properties, Table};
use gristmill_testkit::host::Host;
use gristmill_testkit::rabbitmq::{QueueCounts, RabbitServer};

use crate::support::{
    LONG, at_any_moment, drain, handled, host_on, mapping_on, nothing_panicked, numbers, quorum,
};

const ROUNDS: u64 = 10;
const MESSAGES: u64 = 20_000;
const QUEUES: [&str; 2] = ["classic", "quorum"];

async fn prepare(server: &RabbitServer) -> Host {
    let mut client = server.client("/").await.unwrap();
    client.confirm_select().await.unwrap();
    client.declare_queue("classic", &Table::new()).await.unwrap();
    client.declare_queue("quorum", &quorum()).await.unwrap();
    server.sync_declarations().await.unwrap();
    for queue in QUEUES {
        for body in numbers(MESSAGES) {
            client.publish(queue, &Properties::persistent(), &body).await.unwrap();
        }
        client.wait_for_confirms().await.unwrap();
    }
    // The broker counts as returns what ten crashes hand over again, failures apart.
    let settings = "batch_size = 20\nmaximum_concurrency = 4\ndelivery_limit = -1";
    let mapping = |queue| mapping_on("/", queue, queue, "chaotic", "", settings);
    host_on(server, &QUEUES.map(mapping))
}

/// What each queue's handlers have handled since the host's last start.
fn note(host: &Host, all: &mut [BTreeSet<u64>; 2]) {
    for (queue, all) in QUEUES.iter().zip(all) {
        all.extend(handled(host, &format!("chaotic-on-{queue}")));
    }
}

/// Waits until every message was handled at least once, and the queues are empty.
async fn until_complete(server: &RabbitServer, host: &Host, all: &mut [BTreeSet<u64>; 2]) {
    let is_complete = |numbers: &BTreeSet<u64>| numbers.len() as u64 == MESSAGES;
    loop {
        note(host, all);
        if all.iter().all(is_complete) {
            break;
        }
        let report = host.wait_for(LONG, |line| line["message"] == "REPORT").await;
        assert!(
            report.is_ok(),
            "lost: {:?}",
            QUEUES.iter().zip(&*all).map(missing).collect::<Vec<_>>()
        );
    }
    for queue in QUEUES {
        let empty = |counts: QueueCounts| (counts.ready, counts.unacked) == (0, 0);
        server.wait_for_counts("/", queue, LONG, empty).await.unwrap();
    }
}

fn missing((queue, numbers): (&&str, &BTreeSet<u64>)) -> String {
    let missing: Vec<u64> = (0..MESSAGES).filter(|number| !numbers.contains(number)).collect();
    format!("{queue}: {missing:?}")
}

#[tokio::test]
async fn a_host_killed_ten_times_handles_every_message() {
    let server = RabbitServer::start().await.unwrap();
    let mut host = prepare(&server).await;
    let mut all = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..ROUNDS {
        at_any_moment(&host).await;
        host.kill9().await.unwrap();
        nothing_panicked(&host);
        note(&host, &mut all);
        host.restart().await.unwrap();
    }
    until_complete(&server, &host, &mut all).await;
    drain(&host).await;
    nothing_panicked(&host);
}

#[tokio::test]
async fn a_broker_killed_ten_times_loses_nothing_and_the_host_comes_back_by_itself() {
    let mut server = RabbitServer::start().await.unwrap();
    let host = prepare(&server).await;
    for _ in 0..ROUNDS {
        at_any_moment(&host).await;
        server.kill9().await.unwrap();
        server.restart().await.unwrap();
    }
    until_complete(&server, &host, &mut [BTreeSet::new(), BTreeSet::new()]).await;
    drain(&host).await;
    nothing_panicked(&host);
    // What a tag of another channel would have caused.
    let stale = server.log().into_iter().find(|line| line.contains("unknown delivery tag"));
    assert_eq!(stale, None);
}
