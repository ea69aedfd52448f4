//! Networks and brokers that cut, delay, forget and freeze: the host comes back by itself.

use std::time::Duration;

use gristmill_testkit::amqp::{Client, Properties, Table};
use gristmill_testkit::host::Host;
use gristmill_testkit::proxy::Proxy;
use gristmill_testkit::rabbitmq::RabbitServer;

use crate::support::{
    Broker, LONG, drain, host_at, host_on_with, mapping_on, nothing_panicked, subscribed,
};

async fn orders(client: &mut Client, ids: std::ops::Range<u32>) {
    client.confirm_select().await.unwrap();
    for id in ids {
        let message_id = Some(id.to_string());
        let properties = Properties { message_id, ..Properties::persistent() };
        client.publish("orders", &properties, b"{}").await.unwrap();
    }
    client.wait_for_confirms().await.unwrap();
}

/// Waits until the handler has printed an id.
async fn handled(host: &Host, id: u32) {
    let id = id.to_string();
    let printed =
        |line: &serde_json::Value| line["stream"] == "stdout" && line["message"] == id.as_str();
    host.wait_for(LONG, printed).await.unwrap();
}

async fn lost(host: &Host) {
    host.wait_for(LONG, |line| line["message"] == "no subscription; will try again").await.unwrap();
}

#[tokio::test]
async fn a_network_that_cuts_delays_and_forgets_holds_up_nothing_for_good() {
    let mut broker = Broker::with(&["orders"]).await;
    let proxy = Proxy::start(broker.server.amqp_port()).await.unwrap();
    let host =
        host_at(proxy.port(), "heartbeat = \"2s\"\n", &[broker.mapping("orders", "slow", "", "")]);
    subscribed(&host, "orders").await;
    for id in 0..3 {
        orders(&mut broker.client, id..id + 1).await;
        handled(&host, id).await;
        proxy.cut();
        lost(&host).await;
    }
    proxy.refuse(true);
    lost(&host).await;
    proxy.refuse(false);
    subscribed(&host, "orders").await;
    proxy.delay(Duration::from_millis(20));
    orders(&mut broker.client, 3..4).await;
    handled(&host, 3).await;
    proxy.delay(Duration::ZERO);
    // Half open: neither side hears anything, and only the heartbeat tells.
    proxy.swallow(true);
    orders(&mut broker.client, 4..5).await;
    lost(&host).await;
    proxy.swallow(false);
    handled(&host, 4).await;
    broker.wait_for("orders", 0, 0).await;
    drain(&host).await;
    nothing_panicked(&host);
}

#[tokio::test]
async fn a_broker_that_freezes_is_noticed_and_one_in_alarm_is_not_left() {
    let mut server = RabbitServer::start().await.unwrap();
    let mut client = server.client("/").await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    let mapping = mapping_on("/", "orders", "orders", "slow", "", "");
    let host = host_on_with(&server, "heartbeat = \"2s\"\n", &[mapping]);
    orders(&mut client, 0..1).await;
    handled(&host, 0).await;
    server.freeze().await.unwrap();
    lost(&host).await;
    server.thaw().unwrap();
    subscribed(&host, "orders").await;
    let mut client = server.client("/").await.unwrap();
    orders(&mut client, 1..2).await;
    handled(&host, 1).await;

    // An alarm stops who publishes, and nobody else.
    orders(&mut client, 2..1_000).await;
    let alarm = |what: &str| format!("rabbit_alarm:{what}.");
    server.eval(&alarm("set_alarm({{resource_limit, memory, node()}, []})")).await.unwrap();
    handled(&host, 999).await;
    server.eval(&alarm("clear_alarm({resource_limit, memory, node()})")).await.unwrap();
    drain(&host).await;
    nothing_panicked(&host);
    assert_eq!(client.queue_status("orders").await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_queue_deleted_and_declared_again_is_consumed_again() {
    let mut broker = Broker::with(&["orders"]).await;
    let host = broker.host(&[broker.mapping("orders", "slow", "", "")]);
    orders(&mut broker.client, 0..1).await;
    handled(&host, 0).await;
    broker.client.delete_queue("orders").await.unwrap();
    host.wait_for(LONG, |line| line["code"] == "ESM_CONFIG_NOT_VALID").await.unwrap();
    broker.client.declare_queue("orders", &Table::new()).await.unwrap();
    orders(&mut broker.client, 1..2).await;
    handled(&host, 1).await;
    drain(&host).await;
    nothing_panicked(&host);
}
