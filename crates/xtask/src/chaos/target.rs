//! What is broken: hosts, and the broker that they consume.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use gristmill_testkit::host::Host;
use gristmill_testkit::proxy::Proxy;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::Broker;
use super::ledger::Ledger;
use super::schedule::Fault;
use super::server::{Sender, Server};
use crate::workspace;

pub(super) const QUEUE: &str = "chaos";
const CONFIGURATION: &str = "gristmill.toml";
/// What a reload changes, to and fro.
const SIZES: [&str; 2] = ["batch_size = 20", "batch_size = 30"];
/// Longer than any wait between two tries of a batch.
const QUIET: Duration = Duration::from_secs(15);

/// The hosts, and the broker if it is not in them.
pub(super) struct Target {
    hosts: Vec<Host>,
    handler: PathBuf,
    broker: Option<(Server, Proxy)>,
}

/// Sends messages and waits until they are confirmed.
pub(super) enum Producer {
    Remote(Sender),
    Embedded { folder: PathBuf },
}

impl Target {
    pub(super) async fn start(broker: Broker, handler: &Path) -> Result<Self> {
        let server = match broker {
            Broker::Embedded => None,
            Broker::Rabbitmq => Some(Server::rabbitmq().await?),
            Broker::Activemq => Some(Server::activemq().await?),
        };
        let broker = match server {
            None => None,
            Some(server) => {
                let proxy = Proxy::start(server.port()).await?;
                Some((server, proxy))
            }
        };
        let (section, mapping, count) = match &broker {
            None => ("type = \"embedded\"".to_owned(), "", 1),
            Some((server, proxy)) => (server.section(proxy.port()), server.mapping(), 2),
        };
        let configuration = format!(
            "[broker.broker]\n{section}\n\n[function.chaotic]\ncomponent = \"chaotic.wasm\"\n\n\
             [mapping.chaos]\nbroker = \"broker\"\nqueue = \"{QUEUE}\"\nfunction = \"chaotic\"\n\
             maximum_concurrency = 4\nmaximum_retry_attempts = 3\n{mapping}{}\n",
            SIZES[0]
        );
        let binary = gristmill();
        let hosts = (0..count).map(|_| Host::start(&binary, &configuration));
        let target =
            Self { hosts: hosts.collect::<Result<_>>()?, handler: handler.to_owned(), broker };
        for host in &target.hosts {
            target.put_handler(host)?;
        }
        Ok(target)
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn has_broker(&self) -> bool {
        self.broker.is_some()
    }

    pub(super) fn producer(&self) -> Producer {
        match &self.broker {
            // Not through the proxy, which is the hosts' trouble.
            Some((server, _)) => Producer::Remote(server.sender()),
            None => Producer::Embedded { folder: self.hosts[0].folder().to_owned() },
        }
    }

    fn put_handler(&self, host: &Host) -> Result<()> {
        let new = host.folder().join("chaotic.new");
        fs::copy(&self.handler, &new).context("cannot copy the handler")?;
        fs::rename(new, host.folder().join("chaotic.wasm")).context("cannot put the handler")
    }

    /// Has something happen, and heals what heals by itself. What a killed host had handled is noted.
    pub(super) async fn suffer(
        &mut self,
        fault: Fault,
        noted: impl FnMut(u64, SystemTime),
    ) -> Result<()> {
        match fault {
            Fault::KillHost(index) => {
                let host = &mut self.hosts[index];
                host.kill9().await?;
                handled(host, noted)?;
                host.restart().await?;
            }
            Fault::FreezeHost(index, spell) => {
                let host = &self.hosts[index];
                host.signal("STOP")?;
                sleep(spell).await;
                host.signal("CONT")?;
            }
            Fault::ReloadHandler(index) => self.put_handler(&self.hosts[index])?,
            Fault::ReloadConfiguration(index) => reconfigure(&self.hosts[index])?,
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
                // What was swallowed is missing on these connections for ever.
                self.proxy()?.cut();
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

    /// Nothing stands in anybody's way any more.
    pub(super) fn heal(&self) {
        if let Some((_, proxy)) = &self.broker {
            proxy.swallow(false);
            proxy.delay(Duration::ZERO);
        }
    }

    /// Waits until the hosts have nothing to do any more.
    pub(super) async fn rest(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let lines = || self.hosts.iter().map(|host| host.logs().len()).sum::<usize>();
        let (mut before, mut since) = (lines(), Instant::now());
        while since.elapsed() < QUIET {
            ensure!(Instant::now() < deadline, "the hosts do not come to rest");
            sleep(Duration::from_millis(500)).await;
            let now = lines();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
        match &self.broker {
            Some((server, _)) => server.empty(patience).await,
            None => Ok(()),
        }
    }

    /// Drains the hosts and notes what they have handled and given up.
    pub(super) async fn end(&mut self, ledger: &mut Ledger) -> Result<()> {
        for host in &self.hosts {
            host.signal("TERM")?;
            let status = host.wait_exit(Duration::from_secs(60)).await?;
            ensure!(status.success(), "a host did not drain: {status}");
            handled(host, |number, at| ledger.handle(number, at))?;
            for number in dead_letters(host).await? {
                ledger.bury(number);
            }
        }
        Ok(())
    }
}

impl Producer {
    pub(super) async fn publish(&mut self, numbers: Range<u64>) -> Result<()> {
        match self {
            Producer::Remote(sender) => sender.publish(numbers).await,
            Producer::Embedded { folder } => to_embedded(folder, numbers).await,
        }
    }
}

async fn to_embedded(folder: &Path, numbers: Range<u64>) -> Result<()> {
    let mut publishing = Command::new(gristmill())
        .args(["publish", QUEUE, "--lines"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let lines: String = numbers.map(|number| format!("{number}\n")).collect();
    let mut stdin = publishing.stdin.take().context("it has no stdin")?;
    stdin.write_all(lines.as_bytes()).await?;
    drop(stdin);
    ensure!(publishing.wait().await?.success(), "it did not publish");
    Ok(())
}

fn gristmill() -> PathBuf {
    workspace::target().join("debug/gristmill")
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

/// The numbers that a host says it has handled since its last start.
fn handled(host: &Host, mut noted: impl FnMut(u64, SystemTime)) -> Result<()> {
    for line in host.logs() {
        let message = line["message"].as_str().unwrap_or_default();
        let panicked = line.as_str().is_some_and(|line| line.contains("panicked at"));
        ensure!(!panicked, "the host has panicked: {line}");
        let Some(range) = message.strip_prefix("handled ") else { continue };
        let (first, last) = range.split_once('-').context("a line of the handler is odd")?;
        let at = line["timestamp"].as_str().context("a line has no time")?;
        let at = humantime::parse_rfc3339(at)?;
        (first.parse()?..=last.parse()?).for_each(|number| noted(number, at));
    }
    Ok(())
}

/// The numbers of the messages in a host's dead-letter store.
async fn dead_letters(host: &Host) -> Result<Vec<u64>> {
    let list = dead_letters_command(host, &["list", "--json"]).await?;
    let mut numbers = Vec::new();
    for line in list.lines() {
        let letter: Value = serde_json::from_str(line)?;
        let body =
            dead_letters_command(host, &["show", &letter["id"].to_string(), "--body"]).await?;
        numbers.push(body.parse().context("a dead letter is none of ours")?);
    }
    Ok(numbers)
}

async fn dead_letters_command(host: &Host, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(gristmill());
    let output =
        command.arg("dead-letters").args(arguments).current_dir(host.folder()).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
