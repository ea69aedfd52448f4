//! How attempts and epochs end that the contract's suite cannot bring about.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::{Disposition, Login, Received, Secret, Source, SourceError};
use gristmill_rabbitmq::{Address, ConnectionSettings, RabbitMq, RabbitMqSource, SourceSettings};
use gristmill_testkit::amqp::{Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(120);

fn broker(port: u16, connect_timeout: Duration) -> Arc<RabbitMq> {
    RabbitMq::new(ConnectionSettings {
        addresses: vec![Address { host: "127.0.0.1".to_owned(), port }],
        tls: None,
        virtual_host: "/".to_owned(),
        login: Login { username: "guest".to_owned(), password: Secret::new("guest".to_owned()) }
            .into(),
        heartbeat_s: 10,
        connect_timeout,
        connection_name: "endings".to_owned(),
    })
}

fn source(broker: &Arc<RabbitMq>) -> RabbitMqSource {
    broker.source(SourceSettings {
        queue: "orders".to_owned(),
        consumer_tag: "gristmill-endings".to_owned(),
        prefetch: NonZeroU16::new(10).unwrap(),
    })
}

#[tokio::test]
async fn an_attempt_that_times_out_leaves_no_socket_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = broker(silent.local_addr().unwrap().port(), Duration::from_millis(200));
    let error = source(&broker).subscribe().await.unwrap_err();
    assert!(matches!(&error, SourceError::Unreachable { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
    let (mut accepted, _) = silent.accept().await.unwrap();
    let mut said = Vec::new();
    timeout(LONG, accepted.read_to_end(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, b"AMQP\x00\x00\x09\x01", "the header, and then the end");
}

#[tokio::test]
async fn a_channel_closed_by_the_broker_ends_the_epoch_and_the_next_one_begins() {
    // A delivery left unsettled for a second closes the channel; the broker looks every half second.
    let server = RabbitServer::start_with(&["consumer_timeout = 1000"]).await.unwrap();
    server.eval("application:set_env(rabbit, channel_tick_interval, 500).").await.unwrap();
    let mut client = server.client("/").await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    client.publish("orders", &Properties::persistent(), b"a").await.unwrap();

    let mut source = source(&broker(server.amqp_port(), LONG));
    let first = source.subscribe().await.unwrap();
    let received = timeout(LONG, source.receive()).await.unwrap().unwrap();
    assert!(matches!(received, Received::Delivery(_)));
    let error = timeout(LONG, source.receive()).await.unwrap().unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect);
    assert!(error.to_string().contains("timeout"), "{error}");

    assert!(source.subscribe().await.unwrap() > first);
    let received = timeout(LONG, source.receive()).await.unwrap().unwrap();
    let Received::Delivery(delivery) = received else { panic!("expected a delivery") };
    assert!(delivery.message.redelivered);
}
