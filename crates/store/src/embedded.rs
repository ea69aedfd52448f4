//! Queues in a file: a broker inside this process, for machines that have no other.
//!
//! ```text
//! publish ──▶ ┌────────┐ one transaction for all that waits, ┌───────┐
//! settle  ──▶ │ worker │ ──────────── synced for what is ───▶ │ file  │
//! consumer ◀─ └────────┘              published              └───────┘
//! ```
//!
//! One thread owns the file. It takes all commands that have come meanwhile into one transaction (group
//! commit), hands messages out to consumers as far as their prefetch allows, and sleeps while there is
//! nothing to do. Other processes publish into the same file and ring afterwards, see
//! [`EmbeddedBroker::look`]; only one process consumes.
//!
//! The queues behave as RabbitMQ's classic queues do: order, priorities, time to live, requeue in place,
//! rejected and expired messages to a dead-letter queue with the header `x-death` (RabbitMQ, "Dead Letter
//! Exchanges"); besides, they count how often a message was handed out.
//!
//! What must never happen: a publish that is confirmed and not there after a crash of the machine, or a
//! message that leaves its queue without having been settled.

mod content;
mod dead_letter_queue;
mod death;
mod error;
mod hand_out;
mod memory;
mod source;
mod tables;
mod turn;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gristmill_event::RabbitMqMessage;
use tokio::sync::oneshot;

use worker::{Answer, Command, Request};

pub use content::message;
pub use dead_letter_queue::EmbeddedDeadLetterQueue;
pub use error::EmbeddedError;
pub use source::EmbeddedSource;

/// The settings of an embedded broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// Its file, which is made at the first use.
    pub path: PathBuf,
    /// The queues that there are, by their names. A queue that is taken out keeps its messages, and has
    /// them when it is there again.
    pub queues: BTreeMap<String, QueueSettings>,
    /// The most that all messages take, in bytes. What does not fit is refused.
    pub bytes_max: u64,
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// Whether this is the process that consumes, and so the one that has messages expire: no other knows
    /// which are being handled.
    pub consumes: bool,
}

/// The settings of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// Where rejected and expired messages go; `None`: they are deleted.
    pub dead_letter_queue: Option<String>,
    /// After how long in the queue a message expires, if it does not say less itself; `None`: never.
    pub message_ttl: Option<Duration>,
    /// The highest priority that counts; 0: none does.
    pub priority_max: u8,
}

/// How many messages a queue has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Those that wait.
    pub ready: u64,
    /// Those that this process has handed out and that are not settled.
    pub unsettled: u64,
}

/// A broker in a file. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    commands: mpsc::Sender<Command>,
    consumers_ever: AtomicU64,
}

impl EmbeddedBroker {
    /// A broker, whose file is opened at the first use and again after each error.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    pub fn new(settings: EmbeddedSettings) -> std::io::Result<Self> {
        let (commands, received) = mpsc::channel();
        worker::start(settings, received)?;
        Ok(Self { shared: Arc::new(Shared { commands, consumers_ever: AtomicU64::new(1) }) })
    }

    /// Gives it other settings. Consumers of queues that are no longer there are cancelled. The path stays
    /// what it was.
    pub fn configure(&self, settings: EmbeddedSettings) {
        self.tell(Request::Configure(settings));
    }

    /// A source on a queue, which is looked for when it subscribes.
    #[must_use]
    pub fn source(&self, queue: &str, prefetch: u16) -> EmbeddedSource {
        EmbeddedSource::new(self.clone(), queue.to_owned(), prefetch)
    }

    /// A place for given-up messages on a queue of this broker.
    #[must_use]
    pub fn dead_letter_queue(&self, queue: &str) -> EmbeddedDeadLetterQueue {
        EmbeddedDeadLetterQueue::new(self.clone(), queue.to_owned())
    }

    /// Puts messages on a queue, in their order. When it returns without an error, all of them outlive a
    /// crash of the machine; otherwise none of them is there. One that has no `timestamp` gets one.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have put all of them there or none.
    pub async fn publish(
        &self,
        queue: &str,
        messages: Vec<RabbitMqMessage>,
    ) -> Result<(), EmbeddedError> {
        let queue = queue.to_owned();
        self.ask(Request::Publish { queue, messages, are_letters: false }).await.map(drop)
    }

    /// How many messages a queue has.
    ///
    /// # Errors
    ///
    /// [`EmbeddedError`].
    pub async fn counts(&self, queue: &str) -> Result<QueueCounts, EmbeddedError> {
        let counts = self.ask(Request::Count { queue: queue.to_owned() }).await?;
        Ok(counts.unwrap_or_default())
    }

    /// Looks whether another process has published something.
    pub fn look(&self) {
        self.tell(Request::Look);
    }

    /// Closes the file. Every subscription is lost; what comes later opens it again.
    pub async fn close(&self) {
        // One that cannot be written is closed as well.
        drop(self.ask(Request::Close).await);
    }

    /// Whether anybody else has a handle, a source among them.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    fn next_consumer(&self) -> u64 {
        self.shared.consumers_ever.fetch_add(1, Ordering::Relaxed)
    }

    async fn ask(&self, request: Request) -> Answer {
        let (done, answer) = oneshot::channel();
        self.send(Command { request, done: Some(done) });
        answer.await.unwrap_or(Err(EmbeddedError::Ended))
    }

    fn tell(&self, request: Request) {
        self.send(Command { request, done: None });
    }

    /// The worker is there for as long as anybody has a handle; if it has panicked, answers fail to come.
    fn send(&self, command: Command) {
        self.shared.commands.send(command).unwrap_or_default();
    }
}
