//! The section `[broker.NAME]`: where a broker is, how to log in, and what it expects of a consumer.
//!
//! A URL may hold a password, and one that is misspelt may hold it anywhere, so no error here quotes
//! any part of a URL.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use toml::Spanned;
use toml::de::DeValue;
use url::{Host, Url};

use gristmill_broker::{Login, Secret};

use super::credentials::Credentials;
use super::section::Section;
use super::value;

/// The broker types of this version.
const TYPES: [&str; 1] = ["rabbitmq"];

/// The ports of AMQP without and with TLS, as registered with IANA.
const AMQP_PORT: u16 = 5672;
const AMQPS_PORT: u16 = 5671;

/// The most addresses of a broker, each of which may cost a connect its whole timeout.
const ADDRESSES_MAX: usize = 16;

/// RabbitMQ's own default ("Delivery Acknowledgement Timeout").
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// More than a minute, which the host keeps as a margin, and less than any broker runs for.
const CONSUMER_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(61)..=Duration::from_secs(365 * 24 * 3600);

/// A RabbitMQ broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Where it listens; tried in turn. At least one.
    pub addresses: Vec<Address>,
    /// How to encrypt, where the URLs begin with amqps.
    pub tls: Option<TlsConfig>,
    /// Where the login stands.
    pub credentials: Credentials,
    /// The ARN that events give, where the file sets it; otherwise
    /// [`Config::default_arn`](super::Config::default_arn).
    pub arn: Option<String>,
    /// The AMQP heartbeat, in whole seconds from 1 s to 1 h.
    pub heartbeat: Duration,
    /// How long the broker lets a consumer leave a delivery unsettled: more than a minute.
    pub consumer_timeout: Duration,
}

/// Where a broker, or one node of it, listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host: a name, an IPv4 address or, without brackets, an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How to encrypt, and whom to trust. The files are PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The only authorities that are trusted; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The name that the broker's certificate has to be for; `None`: the host of the URL.
    pub server_name: Option<String>,
    /// The certificate that this host shows, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Reads one broker. Relative paths are taken from `folder`.
pub(super) fn read(mut section: Section<'_, '_>, folder: &Path) -> Option<BrokerConfig> {
    let kind = section.required("type", "\"rabbitmq\"", broker_type);
    let endpoints = endpoints(&mut section);
    let url_login = endpoints.as_ref().and_then(|endpoints| endpoints.login.clone());
    let credentials = section.optional("credentials", |value| {
        let credentials = credentials(value, folder)?;
        match url_login {
            Some(_) => Err("the URL holds credentials too; take them out of the URL".to_owned()),
            None => Ok(credentials),
        }
    });
    let arn = section.optional("arn", arn);
    let heartbeat = section.or("heartbeat", Duration::from_secs(10), heartbeat);
    let consumer_timeout = section.or("consumer_timeout", CONSUMER_TIMEOUT, |value| {
        value::duration_in(value, CONSUMER_TIMEOUTS)
    });
    let encrypted = endpoints.as_ref().is_none_or(|endpoints| endpoints.encrypted);
    let tls = tls(&mut section, folder, encrypted);
    section.finish();

    kind?;
    let Endpoints { addresses, login, encrypted } = endpoints?;
    let credentials = credentials.unwrap_or(login.map_or(Credentials::Guest, Credentials::Url));
    let tls = encrypted.then_some(tls);
    Some(BrokerConfig { addresses, tls, credentials, arn, heartbeat, consumer_timeout })
}

/// Where all of a broker's URLs point.
struct Endpoints {
    addresses: Vec<Address>,
    login: Option<Login>,
    encrypted: bool,
}

/// Takes `url` or `urls`, one of which has to be there.
fn endpoints(section: &mut Section<'_, '_>) -> Option<Endpoints> {
    if !section.has("urls") {
        let url = section.required("url", "the broker's URL, amqp://HOST:PORT", endpoint);
        // Known, so that a slip of the keys finds it.
        section.optional("urls", |_| Ok(()));
        return url.and_then(|endpoint| together(vec![endpoint]).ok());
    }
    section.optional("url", |_| -> Result<(), String> {
        Err("`urls` is there too; write the one or the other".to_owned())
    });
    section.optional("urls", |value| {
        let DeValue::Array(urls) = value else {
            return Err(value::wrong_type(value, "an array of URLs"));
        };
        if urls.is_empty() || urls.len() > ADDRESSES_MAX {
            return Err(format!("has {} URLs, but has to have 1 to {ADDRESSES_MAX}", urls.len()));
        }
        let read = |(number, url): (usize, &Spanned<DeValue<'_>>)| {
            endpoint(url.get_ref()).map_err(|message| format!("URL {}: {message}", number + 1))
        };
        together(urls.iter().enumerate().map(read).collect::<Result<_, String>>()?)
    })
}

/// Several URLs are one broker: they agree in all but the address.
fn together(endpoints: Vec<Endpoint>) -> Result<Endpoints, String> {
    let first = endpoints.first().map(|first| (first.login.clone(), first.encrypted));
    let (login, encrypted) = first.unwrap_or_default();
    if endpoints.iter().any(|endpoint| endpoint.encrypted != encrypted) {
        return Err("have to begin all with amqp:// or all with amqps://".to_owned());
    }
    if endpoints.iter().any(|endpoint| endpoint.login != login) {
        return Err("have different credentials; write the same into each, or none".to_owned());
    }
    let addresses = endpoints.into_iter().map(|endpoint| endpoint.address).collect();
    Ok(Endpoints { addresses, login, encrypted })
}

/// Takes the table `tls`.
fn tls(section: &mut Section<'_, '_>, folder: &Path, encrypted: bool) -> TlsConfig {
    if !section.has("tls") {
        section.optional("tls", |_| Ok(()));
        return TlsConfig::default();
    }
    let mut table = section.table("tls");
    if !encrypted {
        table.problem("is for amqps:// only; write that in the URL, or take `tls` out".to_owned());
    }
    let ca = table.optional("ca", |value| value::path(value, folder));
    let server_name = table.optional("server_name", server_name);
    let (has_certificate, has_key) = (table.has("certificate"), table.has("key"));
    let certificate = table.optional("certificate", |value| value::path(value, folder));
    let key = table.optional("key", |value| value::path(value, folder));
    if has_certificate != has_key {
        table.problem("has one of `certificate` and `key`; write both, or neither".to_owned());
    }
    table.finish();
    TlsConfig { ca, server_name, certificate: certificate.zip(key) }
}

/// A host name or an address, as a certificate names it.
fn server_name(value: &DeValue<'_>) -> Result<String, String> {
    let written = value::string(value)?;
    match Host::parse(written) {
        Ok(Host::Domain(name)) if !name.is_empty() => Ok(name),
        Ok(Host::Ipv4(address)) => Ok(address.to_string()),
        Ok(Host::Domain(_) | Host::Ipv6(_)) | Err(_) => {
            Err(format!("{written:?} is not a host name, such as \"broker.example.com\""))
        }
    }
}

fn broker_type(value: &DeValue<'_>) -> Result<(), String> {
    let written = value::string(value)?;
    if TYPES.contains(&written) {
        return Ok(());
    }
    let hint = value::hint(written, TYPES.into_iter());
    Err(format!("this version has no broker type {written:?}; {hint}"))
}

/// What a URL says.
struct Endpoint {
    address: Address,
    login: Option<Login>,
    encrypted: bool,
}

fn endpoint(value: &DeValue<'_>) -> Result<Endpoint, String> {
    let written = value::string(value)?;
    let url = Url::parse(written).map_err(|error| {
        // The parser's errors are constant texts, such as "invalid port number".
        format!("is not a URL ({error}); write amqp://HOST:PORT, with %XX for special characters")
    })?;
    if let Some(refusal) = url_refusal(&url) {
        return Err(refusal.to_owned());
    }
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(Host::Domain(_)) | None => {
            return Err("has no host; write amqp://HOST:PORT".to_owned());
        }
    };
    let encrypted = url.scheme() == "amqps";
    let port = url.port().unwrap_or(if encrypted { AMQPS_PORT } else { AMQP_PORT });
    Ok(Endpoint { address: Address { host, port }, login: url_login(&url)?, encrypted })
}

/// What a URL holds that it may not.
fn url_refusal(url: &Url) -> Option<&'static str> {
    if !["amqp", "amqps"].contains(&url.scheme()) {
        Some("has to begin with amqp:// or amqps://")
    } else if !url.path().is_empty() {
        Some(
            "has a path; take it off, slash included: a mapping names its virtual host in \
             `virtual_host`, and a `/` of the password is written %2F",
        )
    } else if url.query().is_some() || url.fragment().is_some() {
        Some(
            "has a `?` or `#`; take off what begins there, or, in the password, write %3F for `?` \
             and %23 for `#`",
        )
    } else if url.port() == Some(0) {
        Some("has the port 0; write one from 1 to 65535, or none for 5672 (amqps: 5671)")
    } else {
        None
    }
}

fn url_login(url: &Url) -> Result<Option<Login>, String> {
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

/// Where credentials stand. What was written is not quoted: it may be a password.
fn credentials(value: &DeValue<'_>, folder: &Path) -> Result<Credentials, String> {
    match value::string(value)?.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(Credentials::Environment(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(Credentials::File(folder.join(path))),
        _ => {
            Err("has to be \"env:NAME\", an environment variable, or \"file:PATH\"; either holds \
                  {\"username\": …, \"password\": …}"
                .to_owned())
        }
    }
}

fn arn(value: &DeValue<'_>) -> Result<String, String> {
    let arn = value::string(value)?;
    if arn.starts_with("arn:") {
        Ok(arn.to_owned())
    } else {
        Err(format!("{arn:?} is not an ARN; it has to begin with arn:"))
    }
}

/// AMQP counts heartbeats in seconds (`connection.tune`). Beyond an hour, a dead connection would
/// go unnoticed for longer than any function runs.
fn heartbeat(value: &DeValue<'_>) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let heartbeat = value::duration_in(value, range)?;
    if heartbeat.subsec_millis() == 0 {
        Ok(heartbeat)
    } else {
        Err(format!("{} is not whole seconds, in which AMQP counts", value::string(value)?))
    }
}
