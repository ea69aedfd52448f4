//! What a connection tells: deliveries, answers, and how it ended.

use std::fmt;

use crate::structures::{Destination, Message, Throwable};
use crate::{DecodeError, EncodeError, Text};

use super::{ConsumerKey, RequestId, Tag};

/// Something that the broker has done, in the order in which it has.
#[derive(Debug)]
pub enum Event {
    /// The login is accepted; from now on commands are taken.
    LoggedIn,
    /// A message came.
    Delivered(Delivery),
    /// A pull found nothing, or a browse has ended.
    NothingThere(ConsumerKey),
    /// The broker answered a request.
    Answered(RequestId, Result<(), Refusal>),
    /// A command failed that had asked for no answer; it does not say which. The connection stands.
    /// Individual settlements that it can mean have been answered with the same refusal.
    Failed(Refusal),
    /// The broker wants this side to close a consumer. Until then, what it has delivered can be
    /// settled.
    CloseAsked(ConsumerKey),
    /// The broker changed a consumer's prefetch.
    PrefetchChanged(ConsumerKey, u32),
    /// The broker wants this side to close the connection, and perhaps go elsewhere.
    LeaveAsked {
        /// A URI to go to.
        reconnect_to: Option<Text>,
    },
    /// The connection has ended. Nothing comes after it, and whatever is unanswered stays so.
    Closed(CloseReason),
}

/// One hand-over of a message.
#[derive(Debug)]
pub struct Delivery {
    /// Whose it is.
    pub consumer: ConsumerKey,
    /// What to settle it by.
    pub tag: Tag,
    /// Where the message was, which is one queue also if the consumer named several.
    pub destination: Option<Destination>,
    /// How often the broker believes that it has been delivered before.
    pub redelivery_counter: i32,
    /// The message.
    pub message: Box<Message>,
}

/// A command that the broker refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{exception}")]
pub struct Refusal {
    /// What it means.
    pub kind: RefusalKind,
    /// What the broker said.
    pub exception: Throwable,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The user may not do this.
    MissingRight,
    /// There is no such queue or topic, and nobody may or will make it.
    UnknownDestination,
    /// Another connection has the client id.
    ClientIdTaken,
    /// The selector is no valid expression.
    InvalidSelector,
    /// Something else: the exception says what.
    Other,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it, and the broker has confirmed that.
    #[error("the connection was closed")]
    Requested,
    /// This side closed it, and the broker did not confirm in time.
    #[error("the connection was closed, and the broker did not confirm it in time")]
    Unconfirmed,
    /// The broker refuses the login.
    #[error("the broker refuses the login: check the user name and password")]
    LoginRefused,
    /// The broker refuses the connection for another reason.
    #[error("the broker refuses the connection")]
    Refused(#[source] Refusal),
    /// Negotiation and login did not end in time.
    #[error("the broker did not complete the login in time")]
    LoginTimeout,
    /// Nothing came for longer than was agreed on.
    #[error("the broker has been silent for too long")]
    Silent,
    /// The broker said that it shuts down.
    #[error("the broker shuts down")]
    ShutDown,
    /// The transport ended.
    #[error("the connection was lost")]
    Lost,
    /// The peer did what OpenWire forbids.
    #[error("the peer does not keep to the protocol")]
    Violated(#[source] Violation),
}

/// What a peer did that OpenWire forbids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// It sent what cannot be decoded.
    #[error("it sent a frame that cannot be decoded")]
    Undecodable(#[from] DecodeError),
    /// What this side has to send at the beginning cannot be encoded.
    #[error("its limits leave no room for a login")]
    Unencodable(#[from] EncodeError),
    /// It speaks an old version only.
    #[error("it speaks OpenWire {version}, older than {oldest}", oldest = crate::VERSION_MIN)]
    TooOld {
        /// The version.
        version: i32,
    },
    /// Its first frame is not its offer, or a later one is.
    #[error("its offer did not come first, or came twice")]
    OutOfOrder,
    /// It delivered more than a consumer asked for.
    #[error("it delivered more messages than the prefetch allows")]
    PrefetchExceeded,
    /// It delivered a message that has no id, so that it cannot be settled.
    #[error("it delivered a message without an id")]
    MessageWithoutId,
}

impl Refusal {
    pub(super) fn new(exception: Option<Throwable>) -> Self {
        let exception = exception.unwrap_or_default();
        // The packages differ between versions, as in javax.jms and jakarta.jms.
        let kind = match exception.simple_class().as_str() {
            "SecurityException" | "JMSSecurityException" => RefusalKind::MissingRight,
            "InvalidDestinationException" | "DestinationDoesNotExistException" => {
                RefusalKind::UnknownDestination
            }
            "InvalidClientIDException" => RefusalKind::ClientIdTaken,
            "InvalidSelectorException" => RefusalKind::InvalidSelector,
            _ => RefusalKind::Other,
        };
        Self { kind, exception }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingRight => "missing right",
            Self::UnknownDestination => "unknown destination",
            Self::ClientIdTaken => "client id taken",
            Self::InvalidSelector => "invalid selector",
            Self::Other => "refused",
        })
    }
}
