//! What a function may reach, as the operator writes it: directories, addresses, hosts.
//!
//! Plain values. Nothing is granted by default, and a handler cannot grant itself anything.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What a function may reach. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Directories, with everything in them.
    pub dirs: Vec<DirGrant>,
    /// Where TCP and UDP may connect to.
    pub network: Vec<Address>,
    /// Where `wasi:http` may send requests to.
    pub http: Vec<HttpHost>,
}

/// A directory of the host that a handler sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirGrant {
    /// The directory. It has to exist.
    pub host: PathBuf,
    /// The name under which the handler sees it, such as `/data`.
    pub guest: String,
    /// Whether the handler may change it and what is in it; otherwise it only reads.
    pub write: bool,
}

/// A host by its name or its IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case, which is looked up when the handler asks for it.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// A host and a port. Read from text such as `db.local:5432`, `10.0.0.7:53` or `[::1]:53`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host.
    pub host: Host,
    /// The port, not 0.
    pub port: u16,
}

/// A host of HTTP. Read from text such as `api.example.com` or `localhost:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHost {
    /// The host.
    pub host: Host,
    /// The port; `None` for that of the scheme, 80 or 443.
    pub port: Option<u16>,
}

/// A text that is no address, or no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There is no port.
    #[error("has no port; write HOST:PORT, such as \"db.local:5432\"")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("has a port that is no number from 1 to 65535")]
    BadPort,
    /// The host is empty or has characters that no host name has.
    #[error(
        "has no host name or IP address; write one without scheme, path or wildcard, \
         such as \"db.local\""
    )]
    BadHost,
}

impl FromStr for Address {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Address, GrantError> {
        let (host, port) = split(text)?;
        Ok(Address { host, port: port.ok_or(GrantError::NoPort)? })
    }
}

impl FromStr for HttpHost {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<HttpHost, GrantError> {
        let (host, port) = split(text)?;
        Ok(HttpHost { host, port })
    }
}

impl FromStr for Host {
    type Err = GrantError;

    /// Reads a name or an address, an IPv6 address with or without brackets.
    fn from_str(text: &str) -> Result<Host, GrantError> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Host::Ip(ip.to_canonical()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(allowed);
        // A dot at the end says that the name is whole, which changes nothing here.
        let name = bare.strip_suffix('.').unwrap_or(bare);
        if name.len() <= 253 && name.split('.').all(label) {
            Ok(Host::Name(name.to_ascii_lowercase()))
        } else {
            Err(GrantError::BadHost)
        }
    }
}

/// Splits the port from a host.
fn split(text: &str) -> Result<(Host, Option<u16>), GrantError> {
    // A bare IPv6 address has colons of its own.
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text.parse()?, None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let read = |port: &str| match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(GrantError::BadPort),
    };
    Ok((host.parse()?, port.map(read).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let read = |text: &str| text.parse::<Address>();
        let name = |name: &str| Host::Name(name.to_owned());
        assert_eq!(read("DB.local:5432"), Ok(Address { host: name("db.local"), port: 5432 }));
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        assert_eq!(read("10.0.0.7:53"), Ok(Address { host: ip("10.0.0.7"), port: 53 }));
        assert_eq!(read("[::1]:53"), Ok(Address { host: ip("::1"), port: 53 }));
        assert_eq!(read("[::ffff:10.0.0.7]:53"), Ok(Address { host: ip("10.0.0.7"), port: 53 }));
        for no_port in ["db.local", "::1", "10.0.0.7", "[::1]"] {
            assert_eq!(read(no_port), Err(GrantError::NoPort), "{no_port}");
        }
        for bad_port in ["db:0", "db:65536", "db:", "db:http"] {
            assert_eq!(read(bad_port), Err(GrantError::BadPort), "{bad_port}");
        }
        for bad_host in [":1", "http://db:1", "*.db:1", "a b:1", "db/x:1", "..:1", "[::1:1"] {
            assert_eq!(read(bad_host), Err(GrantError::BadHost), "{bad_host}");
        }
    }

    #[test]
    fn hosts_of_http_may_leave_the_port_out() {
        let read = |text: &str| text.parse::<HttpHost>();
        let name = |name: &str| Host::Name(name.to_owned());
        let host = HttpHost { host: name("api.example.com"), port: None };
        assert_eq!(read("api.example.com"), Ok(host.clone()));
        assert_eq!(read("API.example.com."), Ok(host));
        let local = HttpHost { host: name("localhost"), port: Some(8080) };
        assert_eq!(read("localhost:8080"), Ok(local));
        assert_eq!(read("https://api.example.com"), Err(GrantError::BadPort));
    }
}
