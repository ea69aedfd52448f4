//! The section `[broker.NAME]`: what kind of broker it is, how to log in, and what it expects of a
//! consumer. Where it is stands in [`endpoints`].

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill_event::Profile as EventProfile;
use toml::de::DeValue;
use url::Host;

use super::credentials::Credentials;
use super::endpoints::{self, Endpoints};
use super::section::Section;
use super::value;

/// A third of ActiveMQ's own `MaxInactivityDuration` of 30 s, and short enough for RabbitMQ.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// RabbitMQ's own default ("Delivery Acknowledgement Timeout").
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// More than a minute, which the host keeps as a margin, and less than any broker runs for.
const CONSUMER_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(61)..=Duration::from_secs(365 * 24 * 3600);

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Where it listens; tried in turn. At least one.
    pub addresses: Vec<Address>,
    /// How to encrypt, where the URLs begin with amqps or ssl.
    pub tls: Option<TlsConfig>,
    /// Where the login stands.
    pub credentials: Credentials,
    /// The ARN that events give, where the file sets it; otherwise
    /// [`Config::default_arn`](super::Config::default_arn).
    pub arn: Option<String>,
    /// How often either side proves that it lives, in whole seconds from 1 s to 1 h: the heartbeat of
    /// AMQP, and a third of OpenWire's `MaxInactivityDuration`.
    pub heartbeat: Duration,
    /// What kind of broker it is, with what that kind alone has.
    pub kind: BrokerKind,
    /// The names of the options in the URLs, none of which means anything here.
    pub ignored_options: BTreeSet<String>,
}

/// The kinds of brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// RabbitMQ, over AMQP 0-9-1.
    RabbitMq {
        /// How long the broker lets a consumer leave a delivery unsettled: more than a minute.
        consumer_timeout: Duration,
    },
    /// ActiveMQ Classic, over OpenWire.
    ActiveMq {
        /// How events of its messages are spelt.
        event_profile: EventProfile,
    },
}

/// What `type` says of each, and `event_profile` of the one that is no default.
pub(crate) const RABBITMQ: &str = "rabbitmq";
pub(crate) const ACTIVEMQ: &str = "activemq";
pub(crate) const OBSERVED: &str = "observed";

/// What `type` says, by which the other keys are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerType {
    RabbitMq,
    ActiveMq,
}

impl BrokerType {
    pub(super) const ALL: [Self; 2] = [Self::RabbitMq, Self::ActiveMq];

    fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => RABBITMQ,
            Self::ActiveMq => ACTIVEMQ,
        }
    }
}

impl BrokerConfig {
    /// Its type, as the file spells it.
    pub(crate) fn type_name(&self) -> &'static str {
        self.broker_type().name()
    }

    /// The spelling of its events, as the file says it, where that can be chosen.
    pub(crate) fn profile_name(&self) -> Option<&'static str> {
        match self.kind {
            BrokerKind::RabbitMq { .. } => None,
            BrokerKind::ActiveMq { event_profile: EventProfile::Documented } => Some("documented"),
            BrokerKind::ActiveMq { event_profile: EventProfile::Observed } => Some(OBSERVED),
        }
    }

    pub(super) fn broker_type(&self) -> BrokerType {
        match self.kind {
            BrokerKind::RabbitMq { .. } => BrokerType::RabbitMq,
            BrokerKind::ActiveMq { .. } => BrokerType::ActiveMq,
        }
    }
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
///
/// Gives the type also of a broker with problems, so that its mappings are read by the right rules.
pub(super) fn read(
    mut section: Section<'_, '_>,
    folder: &Path,
) -> Option<(BrokerType, Option<BrokerConfig>)> {
    let broker_type = section.required("type", "\"rabbitmq\" or \"activemq\"", broker_type);
    let endpoints = endpoints::take(&mut section, broker_type);
    let has_url_login = endpoints.as_ref().is_some_and(|endpoints| endpoints.login.is_some());
    let credentials = section.optional("credentials", |value| {
        let credentials = credentials(value, folder)?;
        if has_url_login {
            return Err("the URL holds credentials too; take them out of the URL".to_owned());
        }
        Ok(credentials)
    });
    let arn = section.optional("arn", arn);
    let heartbeat = section.or("heartbeat", HEARTBEAT, |value| heartbeat(value, broker_type));
    let kind = kind(&mut section, broker_type);
    let encrypted = endpoints.as_ref().is_none_or(|endpoints| endpoints.encrypted);
    let tls = tls(&mut section, folder, encrypted, broker_type);
    section.finish();

    let broker_type = broker_type?;
    let broker = endpoints.zip(kind).map(|(endpoints, kind)| {
        let Endpoints { addresses, login, encrypted, options } = endpoints;
        let nowhere = match broker_type {
            BrokerType::RabbitMq => Credentials::Guest,
            BrokerType::ActiveMq => Credentials::None,
        };
        BrokerConfig {
            addresses,
            tls: encrypted.then_some(tls),
            credentials: credentials.unwrap_or(login.map_or(nowhere, Credentials::Url)),
            arn,
            heartbeat,
            kind,
            ignored_options: options,
        }
    });
    Some((broker_type, broker))
}

/// Takes the keys that one type has and the other has not.
fn kind(section: &mut Section<'_, '_>, broker_type: Option<BrokerType>) -> Option<BrokerKind> {
    match broker_type {
        Some(BrokerType::RabbitMq) => {
            section.refuse(
                "event_profile",
                "is for the type \"activemq\", whose event is spelt in two ways; that of RabbitMQ \
                 has one form: take it out",
            );
            let consumer_timeout = section.or("consumer_timeout", CONSUMER_TIMEOUT, |value| {
                value::duration_in(value, CONSUMER_TIMEOUTS)
            });
            Some(BrokerKind::RabbitMq { consumer_timeout })
        }
        Some(BrokerType::ActiveMq) => {
            section.refuse(
                "consumer_timeout",
                "is for the type \"rabbitmq\"; ActiveMQ lets a consumer leave a message unsettled \
                 for as long as it is connected: take it out",
            );
            let event_profile = section.or("event_profile", EventProfile::default(), event_profile);
            Some(BrokerKind::ActiveMq { event_profile })
        }
        // Which of them it may have is not known.
        None => {
            section.optional("consumer_timeout", |_| Ok(()));
            section.optional("event_profile", |_| Ok(()));
            None
        }
    }
}

fn event_profile(value: &DeValue<'_>) -> Result<EventProfile, String> {
    match value::string(value)? {
        "documented" => Ok(EventProfile::Documented),
        "observed" => Ok(EventProfile::Observed),
        other => {
            let hint = value::hint(other, ["documented", "observed"].into_iter());
            Err(format!("there is no event profile {other:?}; {hint}"))
        }
    }
}

/// Takes the table `tls`.
fn tls(
    section: &mut Section<'_, '_>,
    folder: &Path,
    encrypted: bool,
    broker_type: Option<BrokerType>,
) -> TlsConfig {
    if !section.has("tls") {
        section.optional("tls", |_| Ok(()));
        return TlsConfig::default();
    }
    let mut table = section.table("tls");
    if !encrypted {
        let scheme = match broker_type {
            Some(BrokerType::ActiveMq) => "ssl://",
            Some(BrokerType::RabbitMq) | None => "amqps://",
        };
        table.problem(format!("is for {scheme} only; write that in the URL, or take `tls` out"));
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

fn broker_type(value: &DeValue<'_>) -> Result<BrokerType, String> {
    let written = value::string(value)?;
    if let Some(found) = BrokerType::ALL.into_iter().find(|known| known.name() == written) {
        return Ok(found);
    }
    let hint = value::hint(written, BrokerType::ALL.into_iter().map(BrokerType::name));
    Err(format!("this version has no broker type {written:?}; {hint}"))
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
fn heartbeat(value: &DeValue<'_>, broker_type: Option<BrokerType>) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let heartbeat = value::duration_in(value, range)?;
    if heartbeat.subsec_millis() == 0 {
        return Ok(heartbeat);
    }
    let why = match broker_type {
        Some(BrokerType::RabbitMq) => ", in which AMQP counts",
        Some(BrokerType::ActiveMq) | None => "",
    };
    Err(format!("{} is not whole seconds{why}", value::string(value)?))
}
