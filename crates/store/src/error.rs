//! What can be wrong with a file, and what to do about it.

use std::path::PathBuf;
use std::sync::Arc;

use gristmill_broker::{KeepError, SourceError};
use rusqlite::ErrorCode;

/// A file cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot use {what} {}: {advice}", .path.display())]
pub struct StoreError {
    what: &'static str,
    path: PathBuf,
    advice: &'static str,
    #[source]
    source: Arc<Fault>,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("it is another program's database")]
    Foreign,
    #[error("it has the version {0}")]
    Later(i64),
    #[error("it has had too many queues")]
    TooManyQueues,
}

impl StoreError {
    pub(crate) fn new(what: &'static str, path: PathBuf, source: Fault) -> Self {
        Self { what, path, advice: advice(&source), source: Arc::new(source) }
    }
}

impl From<StoreError> for KeepError {
    fn from(StoreError { what, path, advice, source }: StoreError) -> Self {
        KeepError::Store { what, path, advice, source: Box::new(source) }
    }
}

impl From<StoreError> for SourceError {
    fn from(StoreError { what, path, advice, source }: StoreError) -> Self {
        SourceError::Store { what, path, advice, source: Box::new(source) }
    }
}

fn advice(fault: &Fault) -> &'static str {
    const PLACE: &str = "make its folder and its files writable for this user, and see that nothing else \
                         has its name";
    const DISK: &str = "see that its disk is well and has room";
    const FOREIGN: &str = "move the file away; a new one is made";
    const DAMAGED: &str = "it is damaged: move it away with the files beside it that begin with its name, and \
                           look with `sqlite3 FILE .recover` for what is left in it; a new one is made";
    let code = match fault {
        Fault::Io(_) => return PLACE,
        Fault::Foreign => return FOREIGN,
        Fault::TooManyQueues => {
            return "no more names fit into it: use names that it has, or move it away";
        }
        Fault::Later(_) => {
            return "a later version of this program has made it; use that one";
        }
        Fault::Sqlite(error) => error.sqlite_error_code(),
    };
    match code {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => PLACE,
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => DISK,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => DAMAGED,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program keeps it locked; end that one"
        }
        _ => DISK,
    }
}
