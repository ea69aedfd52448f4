//! What the broker's refusals mean.
//!
//! AMQP 0-9-1 has few reply codes, and RabbitMQ uses one code for several things, so the reply text
//! decides where it must. This is the one place that reads it; above, only variants count. Texts
//! hold names that users choose, so only their constant beginnings and ends are looked at.
//!
//! What must never happen: a refusal that needs a person is taken for a broker that is away.

use gristmill_broker::tls::{self, SHOW_A_CERTIFICATE};
use gristmill_broker::{KeepError, SourceError};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::ShortString;
use lapin::{Error, ErrorKind};

use crate::attempt::Failed;

/// A connection that did not come to be.
pub(crate) fn connecting(failed: Failed, broker: &str, virtual_host: &str) -> SourceError {
    let Failed { error, encrypted } = failed;
    let broker = broker.to_owned();
    if let ErrorKind::IOError(io) = error.kind() {
        if let Some(advice) = tls::advice(io) {
            let advice = advice.to_string();
            return SourceError::TlsRefused { broker, advice, source: Box::new(error) };
        }
        if encrypted {
            // In TLS 1.3 the broker looks at a certificate after this side has gone on, and what it
            // says about it can be lost with the connection.
            let source =
                format!("{io}, right after the TLS handshake: perhaps {SHOW_A_CERTIFICATE}");
            return SourceError::Unreachable { broker, source: source.into() };
        }
    }
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return SourceError::Unreachable { broker, source: Box::new(error) };
    };
    let reason = refusal.get_message().to_string();
    match refusal.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => SourceError::LoginRefused { broker },
        // A virtual host or a user with as many connections as its limit allows: wait for one.
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) if !reason.ends_with("is reached") => {
            SourceError::VirtualHostRefused {
                broker,
                virtual_host: virtual_host.to_owned(),
                missing: reason.ends_with("not found"),
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
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
            if reason.starts_with("NOT_FOUND - no queue") =>
        {
            SourceError::QueueMissing { queue, reason }
        }
        // The same code says that another consumer has the queue to itself, which passes.
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
            if !reason.ends_with("in exclusive use") =>
        {
            SourceError::ReadRefused { queue, reason }
        }
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => SourceError::Lost { queue, reason },
    }
}

/// Messages that were not published, or a queue for them that was not found.
pub(crate) fn publishing(error: &Error, queue: &str) -> KeepError {
    let queue = queue.to_owned();
    let ErrorKind::ProtocolError(refusal) = error.kind() else {
        return KeepError::Lost { queue, reason: error.to_string() };
    };
    let reason = refusal.get_message().to_string();
    match refusal.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
            if reason.starts_with("NOT_FOUND - no queue") =>
        {
            KeepError::QueueMissing { queue, reason }
        }
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
            KeepError::WriteRefused { queue, right: "`write` on `amq.default`", reason }
        }
        // Larger than the broker takes: its own limit may be lower than where the message came from.
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
            KeepError::Unsendable { queue, reason }
        }
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => KeepError::Lost { queue, reason },
    }
}

/// A queue's name as the protocol has it, at most 255 bytes.
pub(crate) fn queue_name(queue: &str) -> Result<ShortString, KeepError> {
    ShortString::try_new(queue).map_err(|error| KeepError::QueueMissing {
        queue: queue.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use gristmill_broker::{Disposition, StopCode};
    use lapin::protocol::AMQPError;

    use super::*;

    const RECONNECT: Disposition = Disposition::Reconnect;
    const NOT_VALID: Disposition = Disposition::Stop(StopCode::ConfigNotValid);
    const NO_LOGIN: Disposition = Disposition::Stop(StopCode::AuthenticationError);
    const NO_RIGHT: Disposition = Disposition::Stop(StopCode::AuthorizationError);

    fn refusal(kind: impl Into<AMQPErrorKind>, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    #[test]
    fn a_connection_that_ends_behind_a_tls_handshake_hints_at_the_certificate() {
        let reset = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let said = |encrypted| {
            let error = ErrorKind::IOError(reset().into()).into();
            let error = connecting(Failed { error, encrypted }, "b", "v");
            assert_eq!(error.disposition(), RECONNECT);
            gristmill_broker::with_causes(&error)
        };
        assert!(said(true).contains("`tls.certificate`"));
        assert!(!said(false).contains("tls"));
    }

    /// What RabbitMQ 3.10 says, with names that mean something else.
    #[test]
    fn names_do_not_change_what_a_refusal_means() {
        let not_allowed = |text| refusal(AMQPHardError::NOTALLOWED, text);
        let login = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.";
        let cases = [
            (refusal(AMQPSoftError::ACCESSREFUSED, login), NO_LOGIN),
            (not_allowed("NOT_ALLOWED - vhost limited not found"), NOT_VALID),
            (
                not_allowed("NOT_ALLOWED - access to vhost 'not found' refused for user 'u'"),
                NO_RIGHT,
            ),
            (
                not_allowed(
                    "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (1) is \
                     reached",
                ),
                RECONNECT,
            ),
        ];
        for (error, disposition) in cases {
            let text = error.to_string();
            let failed = Failed { error, encrypted: false };
            assert_eq!(connecting(failed, "b", "v").disposition(), disposition, "{text}");
        }

        let no_queue = "NOT_FOUND - no queue 'in exclusive use' in vhost '/'";
        let stopped = "NOT_FOUND - queue 'no queue' in vhost '/' process is stopped by supervisor";
        let no_right =
            "ACCESS_REFUSED - access to queue 'exclusive-orders' in vhost '/' refused for user 'u'";
        let taken = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use";
        let cases = [
            (AMQPSoftError::NOTFOUND, no_queue, NOT_VALID),
            (AMQPSoftError::NOTFOUND, stopped, RECONNECT),
            (AMQPSoftError::ACCESSREFUSED, no_right, NO_RIGHT),
            (AMQPSoftError::ACCESSREFUSED, taken, RECONNECT),
        ];
        for (kind, text, disposition) in cases {
            let error = refusal(kind, text);
            assert_eq!(consuming(&error, "q").disposition(), disposition, "{text}");
        }
    }
}
