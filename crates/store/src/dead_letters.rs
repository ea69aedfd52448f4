//! The dead-letter store: its file, which several processes use at once.
//!
//! ```text
//! mapping ─DeadLetter─▶ Keeper ─one transaction, synced─▶ dead-letters.sqlite3 ◀─ gristmill dead-letters
//! ```
//!
//! The host keeps letters in it while somebody looks after them. Every transaction is synced, so that what
//! is committed outlives a crash of the machine. A database that had an error is opened anew, so that a
//! mended disk is noticed. Nothing in it is ever dropped to make room.
//!
//! What must never happen: a letter that is said to be kept and is not there after a crash, or one that
//! vanishes without somebody having said so.

mod keeper;
mod letters;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gristmill_broker::FileError;
use rusqlite::Connection;

use crate::error::{Fault, file_error};
use crate::sqlite::{Database, Layout};

pub use keeper::Keeper;
pub use letters::{Filter, Origin, StoredLetter, Summary};

/// `gris`.
const LAYOUT: Layout = Layout { application_id: 0x6772_6973, version: 1, tables: TABLES };

/// As errors name it.
const WHAT: &str = "the dead-letter store";

/// The sum of each mapping's letters is kept by triggers, whoever writes.
const TABLES: &str = "
    CREATE TABLE dead_letter (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        given_up_at_ms INTEGER NOT NULL,
        mapping TEXT NOT NULL,
        broker TEXT NOT NULL,
        broker_type TEXT NOT NULL,
        queue TEXT NOT NULL,
        virtual_host TEXT,
        function TEXT NOT NULL,
        arn TEXT NOT NULL,
        event_profile TEXT,
        condition TEXT NOT NULL,
        message_id TEXT,
        record TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        original BLOB NOT NULL
    ) STRICT;
    CREATE INDEX given_up ON dead_letter (given_up_at_ms);
    CREATE TABLE held (mapping TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TRIGGER kept AFTER INSERT ON dead_letter BEGIN
        INSERT INTO held VALUES (new.mapping, new.bytes)
            ON CONFLICT DO UPDATE SET bytes = bytes + new.bytes;
    END;
    CREATE TRIGGER removed AFTER DELETE ON dead_letter BEGIN
        UPDATE held SET bytes = bytes - old.bytes WHERE mapping = old.mapping;
    END;
    CREATE TABLE checked (times INTEGER NOT NULL) STRICT;
    INSERT INTO checked VALUES (0);
";

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most that the letters of one mapping take, in bytes. What does not fit is refused.
    pub bytes_max: u64,
    /// After how long a letter is dropped; `None`: never.
    pub age_max: Option<Duration>,
}

/// The dead-letter store of a host. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct DeadLetterStore {
    pub(crate) file: Arc<File>,
}

#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) bounds: Bounds,
    /// Open while it works. Locked for each transaction, off the threads that do I/O.
    database: Mutex<Option<Database>>,
}

impl DeadLetterStore {
    /// A store in this file, which is opened at its first use and need not be there before.
    #[must_use]
    pub fn new(path: PathBuf, bounds: Bounds) -> Self {
        Self { file: Arc::new(File { path, bounds, database: Mutex::default() }) }
    }

    /// Where a mapping's letters are kept.
    #[must_use]
    pub fn keeper(&self, origin: Origin) -> Keeper {
        Keeper::new(Arc::clone(&self.file), origin)
    }
}

impl File {
    /// Does something with the database, which is made if there is none. After an error it is closed, and
    /// when somebody has moved the file away.
    pub(crate) fn with<T, E>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<FileError>,
    {
        let mut open = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut database = match open.take().filter(Database::is_in_place) {
            Some(database) => database,
            None => {
                Database::open_or_make(&self.path, &LAYOUT).map_err(|fault| self.failure(fault))?
            }
        };
        let done = work(&mut database.connection)?;
        *open = Some(database);
        Ok(done)
    }

    pub(crate) fn failure(&self, fault: impl Into<Fault>) -> FileError {
        file_error(WHAT, self.path.clone(), fault.into())
    }

    /// Whether there may be anything to read: what is in a folder that is closed to us is not known.
    pub(crate) fn may_be_there(&self) -> bool {
        let found = self.path.symlink_metadata();
        !matches!(found, Err(error) if error.kind() == io::ErrorKind::NotFound)
    }
}
