//! Where logins come from.
//!
//! The file says where a broker's login stands; it is read when the host starts.
//!
//! What must never happen: a user name or password shows in `Debug` output or in an error, not even
//! as part of a value that could not be understood.

use std::io;
use std::path::PathBuf;

use gristmill_broker::{Login, Secret};
use serde_json::Value;

/// Where a broker's login stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nowhere: the login is `guest` with the password `guest`, as RabbitMQ comes. RabbitMQ takes it
    /// only from its own machine unless told otherwise (Access Control guide, `loopback_users`).
    Guest,
    /// Nowhere, and there is none: an ActiveMQ that asks nobody who he is, as it comes.
    None,
    /// In the broker's URL.
    Url(Login),
    /// In the environment variable of this name, as JSON.
    Environment(String),
    /// In this file, as JSON.
    File(PathBuf),
}

impl Credentials {
    /// Reads the login, `None` where there is none. `environment` looks up a variable, for which a program passes
    /// `|name| std::env::var(name).ok()`.
    ///
    /// The JSON is `{"username": …, "password": …}`; other fields are passed over, since secret
    /// stores add some. Blocks while it reads a file.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] if the variable or file is absent or holds something else.
    pub fn resolve(
        &self,
        environment: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Option<Login>, CredentialsError> {
        let login = match self {
            Self::None => return Ok(None),
            Self::Guest => {
                Login { username: "guest".to_owned(), password: Secret::new("guest".to_owned()) }
            }
            Self::Url(login) => login.clone(),
            Self::Environment(variable) => {
                let json = environment(variable)
                    .ok_or_else(|| CredentialsError::NotSet { variable: variable.clone() })?;
                login_from_json(&json, || format!("the environment variable {variable}"))?
            }
            Self::File(path) => {
                let json = std::fs::read_to_string(path).map_err(|source| {
                    CredentialsError::Unreadable { path: path.clone(), source }
                })?;
                login_from_json(&json, || format!("the file {}", path.display()))?
            }
        };
        Ok(Some(login))
    }
}

/// Why a broker's login could not be read. Holds nothing of what was read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The environment variable is absent.
    #[error(
        "the environment variable {variable} is not set: \
         set it to {{\"username\": …, \"password\": …}}"
    )]
    NotSet {
        /// Its name.
        variable: String,
    },
    /// The file cannot be read.
    #[error("cannot read the credentials file {}: check that it exists and may be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is something, but not JSON.
    #[error("{origin} does not hold JSON: write {{\"username\": …, \"password\": …}}")]
    NotJson {
        /// The variable or file.
        origin: String,
    },
    /// There is JSON, but a field is absent or not a string.
    #[error("{origin} has no string `{field}`: write {{\"username\": …, \"password\": …}}")]
    NoField {
        /// The variable or file.
        origin: String,
        /// The field's name.
        field: &'static str,
    },
}

/// Takes the login out of JSON. What `serde_json` says about bad input is dropped, because it
/// quotes the input.
fn login_from_json(json: &str, origin: impl Fn() -> String) -> Result<Login, CredentialsError> {
    let value: Value =
        serde_json::from_str(json).map_err(|_| CredentialsError::NotJson { origin: origin() })?;
    let field = |field: &'static str| match value.get(field).and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => Err(CredentialsError::NoField { origin: origin(), field }),
    };
    Ok(Login { username: field("username")?, password: Secret::new(field("password")?) })
}
