//! The thread that owns the file: one turn after another, each a transaction.
//!
//! ```text
//! asleep ──command──▶ gather all that wait ──▶ do them ──▶ hand out ──▶ commit ──▶ answer ──▶ asleep
//!                                                 └── an error: nothing was done, subscriptions are lost
//! ```
//!
//! What is in memory stands in the file too, so an error forgets all of it.
//!
//! What must never happen: an answer before its commit, or memory that says something else than the file.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gristmill_event::RabbitMqMessage;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::error::EmbeddedError;
use super::memory::{HandedOut, Memory};
use super::turn::{More, Turn};
use super::{EmbeddedSettings, QueueCounts, tables};
use crate::error::{Fault, file_error};
use crate::sqlite::{self, Database};
use crate::telemetry;

/// As errors name the file.
pub(super) const WHAT: &str = "the queues";

/// One transaction takes at most so many commands and about as many bytes of messages, so that nobody
/// waits long for an answer.
const GROUP_COMMANDS: usize = 1_000;
const GROUP_BYTES: usize = 8 << 20;

/// What a message counts for beside its body.
const MESSAGE_BYTES: usize = 256;

/// The file is shrunk when half of it is empty, and that is more than this: 16 MiB.
const EMPTY_PAGES: i64 = 4_096;

/// What is shrunk at once.
const SHRINK_PAGES: u32 = 1_024;

/// The longest sleep in front of a time to live, since clocks can be set.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// What a handle wants, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) request: Request,
    pub(super) done: Option<oneshot::Sender<Answer>>,
}

/// Counts are answered to [`Request::Count`] only.
pub(super) type Answer = Result<Option<QueueCounts>, EmbeddedError>;

#[derive(Debug)]
pub(super) enum Request {
    Publish {
        queue: String,
        messages: Vec<RabbitMqMessage>,
        /// Whether what they are made of leaves a queue as soon as they are there: then they need no room.
        are_letters: bool,
    },
    Subscribe {
        queue: String,
        consumer: u64,
        prefetch: usize,
        inbox: mpsc::UnboundedSender<Push>,
    },
    Settle {
        consumer: u64,
        verdict: Verdict,
        tags: Vec<u64>,
    },
    /// Nothing more is handed out.
    Cancel {
        consumer: u64,
    },
    /// What is unsettled goes back; up to `tried` it counts as handed out.
    Unsubscribe {
        consumer: u64,
        tried: u64,
    },
    Count {
        queue: String,
    },
    /// Sees that something can be written, and that the queue is there.
    Check {
        queue: String,
    },
    Configure(EmbeddedSettings),
    Look,
    Close,
}

/// What is to become of deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Ack,
    Requeue,
    Expire,
    Reject,
}

/// What a consumer is told.
#[derive(Debug)]
pub(super) enum Push {
    Messages(Vec<HandedOut>),
    Cancelled,
    Lost(String),
}

pub(super) struct Worker {
    settings: EmbeddedSettings,
    commands: Receiver<Command>,
    /// Open while it works.
    database: Option<Database>,
    /// Whether commits are synced now.
    is_synced: bool,
    memory: Memory,
    /// Whether there is something to do although nobody has asked for anything.
    more: More,
    /// Whether much may have been removed since the file was looked at.
    may_shrink: bool,
}

impl Worker {
    pub(super) fn new(settings: EmbeddedSettings, commands: Receiver<Command>) -> Self {
        Self {
            settings,
            commands,
            database: None,
            is_synced: true,
            memory: Memory::default(),
            more: More::Nothing,
            may_shrink: false,
        }
    }

    /// Works until the last handle is gone.
    pub(super) fn run(mut self) {
        while let Some(group) = self.gather() {
            self.turn(group);
        }
    }

    /// Waits until there is something to do and takes all that waits; `None`: there will be nothing more.
    fn gather(&mut self) -> Option<Vec<Command>> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < GROUP_COMMANDS && bytes < GROUP_BYTES {
            let command = match self.commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Disconnected) if group.is_empty() => return None,
                Err(TryRecvError::Empty) if group.is_empty() && self.more != More::Now => {
                    if self.shrink() {
                        continue;
                    }
                    match self.sleep()? {
                        Some(command) => command,
                        None => break,
                    }
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            };
            if let Request::Publish { messages, .. } = &command.request {
                let size = |message: &RabbitMqMessage| message.body.len() + MESSAGE_BYTES;
                bytes += messages.iter().map(size).sum::<usize>();
            }
            group.push(command);
        }
        Some(group)
    }

    /// `Some(None)`: something expires now.
    fn sleep(&self) -> Option<Option<Command>> {
        let More::At(expiry_ms) = self.more else { return self.commands.recv().ok().map(Some) };
        // It expires when that has passed.
        let until = Duration::from_millis((expiry_ms + 1).saturating_sub(unix_now_ms()));
        match self.commands.recv_timeout(until.min(SLEEP_MAX)) {
            Ok(command) => Some(Some(command)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Does everything in one transaction, and answers when it is committed.
    fn turn(&mut self, group: Vec<Command>) {
        let (requests, waiting): (Vec<_>, Vec<_>) =
            group.into_iter().map(|Command { request, done }| (request, done)).unzip();
        for request in &requests {
            if let Request::Configure(settings) = request {
                // Whatever becomes of the turn.
                let path = self.settings.path.clone();
                self.settings = EmbeddedSettings { path, ..settings.clone() };
            }
        }
        let closes = requests.iter().any(|request| matches!(request, Request::Close));
        // Whoever looks has messages expire, if there are any.
        let may_hold_some = self.settings.consumes && self.settings.path.exists();
        let needs_no_file = |request: &Request| {
            matches!(request, Request::Close | Request::Configure(_))
                || (matches!(request, Request::Look) && !may_hold_some)
        };
        let answers = if self.database.is_none() && requests.iter().all(needs_no_file) {
            vec![Ok(None); waiting.len()]
        } else {
            self.work(requests).unwrap_or_else(|fault| self.fail(fault, waiting.len()))
        };
        if closes {
            self.memory.lose("the embedded broker was closed");
            self.database = None;
            self.more = More::Nothing;
        }
        for (done, answer) in waiting.into_iter().zip(answers) {
            if let Some(done) = done {
                // Who no longer waits for it does not need it.
                drop(done.send(answer));
            }
        }
    }

    /// After an error nothing of it was done.
    fn work(&mut self, requests: Vec<Request>) -> Result<Vec<Answer>, Fault> {
        let mut database = match self.database.take().filter(Database::is_in_place) {
            Some(database) => database,
            None => {
                // If it was open, its file was moved away.
                self.memory.lose("its file was moved away");
                self.is_synced = true;
                Database::open_or_make(&self.settings.path, &tables::LAYOUT)?
            }
        };
        let file = &mut database.connection;
        // Only what is published is promised: after a crash of the machine, what was settled comes again.
        let syncs = requests.iter().any(|request| matches!(request, Request::Publish { .. }));
        if syncs != self.is_synced {
            file.pragma_update(None, "synchronous", if syncs { "FULL" } else { "NORMAL" })?;
            self.is_synced = syncs;
        }
        let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut turn = Turn::new(&transaction, &self.settings, &mut self.memory, unix_now_ms());
        let answers = requests.into_iter().map(|request| turn.request(request));
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        turn.expire()?;
        turn.hand_out()?;
        let finished = turn.finish()?;
        transaction.commit()?;
        self.memory.push();
        self.more = finished.more;
        self.may_shrink |= finished.has_removed;
        self.database = Some(database);
        Ok(answers)
    }

    /// The same answer for everybody.
    fn fail(&mut self, fault: Fault, count: usize) -> Vec<Answer> {
        let error = file_error(WHAT, self.settings.path.clone(), fault);
        telemetry::queues_failed(&error);
        self.memory.lose(&error.to_string());
        self.more = More::Nothing;
        vec![Err(EmbeddedError::File(error)); count]
    }

    /// Gives a bit of an empty file back to the disk, and says whether there may be more of it.
    fn shrink(&mut self) -> bool {
        let Some(database) = self.database.as_ref().filter(|_| self.may_shrink) else {
            return false;
        };
        // Whatever is wrong with the file, the next turn will say.
        self.may_shrink = shrink(&database.connection).unwrap_or(false);
        self.may_shrink
    }
}

fn shrink(file: &Connection) -> rusqlite::Result<bool> {
    let (pages, empty) = (tables::pages(file)?, sqlite::empty_pages(file)?);
    if empty <= EMPTY_PAGES || empty < pages / 2 {
        return Ok(false);
    }
    sqlite::shrink(file, SHRINK_PAGES)?;
    // A file that somebody has made over gives nothing back.
    Ok(sqlite::empty_pages(file)? < empty)
}

fn unix_now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Starts the thread that works.
pub(super) fn start(settings: EmbeddedSettings, commands: Receiver<Command>) -> io::Result<()> {
    let worker = Worker::new(settings, commands);
    let thread = std::thread::Builder::new().name("gristmill-queues".to_owned());
    thread.spawn(move || worker.run()).map(drop)
}
