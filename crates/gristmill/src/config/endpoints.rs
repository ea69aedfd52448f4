//! The keys `url` and `urls` of a broker: where it listens, whether that is encrypted, and the login
//! that may stand there.
//!
//! A URL may hold a password, and one that is misspelt may hold it anywhere. What must never happen:
//! a problem, an option's name or `Debug` output that holds a part of one.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use toml::Spanned;
use toml::de::DeValue;
use url::{Host, Url};

use gristmill_broker::{Login, Secret};

use super::broker::{Address, RemoteType};
use super::failover::{self, Failover};
use super::section::Section;
use super::value;

/// The most addresses of a broker, each of which may cost a connect its whole timeout.
const ADDRESSES_MAX: usize = 16;

/// How the URLs of one type of broker are written.
struct Grammar {
    /// The schemes without and with TLS.
    plain: &'static [&'static str],
    encrypted: &'static [&'static str],
    /// The ports of a URL that names none.
    port: u16,
    tls_port: u16,
    /// What to write.
    example: &'static str,
    /// What is said of URLs that begin with something else.
    schemes: &'static str,
    /// What is said of those that are for the other type.
    other_type: &'static str,
    port_zero: &'static str,
    path: &'static str,
    mixed: &'static str,
    logins: &'static str,
}

/// Ports as registered with IANA.
const RABBITMQ: Grammar = Grammar {
    plain: &["amqp"],
    encrypted: &["amqps"],
    port: 5672,
    tls_port: 5671,
    example: "amqp://HOST:PORT",
    schemes: "has to begin with amqp:// or amqps://",
    other_type: "begins as the URLs of the type \"activemq\" do; write amqp:// or amqps://, or \
                 change the type",
    port_zero: "has the port 0; write one from 1 to 65535, or none for 5672 (amqps: 5671)",
    path: "has a path; take it off, slash included: a mapping names its virtual host in \
           `virtual_host`, and a `/` of the password is written %2F",
    mixed: "have to begin all with amqp:// or all with amqps://",
    logins: "have different credentials; write the same into each, or none",
};

/// The schemes of Java's client that are OpenWire over TCP, and the ports of ActiveMQ's own
/// configuration and of Amazon MQ.
const ACTIVEMQ: Grammar = Grammar {
    plain: &["tcp", "nio", "auto"],
    encrypted: &["ssl", "nio+ssl", "auto+ssl"],
    port: 61616,
    tls_port: 61617,
    example: "tcp://HOST:PORT",
    schemes: "has to begin with tcp:// or ssl:// (or nio, auto, nio+ssl, auto+ssl), or, for several \
              addresses, to be failover:(URL,URL)",
    other_type: "begins as the URLs of the type \"rabbitmq\" do; ActiveMQ is reached over OpenWire: \
                 write tcp:// or ssl://, or change the type",
    port_zero: "has the port 0; write one from 1 to 65535, or none for 61616 (ssl: 61617)",
    path: "has a path; take it off: several addresses are written failover:(URL,URL) or in `urls`, \
           and a `/` of the password is written %2F",
    mixed: "has addresses with TLS (ssl://) and without (tcp://); write all with, or all without",
    logins: "has addresses with different credentials; write the same into each, or none",
};

impl RemoteType {
    fn grammar(self) -> &'static Grammar {
        match self {
            Self::RabbitMq => &RABBITMQ,
            Self::ActiveMq => &ACTIVEMQ,
        }
    }

    /// Whether URLs of this type, and of no other, begin so.
    fn has_scheme(self, scheme: &str) -> bool {
        let Grammar { plain, encrypted, .. } = self.grammar();
        plain.contains(&scheme)
            || encrypted.contains(&scheme)
            || (self == Self::ActiveMq && scheme == failover::SCHEME)
    }
}

/// Where all of a broker's URLs point.
pub(super) struct Endpoints {
    pub(super) addresses: Vec<Address>,
    pub(super) login: Option<Login>,
    pub(super) encrypted: bool,
    /// The names of the options behind their `?`.
    pub(super) options: BTreeSet<String>,
}

/// Takes `url` or `urls`, one of which has to be there. Of a broker whose type is not known, the
/// values are not looked at.
pub(super) fn take(
    section: &mut Section<'_, '_>,
    remote_type: Option<RemoteType>,
) -> Option<Endpoints> {
    if section.has("urls") {
        section.optional("url", |_| -> Result<(), String> {
            Err("`urls` is there too; write the one or the other".to_owned())
        });
        let urls = section.optional("urls", |value| {
            remote_type.map(|remote_type| urls(value, remote_type)).transpose()
        });
        return urls?;
    }
    let example = match remote_type {
        Some(remote_type) => remote_type.grammar().example,
        None => "amqp://HOST:PORT or tcp://HOST:PORT",
    };
    let url = section.required("url", &format!("the broker's URL, {example}"), |value| {
        remote_type.map(|remote_type| url(value, remote_type)).transpose()
    });
    // Known, so that a slip of the keys finds it.
    section.optional("urls", |_| Ok(()));
    url?
}

/// One URL, which may be several addresses.
fn url(value: &DeValue<'_>, remote_type: RemoteType) -> Result<Endpoints, String> {
    let written = value::string(value)?;
    let failover = match remote_type {
        RemoteType::ActiveMq => failover::split(written)?,
        RemoteType::RabbitMq => None,
    };
    let Some(Failover { urls, options }) = failover else {
        return together(vec![endpoint(written, remote_type)?], remote_type);
    };
    if urls.is_empty() || urls.len() > ADDRESSES_MAX {
        return Err(format!("has {} addresses, but has to have 1 to {ADDRESSES_MAX}", urls.len()));
    }
    let read = |(number, url): (usize, &&str)| {
        endpoint(url, remote_type).map_err(|message| format!("address {}: {message}", number + 1))
    };
    let endpoints = urls.iter().enumerate().map(read).collect::<Result<_, String>>()?;
    let mut together = together(endpoints, remote_type)?;
    together.options.extend(options);
    Ok(together)
}

/// An array of URLs, each one address.
fn urls(value: &DeValue<'_>, remote_type: RemoteType) -> Result<Endpoints, String> {
    let DeValue::Array(urls) = value else {
        return Err(value::wrong_type(value, "an array of URLs"));
    };
    if urls.is_empty() || urls.len() > ADDRESSES_MAX {
        return Err(format!("has {} URLs, but has to have 1 to {ADDRESSES_MAX}", urls.len()));
    }
    let read = |(number, url): (usize, &Spanned<DeValue<'_>>)| {
        value::string(url.get_ref())
            .and_then(|url| endpoint(url, remote_type))
            .map_err(|message| format!("URL {}: {message}", number + 1))
    };
    together(urls.iter().enumerate().map(read).collect::<Result<_, String>>()?, remote_type)
}

/// Several URLs are one broker: they agree in all but the address.
fn together(endpoints: Vec<Endpoint>, remote_type: RemoteType) -> Result<Endpoints, String> {
    let Grammar { mixed, logins, .. } = remote_type.grammar();
    let first = endpoints.first().map(|first| (first.login.clone(), first.encrypted));
    let (login, encrypted) = first.unwrap_or_default();
    if endpoints.iter().any(|endpoint| endpoint.encrypted != encrypted) {
        return Err((*mixed).to_owned());
    }
    if endpoints.iter().any(|endpoint| endpoint.login != login) {
        return Err((*logins).to_owned());
    }
    let options = endpoints.iter().flat_map(|endpoint| endpoint.options.iter().cloned()).collect();
    let addresses = endpoints.into_iter().map(|endpoint| endpoint.address).collect();
    Ok(Endpoints { addresses, login, encrypted, options })
}

/// What a URL says.
struct Endpoint {
    address: Address,
    login: Option<Login>,
    encrypted: bool,
    options: Vec<String>,
}

fn endpoint(written: &str, remote_type: RemoteType) -> Result<Endpoint, String> {
    let grammar = remote_type.grammar();
    let scheme = scheme(written);
    if RemoteType::ALL.iter().any(|other| *other != remote_type && other.has_scheme(&scheme)) {
        return Err(grammar.other_type.to_owned());
    }
    if remote_type == RemoteType::ActiveMq && scheme == failover::SCHEME {
        return Err(failover::INSIDE.to_owned());
    }
    let url = Url::parse(written).map_err(|error| {
        // The parser's errors are constant texts, such as "invalid port number".
        format!(
            "is not a URL ({error}); write {}, with %XX for special characters",
            grammar.example
        )
    })?;
    let options = match remote_type {
        RemoteType::RabbitMq => no_options(&url, grammar)?,
        RemoteType::ActiveMq => options(&url, grammar)?,
    };
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(Host::Domain(_)) | None => {
            return Err(format!("has no host; write {}", grammar.example));
        }
    };
    let encrypted = grammar.encrypted.contains(&url.scheme());
    let default_port = if encrypted { grammar.tls_port } else { grammar.port };
    let port = url.port().unwrap_or(default_port);
    Ok(Endpoint { address: Address { host, port }, login: login(&url)?, encrypted, options })
}

/// What a text begins with that may be a URL.
fn scheme(written: &str) -> String {
    let (scheme, _) = written.trim_start().split_once(':').unwrap_or_default();
    scheme.to_ascii_lowercase()
}

/// A URL of RabbitMQ: a scheme, a login, a host and a port, and nothing else.
fn no_options(url: &Url, grammar: &Grammar) -> Result<Vec<String>, String> {
    let refusal = if !is_scheme_of(url, grammar) {
        grammar.schemes
    } else if !url.path().is_empty() {
        grammar.path
    } else if url.query().is_some() || url.fragment().is_some() {
        "has a `?` or `#`; take off what begins there, or, in the password, write %3F for `?` \
         and %23 for `#`"
    } else if url.port() == Some(0) {
        grammar.port_zero
    } else {
        return Ok(Vec::new());
    };
    Err(refusal.to_owned())
}

/// A URL of ActiveMQ, as people have it from Java: the slash and the options behind it mean nothing
/// here. Gives the options' names.
fn options(url: &Url, grammar: &Grammar) -> Result<Vec<String>, String> {
    let refusal = if !is_scheme_of(url, grammar) {
        grammar.schemes
    } else if !url.cannot_be_a_base() && !matches!(url.path(), "" | "/") {
        grammar.path
    } else if url.fragment().is_some() {
        "has a `#`; take off what begins there, or, in the password, write %23"
    } else if url.port() == Some(0) {
        grammar.port_zero
    } else if url.host_str().is_some_and(|host| host.contains([',', '(', ')'])) {
        "has a `,`, `(` or `)` in its host; write several addresses as failover:(URL,URL)"
    } else {
        return failover::option_names(url.query().unwrap_or_default());
    };
    Err(refusal.to_owned())
}

fn is_scheme_of(url: &Url, grammar: &Grammar) -> bool {
    grammar.plain.contains(&url.scheme()) || grammar.encrypted.contains(&url.scheme())
}

fn login(url: &Url) -> Result<Option<Login>, String> {
    let decode = |part: &str| match percent_decode_str(part).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("has credentials that are not UTF-8 once decoded".to_owned()),
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err("has a password but no user name; write both, or neither".to_owned()),
        (_, None) => Err("has a user name but no password; write both, or neither".to_owned()),
        (username, Some(password)) => Ok(Some(Login {
            username: decode(username)?,
            password: Secret::new(decode(password)?),
        })),
    }
}
