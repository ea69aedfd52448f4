//! What can be wrong with the store, and what to do about it.

use std::path::PathBuf;

use gristmill_broker::KeepError;
use rusqlite::ErrorCode;

/// The store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the dead-letter store {}: {advice}", .path.display())]
pub struct StoreError {
    path: PathBuf,
    advice: &'static str,
    #[source]
    source: Fault,
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
}

impl StoreError {
    pub(crate) fn new(path: PathBuf, source: Fault) -> Self {
        Self { path, advice: advice(&source), source }
    }
}

impl From<StoreError> for KeepError {
    fn from(StoreError { path, advice, source }: StoreError) -> Self {
        KeepError::Store { path, advice, source: Box::new(source) }
    }
}

fn advice(fault: &Fault) -> &'static str {
    const PLACE: &str = "make its folder and its files writable for this user, and see that nothing else \
                         has its name";
    const DISK: &str = "see that its disk is well and has room";
    const FOREIGN: &str = "move the file away; a new one is made";
    let code = match fault {
        Fault::Io(_) => return PLACE,
        Fault::Foreign => return FOREIGN,
        Fault::Later(_) => return "a later version of this program has made it; use that one",
        Fault::Sqlite(error) => error.sqlite_error_code(),
    };
    match code {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => PLACE,
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => DISK,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "it is damaged: move it away with the files beside it that begin with its name, and look with \
             `sqlite3 FILE .recover` for what is left in it; a new one is made"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program keeps it locked; end that one"
        }
        _ => DISK,
    }
}
