//! A private ActiveMQ Classic on loopback, real and short-lived.
//!
//! Each server has its own data folder and ports, so any number run side by side, also from several
//! test processes. A start takes about a second; tests that do not hurt the server share one
//! ([`ActiveMqServer::shared`]), each with a queue of its own ([`ActiveMqServer::test_queue`]).
//!
//! ```text
//! start → running ⇄ frozen;  running → kill9 | stop → ended → restart → running;  drop → gone
//! standby → waiting ── the first one ends ──▶ running
//! ```
//!
//! The broker is the release's own, started by a small program of ours (`java/Broker.java`) instead
//! of by its scripts: it needs none of the Spring files, reads certificates in PEM, and answers
//! questions about queues from inside (see [`admin`]), where JMX would listen on every address of the
//! machine. Which release it is, [`VERSION_VARIABLE`] says.
//!
//! No server may outlive its test process, and none may touch an installation's own service.

mod admin;
pub(crate) mod installation;
mod settings;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::jms::{Login, Peer};
use crate::ports::PortBlock;
use crate::process::{Supervised, Watchdog};
use installation::Installation;

pub use admin::{ConsumerState, QueueCounts};
pub use installation::{LINES, VERSION_VARIABLE, fetch};
pub use settings::{Rights, Settings};

/// A start on a machine that is busy compiling has taken five seconds.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// A clean end takes two seconds; one with many messages to write takes longer.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Written by our program once every connector accepts connections.
const READY: &str = "gristmill: ready";

/// The server's settings in its folder.
const SETTINGS_FILE: &str = "broker.json";

/// Flags of every server: nothing outside of the folder and of loopback, a start that is quick rather
/// than code that is, and any class in an `ObjectMessage`.
const JAVA_FLAGS: &[&str] = &[
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.apache.activemq.SERIALIZABLE_PACKAGES=*",
    "-Dorg.slf4j.simpleLogger.logFile=System.out",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
];

static SHARED: OnceCell<ActiveMqServer> = OnceCell::const_new();

/// An ActiveMQ server of this test process. Dropping it ends it and removes its data.
// Fields are dropped in this order: the server, the watchdog with the folder, and only then the claim
// on the ports.
#[derive(Debug)]
pub struct ActiveMqServer {
    /// `None` while the server is stopped or killed.
    node: Option<Supervised>,
    watchdog: Watchdog,
    folder: PathBuf,
    ports: PortBlock,
    installation: Arc<Installation>,
    is_fast: bool,
    queues_made: AtomicU32,
}

impl ActiveMqServer {
    /// Starts a server that lets everybody do everything, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When ActiveMQ or Java is not installed and cannot be, or the server does not start; the
    /// message has its last lines.
    pub async fn start() -> Result<Self> {
        Self::start_with(&Settings::new()).await
    }

    /// Starts a server with users, rights, TLS or other settings.
    ///
    /// # Errors
    ///
    /// As [`ActiveMqServer::start`].
    pub async fn start_with(settings: &Settings) -> Result<Self> {
        let mut server = Self::prepare(settings, None)?;
        server.launch().await?;
        Ok(server)
    }

    /// Starts a second server on this one's store, which waits until this one has ended, as the standby
    /// of a pair does; see [`ActiveMqServer::ready`]. The store is this one's, and goes with it.
    ///
    /// # Errors
    ///
    /// As [`ActiveMqServer::start`].
    pub fn standby(&self) -> Result<Self> {
        let mut server = Self::prepare(&Settings::new(), Some(&self.folder))?;
        server.spawn()?;
        Ok(server)
    }

    /// Waits until the server accepts connections.
    ///
    /// # Errors
    ///
    /// When it ends or does not do so in time; the message has its last lines.
    pub async fn ready(&self) -> Result<()> {
        let ready = |line: &str| line.contains(READY).then_some(());
        self.running()?.find("it was ready", START_TIMEOUT, ready).await
    }

    /// A server that does not run yet, with a store of its own or that in another one's folder.
    fn prepare(settings: &Settings, store: Option<&Path>) -> Result<Self> {
        let installation = installation::installation()?;
        let ports = PortBlock::claim()?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("gristmill-activemq-{}-", ports.port(OPENWIRE)))
            .tempdir()
            .context("cannot make a folder for a server's data")?;
        let watchdog = Watchdog::start(folder.path())?;
        // From here on the watchdog removes the folder, because it does so in every case.
        let folder = folder.keep();
        write_settings(&folder, store.unwrap_or(&folder), &ports, settings)?;
        Ok(Self {
            node: None,
            watchdog,
            folder,
            ports,
            installation,
            is_fast: settings.is_fast,
            queues_made: AtomicU32::new(0),
        })
    }

    /// The server that all tests of this process share, without login; the first call starts it.
    ///
    /// It ends with the process. It cannot be killed or frozen, because those need it unshared.
    ///
    /// # Errors
    ///
    /// As [`ActiveMqServer::start`].
    pub async fn shared() -> Result<&'static Self> {
        SHARED.get_or_try_init(Self::start).await
    }

    /// The server's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.node.as_ref().map(Supervised::pid)
    }

    /// The port that speaks OpenWire.
    pub fn port(&self) -> u16 {
        self.ports.port(OPENWIRE)
    }

    /// The port that speaks OpenWire in TLS, of a server that does.
    pub fn tls_port(&self) -> u16 {
        self.ports.port(TLS)
    }

    /// Where JMS clients connect to, as in `tcp://127.0.0.1:21000`.
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port())
    }

    /// Where they connect to in TLS, by the name that the certificate is for.
    pub fn tls_url(&self) -> String {
        format!("ssl://localhost:{}", self.tls_port())
    }

    /// Connects Java's JMS client without a login.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn peer(&self) -> Result<Peer> {
        Peer::connect(&Login::to(self.url())).await
    }

    /// Connects Java's JMS client as a user.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn peer_as(&self, user: &str, password: &str) -> Result<Peer> {
        Peer::connect(&Login::to(self.url()).user(user, password)).await
    }

    /// The release by its own word, as in `5.17.2`, of a running server.
    pub fn version(&self) -> Option<String> {
        let line = self.log().into_iter().find_map(|line| {
            line.split_once("Apache ActiveMQ ").map(|(_, version)| version.to_owned())
        })?;
        line.split_whitespace().next().map(str::to_owned)
    }

    /// What the server has written on its console since its last start, oldest line first.
    pub fn log(&self) -> Vec<String> {
        self.node.as_ref().map(Supervised::lines).unwrap_or_default()
    }

    /// Kills the server as `kill -9` does and waits for its end. Its data stays for
    /// [`ActiveMqServer::restart`].
    ///
    /// # Errors
    ///
    /// When the server does not run.
    pub async fn kill9(&mut self) -> Result<()> {
        self.end("KILL").await
    }

    /// Stops the server in order. Its data stays for [`ActiveMqServer::restart`].
    ///
    /// # Errors
    ///
    /// When the server does not run or does not end within a minute.
    pub async fn stop(&mut self) -> Result<()> {
        self.end("TERM").await
    }

    /// Starts the server again on the same ports with the data it had, stopping it first if it
    /// runs. Redelivery counters start at zero again: ActiveMQ does not store them.
    ///
    /// # Errors
    ///
    /// When the server does not start; the message has its last lines.
    pub async fn restart(&mut self) -> Result<()> {
        if self.node.is_some() {
            self.stop().await?;
        }
        self.launch().await
    }

    /// Halts the server as it stands: it keeps its connections and answers nothing until
    /// [`ActiveMqServer::thaw`].
    ///
    /// # Errors
    ///
    /// When the server does not run.
    pub async fn freeze(&mut self) -> Result<()> {
        self.running()?.freeze().await
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    ///
    /// When the server does not run.
    pub fn thaw(&mut self) -> Result<()> {
        self.running()?.signal("CONT")
    }

    fn running(&self) -> Result<&Supervised> {
        self.node.as_ref().context("the ActiveMQ server is stopped; restart it first")
    }

    async fn end(&mut self, signal: &str) -> Result<()> {
        let node = self.running()?;
        node.signal(signal)?;
        node.wait_exit(STOP_TIMEOUT).await?;
        self.watchdog.watch(&[])?;
        self.node = None;
        Ok(())
    }

    async fn launch(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready().await
    }

    fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new(&self.installation.java);
        command.args(JAVA_FLAGS);
        let how = if self.is_fast {
            ["-Xms512m", "-Xmx1g", "-XX:TieredStopAtLevel=4"]
        } else {
            ["-Xms32m", "-Xmx256m", "-XX:TieredStopAtLevel=1"]
        };
        command.args(how);
        command.arg(format!("-Djava.io.tmpdir={}", self.folder.display()));
        command.args(["-cp", &self.installation.class_path, "Broker", SETTINGS_FILE]);
        // A developer's own settings for Java must not reach the server.
        command.env_clear().env("LANG", "C.UTF-8").current_dir(&self.folder);
        let node = Supervised::spawn("ActiveMQ", command)?;
        self.watchdog.watch(&[node.pid()])?;
        self.node = Some(node);
        Ok(())
    }
}

/// Which port of the block is for what.
const OPENWIRE: u16 = 0;
const TLS: u16 = 1;
const ADMIN: u16 = 2;

fn write_settings(
    folder: &Path,
    store: &Path,
    ports: &PortBlock,
    settings: &Settings,
) -> Result<()> {
    let mut file = settings.json.clone();
    file["name"] = json!(format!("gristmill-{}", ports.port(OPENWIRE)));
    file["data"] = json!(store.join("data"));
    file["openwire"] = json!(ports.port(OPENWIRE));
    file["admin"] = json!(ports.port(ADMIN));
    if !file["tls"].is_null() {
        file["tls"]["port"] = json!(ports.port(TLS));
    }
    let path = folder.join(SETTINGS_FILE);
    fs::write(&path, file.to_string())
        // It has passwords.
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)))
        .with_context(|| format!("cannot write {}", path.display()))
}
