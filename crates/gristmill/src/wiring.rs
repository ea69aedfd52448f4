//! From a configuration to mappings: which broker, which function, which settings.
//!
//! What must never happen: two connections where one would do, or a login read for a mapping that
//! is disabled.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gristmill_broker::{Login, SourceError};
use gristmill_event::{EVENT_BYTES_MAX, Envelope};
use gristmill_mapping::backoff::Backoff;
use gristmill_mapping::{BatchLimits, Mapping, Settings};
use gristmill_rabbitmq::{ConnectionSettings, RabbitMq, RabbitMqSource, SourceSettings};
use gristmill_sandbox::LoadedFunction;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::config::{BrokerConfig, Config, CredentialsError, MappingConfig};

/// Far more than a handshake takes, and short enough that the next try is soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A mapping that cannot be wired.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The login of its broker cannot be had.
    #[error("cannot log in to broker `{broker}`")]
    Credentials {
        /// The broker's name.
        broker: String,
        /// Why.
        #[source]
        source: CredentialsError,
    },
}

/// A broker's name and a virtual host: what mappings must share to share a connection.
type ConnectionKey = (String, String);

/// Everything that mappings are made of.
#[derive(Debug)]
pub(crate) struct Wiring {
    config: Config,
    data_dir_id: Uuid,
    connections: BTreeMap<ConnectionKey, Arc<RabbitMq>>,
    functions: BTreeMap<String, Arc<LoadedFunction>>,
    guests: Handle,
}

impl Wiring {
    pub(crate) fn new(
        config: Config,
        data_dir_id: Uuid,
        functions: BTreeMap<String, Arc<LoadedFunction>>,
        guests: Handle,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, WiringError> {
        let connections = connections(&config, environment)?;
        Ok(Self { config, data_dir_id, connections, functions, guests })
    }

    /// The names of the mappings that the user has not disabled.
    pub(crate) fn enabled(&self) -> impl Iterator<Item = &str> {
        let enabled = self.config.mappings.iter().filter(|(_, mapping)| mapping.enabled);
        enabled.map(|(name, _)| name.as_str())
    }

    /// Closes every connection, when no mapping runs any more.
    pub(crate) async fn close(&self) {
        join_all(self.connections.values().map(|connection| connection.close())).await;
    }

    /// A mapping by its name; `None` if there is no such mapping.
    pub(crate) fn mapping(&self, name: &str) -> Option<Mapping<RabbitMqSource, LoadedFunction>> {
        let mapping = self.config.mappings.get(name)?;
        let function = Arc::clone(self.functions.get(&mapping.function)?);
        let key = (mapping.broker.clone(), mapping.virtual_host.clone());
        let uuid = self.config.mapping_uuid(name, self.data_dir_id);
        let source = self.connections.get(&key)?.source(SourceSettings {
            queue: mapping.queue.clone(),
            consumer_tag: format!("gristmill-{uuid}"),
            prefetch: mapping.prefetch,
        });
        let settings = self.settings(name, mapping)?;
        Some(Mapping::new(settings, source, function, self.guests.clone()))
    }

    fn settings(&self, name: &str, mapping: &MappingConfig) -> Option<Settings> {
        let broker = self.config.brokers.get(&mapping.broker)?;
        let arn = match &broker.arn {
            Some(arn) => arn.clone(),
            None => self.config.default_arn(&mapping.broker, self.data_dir_id),
        };
        Some(Settings {
            name: name.to_owned(),
            queue: mapping.queue.clone(),
            envelope: Envelope::rabbitmq(&arn, &mapping.queue, &mapping.virtual_host),
            batch: BatchLimits {
                records_max: NonZeroUsize::from(mapping.batch_size),
                bytes_max: EVENT_BYTES_MAX,
                window: mapping.maximum_batching_window,
            },
            prefetch: mapping.prefetch,
            maximum_concurrency: NonZeroUsize::from(mapping.maximum_concurrency),
            retry: Backoff::RETRY,
            drain_timeout: self.config.host.drain_timeout,
        })
    }
}

/// Connects once to every broker and virtual host that a configuration's enabled mappings name, and
/// says what failed. Reads no message.
///
/// # Errors
///
/// [`WiringError`], when a login cannot be had.
pub async fn probe_brokers(
    config: &Config,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Vec<SourceError>, WiringError> {
    let mut failures = Vec::new();
    for connection in connections(config, environment)?.values() {
        failures.extend(connection.probe().await.err());
    }
    Ok(failures)
}

fn connections(
    config: &Config,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<ConnectionKey, Arc<RabbitMq>>, WiringError> {
    let mut connections = BTreeMap::new();
    for mapping in config.mappings.values().filter(|mapping| mapping.enabled) {
        let Some(broker) = config.brokers.get(&mapping.broker) else { continue };
        let key = (mapping.broker.clone(), mapping.virtual_host.clone());
        if connections.contains_key(&key) {
            continue;
        }
        let login = broker.credentials.resolve(&environment).map_err(|source| {
            WiringError::Credentials { broker: mapping.broker.clone(), source }
        })?;
        let settings = connection_settings(&mapping.broker, broker, mapping, login);
        connections.insert(key, RabbitMq::new(settings));
    }
    Ok(connections)
}

fn connection_settings(
    name: &str,
    broker: &BrokerConfig,
    mapping: &MappingConfig,
    login: Login,
) -> ConnectionSettings {
    ConnectionSettings {
        host: broker.host.clone(),
        port: broker.port,
        virtual_host: mapping.virtual_host.clone(),
        login,
        // The configuration allows an hour at most, which is far below the greatest.
        heartbeat_s: u16::try_from(broker.heartbeat.as_secs()).unwrap_or(u16::MAX),
        connect_timeout: CONNECT_TIMEOUT,
        connection_name: format!("gristmill: {name}"),
    }
}
