//! What the broker's refusals mean.
//!
//! AMQP 0-9-1 has few reply codes, and RabbitMQ uses one code for several things, so the reply text
//! decides where it must. This is the one place that reads it; above, only variants count.

use gristmill_broker::SourceError;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

/// A connection that did not come to be.
pub(crate) fn connecting(error: Error, broker: &str, virtual_host: &str) -> SourceError {
    let broker = broker.to_owned();
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return SourceError::Unreachable { broker, source: Box::new(error) };
    };
    let reason = refusal.get_message().to_string();
    match refusal.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => SourceError::LoginRefused { broker },
        // A virtual host or a user with as many connections as its limit allows: wait for one.
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) if !reason.contains("limit") => {
            SourceError::VirtualHostRefused {
                broker,
                virtual_host: virtual_host.to_owned(),
                missing: reason.contains("not found"),
                reason,
            }
        }
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => {
            SourceError::Unreachable { broker, source: Box::new(error) }
        }
    }
}

/// A consumer that did not come to be, on a connection that stood.
pub(crate) fn consuming(error: &Error, queue: &str) -> SourceError {
    let queue = queue.to_owned();
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return SourceError::Lost { queue, reason: error.to_string() };
    };
    let reason = refusal.get_message().to_string();
    match refusal.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) if reason.contains("no queue") => {
            SourceError::QueueMissing { queue, reason }
        }
        // The same code says that another consumer has the queue to itself, which passes.
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) if !reason.contains("exclusive") => {
            SourceError::ReadRefused { queue, reason }
        }
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => SourceError::Lost { queue, reason },
    }
}
