//! How to reach a broker, and one attempt to do so.

use std::time::Duration;

use activemq_openwire::Limits;
use activemq_openwire::client::{Address, Client, ClientSettings, Connector, TlsSettings};
use activemq_openwire::connection::Login;
use gristmill_broker::{LoginSource, SourceError};
use gristmill_event::EVENT_BYTES_MAX;

use crate::dead_letter::DeadLetterQueue;
use crate::error;
use crate::publisher::ActiveMqPublisher;
use crate::source::{ActiveMqSource, SourceSettings};

/// A peer counts as gone after so many heartbeats that were missed: the broker and this side write at
/// least every third of the inactivity that they agree on.
const HEARTBEATS: u32 = 3;

/// A broker that does not confirm a close in this time is left to notice the end by itself. Acks are on
/// their way with the close, and a slow disk may have to take each of them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// How to reach a broker.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// Where it listens; tried in turn, from the first on, for every connection. At least one.
    pub addresses: Vec<Address>,
    /// For the addresses that speak TLS.
    pub tls: TlsSettings,
    /// Who logs in, asked for every connection; `None` where a broker lets everybody in.
    pub login: Option<LoginSource>,
    /// How often each side says at least that it is there; the broker may ask for more.
    pub heartbeat: Duration,
    /// A connection or a login with one address that takes longer is given up: the broker is frozen,
    /// or it is none.
    pub connect_timeout: Duration,
}

/// An ActiveMQ broker. Each of its sources has a connection of its own.
#[derive(Debug, Clone)]
pub struct ActiveMq {
    settings: ConnectionSettings,
}

impl ActiveMq {
    /// A broker; connects to nothing yet.
    #[must_use]
    pub fn new(settings: ConnectionSettings) -> Self {
        Self { settings }
    }

    /// A source on one of its queues; subscribes to nothing yet.
    #[must_use]
    pub fn source(&self, settings: SourceSettings) -> ActiveMqSource {
        ActiveMqSource::new(self.clone(), settings)
    }

    /// What puts messages on its queues; connects to nothing yet. The ids of its connections begin with
    /// `name`.
    #[must_use]
    pub fn publisher(&self, name: &str) -> ActiveMqPublisher {
        ActiveMqPublisher::new(self.clone(), name)
    }

    /// The queue `to` for given-up messages of another one; connects to nothing yet.
    #[must_use]
    pub fn dead_letter_queue(&self, to: &str, name: &str, queue: &str) -> DeadLetterQueue {
        DeadLetterQueue::new(self.publisher(name), to, queue)
    }

    /// Connects and disconnects, to see whether it can be done.
    ///
    /// # Errors
    ///
    /// [`SourceError`] as for a subscription.
    pub async fn probe(&self) -> Result<(), SourceError> {
        self.connect("gristmill-probe", None).await?.close().await;
        Ok(())
    }

    /// Connects to the first address that lets this side in, beginning with `first` if it is given.
    /// The client's id begins with `name`; no two connections have the same, because the broker would
    /// refuse the later one for as long as it has not noticed the end of the earlier.
    pub(crate) async fn connect(
        &self,
        name: &str,
        first: Option<&Address>,
    ) -> Result<Client, SourceError> {
        let ConnectionSettings { addresses, tls, login, heartbeat, connect_timeout } =
            &self.settings;
        let login = login.as_ref().map(LoginSource::login).transpose();
        let login =
            login.map_err(|source| SourceError::LoginMissing { broker: self.name(), source })?;
        let mut addresses = addresses.clone();
        addresses.sort_by_key(|address| first.is_some_and(|first| first != address));
        let name = format!("{name}-{:016x}", fastrand::u64(..));
        let connector = Connector::new(ClientSettings {
            tls: tls.clone(),
            login: login.map(|login| Login::new(&login.username, login.password.expose())),
            connect_timeout: *connect_timeout,
            login_timeout: *connect_timeout,
            inactivity: heartbeat.saturating_mul(HEARTBEATS),
            close_timeout: CLOSE_TIMEOUT,
            limits: limits(),
            ..ClientSettings::new(&name, addresses)
        });
        connector.connect().await.map_err(|failed| error::connecting(failed, self.name()))
    }

    /// Every address, for people.
    fn name(&self) -> String {
        self.settings.addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// A compressed body that no event has room for is not inflated any further.
pub(crate) fn limits() -> Limits {
    Limits { inflated_bytes_max: EVENT_BYTES_MAX, ..Limits::default() }
}
