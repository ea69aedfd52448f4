//! The file, and how it is opened.
//!
//! It is written ahead (WAL) and synced with every transaction, so that what is committed outlives a crash
//! of the machine, and readers and one writer do not wait for each other. A database that had an error is
//! opened anew, so that a mended disk is noticed.
//!
//! What must never happen: a file of somebody else that is written to, or bodies that others can read.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{Fault, StoreError};
use crate::keeper::Keeper;
use crate::letters::Origin;

/// Another process may write for this long: it puts back or drops some thousands of letters.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// What the file is, for whoever finds it: `gris`.
const APPLICATION_ID: i64 = 0x6772_6973;

/// How the tables are laid out. A file with a greater number is a later program's.
const VERSION: i64 = 1;

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
    connection: Mutex<Option<Connection>>,
}

impl DeadLetterStore {
    /// A store in this file, which is opened at its first use and need not be there before.
    #[must_use]
    pub fn new(path: PathBuf, bounds: Bounds) -> Self {
        Self { file: Arc::new(File { path, bounds, connection: Mutex::default() }) }
    }

    /// Where a mapping's letters are kept.
    #[must_use]
    pub fn keeper(&self, origin: Origin) -> Keeper {
        Keeper::new(Arc::clone(&self.file), origin)
    }
}

impl File {
    /// Does something with the database, which is made if there is none. After an error it is closed.
    pub(crate) fn with<T, E>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Failure>,
    {
        let mut open = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match open.take() {
            Some(connection) => connection,
            None => open_or_make(&self.path).map_err(|fault| self.failure(fault))?,
        };
        let done = work(&mut connection)?;
        *open = Some(connection);
        Ok(done)
    }

    pub(crate) fn failure(&self, fault: impl Into<Fault>) -> Failure {
        Failure(StoreError::new(self.path.clone(), fault.into()))
    }

    /// Whether there is anything that could be read.
    pub(crate) fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }
}

/// A database that does not work.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) StoreError);

impl From<Failure> for StoreError {
    fn from(Failure(error): Failure) -> Self {
        error
    }
}

fn open_or_make(path: &Path) -> Result<Connection, Fault> {
    // Made by us, so that only this user can read it; SQLite gives the files beside it the same mode.
    let mut file = OpenOptions::new();
    file.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    drop(file.open(path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Counts only before the first table is made.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let is_new = is_empty(&connection)?;
    if !is_new {
        check(&connection)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if is_new {
        make_tables(&mut connection)?;
    }
    Ok(connection)
}

fn is_empty(connection: &Connection) -> Result<bool, Fault> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application_id, _) = marks(connection)?;
    Ok(tables == 0 && application_id == 0)
}

fn marks(connection: &Connection) -> Result<(i64, i64), Fault> {
    let mark = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((mark("application_id")?, mark("user_version")?))
}

fn check(connection: &Connection) -> Result<(), Fault> {
    match marks(connection)? {
        (APPLICATION_ID, VERSION) => Ok(()),
        (APPLICATION_ID, version) => Err(Fault::Later(version)),
        _ => Err(Fault::Foreign),
    }
}

/// Another process may do so at the same time, and is then first.
fn make_tables(connection: &mut Connection) -> Result<(), Fault> {
    let making = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if is_empty(&making)? {
        making.execute_batch(TABLES)?;
        making.pragma_update(None, "application_id", APPLICATION_ID)?;
        making.pragma_update(None, "user_version", VERSION)?;
    }
    making.commit()?;
    check(connection)
}
