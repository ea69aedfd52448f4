//! The test cluster: what its quorum queues outlive.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use gristmill_testkit::amqp::{Client, Field, Properties, Table};
use gristmill_testkit::rabbitmq::RabbitCluster;
use gristmill_testkit::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
const COUNT: u32 = 50;

async fn publish(client: &mut Client, queue: &str) {
    client.confirm_select().await.unwrap();
    for number in 0..COUNT {
        let body = number.to_string();
        client.publish(queue, &Properties::persistent(), body.as_bytes()).await.unwrap();
    }
    client.wait_for_confirms().await.unwrap();
}

/// Takes what was published, in its order.
async fn take_all(client: &mut Client, queue: &str) {
    for number in 0..COUNT {
        let delivery = client.get(queue).await.unwrap().unwrap();
        assert_eq!(delivery.body, number.to_string().as_bytes());
    }
}

#[tokio::test]
async fn a_quorum_queue_outlives_its_leader_and_a_node_that_is_cut_off_comes_back() {
    let mut cluster = RabbitCluster::start(3).await.unwrap();
    let quorum = Table::new().with("x-queue-type", Field::text("quorum"));
    let mut client = cluster.nodes()[0].client("/").await.unwrap();
    client.declare_queue("orders", &quorum).await.unwrap();
    publish(&mut client, "orders").await;

    let leader = cluster.leader("/", "orders").await.unwrap();
    cluster.node_mut(leader).kill9().await.unwrap();
    let other = (leader + 1) % 3;
    until(PATIENCE, async || cluster.leader("/", "orders").await.is_ok_and(|now| now != leader))
        .await;
    let mut client = cluster.nodes()[other].client("/").await.unwrap();
    take_all(&mut client, "orders").await;
    drop(client);
    cluster.node_mut(leader).restart().await.unwrap();

    // One that is cut off has no majority to confirm with. The others go on.
    cluster.partition(other).await.unwrap();
    let mut client = cluster.nodes()[leader].client("/").await.unwrap();
    client.declare_queue("others", &quorum).await.unwrap();
    publish(&mut client, "others").await;
    cluster.heal().await.unwrap();
    until(PATIENCE, async || {
        let Ok(mut client) = cluster.nodes()[other].client("/").await else { return false };
        client.queue_status("others").await.is_ok_and(|status| status.messages == COUNT)
    })
    .await;
    let mut client = cluster.nodes()[other].client("/").await.unwrap();
    take_all(&mut client, "others").await;
}
