//! What is broken: hosts, and the broker that they consume.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::sleep;

use super::schedule::Fault;
use super::server::{Sender, Server};
use super::{Broker, Publishing};
use crate::guests;
use crate::host::{Host, Listener};
use crate::proxy::Proxy;
use crate::trouble::Trouble;

/// One for each mapping.
pub(super) const QUEUES: [&str; 3] = ["steady", "ordered", "rough"];
const CONFIGURATION: &str = "gristmill.toml";
const HANDLERS: [&str; 2] = ["chaotic", "unruly"];
/// What a reload changes, to and fro.
const SIZES: [&str; 2] = ["batch_size = 20", "batch_size = 30"];
/// The longest that a host may take to end.
const DRAIN: Duration = Duration::from_secs(60);

/// The hosts, and the broker if it is not in them.
pub(super) struct Target {
    gristmill: PathBuf,
    hosts: Vec<(Host, Trouble)>,
    pids: Pids,
    broker: Option<(Server, Proxy)>,
    reloads: u32,
}

/// The processes of the hosts, for those who only look.
pub(super) type Pids = Arc<[AtomicU32]>;

/// What befalls the disk and the clock of a host befalls those who publish there.
type Environment = [(&'static str, String); 2];

/// Sends messages and waits until they are confirmed.
pub(super) enum Producer {
    Remote(Sender),
    Embedded { gristmill: PathBuf, folder: PathBuf, environment: Environment },
}

impl Target {
    pub(super) async fn start(
        broker: Broker,
        gristmill: &Path,
        listener: &Listener,
    ) -> Result<Self> {
        let server = match broker {
            Broker::Embedded => None,
            Broker::RabbitMq => Some(Server::rabbitmq().await?),
            Broker::ActiveMq => Some(Server::activemq().await?),
        };
        let broker = match server {
            None => None,
            Some(server) => {
                let proxy = Proxy::start(server.port()).await?;
                Some((server, proxy))
            }
        };
        let count = if broker.is_some() { 2 } else { 1 };
        let configuration = configuration(broker.as_ref());
        let mut hosts = Vec::new();
        for _ in 0..count {
            let trouble = Trouble::new()?;
            let environment = trouble.environment();
            let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
            let host =
                Host::start_heard(gristmill, &configuration, &environment, Arc::clone(listener))?;
            hosts.push((host, trouble));
        }
        let pids = hosts.iter().map(|(host, _)| AtomicU32::new(host.pid())).collect();
        let gristmill = gristmill.to_owned();
        let mut target = Self { gristmill, hosts, pids, broker, reloads: 0 };
        (0..count).try_for_each(|index| target.put_handlers(index))?;
        Ok(target)
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn has_broker(&self) -> bool {
        self.broker.is_some()
    }

    pub(super) fn pids(&self) -> Pids {
        Arc::clone(&self.pids)
    }

    pub(super) fn producer(&self) -> Producer {
        match &self.broker {
            // Not through the proxy, which is the hosts' trouble.
            Some((server, _)) => Producer::Remote(server.sender()),
            None => {
                let (host, trouble) = &self.hosts[0];
                Producer::Embedded {
                    gristmill: self.gristmill.clone(),
                    folder: host.folder().to_owned(),
                    environment: trouble.environment(),
                }
            }
        }
    }

    /// Writes the handlers, each time with other bytes: a host that finds the same does nothing.
    fn put_handlers(&mut self, index: usize) -> Result<()> {
        self.reloads += 1;
        let folder = self.hosts[index].0.folder();
        for name in HANDLERS {
            let mut bytes = fs::read(guests::component(name)).context("cannot read a handler")?;
            // A section that means nothing: its kind, its length, the length of its empty name.
            bytes.extend([0, 5, 0]);
            bytes.extend(self.reloads.to_le_bytes());
            let new = folder.join("new");
            fs::write(&new, bytes).context("cannot write a handler")?;
            fs::rename(new, folder.join(name).with_extension("wasm"))
                .context("cannot put a handler")?;
        }
        Ok(())
    }

    /// Has something happen, and heals what does not heal by itself.
    pub(super) async fn suffer(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillHost(index) => {
                let host = &mut self.hosts[index].0;
                host.kill9().await?;
                host.restart().await?;
                self.pids[index].store(host.pid(), Ordering::Relaxed);
            }
            Fault::FreezeHost(index, spell) => {
                let host = &self.hosts[index].0;
                host.signal("STOP")?;
                sleep(spell).await;
                host.signal("CONT")?;
            }
            Fault::ReloadHandler(index) => self.put_handlers(index)?,
            Fault::ReloadConfiguration(index) => reconfigure(&self.hosts[index].0)?,
            Fault::FillDisk(index, spell) => {
                let trouble = &self.hosts[index].1;
                trouble.fill_disk(true)?;
                sleep(spell).await;
                trouble.fill_disk(false)?;
            }
            Fault::ShiftClock(index, seconds, spell) => {
                let trouble = &self.hosts[index].1;
                trouble.shift_clock(seconds)?;
                sleep(spell).await;
                trouble.shift_clock(0)?;
            }
            Fault::KillBroker => {
                let server = self.server()?;
                server.kill9().await?;
                server.restart().await?;
            }
            Fault::RestartBroker => {
                let server = self.server()?;
                server.restart().await?;
            }
            Fault::FreezeBroker(spell) => {
                let server = self.server()?;
                server.freeze().await?;
                sleep(spell).await;
                server.thaw()?;
            }
            Fault::Cut => self.proxy()?.cut(),
            Fault::Delay(delay, spell) => {
                self.proxy()?.delay(delay);
                sleep(spell).await;
                self.proxy()?.delay(Duration::ZERO);
            }
            Fault::Swallow(spell) => {
                self.proxy()?.swallow(true);
                sleep(spell).await;
                self.proxy()?.swallow(false);
            }
        }
        Ok(())
    }

    fn server(&mut self) -> Result<&mut Server> {
        self.broker.as_mut().map(|(server, _)| server).context("there is no broker")
    }

    fn proxy(&self) -> Result<&Proxy> {
        self.broker.as_ref().map(|(_, proxy)| proxy).context("there is no proxy")
    }

    /// Waits until the broker has nothing left to hand out, and every host would take it.
    pub(super) async fn empty(&self, patience: Duration) -> Result<()> {
        match &self.broker {
            Some((server, _)) => server.empty(self.hosts.len() as u64, patience).await,
            None => Ok(()),
        }
    }

    /// How many writes full disks have refused.
    pub(super) fn refusals(&self) -> Result<i64> {
        self.hosts.iter().map(|(_, trouble)| trouble.refusals()).sum()
    }

    /// Drains the hosts, and says which messages are in their dead-letter stores.
    pub(super) async fn end(&mut self) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for (host, _) in &self.hosts {
            host.signal("TERM")?;
            let status = host.wait_exit(DRAIN).await?;
            ensure!(status.success(), "a host did not drain: {status}");
            self.dead_letters(host.folder(), &mut numbers).await?;
        }
        Ok(numbers)
    }

    /// The numbers of the messages in a host's dead-letter store.
    async fn dead_letters(&self, folder: &Path, numbers: &mut Vec<u64>) -> Result<()> {
        let list = self.dead_letters_command(folder, &["list", "--json"]).await?;
        for line in list.lines() {
            let letter: Value = serde_json::from_str(line)?;
            let show = ["show", &letter["id"].to_string(), "--body"];
            let body = self.dead_letters_command(folder, &show).await?;
            numbers.push(body.parse().context("a dead letter is none of ours")?);
        }
        Ok(())
    }

    async fn dead_letters_command(&self, folder: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.gristmill);
        let output =
            command.arg("dead-letters").args(arguments).current_dir(folder).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// What all hosts have: a mapping of the usual kind, one that keeps the order and halves what fails, and
/// one whose handler does everything wrong.
fn configuration(broker: Option<&(Server, Proxy)>) -> String {
    let section = match broker {
        None => "type = \"embedded\"".to_owned(),
        Some((server, proxy)) => server.section(proxy.port()),
    };
    let more = |queue: &str| broker.map_or("", |(server, _)| server.mapping(queue));
    let mapping = |queue: &str, function: &str, keys: &str| {
        format!(
            "[mapping.{queue}]\nbroker = \"broker\"\nqueue = \"{queue}\"\nfunction = \"{function}\"\n\
             maximum_retry_attempts = 3\n{}\n{keys}\n{}\n",
            SIZES[0],
            more(queue)
        )
    };
    let [steady, ordered, rough] = QUEUES;
    [
        format!("[broker.broker]\n{section}\n\n[function.chaotic]\ncomponent = \"chaotic.wasm\"\n"),
        "[function.unruly]\ncomponent = \"unruly.wasm\"\ntimeout = \"1s\"\nmemory = \"16MiB\"\n\
         fuel_per_second = 100_000_000\n"
            .to_owned(),
        mapping(steady, "chaotic", "maximum_concurrency = 4"),
        mapping(
            ordered,
            "chaotic",
            "maximum_concurrency = 1\nbisect_batch_on_function_error = true",
        ),
        mapping(rough, "unruly", "maximum_concurrency = 4\nreport_batch_item_failures = true"),
    ]
    .join("\n")
}

impl Producer {
    /// Sends messages, and returns which of them are confirmed.
    pub(super) async fn publish(&mut self, publishing: Publishing) -> Vec<u64> {
        match self {
            Producer::Remote(sender) => sender.publish(publishing).await,
            Producer::Embedded { gristmill, folder, environment } => {
                let mut command = Command::new(gristmill);
                command.current_dir(folder).envs(environment.clone());
                let numbers = publishing.numbers.clone();
                // It takes all or none.
                match to_embedded(command, publishing).await {
                    Ok(()) => numbers.collect(),
                    Err(_) => Vec::new(),
                }
            }
        }
    }
}

async fn to_embedded(mut gristmill: Command, publishing: Publishing) -> Result<()> {
    let mut process = gristmill
        .args(["publish", publishing.queue, "--lines"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let lines: String = publishing.numbers.map(|number| format!("{number}\n")).collect();
    let mut stdin = process.stdin.take().context("it has no stdin")?;
    stdin.write_all(lines.as_bytes()).await?;
    drop(stdin);
    ensure!(process.wait().await?.success(), "it did not publish");
    Ok(())
}

/// Writes another batch size into a host's configuration.
fn reconfigure(host: &Host) -> Result<()> {
    let path = host.folder().join(CONFIGURATION);
    let text = fs::read_to_string(&path).context("cannot read the configuration")?;
    let [one, other] = SIZES;
    let text = if text.contains(one) { text.replace(one, other) } else { text.replace(other, one) };
    let new = host.folder().join("gristmill.new");
    fs::write(&new, text).context("cannot write the configuration")?;
    fs::rename(new, path).context("cannot put the configuration")
}
