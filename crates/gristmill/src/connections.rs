//! The connections of a host: one for each broker and virtual host, shared by its mappings.
//!
//! What must never happen: two connections where one would do, a login read for a mapping that is
//! disabled, or a connection that nobody uses any more left open.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gristmill_broker::{LoginSource, SourceError};
use gristmill_rabbitmq::{Address, CertificateFiles, ConnectionSettings, RabbitMq, TlsSettings};

use crate::config::{BrokerConfig, Config, Credentials};
use crate::loader::Environment;

/// Far more than a handshake takes, and short enough that the next try is soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A broker's name and a virtual host: what mappings must share to share a connection.
type Key = (String, String);

/// The connections of a host, each made when it is first asked for.
pub(crate) struct Connections {
    environment: Environment,
    /// Each with the settings that it was made with.
    open: BTreeMap<Key, (BrokerConfig, Arc<RabbitMq>)>,
    /// Those in whose place others have come.
    replaced: Vec<Arc<RabbitMq>>,
}

impl Connections {
    pub(crate) fn new(environment: Environment) -> Self {
        Self { environment, open: BTreeMap::new(), replaced: Vec::new() }
    }

    /// The connection to a broker with these very settings and a virtual host of it.
    pub(crate) fn get(
        &mut self,
        name: &str,
        broker: &BrokerConfig,
        virtual_host: &str,
    ) -> Arc<RabbitMq> {
        let key = (name.to_owned(), virtual_host.to_owned());
        if let Some((settings, connection)) = self.open.get(&key)
            && settings == broker
        {
            return Arc::clone(connection);
        }
        let login = login(broker.credentials.clone(), Arc::clone(&self.environment));
        let connection = RabbitMq::new(connection_settings(name, broker, virtual_host, login));
        let before = self.open.insert(key, (broker.clone(), Arc::clone(&connection)));
        self.replaced.extend(before.map(|(_, replaced)| replaced));
        connection
    }

    /// Takes out the connections that no mapping has any more, to be closed.
    pub(crate) fn take_unused(&mut self) -> Vec<Arc<RabbitMq>> {
        // Mappings are given theirs by `get` only, which nobody can call meanwhile.
        let is_unused = |connection: &Arc<RabbitMq>| Arc::strong_count(connection) == 1;
        let open = self.open.extract_if(.., |_, (_, connection)| is_unused(connection));
        let mut unused: Vec<_> = open.map(|(_, (_, connection))| connection).collect();
        unused.extend(self.replaced.extract_if(.., |connection| is_unused(connection)));
        unused
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("open", &self.open.keys()).finish_non_exhaustive()
    }
}

/// Closes connections in order.
pub(crate) async fn close(connections: Vec<Arc<RabbitMq>>) {
    join_all(connections.iter().map(|connection| connection.close())).await;
}

/// Connects once to every broker and virtual host that a configuration's enabled mappings name, and
/// says what failed. Reads no message.
pub async fn probe_brokers(
    config: &Config,
    environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Vec<SourceError> {
    let mut connections = Connections::new(Arc::new(environment));
    for mapping in config.mappings.values().filter(|mapping| mapping.enabled) {
        if let Some(broker) = config.brokers.get(&mapping.broker) {
            connections.get(&mapping.broker, broker, &mapping.virtual_host);
        }
    }
    let mut failures = Vec::new();
    for connection in connections.take_unused() {
        failures.extend(connection.probe().await.err());
    }
    failures
}

fn login(credentials: Credentials, environment: Environment) -> LoginSource {
    LoginSource::new(move || Ok(credentials.resolve(|name| environment(name))?))
}

fn connection_settings(
    name: &str,
    broker: &BrokerConfig,
    virtual_host: &str,
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
        virtual_host: virtual_host.to_owned(),
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
