//! TLS: a private authority, names, and certificates of clients.

use std::sync::Arc;

use activemq_openwire::client::{
    Address, CertificateFiles, ClientSettings, ConnectError, Connector, TlsSettings,
};
use gristmill_testkit::certificates::{Certificates, SERVER_NAME};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::broker::{Peer, Port};

fn acceptor(certificates: &Certificates, wants_certificate: bool) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = certificates.server();
    let chain = vec![CertificateDer::from_pem_file(chain).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificates.ca()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        config.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    Arc::new(config.with_single_cert(chain, key).unwrap()).into()
}

/// Connects with these settings to a broker with those certificates.
async fn connect(
    tls: TlsSettings,
    certificates: &Certificates,
    wants_certificate: bool,
) -> Result<(), ConnectError> {
    let port = Port::open().await;
    let address = Address { tls: true, ..port.address() };
    let mut settings = ClientSettings::new("test", vec![address]);
    settings.tls = tls;
    let acceptor = acceptor(certificates, wants_certificate);
    let accepting = async {
        let (stream, _) = port.0.accept().await.unwrap();
        // Where the handshake fails, the client says why.
        let mut peer = Peer::new(acceptor.accept(stream).await.ok()?);
        peer.log_in().await;
        Some(peer)
    };
    let connector = Connector::new(settings);
    let (client, _peer) = tokio::join!(connector.connect(), accepting);
    client.map(|_| ())
}

fn trusting(certificates: &Certificates) -> TlsSettings {
    TlsSettings {
        ca: Some(certificates.ca()),
        certificate: None,
        server_name: Some(SERVER_NAME.to_owned()),
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_and_no_other() {
    let (ours, theirs) = (Certificates::make().unwrap(), Certificates::make().unwrap());
    connect(trusting(&ours), &ours, false).await.unwrap();
    let error = connect(trusting(&theirs), &ours, false).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    let other_name = TlsSettings { server_name: None, ..trusting(&ours) };
    let error = connect(other_name, &ours, false).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_broker_can_want_a_certificate() {
    let certificates = Certificates::make().unwrap();
    let (certificate, key) = certificates.client();
    let with = TlsSettings {
        certificate: Some(CertificateFiles { certificate, key }),
        ..trusting(&certificates)
    };
    connect(with, &certificates, true).await.unwrap();
    let error = connect(trusting(&certificates), &certificates, true).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn files_that_hold_something_else_are_named_and_not_quoted() {
    let certificates = Certificates::make().unwrap();
    let (_, key) = certificates.client();
    let swapped = TlsSettings { ca: Some(key.clone()), ..trusting(&certificates) };
    let error = connect(swapped, &certificates, false).await.unwrap_err();
    let ConnectError::TlsSettings { source, .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains(&*key.to_string_lossy()), "{source}");
}
