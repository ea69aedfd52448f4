//! Messages of one group are handled in order, whatever the concurrency, and also when a batch fails.

use std::collections::HashMap;

use gristmill_testkit::activemq::ActiveMqServer;
use gristmill_testkit::jms;
use serde_json::Value;

use super::{host_on, mapping, wait_for};
use crate::support::{LONG, drain, nothing_panicked};

const GROUPS: usize = 5;
const MESSAGES: usize = 200;

#[tokio::test]
async fn a_group_is_handled_in_order_by_five_batches_at_once() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let message = |number: usize| {
        // The first of a batch says how long the batch takes; without an order kept, a short one
        // would overtake a long one.
        let body = format!("{{\"sleep_ms\":{}}}", number * 7919 % 60);
        jms::Message {
            group: Some(format!("group-{}", number / 7 % GROUPS)),
            ..jms::Message::text(body)
        }
    };
    let messages: Vec<_> = (0..MESSAGES).map(message).collect();
    let ids = server.peer().await.unwrap().send(&queue, &messages).await.unwrap();
    let numbers: HashMap<&str, usize> =
        ids.iter().enumerate().map(|(number, id)| (id.as_str(), number)).collect();
    let host = host_on(server, &[mapping(&queue, "slow", "", "batch_size = 7")]);
    let mut last = HashMap::new();
    for _ in 0..MESSAGES {
        let line = host.wait_for(LONG, |line| line["stream"] == "stdout").await.unwrap();
        let number = numbers[line["message"].as_str().unwrap()];
        let before = last.insert(messages[number].group.clone(), number);
        assert!(before < Some(number), "{number} after {before:?}");
    }
    wait_for(server, &queue, 0, 0).await;
    drain(&host).await;
    nothing_panicked(&host);
    let most = host.logs().iter().filter(|line| line["message"] == "REPORT").count();
    assert!(most <= MESSAGES.div_ceil(7) + 1, "{most} invocations");
}

#[tokio::test]
async fn two_hosts_share_the_groups_of_a_queue() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let sections = [mapping(&queue, "slow", "", "batch_size = 5")];
    let hosts = [host_on(server, &sections), host_on(server, &sections)];
    for host in &hosts {
        crate::support::subscribed(host, "orders").await;
    }
    let message = |number: usize| jms::Message {
        group: Some(format!("group-{}", number % GROUPS)),
        ..jms::Message::text("{\"sleep_ms\":5}")
    };
    let messages: Vec<_> = (0..MESSAGES).map(message).collect();
    let ids = server.peer().await.unwrap().send(&queue, &messages).await.unwrap();
    wait_for(server, &queue, 0, 0).await;
    let numbers: HashMap<&str, usize> =
        ids.iter().enumerate().map(|(number, id)| (id.as_str(), number)).collect();
    let mut owners = HashMap::new();
    for (host_number, host) in hosts.iter().enumerate() {
        drain(host).await;
        let lines = host.logs();
        let printed = lines.iter().filter(|line| line["stream"] == "stdout");
        let mut last: HashMap<usize, usize> = HashMap::new();
        for line in printed.filter_map(|line| Value::as_str(&line["message"])) {
            let (number, group) = (numbers[line], numbers[line] % GROUPS);
            assert!(last.insert(group, number) < Some(number), "in order");
            assert_eq!(*owners.entry(group).or_insert(host_number), host_number, "one owner");
        }
    }
    assert_eq!(owners.len(), GROUPS);
    assert!((0..2).all(|host| owners.values().any(|owner| *owner == host)), "{owners:?}");
}
