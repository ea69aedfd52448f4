//! The embedded brokers of a host: queues in files of the data directory.
//!
//! Other processes may publish into the same files, and touch one more file afterwards, which the host
//! watches: the doorbell. It stands in a folder of its own, so that what the host itself writes wakes
//! nobody.
//!
//! What must never happen: two brokers of this process on one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gristmill_event::EVENT_BYTES_MAX;
pub use gristmill_event::{
    BasicProperties, HeaderInteger, HeaderTable, HeaderValue, RabbitMqMessage,
};
pub use gristmill_store::embedded::{EmbeddedBroker, EmbeddedError, QueueCounts};
use gristmill_store::embedded::{EmbeddedSettings, QueueSettings};

use tokio::time::timeout;

use crate::config::{BrokerConfig, BrokerKind, Config, EmbeddedConfig, EmbeddedQueueConfig};
use crate::watch::{Bell, Watch};

/// Base64 makes four bytes of three; a longer body fits no event.
const BODY_BYTES_MAX: usize = EVENT_BYTES_MAX / 4 * 3;

/// How often files are looked at when nobody rings.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);

const DOORBELL_BYTES_MAX: u64 = 4_096;

/// The embedded brokers of a configuration, by their names.
#[derive(Debug)]
pub(crate) struct Embedded {
    data_dir: PathBuf,
    /// Whether they are consumed here.
    consumes: bool,
    brokers: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    broker: EmbeddedBroker,
    queues: BTreeSet<String>,
    http_publish: bool,
    /// Whether the configuration has it. One that it no longer has is kept while somebody still uses it, so
    /// that it is the same when it comes back.
    is_there: bool,
}

impl Embedded {
    /// Those of the host that has the data directory.
    pub(crate) fn of_host(data_dir: PathBuf) -> Self {
        Self { data_dir, consumes: true, brokers: Mutex::default() }
    }

    /// Those of somebody who only publishes.
    pub(crate) fn of_publisher(data_dir: PathBuf) -> Self {
        Self { data_dir, consumes: false, brokers: Mutex::default() }
    }

    /// Has those of a configuration, as it says they are. A file is opened at its first use.
    pub(crate) fn apply(&self, config: &Config) -> io::Result<()> {
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = BTreeMap::new();
        for (name, broker) in &config.brokers {
            let BrokerKind::Embedded(embedded) = &broker.kind else { continue };
            let settings = settings(&self.data_dir, self.consumes, name, embedded, config);
            let broker = match brokers.get(name) {
                Some(Kept { broker, .. }) => broker.clone(),
                None => EmbeddedBroker::new(settings.clone())?,
            };
            next.insert(name.clone(), (broker, settings, embedded.http_publish));
        }
        // From here on nothing can fail.
        brokers.values_mut().for_each(|kept| kept.is_there = false);
        for (name, (broker, settings, http_publish)) in next {
            let queues = settings.queues.keys().cloned().collect();
            broker.configure(settings);
            brokers.insert(name, Kept { broker, queues, http_publish, is_there: true });
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<EmbeddedBroker> {
        let brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.get(name).filter(|kept| kept.is_there).map(|kept| kept.broker.clone())
    }

    /// The one that is open to HTTP and has a queue.
    pub(crate) fn open_to_http(
        &self,
        queue: &str,
        broker: Option<&str>,
    ) -> Result<EmbeddedBroker, OpenError> {
        let brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |kept: &Kept| kept.is_there && kept.http_publish;
        let mut open = brokers.iter().filter(|(_, kept)| is_open(kept)).peekable();
        if open.peek().is_none() {
            return Err(OpenError::Closed);
        }
        let has_it = |(name, kept): &(&String, &Kept)| {
            kept.queues.contains(queue) && broker.is_none_or(|broker| broker == *name)
        };
        let mut found = open.filter(has_it);
        match (found.next(), found.next()) {
            (Some((_, kept)), None) => Ok(kept.broker.clone()),
            (None, _) => Err(OpenError::Missing { queue: queue.to_owned() }),
            (Some(_), Some(_)) => Err(OpenError::Several { queue: queue.to_owned() }),
        }
    }

    fn all(&self) -> Vec<EmbeddedBroker> {
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.retain(|_, kept| kept.is_there || kept.broker.is_shared());
        brokers.values().map(|kept| kept.broker.clone()).collect()
    }

    /// Hears the doorbell. The future never ends.
    pub(crate) async fn answer_the_door(&self, bell: &Bell) {
        let doorbell = doorbell(&self.data_dir);
        if let Some(folder) = doorbell.parent() {
            // Without it, nobody can ring either.
            fs::create_dir_all(folder).unwrap_or_default();
        }
        let mut watch = Watch::files(bell, vec![doorbell]);
        loop {
            // At first too: somebody may have rung before.
            self.all().iter().for_each(EmbeddedBroker::look);
            // Nobody rings who is killed between his commit and the bell.
            drop(timeout(LOOK_ANYWAY, watch.changed()).await);
        }
    }

    /// Closes all files.
    pub(crate) async fn close(&self) {
        for broker in self.all() {
            broker.close().await;
        }
    }
}

/// Rings at the host that has a data directory, if there is one.
pub(crate) fn ring(data_dir: &Path) -> io::Result<()> {
    let path = doorbell(data_dir);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Another length each time: clocks may stand still for a while.
    let mut doorbell = OpenOptions::new().create(true).append(true).open(path)?;
    if doorbell.metadata()?.len() >= DOORBELL_BYTES_MAX {
        doorbell.set_len(0)?;
    }
    doorbell.write_all(b"\n")
}

fn doorbell(data_dir: &Path) -> PathBuf {
    data_dir.join("doorbell/published")
}

fn settings(
    data_dir: &Path,
    consumes: bool,
    name: &str,
    embedded: &EmbeddedConfig,
    config: &Config,
) -> EmbeddedSettings {
    let queue = |queue: EmbeddedQueueConfig| QueueSettings {
        dead_letter_queue: queue.dead_letter_queue,
        message_ttl: queue.message_ttl,
        priority_max: queue.priority_max,
    };
    let queues = config.embedded_queues(name).into_iter();
    EmbeddedSettings {
        path: data_dir.join(format!("queues-{name}.sqlite3")),
        queues: queues.map(|(name, settings)| (name, queue(settings))).collect(),
        bytes_max: embedded.bytes_max,
        body_bytes_max: BODY_BYTES_MAX,
        consumes,
    }
}

/// Why nothing can be published over HTTP.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No broker is open.
    #[error(
        "no broker takes messages here; an embedded one does with `http_publish = true` in its section of \
         the configuration"
    )]
    Closed,
    /// None that is open has the queue.
    #[error("no broker that takes messages here has a queue {queue:?}")]
    Missing {
        /// The queue.
        queue: String,
    },
    /// More than one has it.
    #[error("several brokers have a queue {queue:?}: add ?broker=NAME")]
    Several {
        /// The queue.
        queue: String,
    },
}

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// There is no such broker.
    #[error("the configuration has no [broker.{0}]")]
    NoBroker(String),
    /// It is elsewhere.
    #[error(
        "broker.{0} is not embedded: put messages on its queues with what comes with that broker; gristmill \
         publishes on brokers of the type \"embedded\" only"
    )]
    NotEmbedded(String),
    /// No broker was named, and there is not just one that is embedded.
    #[error("{}", no_single(.0))]
    NotOne(Vec<String>),
    /// The folder of its file cannot be made, or no thread can be had.
    #[error("cannot use the data directory {}", .path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

fn no_single(names: &[String]) -> String {
    match names {
        [] => "the configuration has no embedded broker; add one: [broker.NAME] with type = \"embedded\""
            .to_owned(),
        names => format!("there are several embedded brokers, {}: name one", names.join(", ")),
    }
}

/// Publishes on an embedded broker beside the host that consumes it, or without one.
#[derive(Debug)]
pub struct Publisher {
    data_dir: PathBuf,
    broker: EmbeddedBroker,
}

impl Publisher {
    /// A publisher for a broker of a configuration; without a name, for its only embedded one.
    ///
    /// # Errors
    ///
    /// [`PublisherError`].
    pub fn new(config: &Config, broker: Option<&str>) -> Result<Self, PublisherError> {
        let name = match broker {
            Some(name) => name.to_owned(),
            None => {
                let embedded = |(_, broker): &(_, &BrokerConfig)| {
                    matches!(broker.kind, BrokerKind::Embedded(_))
                };
                let names = config.brokers.iter().filter(embedded).map(|(name, _)| name);
                match names.collect::<Vec<_>>()[..] {
                    [only] => only.clone(),
                    ref names => {
                        let names = names.iter().map(|name| (*name).clone()).collect();
                        return Err(PublisherError::NotOne(names));
                    }
                }
            }
        };
        let Some(BrokerConfig { kind, .. }) = config.brokers.get(&name) else {
            return Err(PublisherError::NoBroker(name));
        };
        let BrokerKind::Embedded(embedded) = kind else {
            return Err(PublisherError::NotEmbedded(name));
        };
        let data_dir = config.host.data_dir.clone();
        let made = fs::create_dir_all(&data_dir).and_then(|()| {
            EmbeddedBroker::new(settings(&data_dir, false, &name, embedded, config))
        });
        match made {
            Ok(broker) => Ok(Self { data_dir, broker }),
            Err(source) => Err(PublisherError::DataDir { path: data_dir, source }),
        }
    }

    /// Puts messages on a queue, as [`EmbeddedBroker::publish`] does, and tells the host.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError`]; then none of them is there.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have put all of them there or none.
    pub async fn publish(
        &self,
        queue: &str,
        messages: Vec<RabbitMqMessage>,
    ) -> Result<(), EmbeddedError> {
        self.broker.publish(queue, messages).await?;
        // If that fails, the host looks a little later.
        ring(&self.data_dir).unwrap_or_default();
        Ok(())
    }

    /// Closes the file.
    pub async fn close(self) {
        self.broker.close().await;
    }
}
