//! TLS: whom this side trusts and what it proves itself with.
//!
//! Files are read again for every connection, so that a renewed certificate is used by the next.
//!
//! What must never happen: a connection to a broker that has not proved who it is, or a key in an
//! error.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whom to trust, and what to prove oneself with. The files are PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The authorities whose certificates are trusted, and no others; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// What this side proves itself with, where the broker asks for it.
    pub certificate: Option<CertificateFiles>,
    /// The name that the broker's certificate has to be for; `None`: the host of its address.
    pub server_name: Option<String>,
}

/// A certificate with those that signed it, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and after it those of its authorities, if need be.
    pub certificate: PathBuf,
    /// Its private key, unencrypted: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why TLS cannot be set up, before anybody was asked.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
pub struct TlsSettingsError {
    advice: String,
    #[source]
    source: Box<dyn StdError + Send + Sync>,
}

impl TlsSettingsError {
    fn new(advice: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { advice: advice.into(), source: source.into() }
    }

    fn file(path: &Path, should: &str, error: pem::Error) -> Self {
        let advice = format!("the file {} {should}", path.display());
        if let pem::Error::Io(error) = error {
            return Self::new(advice, error);
        }
        // What the reader says of bad PEM may quote it, and it may be a key.
        Self::new(advice, "it is not PEM, or holds something else")
    }
}

/// What a TLS connection begins with.
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    pub(super) async fn connect(self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name, stream).await
    }
}

impl TlsSettings {
    /// Reads the files.
    pub(super) fn load(&self, host: &str) -> Result<Tls, TlsSettingsError> {
        let roots = match &self.ca {
            Some(path) => private_roots(path)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsSettingsError::new("the versions of TLS cannot be set", error))?
            .with_root_certificates(roots);
        let config = match &self.certificate {
            None => config.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = files.read()?;
                config.with_client_auth_cert(chain, key).map_err(|error| {
                    let (certificate, key) = (files.certificate.display(), files.key.display());
                    let advice = format!("the key {key} has to be that of {certificate}");
                    TlsSettingsError::new(advice, error)
                })?
            }
        };
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|error| {
            TlsSettingsError::new(format!("`{name}` cannot be a server's name"), error)
        })?;
        Ok(Tls { connector: Arc::new(config).into(), name })
    }
}

impl CertificateFiles {
    fn read(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsSettingsError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| {
            let should = "has to hold an unencrypted private key as PEM";
            TlsSettingsError::file(&self.key, should, error)
        })?;
        Ok((chain, key))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSettingsError> {
    let should = "has to hold certificates as PEM";
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| TlsSettingsError::file(path, should, error))?;
    if certificates.is_empty() {
        return Err(TlsSettingsError::file(path, should, pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn private_roots(path: &Path) -> Result<RootCertStore, TlsSettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            let advice = format!("the file {} has to hold certificates as PEM", path.display());
            TlsSettingsError::new(advice, error)
        })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsSettingsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's store has odd ones in it; the others are enough.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let advice = "this system trusts no authority: name one in the settings";
        return Err(TlsSettingsError::new(advice, "no certificates found"));
    }
    Ok(roots)
}
