//! A RabbitMQ of three nodes: each killed in turn under load, and one cut off from the others. Two hosts
//! that know all addresses go on, and nothing that was confirmed is lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use gristmill_testkit::amqp::{Client, Properties};
use gristmill_testkit::host::Host;
use gristmill_testkit::rabbitmq::{QueueCounts, RabbitCluster, RabbitServer};
use serde_json::Value;
use tokio::time::{interval, timeout};

use crate::support::{GRISTMILL, LONG, drain, handled, mapping_on, nothing_panicked, quorum};

const NODES: usize = 3;
/// How many messages are sent and confirmed together.
const GROUP: u64 = 50;
/// Between two of them: about what the two hosts handle.
const PACE: Duration = Duration::from_millis(50);
/// A node that confirms nothing for so long is left for the next.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// More than a host has in hand: it has got new ones.
const CALLS: usize = 20;

fn host(addresses: impl Iterator<Item = u16>) -> Host {
    let urls: Vec<_> = addresses.map(|port| format!("amqp://127.0.0.1:{port}")).collect();
    let broker = format!("[broker.broker]\ntype = \"rabbitmq\"\nurls = {urls:?}\n\n");
    let settings = "batch_size = 20\nmaximum_concurrency = 4";
    let mapping = mapping_on("/", "orders", "orders", "chaotic", "", settings);
    Host::start(Path::new(GRISTMILL), &(broker + &mapping)).unwrap()
}

/// Publishes numbers until it is told to stop, and returns those that were confirmed.
async fn publish(ports: &[u16], stop: &AtomicBool) -> BTreeSet<u64> {
    let mut confirmed = BTreeSet::new();
    let mut next = 0;
    let mut pace = interval(PACE);
    for port in ports.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let connecting = async {
            let mut client = Client::connect(*port, "/").await?;
            client.confirm_select().await?;
            Result::<_>::Ok(client)
        };
        let Ok(Ok(mut client)) = timeout(CONFIRM_TIMEOUT, connecting).await else { continue };
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            let group = next..next + GROUP;
            next += GROUP;
            let sending = async {
                for number in group.clone() {
                    let body = number.to_string();
                    client.publish("orders", &Properties::persistent(), body.as_bytes()).await?;
                }
                client.wait_for_confirms().await
            };
            match timeout(CONFIRM_TIMEOUT, sending).await {
                Ok(Ok(())) => confirmed.extend(group),
                Ok(Err(_)) | Err(_) => break,
            }
        }
    }
    confirmed
}

/// Waits until a host has got messages and handled them, from now on.
async fn goes_on(host: &Host) {
    // What it has said until now.
    drop(host.wait_for(Duration::ZERO, |_| false).await);
    let mut calls = 0;
    let enough = |line: &Value| {
        calls += usize::from(line["message"] == "REPORT" && line["outcome"] == "succeeded");
        calls == CALLS
    };
    host.wait_for(LONG, enough).await.unwrap();
}

async fn break_nodes(cluster: &mut RabbitCluster, hosts: &[Host; 2]) {
    let [one, other] = hosts;
    tokio::join!(goes_on(one), goes_on(other));
    for index in 0..NODES {
        cluster.node_mut(index).kill9().await.unwrap();
        tokio::join!(goes_on(one), goes_on(other));
        cluster.node_mut(index).restart().await.unwrap();
    }
    // A host whose node is cut off may have to wait for the end of that.
    let leader = cluster.leader("/", "orders").await.unwrap();
    cluster.partition(leader).await.unwrap();
    tokio::select! {
        () = goes_on(one) => {}
        () = goes_on(other) => {}
    }
    cluster.heal().await.unwrap();
    tokio::join!(goes_on(one), goes_on(other));
}

#[tokio::test]
async fn nodes_killed_in_turn_and_one_cut_off_lose_nothing() {
    let mut cluster = RabbitCluster::start(NODES).await.unwrap();
    let ports: Vec<_> = cluster.nodes().iter().map(RabbitServer::amqp_port).collect();
    let mut client = cluster.nodes()[0].client("/").await.unwrap();
    client.declare_queue("orders", &quorum()).await.unwrap();
    let hosts = [0, 1].map(|first| host(ports.iter().copied().cycle().skip(first).take(NODES)));

    let stop = AtomicBool::new(false);
    let breaking = async {
        break_nodes(&mut cluster, &hosts).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (confirmed, ()) = tokio::join!(publish(&ports, &stop), breaking);

    let node = &cluster.nodes()[0];
    let empty = |counts: QueueCounts| (counts.ready, counts.unacked) == (0, 0);
    node.wait_for_counts("/", "orders", LONG, empty).await.unwrap();
    for host in &hosts {
        drain(host).await;
        nothing_panicked(host);
    }
    let all: BTreeSet<_> =
        hosts.iter().flat_map(|host| handled(host, "chaotic-on-orders")).collect();
    let lost: Vec<_> = confirmed.difference(&all).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), confirmed.len());
    assert!(confirmed.len() as u64 > 10 * GROUP, "too little load: {}", confirmed.len());
}
