//! TLS: what this side trusts and proves itself with.
//!
//! Files are read again for every connection, so that a renewed certificate is used by the next.
//!
//! What must never happen: a connection to a broker that has not proved who it is, or a key in an
//! error.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lapin::tcp::RustlsConnector;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// How to encrypt, and whom to trust. The files are PEM.
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

/// What a TLS connection begins with.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) connector: RustlsConnector,
    pub(crate) server_name: Option<String>,
}

/// Settings that cannot be used: what to do, and what failed.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) advice: String,
    pub(crate) source: Box<dyn StdError + Send + Sync>,
}

impl Unusable {
    fn new(advice: String, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { advice, source: source.into() }
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

impl TlsSettings {
    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Tls, Unusable> {
        let roots = match &self.ca {
            Some(path) => private_roots(path)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Unusable::new("its versions cannot be set".to_owned(), error))?
            .with_root_certificates(roots);
        let config = match &self.certificate {
            None => config.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = files.read()?;
                config.with_client_auth_cert(chain, key).map_err(|error| {
                    let (certificate, key) = (files.certificate.display(), files.key.display());
                    let advice = format!("the key {key} has to be that of {certificate}");
                    Unusable::new(advice, error)
                })?
            }
        };
        Ok(Tls { connector: config.into(), server_name: self.server_name.clone() })
    }
}

impl CertificateFiles {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Unusable> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| {
            Unusable::file(&self.key, "has to hold an unencrypted private key as PEM", error)
        })?;
        Ok((chain, key))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let should = "has to hold certificates as PEM";
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| Unusable::file(path, should, error))?;
    if certificates.is_empty() {
        return Err(Unusable::file(path, should, pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

fn private_roots(path: &Path) -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            let advice = format!("the file {} has to hold certificates as PEM", path.display());
            Unusable::new(advice, error)
        })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, Unusable> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's store has odd ones in it; the others are enough.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let advice = "this system trusts no authority: name one in `tls.ca`".to_owned();
        return Err(Unusable::new(advice, "no certificates found"));
    }
    Ok(roots)
}
