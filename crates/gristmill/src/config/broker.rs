//! The section `[broker.NAME]`: where a broker is and how to log in.
//!
//! A URL may hold a password, and one that is misspelt may hold it anywhere, so no error here quotes
//! any part of a URL.

use std::path::Path;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use toml::de::DeValue;
use url::{Host, Url};

use gristmill_broker::{Login, Secret};

use super::credentials::Credentials;
use super::section::Section;
use super::value;

/// The broker types of this version.
const TYPES: [&str; 1] = ["rabbitmq"];

/// The port of AMQP without TLS, as registered with IANA.
const AMQP_PORT: u16 = 5672;

/// A RabbitMQ broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// The host: a name, an IPv4 address or, without brackets, an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Where the login stands.
    pub credentials: Credentials,
    /// The ARN that events give, where the file sets it; otherwise
    /// [`Config::default_arn`](super::Config::default_arn).
    pub arn: Option<String>,
    /// The AMQP heartbeat, in whole seconds from 1 s to 1 h.
    pub heartbeat: Duration,
}

/// Reads one broker. Relative paths are taken from `folder`.
pub(super) fn read(mut section: Section<'_, '_>, folder: &Path) -> Option<BrokerConfig> {
    let kind = section.required("type", "\"rabbitmq\"", broker_type);
    let endpoint = section.required("url", "the broker's URL, amqp://HOST:PORT", endpoint);
    let url_login = endpoint.as_ref().and_then(|endpoint| endpoint.login.clone());
    let credentials = section.optional("credentials", |value| {
        let credentials = credentials(value, folder)?;
        match url_login {
            Some(_) => Err("the URL holds credentials too; take them out of the URL".to_owned()),
            None => Ok(credentials),
        }
    });
    let arn = section.optional("arn", arn);
    let heartbeat = section.or("heartbeat", Duration::from_secs(10), heartbeat);
    section.finish();

    kind?;
    let Endpoint { host, port, login } = endpoint?;
    let credentials = credentials.unwrap_or(login.map_or(Credentials::Guest, Credentials::Url));
    Some(BrokerConfig { host, port, credentials, arn, heartbeat })
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
    host: String,
    port: u16,
    login: Option<Login>,
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
    let port = url.port().unwrap_or(AMQP_PORT);
    Ok(Endpoint { host, port, login: url_login(&url)? })
}

/// What a URL holds that it may not.
fn url_refusal(url: &Url) -> Option<&'static str> {
    if url.scheme() == "amqps" {
        Some("this version has no amqps (TLS); write amqp://HOST:PORT")
    } else if url.scheme() != "amqp" {
        Some("has to begin with amqp://")
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
        Some("has the port 0; write one from 1 to 65535, or none for 5672")
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
