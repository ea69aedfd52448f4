//! TLS: who proves what to whom, and how it is told when one does not.

use activemq_openwire::client::{
    Address, CertificateFiles, ClientSettings, ConnectError, Connector, TlsSettings,
};
use activemq_openwire::connection::CloseReason;
use gristmill_testkit::activemq::{ActiveMqServer, Settings};
use gristmill_testkit::certificates::Certificates;
use gristmill_testkit::jms;

use crate::support::{PATIENCE, consumer, next, settings, text, told, try_send};

fn in_tls(server: &ActiveMqServer, tls: TlsSettings) -> Connector {
    let addresses = Address::parse(&server.tls_url()).unwrap();
    Connector::new(ClientSettings { addresses, tls, ..settings(server) })
}

fn trusting(certificates: &Certificates) -> TlsSettings {
    TlsSettings { ca: Some(certificates.ca()), ..TlsSettings::default() }
}

fn with_certificate_of(certificates: &Certificates, tls: TlsSettings) -> TlsSettings {
    let (certificate, key) = certificates.client();
    TlsSettings { certificate: Some(CertificateFiles { certificate, key }), ..tls }
}

#[tokio::test]
async fn both_sides_prove_who_they_are() {
    let (ours, others) = (Certificates::make().unwrap(), Certificates::make().unwrap());
    let server = ActiveMqServer::start_with(&Settings::new().tls(&ours, true)).await.unwrap();
    let proved = with_certificate_of(&ours, trusting(&ours));
    let client = in_tls(&server, proved.clone()).connect().await.unwrap();
    let login = jms::Login::to(server.tls_url()).tls(&ours, true);
    let mut peer = jms::Peer::connect(&login).await.unwrap();
    // Large enough for many of TLS's records.
    let large = "ö".repeat(500_000);
    peer.send("orders", &[jms::Message::text(&*large)]).await.unwrap();
    let mut consumer = consumer(&client, "orders", 1).await;
    let delivery = next(&mut consumer).await;
    assert!(text(&delivery) == large);
    consumer.ack(delivery.tag).await.unwrap();
    try_send(&client, "answers").await.unwrap();
    let answers = peer.take("answers", 1, PATIENCE).await.unwrap();
    assert_eq!(answers[0].text(), Some("1"));
    assert_eq!(client.close().await, CloseReason::Requested);

    let broker = server.tls_url();
    let name = TlsSettings { server_name: Some("other.example.com".to_owned()), ..proved };
    for (tls, why) in [
        (with_certificate_of(&ours, trusting(&others)), "invalid peer certificate: "),
        (name, "invalid peer certificate: certificate not valid for name \"other.example.com\""),
    ] {
        let refused = in_tls(&server, tls).connect().await.unwrap_err();
        assert!(matches!(refused, ConnectError::Tls { .. }), "{refused:?}");
        let expected = format!("no secure connection to {broker}: {why}");
        assert!(told(&refused).starts_with(&expected), "{}", told(&refused));
    }
    // No certificate, and one of another authority. In TLS 1.3 the refusal comes after the handshake.
    for tls in [trusting(&ours), with_certificate_of(&others, trusting(&ours))] {
        let refused = in_tls(&server, tls).connect().await.unwrap_err();
        assert!(matches!(refused, ConnectError::Tls { .. }), "{refused:?}");
        let expected = format!("no secure connection to {broker}: received fatal alert: ");
        assert!(told(&refused).starts_with(&expected), "{}", told(&refused));
    }
}

#[tokio::test]
async fn the_wrong_kind_of_port_is_told() {
    let certificates = Certificates::make().unwrap();
    let server =
        ActiveMqServer::start_with(&Settings::new().tls(&certificates, false)).await.unwrap();
    let at = |port: u16, tls: bool| {
        let address = Address { host: "localhost".to_owned(), port, tls };
        let tls = trusting(&certificates);
        Connector::new(ClientSettings { addresses: vec![address], tls, ..settings(&server) })
    };
    // The broker answers with an alert of TLS, which looks like a frame beyond every limit.
    let plain = at(server.tls_port(), false).connect().await.unwrap_err();
    assert!(matches!(plain, ConnectError::Violation { .. }), "{plain:?}");
    let port = server.tls_port();
    let expected = format!(
        "tcp://localhost:{port} does not keep to OpenWire: check that the port is that of OpenWire: "
    );
    assert!(told(&plain).starts_with(&expected), "{}", told(&plain));
    // And it begins with its offer or ends the connection, whichever is first.
    let tls = at(server.port(), true).connect().await.unwrap_err();
    assert!(matches!(tls, ConnectError::Tls { .. }), "{tls:?}");
    let expected = format!("no secure connection to ssl://localhost:{}: ", server.port());
    assert!(told(&tls).starts_with(&expected), "{}", told(&tls));
    at(server.tls_port(), true).connect().await.unwrap().close().await;
    // Without a certificate of its own where none is demanded, and with a missing file.
    let missing = TlsSettings { ca: Some("/nowhere/ca.pem".into()), ..TlsSettings::default() };
    let refused = in_tls(&server, missing).connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::TlsSettings { .. }), "{refused:?}");
    assert!(told(&refused).contains("/nowhere/ca.pem"), "{}", told(&refused));
}
