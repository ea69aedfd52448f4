//! Where given-up messages are kept, other than by a reject: the port, and what goes through it.
//!
//! A message is kept as its broker's own protocol writes it ([`Original`]), so that nothing of it is
//! lost on the way and it can be put back on its queue as it was.
//!
//! What must never happen: letters that are said to be kept and would not outlive a crash.

use std::fmt;
use std::future::{Future, ready};
use std::path::PathBuf;
use std::pin::Pin;

use crate::{Disposition, FileError, SourceError, StopCode};

/// A message as its broker's own protocol writes it. What the bytes mean is the business of that
/// broker's crate; they may be kept for years. `Debug` never shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Original(pub Vec<u8>);

/// A message that was given up, with why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message.
    pub original: Original,
    /// Its identifier, where it has one.
    pub message_id: Option<String>,
    /// Why it was given up, in a word of Lambda's invocation records.
    pub condition: &'static str,
    /// The condition, and what went wrong if something did, for brokers that have a place for a cause.
    pub cause: String,
    /// Lambda's invocation record for it: JSON.
    pub record: String,
    /// When it was given up, in milliseconds since 1970 in UTC.
    pub given_up_at_ms: u64,
}

/// What a [`DeadLetters`] does meanwhile.
pub type Keeping<'a> = Pin<Box<dyn Future<Output = Result<(), KeepError>> + Send + 'a>>;

/// Where the given-up messages of one mapping are kept. Whoever has them kept acks them then.
pub trait DeadLetters: fmt::Debug + Send + Sync + 'static {
    /// Sees whether letters could be kept, as far as that can be known without one. Asked before each
    /// subscription, so that no message is taken which could be neither handled nor given up.
    ///
    /// # Errors
    ///
    /// [`KeepError`], whose disposition says whether trying again can help by itself.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    fn check(&self) -> Keeping<'_>;

    /// Keeps letters, in their order. When it returns without an error, all of them outlive a crash. It
    /// waits for as long as it may still go well, for instance while a broker is short of memory.
    ///
    /// # Errors
    ///
    /// [`KeepError`]: some of them may be kept all the same, and keeping them again makes them twice.
    ///
    /// # Cancel safety
    ///
    /// Safe to call again after a dropped future, which may have kept some of them.
    fn keep(&self, letters: Vec<DeadLetter>) -> Keeping<'_>;

    /// Closes what it has opened for itself, in order, so that a broker logs no lost client. A later
    /// letter opens it again. There is nothing to do by default.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was not closed in order ends without it.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(ready(()))
    }
}

/// Why given-up messages cannot be kept. They stay unsettled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// There is no connection to publish them over.
    #[error("cannot publish given-up messages")]
    Connection(#[source] SourceError),
    /// The connection ended before they were confirmed.
    #[error(
        "lost the connection before given-up messages were safe on the queue `{queue}`: {reason}"
    )]
    Lost {
        /// The queue for them.
        queue: String,
        /// What ended it.
        reason: String,
    },
    /// The queue for them does not exist.
    #[error(
        "no queue `{queue}` for given-up messages: declare it, or correct the mapping's `on_failure` \
         ({reason})"
    )]
    QueueMissing {
        /// The queue for them.
        queue: String,
        /// What the broker said.
        reason: String,
    },
    /// The login may not put them there.
    #[error(
        "no right to put given-up messages on the queue `{queue}`: grant this login {right} ({reason})"
    )]
    WriteRefused {
        /// The queue for them.
        queue: String,
        /// What to grant.
        right: &'static str,
        /// What the broker said.
        reason: String,
    },
    /// The queue does not take them.
    #[error(
        "the queue `{queue}` takes no given-up messages: it is full, or the broker has no room for \
         more; take messages from it, or raise its limit ({reason})"
    )]
    NotTaken {
        /// The queue for them.
        queue: String,
        /// What the broker said.
        reason: String,
    },
    /// A message cannot be written in the broker's protocol together with what is said about it.
    #[error("a given-up message cannot be put on the queue `{queue}`: {reason}")]
    Unsendable {
        /// The queue for them.
        queue: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The dead-letter store holds as much of the mapping as it may.
    #[error(
        "the dead letters of the mapping fill their part of the store {}: {held_bytes} bytes of \
         {bytes_max} are taken; replay or drop some (gristmill dead-letters), or raise \
         `dead_letters_size_max` in [host]",
        .path.display()
    )]
    StoreFull {
        /// Its file.
        path: PathBuf,
        /// What it holds of the mapping, in bytes.
        held_bytes: u64,
        /// What it may hold of it, in bytes.
        bytes_max: u64,
    },
    /// The file that holds them cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl KeepError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            KeepError::Connection(error) => error.disposition(),
            KeepError::Lost { .. } => Disposition::Reconnect,
            KeepError::WriteRefused { .. } => Disposition::Stop(StopCode::AuthorizationError),
            KeepError::QueueMissing { .. }
            | KeepError::NotTaken { .. }
            | KeepError::Unsendable { .. }
            | KeepError::StoreFull { .. }
            | KeepError::File(_) => Disposition::Stop(StopCode::ConfigNotValid),
        }
    }
}

/// What was kept as an original cannot be read, or not be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A later version of this program has written it.
    #[error("a later version of this program has written it (format {0})")]
    Later(u8),
    /// Its bytes are no message.
    #[error("its bytes are damaged")]
    Damaged,
    /// No event can show it.
    #[error("{0}")]
    NoEvent(String),
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Original({} bytes)", self.0.len())
    }
}
