//! A private RabbitMQ on loopback, real and short-lived.
//!
//! Each server has its own data folder, node name, ports, cookie and port mapper (epmd), so any
//! number run side by side, also from several test processes. A start takes five to ten seconds,
//! so tests that do not hurt the server share one ([`RabbitServer::shared`]), each with a virtual
//! host of its own ([`RabbitServer::test_vhost`]).
//!
//! ```text
//! start → running ⇄ frozen;  running → kill9 | stop → ended → restart → running;  drop → gone
//! ```
//!
//! No server may outlive its test process, and none may touch an installation's own service.

mod admin;
mod cluster;
mod installation;

use std::fs::{self, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::amqp;
use crate::certificates::Certificates;
use crate::ports::PortBlock;
use crate::process::{Supervised, Watchdog};
use crate::setup::RabbitPrograms;

pub use admin::QueueCounts;
pub use cluster::RabbitCluster;
pub use installation::{LINES, VERSION_VARIABLE, fetch};

/// A start on a machine that is busy compiling has taken 16 seconds.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// A clean end takes three seconds; one with many messages to write takes longer.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Written on the console once every listener accepts connections and every plugin has started.
const READY: &str = "Server startup complete";

/// What every server is configured with. `loopback_users = none` lets users that a test adds
/// connect like `guest`. The alarms' limits are absolute, so that a small or full machine does not
/// block publishers.
const CONFIGURATION: &str = "\
log.console = true
log.console.level = info
log.file = false
loopback_users = none
vm_memory_high_watermark.absolute = 1GiB
disk_free_limit.absolute = 50MB
management.tcp.ip = 127.0.0.1
";

/// Erlang's own settings. Listening on loopback only; and schedulers not bound to cores, as
/// RabbitMQ does by default, because on a busy machine a bound scheduler waits for its core.
const ERLANG_ARGS: &str = "-kernel inet_dist_use_interface {127,0,0,1} +stbt u";

static SHARED: OnceCell<RabbitServer> = OnceCell::const_new();

/// A RabbitMQ server of this test process. Dropping it ends it and removes its data.
// Fields are dropped in this order: the server, its port mapper, the watchdog with the folder, and
// only then the claim on the ports.
#[derive(Debug)]
pub struct RabbitServer {
    /// `None` while the server is stopped or killed.
    node: Option<Supervised>,
    /// `None` where it uses that of another node of its cluster.
    epmd: Option<Supervised>,
    epmd_port: u16,
    watchdog: Watchdog,
    folder: PathBuf,
    node_name: String,
    ports: PortBlock,
    programs: Arc<RabbitPrograms>,
    /// `(0, 0)` until it has started for the first time.
    version: (u32, u32),
    vhosts_made: AtomicU32,
}

impl RabbitServer {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When RabbitMQ is not installed and cannot be, or does not start; the message has its last
    /// lines.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a server with further lines in its `rabbitmq.conf`, such as
    /// `consumer_timeout = 5000`.
    ///
    /// # Errors
    ///
    /// As [`RabbitServer::start`].
    pub async fn start_with(configuration: &[&str]) -> Result<Self> {
        let ports = PortBlock::claim()?;
        let epmd_port = ports.port(EPMD);
        let mut server = Self::prepare(ports, epmd_port, &new_cookie(), configuration)?;
        server.launch().await?;
        Ok(server)
    }

    /// Everything but the start itself. The port mapper is its own if it is on a port of its own.
    fn prepare(
        ports: PortBlock,
        epmd_port: u16,
        cookie: &str,
        configuration: &[&str],
    ) -> Result<Self> {
        let programs = installation::programs()?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("gristmill-rabbitmq-{}-", ports.port(AMQP)))
            .tempdir()
            .context("cannot make a folder for a server's data")?;
        let mut watchdog = Watchdog::start(folder.path())?;
        // From here on the watchdog removes the folder, because it does so in every case.
        let folder = folder.keep();
        write_files(&folder, &ports, cookie, configuration)?;

        let mut epmd = None;
        if epmd_port == ports.port(EPMD) {
            let mut command = Command::new("epmd");
            command.env("PATH", &programs.path);
            command.args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"]);
            let spawned = Supervised::spawn("epmd", command)?;
            watchdog.watch(&[spawned.pid()])?;
            epmd = Some(spawned);
        }
        Ok(Self {
            node: None,
            epmd,
            epmd_port,
            watchdog,
            folder,
            node_name: node_name(&ports),
            ports,
            programs,
            version: (0, 0),
            vhosts_made: AtomicU32::new(0),
        })
    }

    /// Starts a server that speaks TLS too, and may demand a certificate of its clients.
    ///
    /// # Errors
    ///
    /// As [`RabbitServer::start`].
    pub async fn start_tls(certificates: &Certificates, demands_one: bool) -> Result<Self> {
        let (certificate, key) = certificates.server();
        let verify = if demands_one { "verify_peer" } else { "verify_none" };
        let lines = [
            format!("ssl_options.cacertfile = {}", certificates.ca().display()),
            format!("ssl_options.certfile = {}", certificate.display()),
            format!("ssl_options.keyfile = {}", key.display()),
            format!("ssl_options.verify = {verify}"),
            format!("ssl_options.fail_if_no_peer_cert = {demands_one}"),
            TLS_LISTENER.to_owned(),
        ];
        Self::start_with(&lines.each_ref().map(String::as_str)).await
    }

    /// The server that all tests of this process share; the first call starts it.
    ///
    /// It ends with the process. It cannot be killed or frozen, because those need it unshared.
    ///
    /// # Errors
    ///
    /// As [`RabbitServer::start`].
    pub async fn shared() -> Result<&'static Self> {
        SHARED.get_or_try_init(Self::start).await
    }

    /// The server's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.node.as_ref().map(Supervised::pid)
    }

    /// Its version, as in `(3, 10)`, for what one release does and another does not.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The port that speaks AMQP 0-9-1.
    pub fn amqp_port(&self) -> u16 {
        self.ports.port(AMQP)
    }

    /// The port that speaks AMQP 0-9-1 in TLS, of a server that does.
    pub fn tls_port(&self) -> u16 {
        self.ports.port(TLS)
    }

    /// The URL of a virtual host for the user `guest`, as in `amqp://guest:guest@127.0.0.1:21000/%2F`.
    pub fn url(&self, virtual_host: &str) -> String {
        self.url_as("guest", "guest", virtual_host)
    }

    /// The URL of a virtual host for another user.
    pub fn url_as(&self, user: &str, password: &str, virtual_host: &str) -> String {
        format!(
            "amqp://{}:{}@127.0.0.1:{}/{}",
            percent_encoded(user),
            percent_encoded(password),
            self.amqp_port(),
            percent_encoded(virtual_host)
        )
    }

    /// Connects the raw client to a virtual host as `guest`.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn client(&self, virtual_host: &str) -> Result<amqp::Client> {
        amqp::Client::connect(self.amqp_port(), virtual_host).await
    }

    /// What the server has written on its console since its last start, oldest line first.
    pub fn log(&self) -> Vec<String> {
        self.node.as_ref().map(Supervised::lines).unwrap_or_default()
    }

    /// Kills the server as `kill -9` does and waits for its end. Its data stays for
    /// [`RabbitServer::restart`].
    ///
    /// # Errors
    ///
    /// When the server does not run.
    pub async fn kill9(&mut self) -> Result<()> {
        self.end("KILL").await
    }

    /// Stops the server in order. Its data stays for [`RabbitServer::restart`].
    ///
    /// # Errors
    ///
    /// When the server does not run or does not end within a minute.
    pub async fn stop(&mut self) -> Result<()> {
        self.end("TERM").await
    }

    /// Starts the server again on the same ports with the data it had, stopping it first if it
    /// runs.
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
    /// [`RabbitServer::thaw`].
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
        self.node.as_ref().context("the RabbitMQ server is stopped; restart it first")
    }

    async fn end(&mut self, signal: &str) -> Result<()> {
        let node = self.running()?;
        node.signal(signal)?;
        node.wait_exit(STOP_TIMEOUT).await?;
        self.node = None;
        self.watch(None)
    }

    /// Leaves to the watchdog what runs.
    fn watch(&mut self, node: Option<u32>) -> Result<()> {
        let epmd = self.epmd.as_ref().map(Supervised::pid);
        self.watchdog.watch(&epmd.into_iter().chain(node).collect::<Vec<_>>())
    }

    async fn launch(&mut self) -> Result<()> {
        let mut command = Command::new(&self.programs.server);
        command.arg("-noinput");
        command.env_clear().envs(self.environment()).current_dir(&self.folder);
        let node = Supervised::spawn("RabbitMQ", command)?;
        self.watch(Some(node.pid()))?;
        let ready = |line: &str| line.contains(READY).then_some(());
        node.find("it was ready", START_TIMEOUT, ready).await?;
        let version = node.lines().iter().find_map(|line| version_in(line));
        self.version = version.context("RabbitMQ did not say its version")?;
        self.node = Some(node);
        Ok(())
    }

    /// The whole environment of the server and of `rabbitmqctl`: a developer's own settings for
    /// RabbitMQ or Erlang must not reach either.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let in_folder = |name: &str| self.folder.join(name).display().to_string();
        vec![
            ("PATH", self.programs.path.display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            // The cookie that lets rabbitmqctl speak to the server lies in the home folder.
            ("HOME", in_folder("")),
            ("ERL_EPMD_PORT", self.epmd_port.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_CRASH_DUMP_BYTES", "0".to_owned()),
            ("RABBITMQ_NODENAME", self.node_name.clone()),
            // Otherwise the system's own /etc/rabbitmq/rabbitmq-env.conf would apply.
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", in_folder("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", in_folder("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", in_folder("data")),
            ("RABBITMQ_LOG_BASE", in_folder("log")),
            ("RABBITMQ_PID_FILE", in_folder("pid")),
            ("RABBITMQ_DIST_PORT", self.ports.port(DISTRIBUTION).to_string()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_ARGS.to_owned()),
            // Makes the script become the server, so that the child's id is the server's own and
            // signals reach it. In exchange the script leaves `-noinput` to its caller.
            ("RABBITMQ_ALLOW_INPUT", "1".to_owned()),
        ]
    }
}

/// Which port of the block is for what.
const AMQP: u16 = 0;
const MANAGEMENT: u16 = 1;
const DISTRIBUTION: u16 = 2;
const EPMD: u16 = 3;
const TLS: u16 = 4;

/// Stands for the line that names the port, which the server chooses.
const TLS_LISTENER: &str = "listeners.ssl.1 = 127.0.0.1:";

fn node_name(ports: &PortBlock) -> String {
    format!("gristmill-{}@localhost", ports.port(AMQP))
}

/// A cookie is a password for everything, so each server or cluster gets one that cannot be guessed.
fn new_cookie() -> String {
    format!("GRISTMILL{:016X}", RandomState::new().hash_one(()))
}

fn write_files(
    folder: &Path,
    ports: &PortBlock,
    cookie: &str,
    configuration: &[&str],
) -> Result<()> {
    let mut text = CONFIGURATION.to_owned();
    text += &format!("listeners.tcp.1 = 127.0.0.1:{}\n", ports.port(AMQP));
    text += &format!("management.tcp.port = {}\n", ports.port(MANAGEMENT));
    for line in configuration {
        let port = if *line == TLS_LISTENER { ports.port(TLS).to_string() } else { String::new() };
        text += &format!("{line}{port}\n");
    }
    let cookie_file = folder.join(".erlang.cookie");
    fs::write(folder.join("rabbitmq.conf"), text)
        .and_then(|()| fs::write(folder.join("enabled_plugins"), "[rabbitmq_management].\n"))
        .and_then(|()| fs::write(&cookie_file, cookie))
        .and_then(|()| fs::set_permissions(&cookie_file, Permissions::from_mode(0o400)))
        .with_context(|| format!("cannot write a server's files into {}", folder.display()))
}

/// The 3.10 of `… Starting RabbitMQ 3.10.8 on Erlang 25.2.3 [jit]`.
fn version_in(line: &str) -> Option<(u32, u32)> {
    let (_, version) = line.split_once(" Starting RabbitMQ ")?;
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Everything but unreserved characters (RFC 3986, section 2.3) as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded += &format!("%{other:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_in_the_log() {
        let line = "2026-01-01 [info] <0.222.0>  Starting RabbitMQ 3.10.8 on Erlang 25.2.3 [jit]";
        assert_eq!(version_in(line), Some((3, 10)));
        assert_eq!(version_in("RabbitMQ metadata store is starting"), None);
    }

    #[test]
    fn everything_that_means_something_in_a_url_is_encoded() {
        assert_eq!(percent_encoded("/"), "%2F");
        assert_eq!(percent_encoded("p@ss:wörd %"), "p%40ss%3Aw%C3%B6rd%20%25");
        assert_eq!(percent_encoded("a-b.c_d~9Z"), "a-b.c_d~9Z");
    }
}
