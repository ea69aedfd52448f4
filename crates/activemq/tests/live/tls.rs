//! TLS: whom a source trusts, what it shows, and what it says when it is refused.

use gristmill_activemq::CertificateFiles;
use gristmill_broker::{Disposition, Settlement, Source, StopCode, with_causes};
use gristmill_testkit::activemq::{ActiveMqServer, Settings};
use gristmill_testkit::certificates::{Certificates, SERVER_NAME};

use super::*;

fn over_tls(url: &str, tls: TlsSettings) -> ConnectionSettings {
    ConnectionSettings { tls, ..settings(url) }
}

async fn refused(url: &str, tls: TlsSettings) -> SourceError {
    ActiveMq::new(over_tls(url, tls)).probe().await.unwrap_err()
}

fn trusting(certificates: &Certificates) -> TlsSettings {
    TlsSettings { ca: Some(certificates.ca()), ..TlsSettings::default() }
}

fn showing(trusted: &Certificates, own: &Certificates) -> TlsSettings {
    let (certificate, key) = own.client();
    let certificate = Some(CertificateFiles { certificate, key });
    TlsSettings { certificate, ..trusting(trusted) }
}

/// Consumes one message over TLS.
async fn consumes(server: &ActiveMqServer, peer: &mut Peer, settings: ConnectionSettings) {
    let queue = server.test_queue().await.unwrap();
    send_texts(peer, &queue, &["a"]).await;
    let mut source = source(settings, &queue, 1);
    timeout(LONG, source.subscribe()).await.unwrap().unwrap();
    let taken = take(&mut source, 1).await;
    assert_eq!(settle(&mut source, Settlement::Ack, &tokens(&taken)).await, sent(1));
    source.close().await;
    wait_for(server, &queue, 0, 0).await;
}

#[tokio::test]
async fn a_broker_has_to_prove_who_it_is() {
    let certificates = Certificates::make().unwrap();
    let settings = Settings::new().tls(&certificates, false);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let by_name = server.tls_url();
    let by_address = format!("ssl://127.0.0.1:{}", server.tls_port());
    consumes(&server, &mut peer, over_tls(&by_name, trusting(&certificates))).await;

    let error = refused(&by_address, trusting(&certificates)).await;
    assert!(matches!(error, SourceError::TlsRefused { .. }), "{error}");
    assert!(error.to_string().contains("`tls.server_name`"), "{error}");
    let named =
        TlsSettings { server_name: Some(SERVER_NAME.to_owned()), ..trusting(&certificates) };
    consumes(&server, &mut peer, over_tls(&by_address, named)).await;

    let others = Certificates::make().unwrap();
    for tls in [trusting(&others), TlsSettings::default()] {
        let error = refused(&by_name, tls).await;
        assert!(error.to_string().contains("`tls.ca`"), "{error}");
        assert_eq!(error.disposition(), Disposition::Stop(StopCode::ConfigNotValid));
    }
    let missing = TlsSettings { ca: Some("no-such.pem".into()), ..TlsSettings::default() };
    let error = refused(&by_name, missing).await;
    assert!(error.to_string().contains("no-such.pem"), "{error}");

    // TLS to a port without, and the other way round.
    let error =
        refused(&format!("ssl://localhost:{}", server.port()), trusting(&certificates)).await;
    assert!(error.to_string().contains("check the port"), "{error}");
    let error = ActiveMq::new(super::settings(&format!("tcp://localhost:{}", server.tls_port())));
    let error = error.probe().await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect, "{error}");
    assert!(with_causes(&error).contains("check that the port is that of OpenWire"), "{error:?}");
}

#[tokio::test]
async fn a_broker_may_demand_a_certificate() {
    let certificates = Certificates::make().unwrap();
    let settings = Settings::new().tls(&certificates, true);
    let server = ActiveMqServer::start_with(&settings).await.unwrap();
    let mut peer = server.peer().await.unwrap();
    let url = server.tls_url();
    let others = Certificates::make().unwrap();
    for tls in [trusting(&certificates), showing(&certificates, &others)] {
        let error = refused(&url, tls).await;
        assert!(matches!(error, SourceError::TlsRefused { .. }), "{error}");
        assert!(error.to_string().contains("`tls.certificate`"), "{error}");
    }
    let tls = showing(&certificates, &certificates);
    consumes(&server, &mut peer, over_tls(&url, tls)).await;
}
