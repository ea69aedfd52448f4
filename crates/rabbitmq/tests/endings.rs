//! How attempts and epochs end that the contract's suite cannot bring about.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill_broker::{
    Disposition, Login, LoginSource, Received, Secret, Settled, Settlement, Source, SourceError,
};
use gristmill_rabbitmq::{Address, ConnectionSettings, RabbitMq, RabbitMqSource, SourceSettings};
use gristmill_testkit::amqp::{Field, Properties, Table};
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(120);

fn broker(port: u16, connect_timeout: Duration) -> Arc<RabbitMq> {
    RabbitMq::new(settings(port, connect_timeout))
}

fn settings(port: u16, connect_timeout: Duration) -> ConnectionSettings {
    ConnectionSettings {
        addresses: vec![Address { host: "127.0.0.1".to_owned(), port }],
        tls: None,
        virtual_host: "/".to_owned(),
        login: Login { username: "guest".to_owned(), password: Secret::new("guest".to_owned()) }
            .into(),
        heartbeat_s: 10,
        connect_timeout,
        connection_name: "endings".to_owned(),
    }
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
async fn a_delivery_kept_for_too_long_ends_the_epoch_and_the_next_one_begins() {
    // The broker looks for those every half second, or when one is due.
    let server = RabbitServer::start_with(&["consumer_timeout = 1000"]).await.unwrap();
    server.eval("application:set_env(rabbit, channel_tick_interval, 500).").await.unwrap();
    let mut client = server.client("/").await.unwrap();
    let quorum = Table::new().with("x-queue-type", Field::text("quorum"));
    client.declare_queue("orders", &quorum).await.unwrap();
    client.publish("orders", &Properties::persistent(), b"a").await.unwrap();

    let mut source = source(&broker(server.amqp_port(), LONG));
    let first = source.subscribe().await.unwrap();
    let received = timeout(LONG, source.receive()).await.unwrap().unwrap();
    let Received::Delivery(late) = received else { panic!("expected a delivery") };
    let ended = timeout(LONG, source.receive()).await.unwrap();
    if server.version() < (4, 3) {
        let error = ended.unwrap_err();
        assert_eq!(error.disposition(), Disposition::Reconnect);
        assert!(error.to_string().contains("timeout"), "{error}");
    } else {
        // Here it cancels the consumer and takes the message back. The channel stays open, and a
        // verdict that comes too late for the message does not close it.
        assert!(matches!(ended, Ok(Received::Cancelled)), "{ended:?}");
        let settled = source.settle(Settlement::Ack, &[late.token]).await;
        assert_eq!(settled, Settled { sent: 1, stale: 0 });
        let lost = timeout(Duration::from_secs(2), source.receive()).await;
        assert!(lost.is_err(), "{lost:?}");
    }

    assert!(source.subscribe().await.unwrap() > first);
    let received = timeout(LONG, source.receive()).await.unwrap().unwrap();
    let Received::Delivery(delivery) = received else { panic!("expected a delivery") };
    assert!(delivery.message.redelivered());
}

#[tokio::test]
async fn addresses_are_tried_in_turn_and_all_are_named_when_none_answers() {
    let server = RabbitServer::shared().await.unwrap();
    let nobody = Address { host: "127.0.0.1".to_owned(), port: 1 };
    let there = Address { host: "localhost".to_owned(), port: server.amqp_port() };
    let settings = |addresses| ConnectionSettings { addresses, ..settings(0, LONG) };
    RabbitMq::new(settings(vec![nobody.clone(), there.clone()])).probe().await.unwrap();
    let other = Address { port: 2, ..nobody.clone() };
    let error = RabbitMq::new(settings(vec![nobody.clone(), other])).probe().await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect);
    assert_eq!(error.to_string(), "cannot connect to 127.0.0.1:1, 127.0.0.1:2");

    // One that answers and refuses has the last word.
    let login = Login { username: "guest".to_owned(), password: Secret::new("wrong".to_owned()) };
    let refused = ConnectionSettings { login: login.into(), ..settings(vec![there, nobody]) };
    let error = RabbitMq::new(refused).probe().await.unwrap_err();
    assert!(matches!(error, SourceError::LoginRefused { .. }), "{error}");
}

#[tokio::test]
async fn the_login_is_looked_up_for_every_connection() {
    let server = RabbitServer::shared().await.unwrap();
    let password = Arc::new(Mutex::new(None));
    let current = Arc::clone(&password);
    let login = LoginSource::new(move || match &*current.lock().unwrap() {
        None => Err("nothing there".into()),
        Some(password) => {
            let password = Secret::new(String::clone(password));
            Ok(Login { username: "guest".to_owned(), password })
        }
    });
    let broker = RabbitMq::new(ConnectionSettings { login, ..settings(server.amqp_port(), LONG) });
    let error = broker.probe().await.unwrap_err();
    assert!(matches!(error, SourceError::LoginMissing { .. }), "{error}");
    *password.lock().unwrap() = Some("wrong".to_owned());
    let error = broker.probe().await.unwrap_err();
    assert!(matches!(error, SourceError::LoginRefused { .. }), "{error}");
    *password.lock().unwrap() = Some("guest".to_owned());
    broker.probe().await.unwrap();
}
