//! The embedded brokers of a host: queues in files of the data directory.
//!
//! Other processes may publish into the same files, and touch one more file afterwards, which the host
//! watches: the doorbell. It stands in a folder of its own, so that what the host itself writes wakes
//! nobody.
//!
//! What must never happen: two brokers of this process on one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gristmill_event::EVENT_BYTES_MAX;
pub use gristmill_event::{
    BasicProperties, HeaderInteger, HeaderTable, HeaderValue, RabbitMqMessage,
};
pub use gristmill_store::embedded::{EmbeddedBroker, EmbeddedError, QueueCounts};
use gristmill_store::embedded::{EmbeddedSettings, QueueSettings};

use crate::config::{BrokerKind, Config, EmbeddedConfig, EmbeddedQueueConfig};
use crate::watch::{Bell, Watch};

/// Base64 makes four bytes of three; a longer body fits no event.
const BODY_BYTES_MAX: usize = EVENT_BYTES_MAX / 4 * 3;

/// The embedded brokers of a configuration, by their names.
#[derive(Debug)]
pub(crate) struct Embedded {
    data_dir: PathBuf,
    brokers: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    broker: EmbeddedBroker,
    queues: BTreeSet<String>,
    http_publish: bool,
}

impl Embedded {
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        Self { data_dir, brokers: Mutex::default() }
    }

    /// Has those of a configuration, as it says they are. Opens no file yet.
    pub(crate) fn apply(&self, config: &Config) -> io::Result<()> {
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = BTreeMap::new();
        for (name, broker) in &config.brokers {
            let BrokerKind::Embedded(embedded) = &broker.kind else { continue };
            let settings = settings(&self.data_dir, name, embedded, config);
            let queues = settings.queues.keys().cloned().collect();
            let broker = match brokers.get(name) {
                Some(Kept { broker, .. }) => {
                    broker.configure(settings);
                    broker.clone()
                }
                None => EmbeddedBroker::new(settings)?,
            };
            let http_publish = embedded.http_publish;
            next.insert(name.clone(), Kept { broker, queues, http_publish });
        }
        *brokers = next;
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<EmbeddedBroker> {
        let brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.get(name).map(|kept| kept.broker.clone())
    }

    /// The one that is open to HTTP and has a queue.
    pub(crate) fn open(
        &self,
        queue: &str,
        broker: Option<&str>,
    ) -> Result<EmbeddedBroker, OpenError> {
        let brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = brokers.iter().filter(|(_, kept)| kept.http_publish).peekable();
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
        let brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
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
            watch.changed().await;
            self.all().iter().for_each(EmbeddedBroker::look);
        }
    }

    /// Syncs and closes all files.
    pub(crate) async fn close(&self) {
        for broker in self.all() {
            broker.close().await;
        }
    }

    /// Rings at the host that has these files, if there is one.
    pub(crate) fn ring(&self) -> io::Result<()> {
        let doorbell = doorbell(&self.data_dir);
        if let Some(folder) = doorbell.parent() {
            fs::create_dir_all(folder)?;
        }
        // To be written is what counts.
        fs::write(doorbell, format!("{}\n", std::process::id()))
    }
}

fn doorbell(data_dir: &Path) -> PathBuf {
    data_dir.join("doorbell/published")
}

fn settings(
    data_dir: &Path,
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
    embedded: Embedded,
    broker: EmbeddedBroker,
}

impl Publisher {
    /// A publisher for a broker of a configuration; without a name, for its only embedded one.
    ///
    /// # Errors
    ///
    /// [`PublisherError`].
    pub fn new(config: &Config, broker: Option<&str>) -> Result<Self, PublisherError> {
        let is_embedded = |name: &String| {
            config
                .brokers
                .get(name)
                .is_some_and(|broker| matches!(broker.kind, BrokerKind::Embedded(_)))
        };
        let name = match broker {
            Some(name) => name.to_owned(),
            None => {
                let names = config.brokers.keys().filter(|name| is_embedded(name));
                match names.collect::<Vec<_>>()[..] {
                    [only] => only.clone(),
                    ref names => {
                        let names = names.iter().map(|name| (*name).clone()).collect();
                        return Err(PublisherError::NotOne(names));
                    }
                }
            }
        };
        if !config.brokers.contains_key(&name) {
            return Err(PublisherError::NoBroker(name));
        }
        let path = config.host.data_dir.clone();
        let at = |source| PublisherError::DataDir { path: path.clone(), source };
        fs::create_dir_all(&path).map_err(at)?;
        let embedded = Embedded::new(path.clone());
        embedded.apply(config).map_err(at)?;
        let broker = embedded.get(&name).ok_or(PublisherError::NotEmbedded(name))?;
        Ok(Self { embedded, broker })
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
        // Then the host looks when it has something of its own to do.
        self.embedded.ring().unwrap_or_default();
        Ok(())
    }

    /// Syncs and closes the file.
    pub async fn close(self) {
        self.broker.close().await;
    }
}
