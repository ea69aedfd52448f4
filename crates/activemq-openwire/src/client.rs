//! A client over tokio: sockets, TLS and the clock around a [`Connection`].
//!
//! ```text
//! Connector ── connect ──▶ Client ── session ──▶ Session ── consumer, producer ──▶ Consumer, Producer
//!                            │                                                        │ calls
//!                            └── owns ──▶ driver ── bytes, time ──▶ Connection ◀──────┘ under a lock
//! ```
//!
//! A connection that is lost stays lost: what was unsettled comes again with a new one, acks of the
//! old one are void, and only the caller knows what it has in hand. [`Connector::connect`] goes
//! once through the addresses; waiting and trying again are the caller's.
//!
//! What must never happen: a login in an error, or an ack of a lost connection on the next one.

mod address;
mod consumer;
mod driver;
mod error;
mod producer;
mod shared;
mod tls;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::Limits;
use crate::connection::{CloseReason, Connection, ConsumerOptions, Login, SessionKey, Settings};
use shared::{Inbox, Phase, Shared};

pub use address::{Address, AddressError};
pub use consumer::Consumer;
pub use error::{ConnectError, ReceiveError, RequestError};
pub use producer::Producer;
pub use tls::{CertificateFiles, TlsSettings, TlsSettingsError};

/// How to reach and enter a broker.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Where brokers are, tried in this order.
    pub addresses: Vec<Address>,
    /// For those that speak TLS.
    pub tls: TlsSettings,
    /// Names this side; the ids of its connections begin with it. Nothing else that connects to
    /// these brokers, now or in the past hour, may have the same name: take the host, the process
    /// and the time of its start into it, or something random.
    pub name: String,
    /// Who logs in; `None` where a broker lets everybody in.
    pub login: Option<Login>,
    /// How long the socket and TLS may take to stand.
    pub connect_timeout: Duration,
    /// How long negotiation and login may take together.
    pub login_timeout: Duration,
    /// After what silence a broker counts as gone.
    pub inactivity: Duration,
    /// How long an orderly close may take.
    pub close_timeout: Duration,
    /// How many bytes of requests may be on their way without an answer: see
    /// [`Settings::unanswered_bytes_max`]. More helps producers whose broker is far away.
    pub unanswered_bytes_max: usize,
    /// How much a broker may make this side hold.
    pub limits: Limits,
}

impl ClientSettings {
    /// Settings with the usual times and the system's authorities, for everybody.
    #[must_use]
    pub fn new(name: &str, addresses: Vec<Address>) -> Self {
        let usual = Settings::new("", "");
        Self {
            addresses,
            tls: TlsSettings::default(),
            name: name.to_owned(),
            login: None,
            connect_timeout: Duration::from_secs(30),
            login_timeout: usual.login_timeout,
            inactivity: usual.inactivity,
            close_timeout: usual.close_timeout,
            unanswered_bytes_max: usual.unanswered_bytes_max,
            limits: usual.limits,
        }
    }
}

/// Makes connections, one after another or side by side.
#[derive(Debug)]
pub struct Connector {
    settings: ClientSettings,
    /// How many connections have been tried, which makes their ids differ.
    tried: AtomicU64,
    /// The address that was good the last time.
    current: AtomicUsize,
}

impl Connector {
    /// A connector; nothing is connected yet.
    #[must_use]
    pub fn new(settings: ClientSettings) -> Self {
        Self { settings, tried: AtomicU64::new(0), current: AtomicUsize::new(0) }
    }

    /// Connects to the first broker of the list that lets this side in, beginning with the one that
    /// did so the last time. One that hangs up before it has answered the login is asked once more.
    ///
    /// # Errors
    ///
    /// When none does: the error is that of the last one tried, but one that answered and refused says
    /// more than one that did not answer, such as the standby of a pair. A refused login and bad files
    /// end the round at once, since they would be the same everywhere.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what stands so far.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        let addresses = &self.settings.addresses;
        let first = self.current.load(Ordering::Relaxed);
        let mut failed = ConnectError::NoAddress;
        let from_first = addresses.iter().enumerate().cycle().skip(first);
        for (index, address) in from_first.take(addresses.len()) {
            // Boxed, for it is a large future, held by everything that waits for a connection.
            let connected = match Box::pin(self.connect_to(address)).await {
                // A refused login can look like this: ActiveMQ stops a connection that it is still
                // starting before it answers (5.17's `TransportConnection.delayedStop`). Asked
                // again, it says so.
                Err(ConnectError::Lost { source: CloseReason::Lost, .. }) => {
                    Box::pin(self.connect_to(address)).await
                }
                connected => connected,
            };
            match connected {
                Ok(client) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(client);
                }
                Err(error) if !error.is_about_one_broker() => return Err(error),
                Err(error) if error.is_no_answer() && !failed.is_no_answer() => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn connect_to(&self, address: &Address) -> Result<Client, ConnectError> {
        let deadline = self.settings.connect_timeout;
        let broker = || address.clone();
        let unreachable = |source| ConnectError::Unreachable { broker: broker(), source };
        let late = |_| unreachable(io::ErrorKind::TimedOut.into());
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let stream = timeout(deadline, connecting).await.map_err(late)?.map_err(unreachable)?;
        // Frames are small and many wait for an answer.
        stream.set_nodelay(true).map_err(unreachable)?;
        if !address.tls {
            return self.log_in(address, stream).await;
        }
        let tls = self.settings.tls.load(&address.host);
        let tls = tls.map_err(|source| ConnectError::TlsSettings { broker: broker(), source })?;
        let stream = timeout(deadline, tls.connect(stream)).await.map_err(late)?;
        let stream = stream.map_err(|source| ConnectError::Tls { broker: broker(), source })?;
        self.log_in(address, stream).await
    }

    async fn log_in<S>(&self, address: &Address, stream: S) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let connection = Connection::new(self.next_settings(), Instant::now().into_std());
        let shared = Arc::new(Shared::new(connection));
        let mut phase = shared.phase.subscribe();
        let mut driver = JoinSet::new();
        driver.spawn(driver::drive(stream, Arc::clone(&shared)));
        // It cannot fail while `shared` has the sender.
        let phase = phase.wait_for(|phase| *phase != Phase::Connecting).await;
        let reason = match phase.as_deref() {
            Ok(Phase::Closed(reason)) => Some(reason.clone()),
            Ok(Phase::Connecting | Phase::Open | Phase::LeaveAsked) => None,
            Err(_) => Some(CloseReason::Lost),
        };
        drop(phase);
        match reason {
            Some(reason) => {
                let error = shared.lock().transport_error.take();
                Err(ConnectError::closed(address.clone(), reason, error))
            }
            None => Ok(Client { shared, driver, address: address.clone() }),
        }
    }

    /// Ids that no other connection has had: a broker drops the earlier of two with the same.
    fn next_settings(&self) -> Settings {
        let tried = self.tried.fetch_add(1, Ordering::Relaxed);
        let id = format!("ID:{}:{tried}", self.settings.name);
        Settings {
            login: self.settings.login.clone(),
            inactivity: self.settings.inactivity,
            login_timeout: self.settings.login_timeout,
            close_timeout: self.settings.close_timeout,
            unanswered_bytes_max: self.settings.unanswered_bytes_max,
            limits: self.settings.limits,
            ..Settings::new(&id, &id)
        }
    }
}

/// A connection that is logged in. Dropping it cuts the connection: then every message that was
/// only prefetched counts as delivered, too.
pub struct Client {
    shared: Arc<Shared>,
    driver: JoinSet<()>,
    address: Address,
}

impl Client {
    /// Opens a session.
    ///
    /// # Errors
    ///
    /// When the broker refuses or the connection ends.
    pub async fn session(&self) -> Result<Session, RequestError> {
        let (key, answer) = self.shared.ask(|inner| inner.connection.open_session())?;
        answer.wait().await?;
        Ok(Session { shared: Arc::clone(&self.shared), key })
    }

    /// The broker that this side is connected to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits until the broker wants this side to leave, or the connection has ended.
    pub async fn leave_asked(&self) {
        let mut phase = self.shared.phase.subscribe();
        let is_over = |phase: &Phase| matches!(phase, Phase::LeaveAsked | Phase::Closed(_));
        // It cannot fail while `shared` has the sender.
        drop(phase.wait_for(is_over).await);
    }

    /// Waits until the connection has ended, and says how.
    pub async fn closed(&self) -> CloseReason {
        let mut phase = self.shared.phase.subscribe();
        drop(phase.wait_for(|phase| matches!(phase, Phase::Closed(_))).await);
        self.shared.close_reason().unwrap_or(CloseReason::Lost)
    }

    /// Closes consumers and connection in order and waits for the broker, at most as long as the
    /// close timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts the connection.
    pub async fn close(mut self) -> CloseReason {
        self.shared.lock().connection.close(Instant::now().into_std());
        self.shared.wake.notify_one();
        let reason = self.closed().await;
        // The driver says farewell and ends.
        while self.driver.join_next().await.is_some() {}
        reason
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// A session: what consumers and producers belong to. It outlives this value and ends with the
/// connection.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    key: SessionKey,
}

impl Session {
    /// Opens a consumer.
    ///
    /// # Errors
    ///
    /// When the broker refuses, as where the user may not read, or the connection ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the consumer.
    pub async fn consumer(&self, options: &ConsumerOptions) -> Result<Consumer, RequestError> {
        let (consumer, answer) = self.shared.ask(|inner| {
            let (key, request) = inner.connection.open_consumer(self.key, options)?;
            let inbox = Inbox::default();
            let arrived = Arc::clone(&inbox.arrived);
            // Deliveries can come before the answer.
            inner.consumers.insert(key, inbox);
            Ok((Consumer { shared: Arc::clone(&self.shared), key, arrived }, request))
        })?;
        answer.wait().await?;
        Ok(consumer)
    }

    /// Opens a producer.
    ///
    /// # Errors
    ///
    /// When the broker refuses or the connection ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the producer.
    pub async fn producer(&self) -> Result<Producer, RequestError> {
        let (producer, answer) = self.shared.ask(|inner| {
            let (key, request) = inner.connection.open_producer(self.key)?;
            Ok((Producer { shared: Arc::clone(&self.shared), key }, request))
        })?;
        answer.wait().await?;
        Ok(producer)
    }
}
