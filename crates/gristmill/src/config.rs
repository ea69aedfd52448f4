//! The configuration file: TOML in, plain checked structs out, or every problem at once.
//!
//! Stands before everything else: the host is wired from a [`Config`] and from nothing else. The
//! crates below know no file format; whoever wires them converts these structs into theirs.
//!
//! ```text
//! text ─TOML─▶ spanned tables ─section by section─▶ Config
//!                                      └──────────▶ problems, each with its line and key
//! ```
//!
//! What must never happen: a key that is not understood is passed over, a value is changed to fit
//! its range, or a password shows in an error, in `Debug` output or in advice.

mod advice;
mod broker;
mod credentials;
mod endpoints;
mod error;
mod failover;
mod function;
mod mapping;
mod plugins;
mod queue_name;
mod read;
mod section;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

pub(crate) use broker::{ACTIVEMQ, CUSTOM, EMBEDDED, OBSERVED, RABBITMQ};
pub use broker::{
    Address, BrokerConfig, BrokerKind, EmbeddedConfig, EmbeddedQueueConfig, RemoteConfig, TlsConfig,
};
pub use credentials::{Credentials, CredentialsError};
pub use error::{ConfigError, Problem};
pub use function::{Component, FunctionConfig, Variable};
pub use gristmill_event::Profile as EventProfile;
pub(crate) use plugins::check_name;
pub use plugins::{PluginsConfig, Sidecar};
pub use value::{parse_duration, parse_size};

/// A whole configuration file, checked: references point at something, values are in range.
///
/// What is named here need not exist: no component was opened, no broker was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The section `[host]`.
    pub host: HostConfig,
    /// The section `[plugins]`; `None`: no handlers are dropped in.
    pub plugins: Option<PluginsConfig>,
    /// The sections `[broker.NAME]`.
    pub brokers: BTreeMap<String, BrokerConfig>,
    /// The sections `[function.NAME]`, and the functions that mappings name without a section, whose
    /// handlers are expected in the plugins folder.
    pub functions: BTreeMap<String, FunctionConfig>,
    /// The sections `[mapping.NAME]`, whose brokers and functions are in the two maps above.
    pub mappings: BTreeMap<String, MappingConfig>,
}

/// What concerns the host as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// The folder that belongs to one running host.
    pub data_dir: PathBuf,
    /// The region in default ARNs; it names no place.
    pub region: String,
    /// The account in default ARNs, twelve digits.
    pub account_id: String,
    /// The longest that a drain may take before what still runs is cut off and requeued.
    pub drain_timeout: Duration,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Where health and status are told over HTTP, and messages are taken for embedded brokers with
    /// `http_publish`; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// The most instances of handlers that are alive at once, 1 to 4,000.
    pub instances_max: u32,
    /// The most memory that any function may ask for, in bytes: 1 MiB to 4 GiB.
    pub memory_max_bytes: u64,
    /// The most that the dead letters of one mapping take in the store, in bytes: 1 MiB to 1 TiB. What
    /// does not fit stops the mapping; nothing is dropped for it.
    pub dead_letters_bytes_max: u64,
    /// After how long the store drops a dead letter, an hour at least; `None`: never.
    pub dead_letters_age_max: Option<Duration>,
    /// The longest that compiling one handler may take.
    pub compile_timeout: Duration,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// An event source mapping: a queue, a function, and how messages become batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingConfig {
    /// The broker, a key of [`Config::brokers`].
    pub broker: String,
    /// The queue: 1 to 255 bytes, on ActiveMQ up to 65,535.
    pub queue: String,
    /// The virtual host that the queue is in, 1 to 255 bytes; `None` on ActiveMQ, which has none.
    pub virtual_host: Option<String>,
    /// The function, a key of [`Config::functions`].
    pub function: String,
    /// The most records in one event, 1 to 10,000.
    pub batch_size: NonZeroU16,
    /// The longest that a batch waits for more after its first record, in whole milliseconds.
    pub maximum_batching_window: Duration,
    /// The most batches that run at once, 1 to 1,000.
    pub maximum_concurrency: NonZeroU16,
    /// The most unsettled deliveries that the broker gives. Never 0, which AMQP 0-9-1 (`basic.qos`)
    /// takes for no limit at all.
    pub prefetch: NonZeroU16,
    /// The most tries of a record after its first; `None`: for ever.
    pub maximum_retry_attempts: Option<u32>,
    /// The greatest age of a record that the function still gets; `None`: any.
    pub maximum_record_age: Option<Duration>,
    /// How often the queue takes a message back before it deletes or dead-letters it; `None`: as
    /// often as need be, which on ActiveMQ and on an embedded broker it always does.
    pub delivery_limit: Option<u32>,
    /// Where given-up records go.
    pub on_failure: OnFailure,
    /// Whether a failed batch of several records is called again as two halves.
    pub bisect_batch_on_function_error: bool,
    /// Whether the function's response names the records that it wants again.
    pub report_batch_item_failures: bool,
    /// Whether the mapping starts with the host.
    pub enabled: bool,
    /// The mapping's identity, where the file sets it; [`Config::mapping_uuid`] knows the default.
    pub uuid: Option<Uuid>,
}

/// Where given-up records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnFailure {
    /// Wherever the broker puts them. RabbitMQ moves what is rejected to the queue's dead-letter
    /// exchange, and deletes it where there is none; ActiveMQ moves what is poisonous to its
    /// dead-letter queue, and an embedded broker to that of the queue.
    Broker,
    /// Into the dead-letter store in the data directory.
    Store,
    /// On this queue of the same broker and virtual host.
    Queue(String),
}

impl Config {
    /// A host that does nothing yet: `data_dir` is the folder that belongs to it, and everything else is as
    /// in a file that sets nothing.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            host: read::host_of(data_dir.into()),
            plugins: None,
            brokers: BTreeMap::new(),
            functions: BTreeMap::new(),
            mappings: BTreeMap::new(),
        }
    }

    /// The same with a broker of this name.
    #[must_use]
    pub fn with_broker(mut self, name: &str, broker: BrokerConfig) -> Self {
        self.brokers.insert(name.to_owned(), broker);
        self
    }

    /// The same with a function of this name.
    #[must_use]
    pub fn with_function(mut self, name: &str, function: FunctionConfig) -> Self {
        self.functions.insert(name.to_owned(), function);
        self
    }

    /// The same with a mapping of this name.
    #[must_use]
    pub fn with_mapping(mut self, name: &str, mapping: MappingConfig) -> Self {
        self.mappings.insert(name.to_owned(), mapping);
        self
    }

    /// What would keep a configuration that no file says from working: names that nothing has, and rules that
    /// sections keep together. One that was parsed has none of that.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let sections = [
            ("broker", self.brokers.keys().collect::<Vec<_>>()),
            ("function", self.functions.keys().collect()),
            ("mapping", self.mappings.keys().collect()),
        ];
        for (what, names) in sections {
            // A mapping of a sidecar is called after its handler, with a dot between.
            let wrong = |name: &&String| {
                name.split('.')
                    .try_for_each(value::name)
                    .err()
                    .map(|problem| format!("{what} {name:?}: {problem}"))
            };
            problems.extend(names.iter().filter_map(wrong));
        }
        for (name, broker) in &self.brokers {
            let of_broker = broker.problems().into_iter();
            problems.extend(of_broker.map(|problem| format!("broker.{name}.{problem}")));
        }
        for (name, mapping) in &self.mappings {
            let problem =
                match (self.brokers.get(&mapping.broker), self.functions.get(&mapping.function)) {
                    (None, _) => Some(format!("there is no broker {:?}", mapping.broker)),
                    (_, None) => Some(format!("there is no function {:?}", mapping.function)),
                    (Some(broker), Some(function)) => mapping::problem(mapping, broker, function),
                };
            problems.extend(problem.map(|problem| format!("mapping.{name}: {problem}")));
        }
        problems
    }

    /// Reads a configuration file. Relative paths in it are taken from the file's folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unreadable`] if the file cannot be read, otherwise as [`Config::parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads a configuration from `text`; `path` is where it stands, for errors and for the paths
    /// in it. Touches no file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with every problem of the text, in the order of its lines. Text
    /// that is not TOML is not looked into any further.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::path::Path;
    /// use gristmill::config::Config;
    ///
    /// let text = "[host]\ndrain_timout = '10s'\n";
    /// let error = Config::parse(text, Path::new("gristmill.toml")).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "gristmill.toml:2: host.drain_timout: unknown key; did you mean `drain_timeout`?"
    /// );
    /// ```
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        read::config(text, path)
    }

    /// The same with dropped-in handlers: their functions, and the mappings of their sidecars.
    #[must_use]
    pub fn with_drop_ins<'a>(
        &self,
        drop_ins: impl IntoIterator<Item = (&'a str, &'a Sidecar)>,
    ) -> Self {
        let mut config = self.clone();
        for (name, Sidecar { function, mappings }) in drop_ins {
            config.functions.insert(name.to_owned(), function.clone());
            config.mappings.extend(mappings.clone());
        }
        config
    }

    /// What is allowed but seldom meant, one sentence each: credentials and options in a URL,
    /// mappings that compete for one queue, functions without a mapping.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        advice::advice(self)
    }

    /// The queues of an embedded broker: those with settings of their own, those that mappings read or put
    /// their dead letters on, and those that have the dead letters of another.
    #[must_use]
    pub fn embedded_queues(&self, broker: &str) -> BTreeMap<String, EmbeddedQueueConfig> {
        let kind = self.brokers.get(broker).map(|broker| &broker.kind);
        let Some(BrokerKind::Embedded(embedded)) = kind else { return BTreeMap::new() };
        let mut queues = embedded.queues.clone();
        let dead = embedded.queues.values().filter_map(|queue| queue.dead_letter_queue.as_ref());
        let mappings = self.mappings.values().filter(|mapping| mapping.broker == broker);
        let named = mappings.flat_map(|mapping| {
            let dead = match &mapping.on_failure {
                OnFailure::Queue(queue) => Some(queue),
                OnFailure::Broker | OnFailure::Store => None,
            };
            [&mapping.queue].into_iter().chain(dead)
        });
        for name in dead.chain(named) {
            queues.entry(name.clone()).or_default();
        }
        queues
    }

    /// The ARN that events give for a broker whose section sets none, in the shape of Amazon MQ's:
    /// `arn:aws:mq:REGION:ACCOUNT:broker:NAME:b-UUID`.
    ///
    /// It is the same in every run on one data directory, whose id is `data_dir_id`.
    #[must_use]
    pub fn default_arn(&self, broker: &str, data_dir_id: Uuid) -> String {
        let HostConfig { region, account_id, .. } = &self.host;
        let id = Uuid::new_v5(&data_dir_id, format!("broker/{broker}").as_bytes());
        format!("arn:aws:mq:{region}:{account_id}:broker:{broker}:b-{id}")
    }

    /// The ARN of a function, in the shape of Lambda's: `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
    #[must_use]
    pub fn function_arn(&self, function: &str) -> String {
        let HostConfig { region, account_id, .. } = &self.host;
        format!("arn:aws:lambda:{region}:{account_id}:function:{function}")
    }

    /// A mapping's identity: the `uuid` that its section sets, or one made of its name.
    ///
    /// It is the same in every run on one data directory, whose id is `data_dir_id`.
    #[must_use]
    pub fn mapping_uuid(&self, mapping: &str, data_dir_id: Uuid) -> Uuid {
        let set = self.mappings.get(mapping).and_then(|mapping| mapping.uuid);
        set.unwrap_or_else(|| Uuid::new_v5(&data_dir_id, format!("mapping/{mapping}").as_bytes()))
    }
}
