//! What keeps a mapping stopped, over restarts of the host too, and the reason for it.
//!
//! A quorum queue deletes what came back too often. A message that has come nearly so often is handled
//! or given up, and then all is well; but if the host dies over it, or can keep no dead letters, each
//! further start would be one more return: so the mapping is held until somebody has acted.

use std::fmt;

/// Remembers, outside of this process, that a mapping must not subscribe.
pub trait Hold: Send + Sync + 'static {
    /// Holds the mapping. The sentence says why and what to do. Is durable when it returns, as far
    /// as it can be; a failure is the implementation's to report.
    fn set(&self, sentence: &str);

    /// Lets the mapping go. Without a hold it does nothing.
    fn clear(&self);
}

/// A message that may go back to its broker no more, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Impasse {
    pub(crate) message_id: Option<String>,
    pub(crate) returns: u32,
    pub(crate) limit: u32,
}

impl fmt::Display for Impasse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message_id, returns, limit } = self;
        write!(
            f,
            "DeliveryLimitNear: the broker has taken the message {} back {returns} times and \
             deletes it when it has done so more than {limit} times; see to it that this host and \
             its broker stay up, and that the mapping's dead letters are kept where `on_failure` \
             says, or raise the queue's delivery limit and the mapping's `delivery_limit`",
            Name(message_id.as_deref())
        )
    }
}

/// A message's own id, escaped because its producer chose it.
struct Name<'a>(Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "with messageId {id:?}"),
            None => f.write_str("without messageId"),
        }
    }
}
