//! Certificates that a test makes for itself: an authority, and what it signs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// A name that the server's certificates are for and that no resolver knows.
pub const SERVER_NAME: &str = "broker.test";

/// A folder with an authority's certificate, a server's and a client's, all as PEM. Dropping it
/// removes them.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes a new authority, a server's certificate for [`SERVER_NAME`] and `localhost`, and a
    /// client's.
    ///
    /// # Errors
    ///
    /// When the files cannot be written.
    pub fn make() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for certificates")?;
        let certificates = Self { folder };
        let key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "an authority of tests");
        certificates.write("ca.pem", &authority.self_signed(&key)?.pem())?;
        let authority = Issuer::new(authority, key);
        certificates.sign(&authority, "server", &[SERVER_NAME, "localhost"])?;
        certificates.sign(&authority, "client", &["client.test"])?;
        Ok(certificates)
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The server's certificate and its key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.path("server.pem"), self.path("server.key"))
    }

    /// The client's certificate and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.path("client.pem"), self.path("client.key"))
    }

    fn sign(&self, authority: &Issuer<'_, KeyPair>, name: &str, names: &[&str]) -> Result<()> {
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        self.write(&format!("{name}.pem"), &params.signed_by(&key, authority)?.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path(name), text).with_context(|| format!("cannot write {name}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}
