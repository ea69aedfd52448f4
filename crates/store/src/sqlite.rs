//! How a file of SQLite is opened, whichever it is.
//!
//! It is written ahead (WAL), so that readers and one writer do not wait for each other.
//!
//! What must never happen: a file of somebody else that is written to, or bodies that others can read.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::Fault;

/// Another process may write for this long: it puts back or drops some thousands of messages.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// More than either kind of file has.
const STATEMENTS: usize = 32;

/// What is in a file.
#[derive(Debug)]
pub(crate) struct Layout {
    /// What the file is, for whoever finds it: four letters.
    pub(crate) application_id: i64,
    /// How the tables are laid out. A file with a greater number is a later program's.
    pub(crate) version: i64,
    /// What makes them.
    pub(crate) tables: &'static str,
}

/// An open file, for as long as its name means it.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) connection: Connection,
    path: PathBuf,
    identity: Option<Identity>,
}

impl Database {
    /// Opens a file, which is made if it is not there.
    pub(crate) fn open_or_make(path: &Path, layout: &Layout) -> Result<Self, Fault> {
        let connection = open_or_make(path, layout)?;
        Ok(Self { connection, path: path.to_owned(), identity: identity(path) })
    }

    /// Whether it is still what somebody finds who opens its name: it may have been moved away.
    pub(crate) fn is_in_place(&self) -> bool {
        identity(&self.path) == self.identity
    }
}

/// What tells a file from another of its name: its device and its number there.
type Identity = (u64, u64);

/// Never opens the file: to close it again would end the locks that SQLite has on it.
#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;

    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

/// Elsewhere an open file cannot be moved.
#[cfg(not(unix))]
fn identity(_path: &Path) -> Option<Identity> {
    None
}

fn open_or_make(path: &Path, layout: &Layout) -> Result<Connection, Fault> {
    // Made by us, so that only this user can read it; SQLite gives the files beside it the same mode.
    let mut file = OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Counts only before the first table is made.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let is_new = is_empty(&connection)?;
    if !is_new {
        check(&connection, layout)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What macOS calls a sync does not reach the disk; elsewhere these change nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if is_new {
        make_tables(&mut connection, layout)?;
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

fn check(connection: &Connection, layout: &Layout) -> Result<(), Fault> {
    let (application_id, version) = marks(connection)?;
    if application_id != layout.application_id {
        return Err(Fault::Foreign);
    }
    if version == layout.version { Ok(()) } else { Err(Fault::Later(version)) }
}

/// Another process may do so at the same time, and is then first.
fn make_tables(connection: &mut Connection, layout: &Layout) -> Result<(), Fault> {
    let making = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_empty(&making)? {
        making.execute_batch(layout.tables)?;
        making.pragma_update(None, "application_id", layout.application_id)?;
        making.pragma_update(None, "user_version", layout.version)?;
    }
    making.commit()?;
    check(connection, layout)
}

/// How many pages of a file hold nothing.
pub(crate) fn empty_pages(file: &Connection) -> rusqlite::Result<i64> {
    file.pragma_query_value(None, "freelist_count", |row| row.get(0))
}

/// Gives so many empty pages back to the disk.
pub(crate) fn shrink(file: &Connection, pages: u32) -> rusqlite::Result<()> {
    let mut vacuum = file.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    // Each step frees one page.
    let mut freed = vacuum.query([])?;
    while freed.next()?.is_some() {}
    Ok(())
}
