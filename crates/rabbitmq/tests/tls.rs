//! TLS to a real RabbitMQ: whom it trusts, what it shows, and what it says when it is refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::num::NonZeroU16;
use std::time::Duration;

use gristmill_broker::{
    Disposition, Login, Received, Secret, Source, SourceError, StopCode, with_causes,
};
use gristmill_rabbitmq::{
    Address, CertificateFiles, ConnectionSettings, RabbitMq, SourceSettings, TlsSettings,
};
use gristmill_testkit::amqp::{Properties, Table};
use gristmill_testkit::certificates::{Certificates, SERVER_NAME};
use gristmill_testkit::rabbitmq::RabbitServer;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);

fn settings(host: &str, port: u16, tls: Option<TlsSettings>) -> ConnectionSettings {
    let guest = Login { username: "guest".to_owned(), password: Secret::new("guest".to_owned()) };
    ConnectionSettings {
        addresses: vec![Address { host: host.to_owned(), port }],
        tls,
        virtual_host: "/".to_owned(),
        login: guest.into(),
        heartbeat_s: 10,
        connect_timeout: LONG,
        connection_name: "tls".to_owned(),
    }
}

async fn refused(host: &str, port: u16, tls: TlsSettings) -> SourceError {
    RabbitMq::new(settings(host, port, Some(tls))).probe().await.unwrap_err()
}

fn trusting(certificates: &Certificates) -> TlsSettings {
    TlsSettings { ca: Some(certificates.ca()), ..TlsSettings::default() }
}

/// Consumes one message over TLS.
async fn consumes(server: &RabbitServer, settings: ConnectionSettings) {
    let mut client = server.client("/").await.unwrap();
    client.declare_queue("orders", &Table::new()).await.unwrap();
    client.publish("orders", &Properties::persistent(), b"a").await.unwrap();
    let mut source = RabbitMq::new(settings).source(SourceSettings {
        queue: "orders".to_owned(),
        consumer_tag: "gristmill-tls".to_owned(),
        prefetch: NonZeroU16::MIN,
    });
    source.subscribe().await.unwrap();
    let received = timeout(LONG, source.receive()).await.unwrap().unwrap();
    let Received::Delivery(delivery) = received else { unreachable!("nothing was cancelled") };
    let settled = source.settle(gristmill_broker::Settlement::Ack, &[delivery.token]).await;
    assert_eq!((settled.sent, settled.stale), (1, 0));
    source.close().await;
}

#[tokio::test]
async fn a_broker_has_to_prove_who_it_is() {
    let certificates = Certificates::make().unwrap();
    let server = RabbitServer::start_tls(&certificates, false).await.unwrap();
    let port = server.tls_port();
    consumes(&server, settings("localhost", port, Some(trusting(&certificates)))).await;

    let error = refused("127.0.0.1", port, trusting(&certificates)).await;
    assert!(error.to_string().contains("`tls.server_name`"), "{error}");
    let mut named = trusting(&certificates);
    named.server_name = Some(SERVER_NAME.to_owned());
    consumes(&server, settings("127.0.0.1", port, Some(named))).await;

    let other = Certificates::make().unwrap();
    let error = refused("localhost", port, trusting(&other)).await;
    assert!(error.to_string().contains("`tls.ca`"), "{error}");
    assert_eq!(error.disposition(), Disposition::Stop(StopCode::ConfigNotValid));
    let error = refused("localhost", port, TlsSettings::default()).await;
    assert!(error.to_string().contains("`tls.ca`"), "{error}");

    let error = refused("localhost", server.amqp_port(), trusting(&certificates)).await;
    assert!(error.to_string().contains("check the port"), "{error}");
    let error = RabbitMq::new(settings("localhost", port, None)).probe().await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
}

#[tokio::test]
async fn a_broker_may_demand_a_certificate() {
    let certificates = Certificates::make().unwrap();
    let server = RabbitServer::start_tls(&certificates, true).await.unwrap();
    let port = server.tls_port();
    // What the broker says can be lost with the connection, so that the error is one or the other.
    let error = with_causes(&refused("localhost", port, trusting(&certificates)).await);
    assert!(error.contains("`tls.certificate`"), "{error}");

    let with = |certificates: &Certificates, of: &Certificates| {
        let (certificate, key) = of.client();
        let certificate = Some(CertificateFiles { certificate, key });
        TlsSettings { certificate, ..trusting(certificates) }
    };
    let other = Certificates::make().unwrap();
    let error = with_causes(&refused("localhost", port, with(&certificates, &other)).await);
    assert!(error.contains("`tls.certificate`"), "{error}");
    consumes(&server, settings("localhost", port, Some(with(&certificates, &certificates)))).await;
}

#[tokio::test]
async fn files_are_read_for_every_connection_and_what_is_wrong_with_them_is_said() {
    let certificates = Certificates::make().unwrap();
    let server = RabbitServer::start_tls(&certificates, false).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let tls = TlsSettings { ca: Some(ca.clone()), ..TlsSettings::default() };
    let broker = RabbitMq::new(settings("localhost", server.tls_port(), Some(tls)));
    let error = broker.probe().await.unwrap_err();
    assert!(error.to_string().contains("ca.pem has to hold certificates as PEM"), "{error}");
    fs::write(&ca, "-----BEGIN SECRET-----\nhunter2\n").unwrap();
    let error = broker.probe().await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    fs::copy(certificates.ca(), &ca).unwrap();
    broker.probe().await.unwrap();
}
