//! Where brokers are: ActiveMQ's URLs, of which the part matters that says where.
//!
//! What must never happen: a login that somebody put into a URL, in an error.

use std::fmt;

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host's name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the port speaks TLS.
    pub tls: bool,
}

/// Why a URL does not say where brokers are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with something else.
    #[error("a broker's URL begins with tcp://, ssl:// or failover:(")]
    Scheme,
    /// No broker is named.
    #[error("the URL names no host")]
    NoHost,
    /// The port is no number from 1 to 65,535.
    #[error("the URL's port is not a number from 1 to 65535")]
    Port,
    /// There is a user in it.
    #[error("the URL holds a login, which belongs elsewhere")]
    Login,
    /// A parenthesis is missing.
    #[error("the failover URL does not close its parenthesis")]
    Parenthesis,
}

const PORT: u16 = 61616;
const PORT_TLS: u16 = 61617;

impl Address {
    /// Reads a URL such as `tcp://host:61616`, `ssl://host` or
    /// `failover:(ssl://one:61617,ssl://two:61617)?randomize=false`.
    ///
    /// `nio` and `auto` are other words for `tcp`, and with `+ssl` for `ssl`. What stands behind a
    /// `?` are settings of Java's client, which mean nothing here.
    ///
    /// # Errors
    ///
    /// When it says nothing of the kind.
    ///
    /// # Examples
    ///
    /// ```
    /// use activemq_openwire::client::Address;
    ///
    /// let addresses = Address::parse("failover:(ssl://one,tcp://two:1234?x=y)")?;
    /// assert_eq!(addresses[0], Address { host: "one".into(), port: 61617, tls: true });
    /// assert_eq!(addresses[1].to_string(), "tcp://two:1234");
    /// # Ok::<(), activemq_openwire::client::AddressError>(())
    /// ```
    pub fn parse(url: &str) -> Result<Vec<Self>, AddressError> {
        let Some(list) = url.strip_prefix("failover:") else { return Ok(vec![Self::one(url)?]) };
        let list = list.strip_prefix("//").unwrap_or(list);
        let list = match list.strip_prefix('(') {
            Some(list) => list.split_once(')').ok_or(AddressError::Parenthesis)?.0,
            None => list,
        };
        list.split(',').map(|url| Self::one(url.trim())).collect()
    }

    fn one(url: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = url.split_once("://").ok_or(AddressError::Scheme)?;
        let tls = match scheme {
            "tcp" | "nio" | "auto" | "auto+nio" => false,
            "ssl" | "nio+ssl" | "auto+ssl" | "auto+nio+ssl" => true,
            _ => return Err(AddressError::Scheme),
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(AddressError::Login);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(AddressError::NoHost)?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(AddressError::Port)?,
            None if tls => PORT_TLS,
            None => PORT,
        };
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "ssl" } else { "tcp" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Result<Vec<String>, AddressError> {
        Ok(Address::parse(url)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_form_says_where() {
        for (url, expected) in [
            ("tcp://a", vec!["tcp://a:61616"]),
            ("ssl://a/", vec!["ssl://a:61617"]),
            ("auto+nio+ssl://a:1?wireFormat.maxFrameSize=9", vec!["ssl://a:1"]),
            ("tcp://[::1]:7", vec!["tcp://[::1]:7"]),
            ("failover:(tcp://a:1,ssl://b:2)?randomize=false", vec!["tcp://a:1", "ssl://b:2"]),
            ("failover://(tcp://a:1?x=(y))", vec!["tcp://a:1"]),
            ("failover:tcp://a:1, tcp://b:2", vec!["tcp://a:1", "tcp://b:2"]),
        ] {
            assert_eq!(shown(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn what_says_nothing_is_refused_without_being_repeated() {
        for (url, expected) in [
            ("", AddressError::Scheme),
            ("amqp://a", AddressError::Scheme),
            ("tcp://", AddressError::NoHost),
            ("tcp://:1", AddressError::NoHost),
            ("tcp://[::1", AddressError::NoHost),
            ("tcp://a:0", AddressError::Port),
            ("tcp://a:x", AddressError::Port),
            ("tcp://u:secret@a:1", AddressError::Login),
            ("failover:(tcp://a:1", AddressError::Parenthesis),
            ("failover:()", AddressError::Scheme),
        ] {
            let error = shown(url).unwrap_err();
            assert!(!error.to_string().contains("secret"));
            assert_eq!(error, expected, "{url}");
        }
    }
}
