//! What can go wrong with a client, told apart by what to do about it.

use std::error::Error as StdError;
use std::io;

use super::address::Address;
use super::tls::TlsSettingsError;
use crate::EncodeError;
use crate::connection::{CloseReason, CommandError, Refusal, RefusalKind, Violation};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The list of addresses is empty.
    #[error("no broker's address is given")]
    NoAddress,
    /// Nobody answers, or not in time: try again later.
    #[error("cannot connect to {broker}")]
    Unreachable {
        /// The broker.
        broker: Address,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The files and names for TLS cannot be used.
    #[error("cannot set up TLS for {broker}")]
    TlsSettings {
        /// The broker.
        broker: Address,
        /// Which, and why.
        #[source]
        source: TlsSettingsError,
    },
    /// The TLS handshake failed: one side does not trust the other, or the broker wants a
    /// certificate, or the port speaks no TLS.
    #[error("no secure connection to {broker}")]
    Tls {
        /// The broker.
        broker: Address,
        /// What rustls said.
        #[source]
        source: io::Error,
    },
    /// The login is refused: nobody should try it again as it is.
    #[error("{broker} refuses the login: check the user name and password")]
    LoginRefused {
        /// The broker.
        broker: Address,
    },
    /// The broker refuses the connection for another reason, such as a client id that is in use.
    #[error("{broker} refuses the connection")]
    Refused {
        /// The broker.
        broker: Address,
        /// What it said.
        #[source]
        source: Refusal,
    },
    /// What answers there does not speak OpenWire, or not as it should.
    #[error("{broker} does not keep to OpenWire: check that the port is that of OpenWire")]
    Violation {
        /// The broker.
        broker: Address,
        /// What it did.
        #[source]
        source: Violation,
    },
    /// The connection ended before the login was answered: try again later.
    #[error("lost {broker} before the login was answered")]
    Lost {
        /// The broker.
        broker: Address,
        /// How it ended.
        #[source]
        source: CloseReason,
    },
}

impl ConnectError {
    pub(super) fn closed(broker: Address, reason: CloseReason, error: Option<io::Error>) -> Self {
        // In TLS 1.3 a broker looks at a certificate after this side has gone on.
        if reason == CloseReason::Lost
            && let Some(source) = error
            && source.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<rustls::Error>)
        {
            return Self::Tls { broker, source };
        }
        match reason {
            CloseReason::LoginRefused => Self::LoginRefused { broker },
            CloseReason::Refused(source) => Self::Refused { broker, source },
            CloseReason::Violated(source) => Self::Violation { broker, source },
            source @ (CloseReason::Requested
            | CloseReason::Unconfirmed
            | CloseReason::LoginTimeout
            | CloseReason::Silent
            | CloseReason::ShutDown
            | CloseReason::Lost) => Self::Lost { broker, source },
        }
    }

    /// Whether nobody was there to say more.
    pub(super) fn is_no_answer(&self) -> bool {
        matches!(self, Self::NoAddress | Self::Unreachable { .. } | Self::Lost { .. })
    }

    /// Whether another broker of a list may be content where this one is not.
    pub(super) fn is_about_one_broker(&self) -> bool {
        !matches!(self, Self::LoginRefused { .. } | Self::TlsSettings { .. })
    }
}

/// Why the broker did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The user may not do this.
    #[error("the broker denies the right to do this")]
    MissingRight(#[source] Refusal),
    /// There is no such queue or topic.
    #[error("the broker has no such destination")]
    UnknownDestination(#[source] Refusal),
    /// The broker refuses for another reason.
    #[error("the broker refuses")]
    Refused(#[source] Refusal),
    /// The connection ended before the answer, so that nobody knows whether it was done.
    #[error("the connection ended")]
    BrokerGone(#[source] CloseReason),
    /// The connection ended because the peer did what OpenWire forbids.
    #[error("the connection ended because the broker does not keep to OpenWire")]
    Violation(#[source] Violation),
    /// It cannot be asked.
    #[error("the broker was not asked")]
    NotAsked(#[source] CommandError),
}

impl From<Refusal> for RequestError {
    fn from(refusal: Refusal) -> Self {
        match refusal.kind {
            RefusalKind::MissingRight => Self::MissingRight(refusal),
            RefusalKind::UnknownDestination => Self::UnknownDestination(refusal),
            RefusalKind::ClientIdTaken | RefusalKind::InvalidSelector | RefusalKind::Other => {
                Self::Refused(refusal)
            }
        }
    }
}

impl From<CloseReason> for RequestError {
    fn from(reason: CloseReason) -> Self {
        if let CloseReason::Violated(violation) = reason {
            return Self::Violation(violation);
        }
        Self::BrokerGone(reason)
    }
}

impl From<EncodeError> for RequestError {
    fn from(error: EncodeError) -> Self {
        Self::NotAsked(error.into())
    }
}

/// Why a consumer gets no more messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The broker wants the consumer closed. Deliveries in hand can be settled before.
    #[error("the broker wants the consumer closed")]
    CloseAsked,
    /// The connection ended. Deliveries in hand come again, here or elsewhere.
    #[error("the connection ended")]
    Ended(#[source] CloseReason),
    /// A pull cannot be asked for.
    #[error("the broker was not asked")]
    NotAsked(#[source] CommandError),
}
