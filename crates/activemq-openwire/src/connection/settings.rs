//! What a connection is told before it begins.

use std::fmt;
use std::time::Duration;

use crate::{Hidden, Limits};

/// What a connection is told before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Names the connection. No other connection to any broker of the network may have it, nor have
    /// had it lately: a broker drops the earlier of two.
    pub connection_id: String,
    /// Names the client. No other live connection may have it: a broker refuses the later of two,
    /// and can take a while to notice that the earlier has gone.
    pub client_id: String,
    /// Who logs in; `None` where a broker lets everybody in.
    pub login: Option<Login>,
    /// After what silence a side counts as gone, if the broker does not want less; zero: never.
    pub inactivity: Duration,
    /// How long negotiation and login may take together.
    pub login_timeout: Duration,
    /// How long an orderly close may take.
    pub close_timeout: Duration,
    /// How many bytes of requests may be on their way without an answer; one request of any size
    /// may. Default: 32 KiB, half of what a broker's socket holds by default. The thread of a
    /// broker that reads from this connection can wait for the one that writes to it, and if the
    /// socket fills up meanwhile, Linux from 6.17 on drops everything that this side sends, also
    /// the confirmations which the writing one waits for: neither goes on.
    pub unanswered_bytes_max: usize,
    /// How much the broker may make this side hold.
    pub limits: Limits,
}

/// A user name and a password. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user_name: Hidden,
    /// The password.
    pub password: Hidden,
}

impl Settings {
    /// Settings with the usual times, for everybody.
    #[must_use]
    pub fn new(connection_id: &str, client_id: &str) -> Self {
        Self {
            connection_id: connection_id.to_owned(),
            client_id: client_id.to_owned(),
            login: None,
            inactivity: Duration::from_secs(30),
            login_timeout: Duration::from_secs(15),
            close_timeout: Duration::from_secs(5),
            unanswered_bytes_max: 32 << 10,
            limits: Limits::default(),
        }
    }
}

impl Login {
    /// A user name and a password.
    #[must_use]
    pub fn new(user_name: &str, password: &str) -> Self {
        Self { user_name: Hidden::new(user_name), password: Hidden::new(password) }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login([hidden])")
    }
}
