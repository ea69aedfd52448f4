//! Killed at any moment, ten times over: the host or the broker. Nothing is lost.

use std::collections::BTreeSet;

use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::host::Host;
use gristmill_testkit::jms;

use super::{DEAD_LETTERS, host_on, mapping, wait_for};
use crate::support::{LONG, at_any_moment, drain, handled, nothing_panicked};

const ROUNDS: u64 = 10;
const MESSAGES: u64 = 20_000;

async fn prepare(server: &ActiveMqServer) -> Host {
    server.create_queue("orders").await.unwrap();
    server.create_queue(DEAD_LETTERS).await.unwrap();
    let mut peer = server.peer().await.unwrap();
    for first in (0..MESSAGES).step_by(2_000) {
        let numbers = first..first + 2_000;
        let messages: Vec<_> =
            numbers.map(|number| jms::Message::bytes(number.to_string())).collect();
        peer.send("orders", &messages).await.unwrap();
    }
    // The broker counts as redelivered what ten crashes hand over again, failures apart.
    let settings = "batch_size = 20\nmaximum_retry_attempts = -1";
    host_on(server, &[mapping("orders", "chaotic", "", settings)])
}

/// What the handler has handled since the host's last start.
fn note(host: &Host, all: &mut BTreeSet<u64>) {
    all.extend(handled(host, "chaotic-on-orders"));
}

/// Waits until every message was handled at least once, and the queue is empty.
async fn until_complete(server: &ActiveMqServer, host: &Host, all: &mut BTreeSet<u64>) {
    loop {
        note(host, all);
        if all.len() as u64 == MESSAGES {
            break;
        }
        let report = host.wait_for(LONG, |line| line["message"] == "REPORT").await;
        let missing = || (0..MESSAGES).filter(|number| !all.contains(number)).collect::<Vec<_>>();
        assert!(report.is_ok(), "lost: {:?}", missing());
    }
    wait_for(server, "orders", 0, 0).await;
    wait_for(server, DEAD_LETTERS, 0, 0).await;
}

#[tokio::test]
async fn a_host_killed_ten_times_handles_every_message() {
    let server = ActiveMqServer::start().await.unwrap();
    let mut host = prepare(&server).await;
    let mut all = BTreeSet::new();
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
    let mut server = ActiveMqServer::start().await.unwrap();
    let host = prepare(&server).await;
    for _ in 0..ROUNDS {
        at_any_moment(&host).await;
        server.kill9().await.unwrap();
        server.restart().await.unwrap();
    }
    until_complete(&server, &host, &mut BTreeSet::new()).await;
    drain(&host).await;
    nothing_panicked(&host);
}

#[tokio::test]
async fn when_the_master_of_a_pair_dies_its_standby_is_consumed_and_nothing_is_lost() {
    let mut master = ActiveMqServer::start().await.unwrap();
    let standby = master.standby().unwrap();
    let numbers = (0..MESSAGES / 10).map(|number| number.to_string());
    super::send_texts(&master, "orders", numbers).await;
    let url = format!("failover:({},{})", master.url(), standby.url());
    let broker = format!("[broker.broker]\ntype = \"activemq\"\nurl = \"{url}\"\n");
    let settings = "batch_size = 20\nmaximum_retry_attempts = -1";
    let sections = broker + &mapping("orders", "chaotic", "", settings);
    let host = Host::start(std::path::Path::new(crate::support::GRISTMILL), &sections).unwrap();
    at_any_moment(&host).await;
    master.kill9().await.unwrap();
    standby.ready().await.unwrap();
    wait_for(&standby, "orders", 0, 0).await;
    drain(&host).await;
    nothing_panicked(&host);
    let mut all = BTreeSet::new();
    note(&host, &mut all);
    assert_eq!(all, (0..MESSAGES / 10).collect());
}
