//! Why a source could not be subscribed or was lost, and what that means for its mapping.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a source is not, or no longer, subscribed.
///
/// No variant ever holds a password: `broker` is an address without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Nobody answers at the address, or the handshake did not end.
    #[error("cannot connect to {broker}")]
    Unreachable {
        /// The broker's address, without credentials.
        broker: String,
        /// What the client said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The login cannot be had, so that nobody was asked.
    #[error("no login for {broker}")]
    LoginMissing {
        /// The broker's address, without credentials.
        broker: String,
        /// Why; holds nothing of what was read.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The broker refuses the login.
    #[error(
        "{broker} refuses the login: check the user name and password in the broker's credentials"
    )]
    LoginRefused {
        /// The broker's address, without credentials.
        broker: String,
    },
    /// What the settings say about TLS cannot be used, or the broker cannot prove who it is.
    #[error("no secure connection to {broker}: {advice}")]
    TlsRefused {
        /// The broker's address, without credentials.
        broker: String,
        /// What to do.
        advice: String,
        /// What failed.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The broker refuses this login the virtual host, or has no such virtual host.
    #[error("{broker} does not open the virtual host `{virtual_host}` to this login: {reason}")]
    VirtualHostRefused {
        /// The broker's address, without credentials.
        broker: String,
        /// The virtual host asked for.
        virtual_host: String,
        /// What the broker said.
        reason: String,
        /// Whether the virtual host is missing, rather than closed to this login.
        missing: bool,
    },
    /// The login may not read the queue.
    #[error("no right to read the queue `{queue}`: grant this login `read` on it ({reason})")]
    ReadRefused {
        /// The queue.
        queue: String,
        /// What the broker said.
        reason: String,
    },
    /// The queue does not exist.
    #[error("no queue `{queue}`: declare it, or correct the mapping's `queue` ({reason})")]
    QueueMissing {
        /// The queue.
        queue: String,
        /// What the broker said.
        reason: String,
    },
    /// The broker sends what cannot be read, and would do so each time.
    #[error(
        "the broker sends what this host cannot read, as a rule a message at the head of the queue \
         `{queue}`, behind which nothing can be handled: take that message from the queue ({reason})"
    )]
    Undecodable {
        /// The queue.
        queue: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Given-up messages cannot be put where they go.
    #[error(
        "cannot put given-up messages of `{queue}` on the queue `{dead_letter_queue}`: grant this \
         login `write` on it, and `admin` where it does not exist yet ({reason})"
    )]
    DeadLetterRefused {
        /// The queue.
        queue: String,
        /// Where they go.
        dead_letter_queue: String,
        /// What the broker said.
        reason: String,
    },
    /// The file of a queue on this machine cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The channel or the connection ended after the subscription stood.
    #[error("lost the subscription to `{queue}`: {reason}")]
    Lost {
        /// The queue.
        queue: String,
        /// What ended it.
        reason: String,
    },
}

/// A file that holds messages cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot use {what} {}: {advice}", .path.display())]
pub struct FileError {
    /// What it is, such as "the queues".
    pub what: &'static str,
    /// Its name.
    pub path: PathBuf,
    /// What to do.
    pub advice: &'static str,
    /// What failed.
    #[source]
    pub source: Arc<dyn StdError + Send + Sync>,
}

/// What a mapping does about a [`SourceError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The broker is away or busy: the mapping stays enabled and subscribes again, for ever.
    Reconnect,
    /// A person must act; the mapping stops with this code, and looks again from time to time
    /// whether somebody has.
    Stop(StopCode),
}

/// The codes of Lambda's event source mappings for errors that need a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopCode {
    /// The queue or the virtual host is missing, or the settings cannot go on without loss.
    ConfigNotValid,
    /// The login is refused, or there is none.
    AuthenticationError,
    /// Logged in, but without the right to read.
    AuthorizationError,
    /// The function is missing or does not load.
    FunctionNotValid,
}

impl StopCode {
    /// The code as Lambda spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StopCode::ConfigNotValid => "ESM_CONFIG_NOT_VALID",
            StopCode::AuthenticationError => "EVENT_SOURCE_AUTHN_ERROR",
            StopCode::AuthorizationError => "EVENT_SOURCE_AUTHZ_ERROR",
            StopCode::FunctionNotValid => "FUNCTION_CONFIG_NOT_VALID",
        }
    }
}

impl SourceError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            SourceError::Unreachable { .. } | SourceError::Lost { .. } => Disposition::Reconnect,
            SourceError::LoginMissing { .. } | SourceError::LoginRefused { .. } => {
                Disposition::Stop(StopCode::AuthenticationError)
            }
            SourceError::TlsRefused { .. }
            | SourceError::VirtualHostRefused { missing: true, .. }
            | SourceError::QueueMissing { .. }
            | SourceError::Undecodable { .. }
            | SourceError::File(_) => Disposition::Stop(StopCode::ConfigNotValid),
            SourceError::VirtualHostRefused { missing: false, .. }
            | SourceError::ReadRefused { .. }
            | SourceError::DeadLetterRefused { .. } => {
                Disposition::Stop(StopCode::AuthorizationError)
            }
        }
    }
}

/// The most bytes of an error with its causes, which may repeat what strangers have written.
const TEXT_BYTES_MAX: usize = 32 * 1024;

/// An error with everything that caused it, in one line, cut at 32 KiB.
#[must_use]
pub fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}
