//! The section `[broker.NAME]`: what kind of broker it is, how to log in, and what it expects of a
//! consumer. Where it is stands in [`endpoints`].

use std::collections::{BTreeMap, BTreeSet};
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
use crate::custom::CustomBroker;

/// A third of ActiveMQ's own `MaxInactivityDuration` of 30 s, and short enough for RabbitMQ.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// RabbitMQ's own default ("Delivery Acknowledgement Timeout").
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// More than a minute, which the host keeps as a margin, and less than any broker runs for.
const CONSUMER_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_secs(61)..=Duration::from_secs(365 * 24 * 3600);

/// How much the queues of an embedded broker may hold, and hold at most unless set otherwise.
const EMBEDDED_SIZES: RangeInclusive<u64> = 1 << 20..=1 << 40;
const EMBEDDED_SIZE: u64 = 1 << 30;

/// A message that lives shorter is not worth its place, and a cycle of dead letters turns no faster.
const MESSAGE_TTLS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3600);

const OWN_DEAD_LETTERS: &str =
    "its dead letters would come again; name another `dead_letter_queue`";

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// The ARN that events give, where the file sets it; otherwise
    /// [`Config::default_arn`](super::Config::default_arn).
    pub arn: Option<String>,
    /// What kind of broker it is, with what that kind has.
    pub kind: BrokerKind,
}

/// The kinds of brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerKind {
    /// RabbitMQ, over AMQP 0-9-1.
    RabbitMq {
        /// How it is reached.
        remote: RemoteConfig,
        /// How long the broker lets a consumer leave a delivery unsettled: more than a minute.
        consumer_timeout: Duration,
    },
    /// ActiveMQ Classic, over OpenWire.
    ActiveMq {
        /// How it is reached.
        remote: RemoteConfig,
        /// How events of its messages are spelt.
        event_profile: EventProfile,
    },
    /// In this process, with a file in the data directory.
    Embedded(EmbeddedConfig),
    /// Whatever the embedder's own source reads, see [`CustomBroker`]. No file can
    /// say this.
    Custom(CustomBroker),
}

/// How a broker elsewhere is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteConfig {
    /// Where it listens; tried in turn. At least one.
    pub addresses: Vec<Address>,
    /// How to encrypt, where the URLs begin with amqps or ssl.
    pub tls: Option<TlsConfig>,
    /// Where the login stands.
    pub credentials: Credentials,
    /// How often either side proves that it lives, in whole seconds from 1 s to 1 h: the heartbeat of
    /// AMQP, and a third of OpenWire's `MaxInactivityDuration`.
    pub heartbeat: Duration,
    /// The names of the options in the URLs, none of which means anything here.
    pub ignored_options: BTreeSet<String>,
}

/// A broker in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// Its queues that have settings of their own. Besides, every queue exists that a mapping or another
    /// queue names, see [`Config::embedded_queues`](super::Config::embedded_queues).
    pub queues: BTreeMap<String, EmbeddedQueueConfig>,
    /// The most that all its messages take, in bytes.
    pub bytes_max: u64,
    /// Whether whoever reaches the host's `listen` address may publish.
    pub http_publish: bool,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), bytes_max: EMBEDDED_SIZE, http_publish: false }
    }
}

/// A queue of an embedded broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbeddedQueueConfig {
    /// Where its rejected and expired messages go; `None`: they are deleted.
    pub dead_letter_queue: Option<String>,
    /// After how long in it a message expires; `None`: never, unless the message says so itself.
    pub message_ttl: Option<Duration>,
    /// The highest priority that counts; 0: none does.
    pub priority_max: u8,
}

/// What `type` says of each, and `event_profile` of the one that is no default.
pub(crate) const RABBITMQ: &str = "rabbitmq";
pub(crate) const ACTIVEMQ: &str = "activemq";
pub(crate) const EMBEDDED: &str = "embedded";
pub(crate) const CUSTOM: &str = "custom";
pub(crate) const OBSERVED: &str = "observed";

/// What `type` says, by which the other keys are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerType {
    RabbitMq,
    ActiveMq,
    Embedded,
}

impl BrokerType {
    pub(super) const ALL: [Self; 3] = [Self::RabbitMq, Self::ActiveMq, Self::Embedded];

    fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => RABBITMQ,
            Self::ActiveMq => ACTIVEMQ,
            Self::Embedded => EMBEDDED,
        }
    }

    fn remote(self) -> Option<RemoteType> {
        match self {
            Self::RabbitMq => Some(RemoteType::RabbitMq),
            Self::ActiveMq => Some(RemoteType::ActiveMq),
            Self::Embedded => None,
        }
    }
}

/// The types of brokers that are elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RemoteType {
    RabbitMq,
    ActiveMq,
}

impl RemoteType {
    pub(super) const ALL: [Self; 2] = [Self::RabbitMq, Self::ActiveMq];
}

impl BrokerConfig {
    /// A broker in the host itself.
    #[must_use]
    pub fn embedded() -> Self {
        Self { arn: None, kind: BrokerKind::Embedded(EmbeddedConfig::default()) }
    }

    /// A broker of the embedder's own.
    #[must_use]
    pub fn custom(broker: CustomBroker) -> Self {
        Self { arn: None, kind: BrokerKind::Custom(broker) }
    }

    /// Its type, as the file spells it, or `custom`.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            BrokerKind::RabbitMq { .. } => RABBITMQ,
            BrokerKind::ActiveMq { .. } => ACTIVEMQ,
            BrokerKind::Embedded(_) => EMBEDDED,
            BrokerKind::Custom(_) => CUSTOM,
        }
    }

    /// The spelling of its events, as the file says it, where that can be chosen.
    pub(crate) fn profile_name(&self) -> Option<&'static str> {
        match self.kind {
            BrokerKind::ActiveMq { event_profile: EventProfile::Documented, .. } => {
                Some("documented")
            }
            BrokerKind::ActiveMq { event_profile: EventProfile::Observed, .. } => Some(OBSERVED),
            BrokerKind::RabbitMq { .. } | BrokerKind::Embedded(_) | BrokerKind::Custom(_) => None,
        }
    }

    /// How it is reached, if it is elsewhere.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteConfig> {
        match &self.kind {
            BrokerKind::RabbitMq { remote, .. } | BrokerKind::ActiveMq { remote, .. } => {
                Some(remote)
            }
            BrokerKind::Embedded(_) | BrokerKind::Custom(_) => None,
        }
    }

    /// What of its own would keep it from working.
    pub(super) fn problems(&self) -> Vec<String> {
        let BrokerKind::Embedded(EmbeddedConfig { queues, .. }) = &self.kind else {
            return Vec::new();
        };
        let mut problems = Vec::new();
        for (name, queue) in queues {
            if queue.dead_letter_queue.as_ref() == Some(name) {
                problems.push(format!("queues.{name:?}: {OWN_DEAD_LETTERS}"));
            }
            if queue.message_ttl.is_some_and(|ttl| !MESSAGE_TTLS.contains(&ttl)) {
                problems.push(format!("queues.{name:?}: `message_ttl` has to be 1 s to 8760 h"));
            }
        }
        problems
    }

    /// `None` for one that no file can have.
    pub(super) fn broker_type(&self) -> Option<BrokerType> {
        match self.kind {
            BrokerKind::RabbitMq { .. } => Some(BrokerType::RabbitMq),
            BrokerKind::ActiveMq { .. } => Some(BrokerType::ActiveMq),
            BrokerKind::Embedded(_) => Some(BrokerType::Embedded),
            BrokerKind::Custom(_) => None,
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
    let types = "\"rabbitmq\", \"activemq\" or \"embedded\"";
    let broker_type = section.required("type", types, broker_type);
    let arn = section.optional("arn", arn);
    let kind = if broker_type == Some(BrokerType::Embedded) {
        Some(BrokerKind::Embedded(embedded(&mut section)))
    } else {
        remote(&mut section, folder, broker_type.and_then(BrokerType::remote))
    };
    section.finish();
    Some((broker_type?, kind.map(|kind| BrokerConfig { arn, kind })))
}

/// Takes the keys of a broker elsewhere.
fn remote(
    section: &mut Section<'_, '_>,
    folder: &Path,
    remote_type: Option<RemoteType>,
) -> Option<BrokerKind> {
    for key in ["queues", "size_max", "http_publish"] {
        section.refuse(key, "is for the type \"embedded\"; take it out");
    }
    let endpoints = endpoints::take(section, remote_type);
    let has_url_login = endpoints.as_ref().is_some_and(|endpoints| endpoints.login.is_some());
    let credentials = section.optional("credentials", |value| {
        let credentials = credentials(value, folder)?;
        if has_url_login {
            return Err("the URL holds credentials too; take them out of the URL".to_owned());
        }
        Ok(credentials)
    });
    let heartbeat = section.or("heartbeat", HEARTBEAT, |value| heartbeat(value, remote_type));
    let own = own_keys(section, remote_type);
    let encrypted = endpoints.as_ref().is_none_or(|endpoints| endpoints.encrypted);
    let tls = tls(section, folder, encrypted, remote_type);
    let (Endpoints { addresses, login, encrypted, options }, own) = endpoints.zip(own)?;
    let nowhere = match own {
        OwnKeys::RabbitMq { .. } => Credentials::Guest,
        OwnKeys::ActiveMq { .. } => Credentials::None,
    };
    let remote = RemoteConfig {
        addresses,
        tls: encrypted.then_some(tls),
        credentials: credentials.unwrap_or(login.map_or(nowhere, Credentials::Url)),
        heartbeat,
        ignored_options: options,
    };
    Some(match own {
        OwnKeys::RabbitMq { consumer_timeout } => BrokerKind::RabbitMq { remote, consumer_timeout },
        OwnKeys::ActiveMq { event_profile } => BrokerKind::ActiveMq { remote, event_profile },
    })
}

/// What one type of broker elsewhere has and the other has not.
enum OwnKeys {
    RabbitMq { consumer_timeout: Duration },
    ActiveMq { event_profile: EventProfile },
}

fn own_keys(section: &mut Section<'_, '_>, remote_type: Option<RemoteType>) -> Option<OwnKeys> {
    match remote_type {
        Some(RemoteType::RabbitMq) => {
            section.refuse(
                "event_profile",
                "is for the type \"activemq\", whose event is spelt in two ways; that of RabbitMQ \
                 has one form: take it out",
            );
            let consumer_timeout = section.or("consumer_timeout", CONSUMER_TIMEOUT, |value| {
                value::duration_in(value, CONSUMER_TIMEOUTS)
            });
            Some(OwnKeys::RabbitMq { consumer_timeout })
        }
        Some(RemoteType::ActiveMq) => {
            section.refuse(
                "consumer_timeout",
                "is for the type \"rabbitmq\"; ActiveMQ lets a consumer leave a message unsettled \
                 for as long as it is connected: take it out",
            );
            let event_profile = section.or("event_profile", EventProfile::default(), event_profile);
            Some(OwnKeys::ActiveMq { event_profile })
        }
        // Which of them it may have is not known.
        None => {
            section.optional("consumer_timeout", |_| Ok(()));
            section.optional("event_profile", |_| Ok(()));
            None
        }
    }
}

/// Takes the keys of a broker in this process.
fn embedded(section: &mut Section<'_, '_>) -> EmbeddedConfig {
    let elsewhere =
        ["url", "urls", "credentials", "heartbeat", "tls", "consumer_timeout", "event_profile"];
    for key in elsewhere {
        section.refuse(
            key,
            "is for brokers elsewhere; one of the type \"embedded\" is in the host itself: take it out",
        );
    }
    let bytes_max =
        section.or("size_max", EMBEDDED_SIZE, |value| value::size(value, EMBEDDED_SIZES));
    let http_publish = section.or("http_publish", false, value::boolean);
    let (_, queues) = section.table("queues").each(value::queue_name, embedded_queue);
    EmbeddedConfig { queues: queues.into_iter().collect(), bytes_max, http_publish }
}

fn embedded_queue(mut section: Section<'_, '_>) -> Option<EmbeddedQueueConfig> {
    let queue = EmbeddedQueueConfig {
        dead_letter_queue: section.optional("dead_letter_queue", value::short_string),
        message_ttl: section
            .optional("message_ttl", |value| value::duration_in(value, MESSAGE_TTLS)),
        priority_max: section.or("priority_max", 0, |value| value::integer(value, 0..=u8::MAX)),
    };
    if queue.dead_letter_queue.as_deref() == Some(section.name()) {
        section.problem(OWN_DEAD_LETTERS.to_owned());
    }
    section.finish();
    Some(queue)
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
    remote_type: Option<RemoteType>,
) -> TlsConfig {
    if !section.has("tls") {
        section.optional("tls", |_| Ok(()));
        return TlsConfig::default();
    }
    let mut table = section.table("tls");
    if !encrypted {
        let scheme = match remote_type {
            Some(RemoteType::ActiveMq) => "ssl://",
            Some(RemoteType::RabbitMq) | None => "amqps://",
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
fn heartbeat(value: &DeValue<'_>, remote_type: Option<RemoteType>) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let heartbeat = value::duration_in(value, range)?;
    if heartbeat.subsec_millis() == 0 {
        return Ok(heartbeat);
    }
    let why = match remote_type {
        Some(RemoteType::RabbitMq) => ", in which AMQP counts",
        Some(RemoteType::ActiveMq) | None => "",
    };
    Err(format!("{} is not whole seconds{why}", value::string(value)?))
}
