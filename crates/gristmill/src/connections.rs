//! The connections of a host. With RabbitMQ there is one for each broker and virtual host, shared by its
//! mappings, and a second one if any of them puts dead letters on a queue; with ActiveMQ each mapping
//! makes its own. Embedded brokers and those of the embedder have none, and are handed on from here.
//!
//! What must never happen: two connections where one would do, one that both consumes and publishes (in
//! an alarm a broker stops reading from whoever publishes, and acks and heartbeats would stop too), a login
//! read for a mapping that is disabled, or a connection that nobody uses any more left open.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gristmill_activemq::ActiveMq;
use gristmill_broker::{DeadLetters, KeepError, LoginSource, SourceError};
use gristmill_rabbitmq::RabbitMq;

use crate::config::{BrokerConfig, BrokerKind, Config, Credentials, OnFailure, RemoteConfig};
use crate::custom::CustomBroker;
use crate::embedded::{Embedded, EmbeddedBroker};
use crate::loader::Environment;

/// Far more than a handshake takes, and short enough that the next try is soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    Consume,
    Publish,
}

/// What mappings must share to share a connection: a broker's name, a virtual host, and the use.
type Key = (String, String, Use);

/// How a mapping's broker is reached.
#[derive(Debug, Clone)]
pub(crate) enum Connection {
    RabbitMq(Arc<RabbitMq>),
    ActiveMq(ActiveMq),
    Embedded(EmbeddedBroker),
    Custom(CustomBroker),
}

impl Connection {
    async fn probe(&self) -> Result<(), SourceError> {
        match self {
            Connection::RabbitMq(broker) => broker.probe().await,
            Connection::ActiveMq(broker) => broker.probe().await,
            // There is nothing to reach.
            Connection::Embedded(_) | Connection::Custom(_) => Ok(()),
        }
    }
}

/// The connections of a host, each made when it is first asked for.
pub(crate) struct Connections {
    environment: Environment,
    embedded: Arc<Embedded>,
    /// Each with the settings that it was made with.
    open: BTreeMap<Key, (BrokerConfig, Arc<RabbitMq>)>,
    /// Those in whose place others have come.
    replaced: Vec<Arc<RabbitMq>>,
}

impl Connections {
    /// `embedded` has the embedded brokers of every configuration whose brokers are asked for.
    pub(crate) fn new(environment: Environment, embedded: Arc<Embedded>) -> Self {
        Self { environment, embedded, open: BTreeMap::new(), replaced: Vec::new() }
    }

    /// The connection to a broker with these very settings and a virtual host of it. `None` for an embedded
    /// broker that is no longer there.
    pub(crate) fn get(
        &mut self,
        name: &str,
        broker: &BrokerConfig,
        virtual_host: &str,
        r#use: Use,
    ) -> Option<Connection> {
        let remote = match &broker.kind {
            BrokerKind::RabbitMq { remote, .. } => remote,
            BrokerKind::ActiveMq { remote, .. } => {
                let settings = activemq(remote, self.login(remote));
                return Some(Connection::ActiveMq(ActiveMq::new(settings)));
            }
            BrokerKind::Embedded(_) => return self.embedded.get(name).map(Connection::Embedded),
            BrokerKind::Custom(custom) => return Some(Connection::Custom(custom.clone())),
        };
        let key = (name.to_owned(), virtual_host.to_owned(), r#use);
        if let Some((settings, connection)) = self.open.get(&key)
            && settings == broker
        {
            return Some(Connection::RabbitMq(Arc::clone(connection)));
        }
        let login = self.login(remote);
        let connection = RabbitMq::new(rabbitmq(name, remote, virtual_host, r#use, login));
        let before = self.open.insert(key, (broker.clone(), Arc::clone(&connection)));
        self.replaced.extend(before.map(|(_, replaced)| replaced));
        Some(Connection::RabbitMq(connection))
    }

    fn login(&self, remote: &RemoteConfig) -> LoginSource {
        let (credentials, environment) =
            (remote.credentials.clone(), Arc::clone(&self.environment));
        LoginSource::new(move || {
            let login = credentials.resolve(|name| environment(name))?;
            Ok(login.ok_or("the broker's `credentials` name none")?)
        })
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

/// What cannot be had of a broker.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The connection.
    #[error(transparent)]
    Connection(#[from] SourceError),
    /// A place for given-up messages.
    #[error(transparent)]
    DeadLetters(#[from] KeepError),
}

/// Connects once to every broker and virtual host that a configuration's enabled mappings name, looks for
/// the queues that their dead letters go to, and says what failed. Reads no message.
pub async fn probe_brokers(
    config: &Config,
    environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Vec<ProbeError> {
    let embedded = Arc::new(Embedded::of_publisher(config.host.data_dir.clone()));
    let mut connections = Connections::new(Arc::new(environment), embedded);
    let mut failures: Vec<ProbeError> = Vec::new();
    // Whether each could be reached.
    let mut probed = BTreeMap::new();
    for mapping in config.mappings.values().filter(|mapping| mapping.enabled) {
        let Some(broker) = config.brokers.get(&mapping.broker) else { continue };
        let virtual_host = mapping.virtual_host.as_deref().unwrap_or_default();
        let mut get = |r#use| connections.get(&mapping.broker, broker, virtual_host, r#use);
        if let Entry::Vacant(unknown) = probed.entry((&mapping.broker, virtual_host)) {
            // An embedded one needs no reaching.
            let Some(connection) = get(Use::Consume) else { continue };
            let failed = connection.probe().await.err();
            unknown.insert(failed.is_none());
            failures.extend(failed.map(ProbeError::from));
        }
        let OnFailure::Queue(queue) = &mapping.on_failure else { continue };
        // ActiveMQ makes its queues when something goes there.
        if probed.get(&(&mapping.broker, virtual_host)) == Some(&true)
            && let Some(Connection::RabbitMq(broker)) = get(Use::Publish)
        {
            let place = broker.dead_letter_queue(queue);
            failures.extend(place.check().await.err().map(ProbeError::from));
        }
    }
    close(connections.take_unused()).await;
    failures
}

fn rabbitmq(
    name: &str,
    remote: &RemoteConfig,
    virtual_host: &str,
    r#use: Use,
    login: LoginSource,
) -> gristmill_rabbitmq::ConnectionSettings {
    use gristmill_rabbitmq::{Address, CertificateFiles, ConnectionSettings, TlsSettings};

    let addresses = remote.addresses.iter();
    ConnectionSettings {
        addresses: addresses
            .map(|address| Address { host: address.host.clone(), port: address.port })
            .collect(),
        tls: remote.tls.as_ref().map(|tls| TlsSettings {
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
        heartbeat_s: u16::try_from(remote.heartbeat.as_secs()).unwrap_or(u16::MAX),
        connect_timeout: CONNECT_TIMEOUT,
        connection_name: connection_name(name, r#use),
    }
}

fn activemq(remote: &RemoteConfig, login: LoginSource) -> gristmill_activemq::ConnectionSettings {
    use gristmill_activemq::{Address, CertificateFiles, ConnectionSettings, TlsSettings};

    let address = |address: &crate::config::Address| Address {
        host: address.host.clone(),
        port: address.port,
        tls: remote.tls.is_some(),
    };
    let tls = remote.tls.clone().unwrap_or_default();
    ConnectionSettings {
        addresses: remote.addresses.iter().map(address).collect(),
        tls: TlsSettings {
            ca: tls.ca,
            server_name: tls.server_name,
            certificate: tls
                .certificate
                .map(|(certificate, key)| CertificateFiles { certificate, key }),
        },
        login: (remote.credentials != Credentials::None).then_some(login),
        heartbeat: remote.heartbeat,
        connect_timeout: CONNECT_TIMEOUT,
    }
}

/// What an operator sees in the broker's list of connections: which program on which machine.
fn connection_name(broker: &str, r#use: Use) -> String {
    let what = match r#use {
        Use::Consume => "",
        Use::Publish => " dead letters",
    };
    let (machine, pid) = (gethostname::gethostname(), std::process::id());
    format!("gristmill {broker}{what} on {} (pid {pid})", machine.to_string_lossy())
}
