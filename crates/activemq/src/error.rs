//! What the broker's refusals mean.
//!
//! What must never happen: a refusal that needs a person is taken for a broker that is away.

use activemq_openwire::client::{ConnectError, ReceiveError, RequestError};
use activemq_openwire::connection::{CloseReason, Violation};
use gristmill_broker::{SourceError, tls, with_causes};

/// Between the names of user and queue, neither of which can hold it with its blanks: in ActiveMQ's
/// authorization plugin, what a missing queue is refused with.
const NOT_CREATED: &str = " is not authorized to create: ";

/// A connection that did not come to be.
pub(crate) fn connecting(failed: ConnectError, broker: String) -> SourceError {
    if let ConnectError::LoginRefused { broker } = failed {
        return SourceError::LoginRefused { broker: broker.to_string() };
    }
    if let ConnectError::Unreachable { broker, source } = failed {
        return SourceError::Unreachable { broker: broker.to_string(), source: Box::new(source) };
    }
    if let ConnectError::TlsSettings { broker, source } = failed {
        let (broker, advice) = (broker.to_string(), source.to_string());
        return SourceError::TlsRefused { broker, advice, source: Box::new(source) };
    }
    // Without an advice it is a connection that was lost during the handshake.
    if let ConnectError::Tls { broker, source } = &failed
        && let Some(advice) = tls::advice(source)
    {
        let (broker, advice) = (broker.to_string(), advice.to_owned());
        return SourceError::TlsRefused { broker, advice, source: Box::new(failed) };
    }
    SourceError::Unreachable { broker, source: Box::new(failed) }
}

/// A consumer that did not come to be, on a connection that stood.
pub(crate) fn consuming(error: &RequestError, queue: &str) -> SourceError {
    let missing = |reason| SourceError::QueueMissing { queue: queue.to_owned(), reason };
    if let RequestError::MissingRight(refusal) = error {
        let reason = refusal.to_string();
        // The broker makes a queue when it is first consumed, unless this login may not have that.
        if reason.contains(NOT_CREATED) {
            return missing(reason);
        }
        return SourceError::ReadRefused { queue: queue.to_owned(), reason };
    }
    if let RequestError::UnknownDestination(refusal) = error {
        return missing(refusal.to_string());
    }
    lost(error, queue)
}

/// A subscription that stood and has ended.
pub(crate) fn receiving(error: &ReceiveError, queue: &str) -> SourceError {
    if let ReceiveError::Ended(CloseReason::Violated(Violation::Undecodable(error))) = error {
        return SourceError::Undecodable { queue: queue.to_owned(), reason: error.to_string() };
    }
    lost(error, queue)
}

/// A subscription that cannot be used any more.
pub(crate) fn lost(error: &dyn std::error::Error, queue: &str) -> SourceError {
    SourceError::Lost { queue: queue.to_owned(), reason: with_causes(error) }
}
