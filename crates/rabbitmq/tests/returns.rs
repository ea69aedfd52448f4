//! How often a quorum queue says that it has taken a message back.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU16;
use std::time::Duration;

use gristmill_broker::{Delivery, Login, Received, Returns, Secret, Settlement, Source};
use gristmill_rabbitmq::{Address, ConnectionSettings, RabbitMq, RabbitMqSource, SourceSettings};
use gristmill_testkit::amqp::{Client, Field, Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

/// A quorum queue of its own with one message, and a source on it.
async fn line(properties: &Properties, declared: &[(&str, Field)]) -> (Client, RabbitMqSource) {
    let server = RabbitServer::shared().await.unwrap();
    let virtual_host = server.test_vhost().await.unwrap();
    let mut client = server.client(&virtual_host).await.unwrap();
    let table = Table::new().with("x-queue-type", Field::text("quorum"));
    let table = declared.iter().fold(table, |table, (name, field)| table.with(name, field.clone()));
    client.declare_queue("orders", &table).await.unwrap();
    client.publish("orders", properties, b"a").await.unwrap();
    let login = Login { username: "guest".to_owned(), password: Secret::new("guest".to_owned()) };
    let broker = RabbitMq::new(ConnectionSettings {
        addresses: vec![Address { host: "127.0.0.1".to_owned(), port: server.amqp_port() }],
        tls: None,
        virtual_host,
        login: login.into(),
        heartbeat_s: 10,
        connect_timeout: LONG,
        connection_name: "returns".to_owned(),
    });
    let mut source = broker.source(SourceSettings {
        queue: "orders".to_owned(),
        consumer_tag: "gristmill-returns".to_owned(),
        prefetch: NonZeroU16::new(10).unwrap(),
    });
    source.subscribe().await.unwrap();
    (client, source)
}

async fn next(source: &mut RabbitMqSource) -> Delivery {
    let received = timeout(LONG, source.receive()).await.unwrap().unwrap();
    let Received::Delivery(delivery) = received else { panic!("expected a delivery") };
    delivery
}

/// Requeued, and then taken back with the end of its channel.
async fn returns_of(source: &mut RabbitMqSource) -> [Returns; 3] {
    let first = next(source).await;
    source.settle(Settlement::Requeue, &[first.token]).await;
    let second = next(source).await;
    source.subscribe().await.unwrap();
    let third = next(source).await;
    [first.returns, second.returns, third.returns]
}

#[tokio::test]
async fn all_returns_are_told_and_those_that_count_towards_the_limit() {
    // Without a limit, the queue requeues in another way. Before RabbitMQ 4 it has none by default.
    let version = RabbitServer::shared().await.unwrap().version();
    let none: &[_] = if version < (4, 0) { &[] } else { &[("x-delivery-limit", Field::I32(-1))] };
    for limit in [&[("x-delivery-limit", Field::I32(20))], none] {
        let (_client, mut source) = line(&Properties::persistent(), limit).await;
        let seen = returns_of(&mut source).await;
        // Since RabbitMQ 4.3, what is requeued is no step towards the limit.
        let counted = if version < (4, 3) { [0, 1, 2] } else { [0, 0, 1] };
        let returns = |all, counted| Returns { all, counted };
        assert_eq!(seen, [returns(0, 0), returns(1, counted[1]), returns(2, counted[2])]);
    }
}

#[tokio::test]
async fn what_a_producer_has_written_does_not_count_towards_the_limit() {
    let headers = Table::new()
        .with("x-delivery-count", Field::I64(1_000))
        .with("x-acquired-count", Field::I64(1_000));
    let properties = Properties { headers: Some(headers), ..Properties::persistent() };
    let (_client, mut source) = line(&properties, &[]).await;
    let seen = returns_of(&mut source).await;
    assert!(seen.iter().zip(0..).all(|(returns, most)| returns.counted <= most), "{seen:?}");
}
