//! A user name and a password, and what keeps them out of sight.
//!
//! What must never happen: a password in `Debug` output, in a log line or in an error.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// Text that nobody is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes text out of sight.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for whom it is meant.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A user name and a password. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login([hidden])")
    }
}

/// Where a login stands. It is looked up for every connection, so that a password which somebody has
/// changed is used at the next try.
#[derive(Clone)]
pub struct LoginSource(Arc<LookUp>);

type LookUp = dyn Fn() -> Result<Login, Box<dyn StdError + Send + Sync>> + Send + Sync;

impl LoginSource {
    /// A login that `look_up` finds. It may read a small file, and should not block for longer.
    #[must_use]
    pub fn new(
        look_up: impl Fn() -> Result<Login, Box<dyn StdError + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(look_up))
    }

    /// The login as it stands now.
    ///
    /// # Errors
    ///
    /// What the look-up says; it holds no part of a login.
    pub fn login(&self) -> Result<Login, Box<dyn StdError + Send + Sync>> {
        (self.0)()
    }
}

impl From<Login> for LoginSource {
    /// A login that never changes.
    fn from(login: Login) -> Self {
        Self::new(move || Ok(login.clone()))
    }
}

impl fmt::Debug for LoginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginSource([hidden])")
    }
}
