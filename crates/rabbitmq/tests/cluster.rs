//! A node that is cut off from its cluster keeps no source from the others.

use std::num::NonZeroU16;
use std::time::Duration;

use gristmill_broker::{Disposition, Login, Received, Secret, Source};
use gristmill_rabbitmq::{Address, ConnectionSettings, RabbitMq, SourceSettings};
use gristmill_testkit::amqp::{Field, Properties, Table};
use gristmill_testkit::rabbitmq::{RabbitCluster, RabbitServer};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(120);
/// One of the node that is cut off, one of the connection that this has ended, and one to spare.
const ATTEMPTS: usize = 3;

#[tokio::test]
async fn a_source_goes_to_the_next_node_when_the_first_starts_no_consumer() {
    let cluster = RabbitCluster::start(3).await.unwrap();
    let [first, .., last] = cluster.nodes() else { panic!("a cluster of three") };
    let mut client = last.client("/").await.unwrap();
    let quorum = Table::new().with("x-queue-type", Field::text("quorum"));
    client.declare_queue("orders", &quorum).await.unwrap();
    client.confirm_select().await.unwrap();
    client.publish("orders", &Properties::persistent(), b"a").await.unwrap();
    client.wait_for_confirms().await.unwrap();
    cluster.partition(0).await.unwrap();

    let login = Login { username: "guest".to_owned(), password: Secret::new("guest".to_owned()) };
    let address =
        |node: &RabbitServer| Address { host: "127.0.0.1".to_owned(), port: node.amqp_port() };
    let broker = RabbitMq::new(ConnectionSettings {
        addresses: vec![address(first), address(last)],
        tls: None,
        virtual_host: "/".to_owned(),
        login: login.into(),
        heartbeat_s: 10,
        connect_timeout: LONG,
        connection_name: "cluster".to_owned(),
    });
    let mut source = broker.source(SourceSettings {
        queue: "orders".to_owned(),
        consumer_tag: "gristmill-cluster".to_owned(),
        prefetch: NonZeroU16::new(10).unwrap(),
    });
    let mut attempts = 0;
    while let Err(error) = timeout(LONG, source.subscribe()).await.unwrap() {
        assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
        attempts += 1;
        assert!(attempts < ATTEMPTS, "{error}");
    }
    let received = timeout(LONG, source.receive()).await.unwrap().unwrap();
    assert!(matches!(received, Received::Delivery(_)));
}
