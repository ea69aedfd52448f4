//! One connection to a broker, for one virtual host and one login, on which mappings consume or from which
//! dead letters are published.
//!
//! Each connection costs an operating system's thread in the client and some memory in the broker,
//! and brokers may have a quota of them: so mappings share one and have a channel each. A second is made
//! only for a mapping that one node of a cluster gives nothing to.
//!
//! What must never happen: both uses of one connection, since a broker in an alarm stops reading from whoever
//! publishes, and with that from whoever acks.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gristmill_broker::{Disposition, KeepError, Login, LoginSource, SourceError, with_causes};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::abandoned::Abandoned;
use crate::attempt;
use crate::dead_letter::DeadLetterQueue;
use crate::error;
use crate::publisher::RabbitMqPublisher;
use crate::source::{RabbitMqSource, SourceSettings};
use crate::tls::{Tls, TlsSettings, Unusable};

/// A broker that does not answer a close in this time is left to notice the end by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Reply code of a close without an error (AMQP 0-9-1, 1.2: reply-success).
pub(crate) const REPLY_SUCCESS: u16 = 200;

/// Where a broker, or one node of it, listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or address, without brackets around an IPv6 one.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How to reach a broker.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Where it listens; tried in turn, from the first on, for every connection, but for a source that a
    /// node did not start a consumer for: then from the next on. At least one.
    pub addresses: Vec<Address>,
    /// How to encrypt; `None`: not at all.
    pub tls: Option<TlsSettings>,
    /// The virtual host.
    pub virtual_host: String,
    /// Who logs in; asked for every connection.
    pub login: LoginSource,
    /// Heartbeat interval in seconds; the broker may ask for a shorter one. Zero: none.
    pub heartbeat_s: u16,
    /// A handshake with one address that takes longer is given up: the broker is frozen, or it is
    /// none.
    pub connect_timeout: Duration,
    /// What an operator sees as the connection's name.
    pub connection_name: String,
}

/// A RabbitMQ broker, for one virtual host and one login. Its sources share one connection, which
/// is made when the first of them subscribes and again after it was lost; or its publishers do. Whoever
/// needs both makes two of these.
#[derive(Debug)]
pub struct RabbitMq {
    settings: ConnectionSettings,
    /// At most one for each address. Locked while connecting, so that all who wait get the same.
    connections: Mutex<Vec<Connected>>,
    pub(crate) abandoned: Abandoned,
}

/// A connection, and which of the addresses it is to.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) address: usize,
    pub(crate) connection: Arc<Connection>,
}

impl RabbitMq {
    /// A broker; connects to nothing yet.
    #[must_use]
    pub fn new(settings: ConnectionSettings) -> Arc<Self> {
        Arc::new(Self { settings, connections: Mutex::default(), abandoned: Abandoned::default() })
    }

    /// A source on one of its queues; subscribes to nothing yet.
    #[must_use]
    pub fn source(self: &Arc<Self>, settings: SourceSettings) -> RabbitMqSource {
        RabbitMqSource::new(Arc::clone(self), settings)
    }

    /// What puts messages on its queues; connects to nothing yet. Only for a broker that nobody consumes
    /// from: see [`RabbitMqPublisher`].
    #[must_use]
    pub fn publisher(self: &Arc<Self>) -> RabbitMqPublisher {
        RabbitMqPublisher::new(Arc::clone(self))
    }

    /// A queue for given-up messages; connects to nothing yet. Only for a broker that nobody consumes from:
    /// see [`RabbitMqPublisher`].
    #[must_use]
    pub fn dead_letter_queue(self: &Arc<Self>, queue: &str) -> DeadLetterQueue {
        DeadLetterQueue::new(Arc::clone(self), queue.to_owned())
    }

    /// Connects and disconnects, to see whether it can be done.
    ///
    /// # Errors
    ///
    /// [`SourceError`] as for a subscription.
    pub async fn probe(&self) -> Result<(), SourceError> {
        self.connection(None).await?;
        self.close().await;
        Ok(())
    }

    /// Closes the connection in order, if there is one, so that the broker logs no lost client.
    /// Its sources lose their subscriptions. Gives up on a broker that does not answer.
    pub async fn close(&self) {
        let connections = mem::take(&mut *self.connections.lock().await);
        let closing = connections.iter().map(|connected| {
            timeout(CLOSE_TIMEOUT, connected.connection.close(REPLY_SUCCESS, "".into()))
        });
        // An error says that it is closed already.
        drop(join_all(closing).await);
        if !connections.is_empty() {
            self.abandoned.clear();
        }
    }

    /// The connection, which is made when there is none. It closes when nobody holds it any more. One to
    /// the address `avoided` is taken only when no other can be had.
    pub(crate) async fn connection(
        &self,
        avoided: Option<usize>,
    ) -> Result<Connected, SourceError> {
        let avoided = avoided.filter(|_| self.settings.addresses.len() > 1);
        let mut connections = self.connections.lock().await;
        connections.retain(|connected| connected.connection.status().connected());
        let other = connections.iter().find(|connected| Some(connected.address) != avoided);
        if let Some(connected) = other {
            return Ok(connected.clone());
        }
        // All that is left is to that address, which comes last.
        let first = avoided.map_or(0, |address| address + 1);
        let connected = self.connect(first, connections.first()).await?;
        if !connections.iter().any(|there| there.address == connected.address) {
            connections.push(connected.clone());
        }
        Ok(connected)
    }

    /// Sees whether a queue is there. It is taken to be where the login may not look: since RabbitMQ 4.3
    /// that takes a right on the queue itself, which publishing there does not.
    pub(crate) async fn find(&self, queue: &str) -> Result<(), KeepError> {
        let name = error::queue_name(queue)?;
        let connected = self.connection(None).await.map_err(KeepError::Connection)?;
        let finding = async {
            let channel = connected.connection.create_channel().await?;
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(name, passive, FieldTable::default()).await?;
            channel.close(REPLY_SUCCESS, "".into()).await
        };
        match finding.await.map_err(|failed| error::publishing(&failed, queue)) {
            Err(KeepError::WriteRefused { .. }) => Ok(()),
            found => found,
        }
    }

    /// Tries every address in turn, from one of them on. One that answers and refuses has the last word:
    /// the others are the same broker. A connection that is there counts as one that has been made.
    async fn connect(
        &self,
        first: usize,
        there: Option<&Connected>,
    ) -> Result<Connected, SourceError> {
        let settings = &self.settings;
        let login = settings
            .login
            .login()
            .map_err(|source| SourceError::LoginMissing { broker: settings.broker(), source })?;
        let tls = settings.tls.as_ref().map(TlsSettings::load).transpose();
        let tls = tls.map_err(|Unusable { advice, source }| SourceError::TlsRefused {
            broker: settings.broker(),
            advice,
            source,
        })?;
        let mut away = Vec::new();
        let count = settings.addresses.len();
        let in_turn = settings.addresses.iter().enumerate().cycle().skip(first).take(count);
        for (number, address) in in_turn {
            if let Some(there) = there.filter(|there| there.address == number) {
                return Ok(there.clone());
            }
            match self.connect_to(address, &login, tls.clone()).await {
                Ok(connection) => {
                    return Ok(Connected { address: number, connection: Arc::new(connection) });
                }
                Err(error) if error.disposition() == Disposition::Reconnect => away.push(error),
                Err(refusal) => return Err(refusal),
            }
        }
        Err(together(away, settings.broker()))
    }

    async fn connect_to(
        &self,
        address: &Address,
        login: &Login,
        tls: Option<Tls>,
    ) -> Result<Connection, SourceError> {
        let settings = &self.settings;
        let limit = settings.connect_timeout;
        let attempt = attempt::connect(settings.uri(address, login), tls, settings.properties());
        match timeout(limit, attempt).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(failed)) => {
                Err(error::connecting(failed, &address.to_string(), &settings.virtual_host))
            }
            Err(_elapsed) => Err(SourceError::Unreachable {
                broker: address.to_string(),
                source: format!("no answer within {limit:?}").into(),
            }),
        }
    }
}

/// One error for all addresses that could not be used.
fn together(errors: Vec<SourceError>, broker: String) -> SourceError {
    let reasons: Vec<String> = errors.iter().map(|error| with_causes(error)).collect();
    match <[SourceError; 1]>::try_from(errors) {
        Ok([only]) => only,
        Err(_several) => SourceError::Unreachable { broker, source: reasons.join("; ").into() },
    }
}
impl ConnectionSettings {
    /// Every address, for people.
    fn broker(&self) -> String {
        self.addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
    }

    fn uri(&self, address: &Address, login: &Login) -> AMQPUri {
        let userinfo = AMQPUserInfo {
            username: login.username.clone(),
            password: login.password.expose().to_owned(),
        };
        AMQPUri {
            // Encrypted or not is our own connector's to know.
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority { userinfo, host: address.host.clone(), port: address.port },
            vhost: self.virtual_host.clone(),
            query: AMQPQueryString {
                heartbeat: Some(self.heartbeat_s),
                ..AMQPQueryString::default()
            },
        }
    }

    /// What the broker shows of the connection.
    fn properties(&self) -> ConnectionProperties {
        ConnectionProperties::default()
            .with_connection_name(self.connection_name.as_str().into())
            .with_client_property("product".into(), "Gristmill".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
