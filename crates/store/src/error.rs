//! What can be wrong with a file, and what to do about it.

use std::path::PathBuf;
use std::sync::Arc;

use gristmill_broker::FileError;
use rusqlite::ErrorCode;

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

/// A fault of a file, with what to do about it.
pub(crate) fn file_error(what: &'static str, path: PathBuf, fault: Fault) -> FileError {
    FileError { what, path, advice: advice(&fault), source: Arc::new(fault) }
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
