//! Bytes and strings that nobody is shown: bodies, tokens and logins.
//!
//! What must never happen: what is inside, in `Debug` output.

use std::fmt;

use bytes::Bytes;

use crate::Text;

/// Bytes of the frame, as they are. `Debug` shows their number.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Opaque(pub Bytes);

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl From<Bytes> for Opaque {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

/// A user name or a password. `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(Text);

impl Hidden {
    /// Takes text out of sight.
    #[must_use]
    pub fn new(text: impl Into<Text>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whom it is meant.
    #[must_use]
    pub fn expose(&self) -> &Text {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}
