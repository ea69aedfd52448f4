//! The one consuming connection to a broker, for one virtual host and one login.
//!
//! Each connection costs an operating system's thread in the client and some memory in the broker,
//! and brokers may have a quota of them: so mappings share one and have a channel each.

use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::{Login, SourceError};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::attempt;
use crate::error;
use crate::source::{RabbitMqSource, SourceSettings};

/// A broker that does not answer a close in this time is left to notice the end by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Reply code of a close without an error (AMQP 0-9-1, 1.2: reply-success).
pub(crate) const REPLY_SUCCESS: u16 = 200;

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
    /// A handshake that takes longer is given up: the broker is frozen, or it is none.
    pub connect_timeout: Duration,
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
        self.connection().await?;
        self.close().await;
        Ok(())
    }

    /// Closes the connection in order, if there is one, so that the broker logs no lost client.
    /// Its sources lose their subscriptions. Gives up on a broker that does not answer.
    pub async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            // An error says that it is closed already.
            drop(timeout(CLOSE_TIMEOUT, connection.close(REPLY_SUCCESS, "".into())).await);
        }
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
        let limit = settings.connect_timeout;
        match timeout(limit, attempt::connect(settings.uri(), properties)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                Err(error::connecting(error, &settings.address(), &settings.virtual_host))
            }
            Err(_elapsed) => Err(SourceError::Unreachable {
                broker: settings.address(),
                source: format!("no answer within {limit:?}").into(),
            }),
        }
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
