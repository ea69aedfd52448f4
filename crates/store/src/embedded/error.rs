//! What an embedded broker says no to.

use std::path::PathBuf;

use gristmill_broker::{FileError, KeepError, SourceError};

/// Why an embedded broker did not do what it was asked for. Then nothing of it was done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EmbeddedError {
    /// There is no such queue.
    #[error(
        "no queue `{queue}` on this broker, which has {known}: correct the name, or add the queue to the \
         broker's section of the configuration"
    )]
    QueueMissing {
        /// The queue.
        queue: String,
        /// The names of those that there are, as a sentence has them.
        known: String,
    },
    /// A message is larger than any event.
    #[error("a message of {bytes} bytes is too large: at most {bytes_max} fit into an event")]
    TooLarge {
        /// Its body, in bytes.
        bytes: usize,
        /// The largest body, in bytes.
        bytes_max: usize,
    },
    /// A message's headers are deeper than an event shows.
    #[error(
        "a message has headers that nest deeper than {} levels",
        gristmill_event::HEADER_LEVELS_MAX
    )]
    Headers,
    /// There is no room.
    #[error(
        "the queues in {} are full: {held_bytes} of {bytes_max} bytes are taken; have messages handled, or \
         raise the broker's `size_max`",
        .path.display()
    )]
    Full {
        /// Their file.
        path: PathBuf,
        /// What they hold, in bytes.
        held_bytes: u64,
        /// What they may hold, in bytes.
        bytes_max: u64,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The thread that writes has panicked.
    #[error("the embedded broker has ended, which is a bug of the host")]
    Ended,
}

impl EmbeddedError {
    pub(super) fn missing<'a>(queue: &str, known: impl Iterator<Item = &'a String>) -> Self {
        let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        EmbeddedError::QueueMissing { queue: queue.to_owned(), known }
    }

    /// As a subscription to a queue fails with it.
    pub(super) fn of_source(self, queue: &str) -> SourceError {
        match self {
            EmbeddedError::QueueMissing { .. } => {
                SourceError::QueueMissing { queue: queue.to_owned(), reason: self.to_string() }
            }
            EmbeddedError::File(error) => error.into(),
            EmbeddedError::TooLarge { .. }
            | EmbeddedError::Headers
            | EmbeddedError::Full { .. }
            | EmbeddedError::Ended => {
                SourceError::Lost { queue: queue.to_owned(), reason: self.to_string() }
            }
        }
    }

    /// As a place for given-up messages fails with it.
    pub(super) fn of_keeping(self, queue: &str) -> KeepError {
        let (queue, reason) = (queue.to_owned(), self.to_string());
        match self {
            EmbeddedError::QueueMissing { .. } => KeepError::QueueMissing { queue, reason },
            EmbeddedError::TooLarge { .. } | EmbeddedError::Headers => {
                KeepError::Unsendable { queue, reason }
            }
            EmbeddedError::Full { .. } => KeepError::NotTaken { queue, reason },
            EmbeddedError::File(error) => error.into(),
            EmbeddedError::Ended => KeepError::Lost { queue, reason },
        }
    }
}
