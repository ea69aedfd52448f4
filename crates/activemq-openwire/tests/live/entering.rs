//! Who is let in, where to, and how a refusal is told.

use activemq_openwire::Outgoing;
use activemq_openwire::client::{
    Address, CertificateFiles, ClientSettings, ConnectError, Connector, RequestError, TlsSettings,
};
use activemq_openwire::connection::{ConsumerOptions, Login};
use activemq_openwire::structures::Destination;
use gristmill_testkit::activemq::{ActiveMqServer, Rights, Settings};
use gristmill_testkit::certificates::Certificates;
use gristmill_testkit::jms;
use std::time::SystemTime;

use crate::support::{connected, consumer, next, producer, send_numbers, settings, text};

#[tokio::test]
async fn refusals_are_told_apart() {
    let orders = Rights { read: "apps", write: "apps", admin: "apps" };
    let all = Settings::new().user("app", "a", "apps").user("other", "o", "others");
    let server = ActiveMqServer::start_with(&all.rights("orders.>", orders)).await.unwrap();
    let login = |name, password| {
        let mut settings = settings(&server);
        settings.login = Some(Login::new(name, password));
        Connector::new(settings)
    };
    let refused = login("app", "wrong").connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::LoginRefused { .. }), "{refused:?}");
    let client = login("other", "o").connect().await.unwrap();
    let options = ConsumerOptions::new(Destination::queue("orders.eu"), 5);
    let refused = client.session().await.unwrap().consumer(&options).await.unwrap_err();
    assert!(matches!(refused, RequestError::MissingRight(_)), "{refused:?}");
    let message = Outgoing::text("1", SystemTime::now());
    let refused = producer(&client).await.send(&Destination::queue("orders.eu"), message).await;
    assert!(matches!(refused, Err(RequestError::MissingRight(_))), "{refused:?}");
    let client = login("app", "a").connect().await.unwrap();
    consumer(&client, "orders.eu", 5).await;
    client.close().await;
}

fn in_tls(server: &ActiveMqServer, tls: TlsSettings) -> Connector {
    let addresses = Address::parse(&server.tls_url()).unwrap();
    Connector::new(ClientSettings { addresses, tls, ..settings(server) })
}

fn trusting(certificates: &Certificates) -> TlsSettings {
    TlsSettings { ca: Some(certificates.ca()), ..TlsSettings::default() }
}

#[tokio::test]
async fn in_tls_both_sides_prove_who_they_are() {
    let (ours, others) = (Certificates::make().unwrap(), Certificates::make().unwrap());
    let server = ActiveMqServer::start_with(&Settings::new().tls(&ours, true)).await.unwrap();
    let (certificate, key) = ours.client();
    let certificate = Some(CertificateFiles { certificate, key });
    let proved = TlsSettings { certificate: certificate.clone(), ..trusting(&ours) };
    let client = in_tls(&server, proved).connect().await.unwrap();
    let login = jms::Login::to(server.tls_url()).tls(&ours, true);
    let mut peer = jms::Peer::connect(&login).await.unwrap();
    peer.send("orders", &[jms::Message::text("1")]).await.unwrap();
    let mut consumer = consumer(&client, "orders", 1).await;
    assert_eq!(text(&next(&mut consumer).await), "1");
    client.close().await;

    let wrong_authority = TlsSettings { certificate: certificate.clone(), ..trusting(&others) };
    let wrong_name = TlsSettings {
        certificate,
        server_name: Some("other.example.com".to_owned()),
        ..trusting(&ours)
    };
    for tls in [wrong_authority, wrong_name] {
        let refused = in_tls(&server, tls).connect().await.unwrap_err();
        assert!(matches!(refused, ConnectError::Tls { .. }), "{refused:?}");
    }
    // In TLS 1.3 the refusal comes after the handshake, and can be lost with the connection.
    let refused = in_tls(&server, trusting(&ours)).connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::Tls { .. } | ConnectError::Lost { .. }), "{refused:?}");
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
    let plain = at(server.tls_port(), false).connect().await.unwrap_err();
    assert!(
        matches!(plain, ConnectError::Violation { .. } | ConnectError::Lost { .. }),
        "{plain:?}"
    );
    let tls = at(server.port(), true).connect().await.unwrap_err();
    assert!(matches!(tls, ConnectError::Tls { .. }), "{tls:?}");
    at(server.tls_port(), true).connect().await.unwrap().close().await;
}

#[tokio::test]
async fn the_next_of_a_list_is_taken_when_one_is_dead() {
    let mut first = ActiveMqServer::start().await.unwrap();
    let second = ActiveMqServer::start().await.unwrap();
    let url = format!("failover:({},{})?randomize=false", first.url(), second.url());
    let addresses = Address::parse(&url).unwrap();
    let connector = Connector::new(ClientSettings { addresses, ..settings(&first) });
    let client = connector.connect().await.unwrap();
    assert_eq!(client.address().port, first.port());
    first.kill9().await.unwrap();
    client.closed().await;
    let client = connector.connect().await.unwrap();
    assert_eq!(client.address().port, second.port());
    send_numbers(&second, "orders", 1).await;
    let mut consumer = consumer(&client, "orders", 1).await;
    assert_eq!(text(&next(&mut consumer).await), "0");
    client.close().await;
}

#[tokio::test]
async fn what_is_not_possible_is_refused_and_the_connection_stands() {
    let server = ActiveMqServer::shared().await.unwrap();
    let queue = server.test_queue().await.unwrap();
    let client = connected(server).await;
    let session = client.session().await.unwrap();
    let selector = Some("no = (selector".to_owned());
    let options =
        ConsumerOptions { selector, ..ConsumerOptions::new(Destination::queue(&queue), 1) };
    let refused = session.consumer(&options).await.unwrap_err();
    assert!(matches!(refused, RequestError::Refused(_)), "{refused:?}");
    let message = Outgoing::text("1", SystemTime::now());
    producer(&client).await.send(&Destination::queue(&queue), message).await.unwrap();
    let mut consumer = consumer(&client, &queue, 1).await;
    assert_eq!(text(&next(&mut consumer).await), "1");
    client.close().await;
}
