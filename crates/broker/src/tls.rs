//! What a TLS connection that failed means, and what to do about it. Sentences name the keys of a
//! broker's configuration.

use std::io;

use rustls::{AlertDescription, CertificateError};

/// What to do about a connection that ended in a TLS error; `None` if it was something else.
#[must_use]
pub fn advice(error: &io::Error) -> Option<&'static str> {
    let mut inner = error.get_ref()?;
    loop {
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Some(Advice::of(error).text());
        }
        inner = inner.downcast_ref::<io::Error>()?.get_ref()?;
    }
}

/// What to do about a broker that is not content with whom it speaks to.
pub const SHOW_A_CERTIFICATE: &str = "it does not take this host's certificate, or wants one: \
                                      set `tls.certificate` and `tls.key` to one that it trusts";

/// What to do about a TLS error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advice {
    NameTheAuthority,
    NameTheServer,
    RenewTheBrokers,
    ShowACertificate,
    CheckThePort,
    SeeTheCause,
}

impl Advice {
    fn text(self) -> &'static str {
        match self {
            Self::NameTheAuthority => {
                "nobody this host trusts has signed its certificate: name its authority in `tls.ca`"
            }
            Self::NameTheServer => {
                "its certificate is for another name: use that name in the URL, or set \
                 `tls.server_name` to it"
            }
            Self::RenewTheBrokers => {
                "its certificate is not valid at this time: renew it, or set this machine's clock"
            }
            Self::ShowACertificate => SHOW_A_CERTIFICATE,
            Self::CheckThePort => "what answers there does not speak TLS: check the port",
            Self::SeeTheCause => "the handshake failed",
        }
    }

    fn of(error: &rustls::Error) -> Self {
        if let rustls::Error::InvalidCertificate(certificate) = error {
            Self::of_certificate(certificate)
        } else if matches!(error, rustls::Error::InvalidMessage(_)) {
            Self::CheckThePort
        } else if let rustls::Error::AlertReceived(alert) = error
            && REFUSALS.contains(alert)
        {
            Self::ShowACertificate
        } else {
            Self::SeeTheCause
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        if matches!(error, E::UnknownIssuer | E::BadSignature) {
            Self::NameTheAuthority
        } else if matches!(error, E::NotValidForName | E::NotValidForNameContext { .. }) {
            Self::NameTheServer
        } else if matches!(
            error,
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. }
        ) {
            Self::RenewTheBrokers
        } else {
            Self::SeeTheCause
        }
    }
}

/// What a broker says of a client whose certificate it does not take, or misses.
const REFUSALS: [AlertDescription; 10] = [
    AlertDescription::NoCertificate,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
    AlertDescription::HandshakeFailure,
    AlertDescription::CertificateRequired,
];
