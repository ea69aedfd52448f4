//! Where a host's given-up messages go, and how they come back.
//!
//! ```text
//! mapping ──▶ store ──▶ a person looks ──▶ replay: published, confirmed, removed ──▶ the queue again
//!        └──▶ queue:NAME
//! ```
//!
//! What must never happen: a dead letter that is removed before the broker has confirmed its message.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;

use gristmill_activemq::ActiveMqPublisher;
use gristmill_broker::Original;
pub use gristmill_broker::{FileError, KeepError};
use gristmill_event::{Envelope, Message, Profile};
use gristmill_mapping::OnFailure;
use gristmill_rabbitmq::RabbitMqPublisher;
use gristmill_store::Bounds;
pub use gristmill_store::{DeadLetterStore, Filter, Origin, StoredLetter, Summary};

use crate::config::{self, Config, HostConfig};
use crate::connections::{Connection, Connections, Use, close};
use crate::embedded::{Embedded, EmbeddedBroker, ring};
use crate::plan::Plan;

/// The dead-letter store of a host. It need not be there yet.
#[must_use]
pub fn dead_letter_store(host: &HostConfig) -> DeadLetterStore {
    let bounds =
        Bounds { bytes_max: host.dead_letters_bytes_max, age_max: host.dead_letters_age_max };
    DeadLetterStore::new(path(host), bounds)
}

fn path(host: &HostConfig) -> PathBuf {
    host.data_dir.join("dead-letters.sqlite3")
}

/// Where the given-up messages of a mapping go.
pub(crate) fn on_failure(
    plan: &Plan,
    store: &DeadLetterStore,
    connections: &mut Connections,
) -> OnFailure {
    match &plan.mapping.on_failure {
        config::OnFailure::Broker => OnFailure::Broker,
        config::OnFailure::Store => OnFailure::Keep(Arc::new(store.keeper(plan.origin()))),
        config::OnFailure::Queue(queue) => {
            let virtual_host = plan.mapping.virtual_host.as_deref().unwrap_or_default();
            let connection =
                connections.get(&plan.mapping.broker, &plan.broker, virtual_host, Use::Publish);
            OnFailure::Keep(match connection {
                Some(Connection::RabbitMq(broker)) => Arc::new(broker.dead_letter_queue(queue)),
                Some(Connection::ActiveMq(broker)) => {
                    let source = plan.activemq_source();
                    Arc::new(broker.dead_letter_queue(queue, &source.client_id, &source.queue))
                }
                Some(Connection::Embedded(broker)) => Arc::new(broker.dead_letter_queue(queue)),
                // It has no queues to publish on, and a configuration that says so is refused.
                Some(Connection::Custom(_)) | None => Arc::new(store.keeper(plan.origin())),
            })
        }
    }
}

/// A dead letter whose message cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// A later version of this program has kept it.
    #[error("this version knows no broker of the type {0:?}")]
    BrokerType(String),
    /// It came from a source of the embedder's own.
    #[error("only the program whose own source this message came from can show it")]
    Custom,
    /// It has no form in an event, or is damaged.
    #[error("the message has no event: {0}")]
    NoEvent(String),
}

/// The message of a dead letter.
///
/// # Errors
///
/// [`ShowError`].
pub fn message(letter: &StoredLetter) -> Result<Message, ShowError> {
    let original = &letter.original;
    match letter.summary.origin.broker_type.as_str() {
        config::RABBITMQ => gristmill_rabbitmq::message(original)
            .map_err(|error| ShowError::NoEvent(error.to_string())),
        config::ACTIVEMQ => gristmill_activemq::message(original)
            .map_err(|error| ShowError::NoEvent(error.to_string())),
        config::EMBEDDED => gristmill_store::embedded::message(original)
            .map_err(|error| ShowError::NoEvent(error.to_string())),
        config::CUSTOM => Err(ShowError::Custom),
        other => Err(ShowError::BrokerType(other.to_owned())),
    }
}

/// The event of a dead letter's message alone, as its function gets it.
///
/// # Errors
///
/// [`ShowError`].
pub fn event(letter: &StoredLetter) -> Result<String, ShowError> {
    let message = message(letter)?;
    let Origin { arn, queue, virtual_host, event_profile, .. } = &letter.summary.origin;
    let envelope = match &message {
        Message::RabbitMq(_) => {
            Envelope::rabbitmq(arn, queue, virtual_host.as_deref().unwrap_or_default())
        }
        Message::ActiveMq(_) => Envelope::activemq(arn, profile(event_profile.as_deref())),
    };
    let event_bytes = envelope.event_bytes(1, envelope.record_bytes(&message));
    Ok(envelope.encode([&message], event_bytes))
}

fn profile(name: Option<&str>) -> Profile {
    if name == Some(config::OBSERVED) { Profile::Observed } else { Profile::Documented }
}

/// The queue that a dead letter came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// The broker's name in the configuration.
    pub broker: String,
    /// The virtual host, where the broker has such.
    pub virtual_host: Option<String>,
    /// The queue.
    pub queue: String,
}

impl From<&Origin> for Destination {
    fn from(origin: &Origin) -> Self {
        let Origin { broker, virtual_host, queue, .. } = origin;
        let (broker, queue) = (broker.clone(), queue.clone());
        Self { broker, virtual_host: virtual_host.clone(), queue }
    }
}

/// Why dead letters cannot be put back.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration has no such broker.
    #[error(
        "the configuration has no [broker.{0}] any more, from which these messages came: add it"
    )]
    NoBroker(String),
    /// It is another kind of broker.
    #[error("[broker.{0}] is of another type than when these messages came from it")]
    OtherType(String),
    /// No thread can be had for an embedded broker.
    #[error("cannot start a thread for an embedded broker")]
    Embedded(#[source] std::io::Error),
    /// It is the embedder's own source, which puts nothing back.
    #[error("[broker.{0}] takes no messages back")]
    Custom(String),
    /// The broker does not take them.
    #[error(transparent)]
    NotTaken(#[from] KeepError),
}

/// Puts dead letters back on the queues that they came from.
#[derive(Debug)]
pub struct Replayer {
    config: Config,
    connections: Connections,
    embedded: Arc<Embedded>,
    publishers: BTreeMap<(String, Option<String>), Publisher>,
}

#[derive(Debug)]
enum Publisher {
    RabbitMq(RabbitMqPublisher),
    ActiveMq(ActiveMqPublisher),
    Embedded(EmbeddedBroker),
}

impl Replayer {
    /// Connects to nothing yet. `environment` looks up the variables that credentials name.
    #[must_use]
    pub fn new(
        config: Config,
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let embedded = Arc::new(Embedded::of_publisher(config.host.data_dir.clone()));
        let connections = Connections::new(Arc::new(environment), Arc::clone(&embedded));
        Self { config, connections, embedded, publishers: BTreeMap::new() }
    }

    /// Puts messages back on a queue, in their order. When it returns without an error, the broker has
    /// confirmed all of them: then, and only then, remove their letters.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]; some of them may be on the queue all the same.
    ///
    /// # Cancel safety
    ///
    /// Safe to begin again after a dropped future, which may have put some of them back.
    pub async fn replay(
        &mut self,
        to: &Destination,
        broker_type: &str,
        originals: Vec<Original>,
    ) -> Result<(), ReplayError> {
        let queue = to.queue.as_str();
        match self.publisher(to, broker_type)? {
            Publisher::RabbitMq(publisher) => publisher.publish(queue, originals).await?,
            Publisher::ActiveMq(publisher) => publisher.publish(queue, originals).await?,
            Publisher::Embedded(broker) => {
                broker.publish_again(queue, originals).await?;
                // If that fails, the host looks a little later.
                ring(&self.config.host.data_dir).unwrap_or_default();
            }
        }
        Ok(())
    }

    fn publisher(
        &mut self,
        to: &Destination,
        broker_type: &str,
    ) -> Result<&Publisher, ReplayError> {
        let broker = self.config.brokers.get(&to.broker);
        let broker = broker.ok_or_else(|| ReplayError::NoBroker(to.broker.clone()))?;
        if broker.type_name() != broker_type {
            return Err(ReplayError::OtherType(to.broker.clone()));
        }
        let key = (to.broker.clone(), to.virtual_host.clone());
        let unknown = match self.publishers.entry(key) {
            Entry::Occupied(known) => return Ok(known.into_mut()),
            Entry::Vacant(unknown) => unknown,
        };
        if broker_type == config::EMBEDDED && self.embedded.get(&to.broker).is_none() {
            self.embedded.apply(&self.config).map_err(ReplayError::Embedded)?;
        }
        let virtual_host = to.virtual_host.as_deref().unwrap_or_default();
        let connection = self.connections.get(&to.broker, broker, virtual_host, Use::Publish);
        Ok(unknown.insert(match connection {
            Some(Connection::RabbitMq(broker)) => Publisher::RabbitMq(broker.publisher()),
            Some(Connection::ActiveMq(broker)) => {
                Publisher::ActiveMq(broker.publisher("gristmill-replay"))
            }
            Some(Connection::Embedded(broker)) => Publisher::Embedded(broker),
            Some(Connection::Custom(_)) => return Err(ReplayError::Custom(to.broker.clone())),
            None => return Err(ReplayError::NoBroker(to.broker.clone())),
        }))
    }

    /// Closes the connections in order.
    pub async fn close(mut self) {
        for publisher in self.publishers.into_values() {
            match publisher {
                Publisher::RabbitMq(publisher) => drop(publisher),
                Publisher::ActiveMq(publisher) => publisher.close().await,
                Publisher::Embedded(broker) => broker.close().await,
            }
        }
        close(self.connections.take_unused()).await;
    }
}
