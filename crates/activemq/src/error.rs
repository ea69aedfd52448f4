//! What the broker's refusals mean.
//!
//! What must never happen: a refusal that needs a person is taken for a broker that is away.

use activemq_openwire::client::{ConnectError, ReceiveError, RequestError};
use activemq_openwire::connection::{CloseReason, Refusal, Violation};
use activemq_openwire::{DecodeError, Text};
use gristmill_broker::{KeepError, SourceError, tls, with_causes};

use crate::dead_letter::DEAD_LETTER_QUEUE;

/// A connection that did not come to be.
pub(crate) fn connecting(failed: ConnectError, broker: String) -> SourceError {
    if let ConnectError::LoginRefused { broker } = failed {
        return SourceError::LoginRefused { broker: broker.to_string() };
    }
    if let ConnectError::Unreachable { source, .. } = failed {
        return SourceError::Unreachable { broker, source: Box::new(source) };
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
    let (RequestError::MissingRight(refusal) | RequestError::UnknownDestination(refusal)) = error
    else {
        return refused(error, queue);
    };
    let is_missing =
        matches!(error, RequestError::UnknownDestination(_)) || is_about_creating(refusal);
    let (queue, reason) = (queue.to_owned(), refusal.to_string());
    if is_missing {
        let advice = "or grant this login `admin` on it, and the broker makes it";
        return SourceError::QueueMissing { queue, reason: format!("{advice}: {reason}") };
    }
    SourceError::ReadRefused { queue, reason }
}

/// Whether a right is missing because there is no such queue yet. The broker has one exception for
/// every right, so that only its text tells.
fn is_about_creating(refusal: &Refusal) -> bool {
    let message = refusal.exception.message.as_ref().map(Text::to_str).unwrap_or_default();
    message.contains(" is not authorized to create: ")
}

/// A request that failed, and with it the subscription.
pub(crate) fn refused(error: &RequestError, queue: &str) -> SourceError {
    if let RequestError::Violation(Violation::Undecodable(what)) = error {
        return undecodable(what, queue);
    }
    lost(error, queue)
}

/// A subscription that stood and has ended.
pub(crate) fn receiving(error: &ReceiveError, queue: &str) -> SourceError {
    if let ReceiveError::Ended(CloseReason::Violated(Violation::Undecodable(what))) = error {
        return undecodable(what, queue);
    }
    lost(error, queue)
}

/// What cannot be read is a message as a rule, which comes again with every subscription.
fn undecodable(what: &DecodeError, queue: &str) -> SourceError {
    SourceError::Undecodable { queue: queue.to_owned(), reason: what.to_string() }
}

/// A subscription that cannot be used any more.
pub(crate) fn lost(error: &dyn std::error::Error, queue: &str) -> SourceError {
    SourceError::Lost { queue: queue.to_owned(), reason: with_causes(error) }
}

/// Copies of dead letters that the broker does not take, and with them the subscription.
pub(crate) fn not_kept(error: KeepError, queue: &str) -> SourceError {
    let queue = queue.to_owned();
    match error {
        KeepError::Connection(error) => error,
        KeepError::WriteRefused { reason, .. } | KeepError::QueueMissing { reason, .. } => {
            let dead_letter_queue = DEAD_LETTER_QUEUE.to_owned();
            SourceError::DeadLetterRefused { queue, dead_letter_queue, reason }
        }
        KeepError::Lost { .. }
        | KeepError::NotTaken { .. }
        | KeepError::Unsendable { .. }
        | KeepError::StoreFull { .. }
        | KeepError::File(_)
        | _ => SourceError::Lost { queue, reason: with_causes(&error) },
    }
}
