//! The one consuming connection to a broker, for one virtual host and one login.
//!
//! Each connection costs an operating system's thread in the client and some memory in the broker,
//! and brokers may have a quota of them: so mappings share one and have a channel each.

use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::{Login, SourceError};
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::error;
use crate::source::{RabbitMqSource, SourceSettings};

/// A handshake that takes longer is given up: the broker is frozen, or none is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a broker.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Host name or address, without brackets around an IPv6 one.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The virtual host.
    pub virtual_host: String,
    /// Who logs in.
    pub login: Login,
    /// Heartbeat interval in seconds; the broker may ask for a shorter one. Zero: none.
    pub heartbeat_s: u16,
    /// What an operator sees as the connection's name.
    pub connection_name: String,
}

/// A RabbitMQ broker, for one virtual host and one login. Its sources share one connection, which
/// is made when the first of them subscribes and again after it was lost.
#[derive(Debug)]
pub struct RabbitMq {
    settings: ConnectionSettings,
    /// Locked while connecting, so that all who wait get the same connection.
    connection: Mutex<Option<Arc<Connection>>>,
}

impl RabbitMq {
    /// A broker; connects to nothing yet.
    #[must_use]
    pub fn new(settings: ConnectionSettings) -> Arc<Self> {
        Arc::new(Self { settings, connection: Mutex::new(None) })
    }

    /// A source on one of its queues; subscribes to nothing yet.
    #[must_use]
    pub fn source(self: &Arc<Self>, settings: SourceSettings) -> RabbitMqSource {
        RabbitMqSource::new(Arc::clone(self), settings)
    }

    /// Connects and disconnects, to see whether it can be done.
    ///
    /// # Errors
    ///
    /// [`SourceError`] as for a subscription.
    pub async fn probe(&self) -> Result<(), SourceError> {
        drop(self.connect().await?);
        Ok(())
    }

    /// The connection, which is made when there is none. It closes when nobody holds it any more.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, SourceError> {
        let mut shared = self.connection.lock().await;
        if let Some(connection) = shared.as_ref().filter(|shared| shared.status().connected()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(self.connect().await?);
        *shared = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn connect(&self) -> Result<Connection, SourceError> {
        let settings = &self.settings;
        let name = settings.connection_name.as_str();
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime().map_err(|error| self.refusal(error))?;
        let tls = OwnedTLSConfig::default();
        let connecting =
            Connection::connect_uri_with_config(settings.uri(), properties, tls, runtime);
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| self.refusal(error)),
            Err(elapsed) => Err(SourceError::Unreachable {
                broker: settings.address(),
                source: Box::new(elapsed),
            }),
        }
    }

    fn refusal(&self, error: lapin::Error) -> SourceError {
        error::connecting(error, &self.settings.address(), &self.settings.virtual_host)
    }
}

impl ConnectionSettings {
    /// Host and port, for people.
    fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn uri(&self) -> AMQPUri {
        let userinfo = AMQPUserInfo {
            username: self.login.username.clone(),
            password: self.login.password.expose().to_owned(),
        };
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority { userinfo, host: self.host.clone(), port: self.port },
            vhost: self.virtual_host.clone(),
            query: AMQPQueryString {
                heartbeat: Some(self.heartbeat_s),
                ..AMQPQueryString::default()
            },
        }
    }
}
