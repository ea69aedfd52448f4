//! From a configuration to mappings: which broker, which function, which settings.
//!
//! What must never happen: two connections where one would do, or a login read for a mapping that
//! is disabled.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gristmill_broker::{LoginSource, SourceError};
use gristmill_event::{EVENT_BYTES_MAX, Envelope};
use gristmill_mapping::backoff::Backoff;
use gristmill_mapping::consumer_timeout::latest_start;
use gristmill_mapping::status::{Board, Change};
use gristmill_mapping::{BatchLimits, GiveUp, Mapping, Ports, Settings};
use gristmill_rabbitmq::{
    Address, CertificateFiles, ConnectionSettings, RabbitMq, RabbitMqSource, SourceSettings,
    TlsSettings,
};
use gristmill_sandbox::LoadedFunction;
use uuid::Uuid;

use crate::config::{BrokerConfig, Config, Credentials, MappingConfig, OnFailure};
use crate::data_dir::DataDir;
use crate::functions::{Environment, files};
use crate::held::HoldFile;
use crate::status::Entry;

/// Far more than a handshake takes, and short enough that the next try is soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A broker's name and a virtual host: what mappings must share to share a connection.
type ConnectionKey = (String, String);

/// Everything that mappings are made of.
pub(crate) struct Wiring {
    config: Config,
    data_dir_id: Uuid,
    held: PathBuf,
    connections: BTreeMap<ConnectionKey, Arc<RabbitMq>>,
}

impl Wiring {
    pub(crate) fn new(
        config: Config,
        data_dir: &DataDir,
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let connections = connections(&config, Arc::new(environment));
        Self { config, data_dir_id: data_dir.id(), held: data_dir.held(), connections }
    }

    /// The names of the mappings that the user has not disabled.
    pub(crate) fn enabled(&self) -> impl Iterator<Item = &str> {
        let enabled = self.config.mappings.iter().filter(|(_, mapping)| mapping.enabled);
        enabled.map(|(name, _)| name.as_str())
    }

    /// What the status shows of every mapping.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.config.mappings.iter().map(|(name, mapping)| {
            let board = Board::default();
            if !mapping.enabled {
                board.note(Change::Disable);
                board.note(Change::Ended);
            }
            Entry {
                name: name.clone(),
                uuid: self.config.mapping_uuid(name, self.data_dir_id),
                broker: mapping.broker.clone(),
                queue: mapping.queue.clone(),
                virtual_host: mapping.virtual_host.clone(),
                function: mapping.function.clone(),
                enabled: mapping.enabled,
                board: Arc::new(board),
            }
        })
    }

    /// Closes every connection, when no mapping runs any more.
    pub(crate) async fn close(&self) {
        join_all(self.connections.values().map(|connection| connection.close())).await;
    }

    /// The name of a mapping's function; empty if there is no such mapping.
    pub(crate) fn function_of(&self, name: &str) -> &str {
        self.config.mappings.get(name).map_or("", |mapping| mapping.function.as_str())
    }

    /// The files by whose change a mapping may have become able to work.
    pub(crate) fn obstacles_of(&self, name: &str) -> Vec<PathBuf> {
        let function = self.config.functions.get(self.function_of(name));
        let dirs = function.into_iter().flat_map(|function| &function.grants.dirs);
        let dirs: Vec<PathBuf> = dirs.map(|dir| dir.host.clone()).collect();
        let mut obstacles = function.map(files).unwrap_or_default();
        obstacles.extend(dirs);
        obstacles.push(self.held.join(name));
        obstacles
    }

    /// The file of a mapping's handler.
    fn component_of(&self, name: &str) -> PathBuf {
        let function = self.config.functions.get(self.function_of(name));
        function.map(|function| function.component.clone()).unwrap_or_default()
    }

    /// The files that a mapping's connection proves itself with.
    pub(crate) fn secrets_of(&self, name: &str) -> Vec<PathBuf> {
        let mapping = self.config.mappings.get(name);
        let broker = mapping.and_then(|mapping| self.config.brokers.get(&mapping.broker));
        let Some(broker) = broker else { return Vec::new() };
        let mut files = Vec::new();
        if let Credentials::File(path) = &broker.credentials {
            files.push(path.clone());
        }
        if let Some(tls) = &broker.tls {
            files.extend(tls.ca.clone());
            files.extend(
                tls.certificate.iter().flat_map(|(chain, key)| [chain.clone(), key.clone()]),
            );
        }
        files
    }

    /// The file that holds a mapping, if it is there. Reads the handler.
    pub(crate) fn hold(&self, name: &str) -> HoldFile {
        let mapping = self.config.mappings.get(name);
        let broker = mapping.and_then(|mapping| self.config.brokers.get(&mapping.broker));
        let function = self.config.functions.get(self.function_of(name));
        let settings = Uuid::new_v5(
            &self.data_dir_id,
            format!("{mapping:?} {broker:?} {function:?}").as_bytes(),
        );
        let handler = std::fs::read(self.component_of(name)).unwrap_or_default();
        HoldFile::new(self.held.join(name), name, Uuid::new_v5(&settings, &handler))
    }

    /// A mapping by its name; `None` if there is no such mapping.
    pub(crate) fn mapping(
        &self,
        name: &str,
        function: Arc<LoadedFunction>,
        ports: Ports,
    ) -> Option<Mapping<RabbitMqSource, LoadedFunction>> {
        let mapping = self.config.mappings.get(name)?;
        let key = (mapping.broker.clone(), mapping.virtual_host.clone());
        let uuid = self.config.mapping_uuid(name, self.data_dir_id);
        let source = self.connections.get(&key)?.source(SourceSettings {
            queue: mapping.queue.clone(),
            consumer_tag: format!("gristmill-{uuid}"),
            prefetch: mapping.prefetch,
        });
        let settings = self.settings(name, mapping)?;
        Some(Mapping::new(settings, source, function, ports))
    }

    fn settings(&self, name: &str, mapping: &MappingConfig) -> Option<Settings> {
        let broker = self.config.brokers.get(&mapping.broker)?;
        let function = self.config.functions.get(&mapping.function)?;
        let arn = match &broker.arn {
            Some(arn) => arn.clone(),
            None => self.config.default_arn(&mapping.broker, self.data_dir_id),
        };
        let window = mapping.maximum_batching_window;
        Some(Settings {
            name: name.to_owned(),
            queue: mapping.queue.clone(),
            envelope: Envelope::rabbitmq(&arn, &mapping.queue, &mapping.virtual_host),
            batch: BatchLimits {
                records_max: NonZeroUsize::from(mapping.batch_size),
                bytes_max: EVENT_BYTES_MAX,
                window,
            },
            prefetch: mapping.prefetch,
            maximum_concurrency: NonZeroUsize::from(mapping.maximum_concurrency),
            retry: Backoff::RETRY,
            // The configuration is refused where there is none.
            latest_start: latest_start(broker.consumer_timeout, window, function.timeout)?,
            give_up: GiveUp {
                maximum_retry_attempts: mapping.maximum_retry_attempts,
                maximum_record_age: mapping.maximum_record_age,
                delivery_limit: mapping.delivery_limit,
                on_failure: mapping
                    .on_failure
                    .map(|OnFailure::Broker| gristmill_mapping::OnFailure::Broker),
            },
            drain_timeout: self.config.host.drain_timeout,
        })
    }
}

impl fmt::Debug for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiring").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Connects once to every broker and virtual host that a configuration's enabled mappings name, and
/// says what failed. Reads no message.
pub async fn probe_brokers(
    config: &Config,
    environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Vec<SourceError> {
    let mut failures = Vec::new();
    for connection in connections(config, Arc::new(environment)).values() {
        failures.extend(connection.probe().await.err());
    }
    failures
}

fn connections(
    config: &Config,
    environment: Environment,
) -> BTreeMap<ConnectionKey, Arc<RabbitMq>> {
    let mut connections = BTreeMap::new();
    for mapping in config.mappings.values().filter(|mapping| mapping.enabled) {
        let Some(broker) = config.brokers.get(&mapping.broker) else { continue };
        let key = (mapping.broker.clone(), mapping.virtual_host.clone());
        connections.entry(key).or_insert_with(|| {
            let login = login(broker.credentials.clone(), Arc::clone(&environment));
            RabbitMq::new(connection_settings(&mapping.broker, broker, mapping, login))
        });
    }
    connections
}

fn login(credentials: Credentials, environment: Environment) -> LoginSource {
    LoginSource::new(move || Ok(credentials.resolve(|name| environment(name))?))
}

fn connection_settings(
    name: &str,
    broker: &BrokerConfig,
    mapping: &MappingConfig,
    login: LoginSource,
) -> ConnectionSettings {
    let addresses = broker.addresses.iter();
    ConnectionSettings {
        addresses: addresses
            .map(|address| Address { host: address.host.clone(), port: address.port })
            .collect(),
        tls: broker.tls.as_ref().map(|tls| TlsSettings {
            ca: tls.ca.clone(),
            server_name: tls.server_name.clone(),
            certificate: tls.certificate.as_ref().map(|(certificate, key)| CertificateFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
        }),
        virtual_host: mapping.virtual_host.clone(),
        login,
        // The configuration allows an hour at most, which is far below the greatest.
        heartbeat_s: u16::try_from(broker.heartbeat.as_secs()).unwrap_or(u16::MAX),
        connect_timeout: CONNECT_TIMEOUT,
        connection_name: connection_name(name),
    }
}

/// What an operator sees in the broker's list of connections: which program on which machine.
fn connection_name(broker: &str) -> String {
    let machine = gethostname::gethostname();
    format!("gristmill {broker} on {} (pid {})", machine.to_string_lossy(), std::process::id())
}
