//! Where one mapping's letters are kept: the port's implementation.
//!
//! What must never happen: an answer before the transaction is synced, or a letter that is dropped to make
//! room for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gristmill_broker::{DeadLetter, DeadLetters, FileError, KeepError, Keeping};
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::task::spawn_blocking;

use super::{File, Origin, WHAT};
use crate::error::Fault;
use crate::telemetry;

/// About what a row takes beside the message and the record.
const ROW_BYTES: u64 = 256;

/// Keeps the letters of one mapping.
#[derive(Debug)]
pub struct Keeper {
    file: Arc<File>,
    origin: Arc<Origin>,
    /// How much there was no room for at last: without that much there is no point in going on.
    refused_bytes: Arc<AtomicU64>,
}

impl Keeper {
    pub(crate) fn new(file: Arc<File>, origin: Origin) -> Self {
        Self { file, origin: Arc::new(origin), refused_bytes: Arc::default() }
    }

    /// Does something with the database on a thread where it may take its time.
    fn work(
        &self,
        work: impl FnOnce(&File, &Origin, &AtomicU64) -> Result<(), KeepError> + Send + 'static,
    ) -> Keeping<'_> {
        let (file, origin) = (Arc::clone(&self.file), Arc::clone(&self.origin));
        let refused_bytes = Arc::clone(&self.refused_bytes);
        Box::pin(async move {
            let working = spawn_blocking(move || work(&file, &origin, &refused_bytes));
            // It has panicked, or the runtime ends: either way it is not said to be kept.
            working.await.unwrap_or_else(|lost| Err(self.lost(lost)))
        })
    }

    fn lost(&self, error: tokio::task::JoinError) -> KeepError {
        let (path, advice) = (self.file.path.clone(), "this is a bug of the host");
        FileError { what: WHAT, path, advice, source: Arc::new(error) }.into()
    }
}

impl DeadLetters for Keeper {
    /// Writes something, as a disk that takes no more is noticed by nothing else.
    fn check(&self) -> Keeping<'_> {
        self.work(|file, origin, refused_bytes| {
            let more = refused_bytes.load(Ordering::Relaxed);
            let checked = |making: &Connection| {
                making.execute("UPDATE checked SET times = times + 1", []).map(drop)
            };
            file.with(|connection| file.write(connection, origin, more, checked))
        })
    }

    fn keep(&self, letters: Vec<DeadLetter>) -> Keeping<'_> {
        self.work(move |file, origin, refused_bytes| {
            let bytes = letters.iter().map(size).sum();
            let inserted = |keeping: &Connection| insert(keeping, origin, &letters);
            let kept = file.with(|connection| file.write(connection, origin, bytes, inserted));
            let refused = matches!(kept, Err(KeepError::StoreFull { .. }));
            refused_bytes.store(if refused { bytes } else { 0 }, Ordering::Relaxed);
            kept
        })
    }
}

/// What a letter counts for.
fn size(letter: &DeadLetter) -> u64 {
    (letter.original.0.len() + letter.record.len()) as u64 + ROW_BYTES
}

impl File {
    /// Writes something that takes so many bytes, if there is room for it when what is too old has left.
    fn write(
        &self,
        connection: &mut Connection,
        origin: &Origin,
        more: u64,
        write: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), KeepError> {
        let failed = |error: rusqlite::Error| self.failure(Fault::from(error));
        let writing =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let aged = drop_aged(self.bounds.age_max, &writing).map_err(failed)?;
        let room = self.room(held(&writing, origin).map_err(failed)?, more);
        if room.is_ok() {
            write(&writing).map_err(failed)?;
        }
        writing.commit().map_err(failed)?;
        if aged > 0 {
            telemetry::aged(&self.path, aged);
        }
        room
    }

    /// What is larger than the bound fits when it is alone: it would never be kept otherwise.
    fn room(&self, held_bytes: u64, more: u64) -> Result<(), KeepError> {
        let bytes_max = self.bounds.bytes_max;
        if held_bytes > 0 && held_bytes.saturating_add(more) > bytes_max {
            return Err(KeepError::StoreFull { path: self.path.clone(), held_bytes, bytes_max });
        }
        Ok(())
    }
}

fn held(connection: &Connection, origin: &Origin) -> rusqlite::Result<u64> {
    let sum = "SELECT coalesce(sum(bytes), 0) FROM held WHERE mapping = ?1";
    let bytes: i64 = connection.query_row(sum, [&origin.mapping], |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

fn insert(
    connection: &Connection,
    origin: &Origin,
    letters: &[DeadLetter],
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare(
        "INSERT INTO dead_letter (given_up_at_ms, mapping, broker, broker_type, queue, virtual_host,
             function, arn, event_profile, condition, message_id, record, bytes, original)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for letter in letters {
        insert.execute(params![
            i64::try_from(letter.given_up_at_ms).unwrap_or(i64::MAX),
            origin.mapping,
            origin.broker,
            origin.broker_type,
            origin.queue,
            origin.virtual_host,
            origin.function,
            origin.arn,
            origin.event_profile,
            letter.condition,
            letter.message_id,
            letter.record,
            i64::try_from(size(letter)).unwrap_or(i64::MAX),
            letter.original.0,
        ])?;
    }
    Ok(())
}

fn drop_aged(age_max: Option<Duration>, connection: &Connection) -> rusqlite::Result<usize> {
    let Some(age_max) = age_max else { return Ok(0) };
    let age_max_ms = i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX);
    let aged = "DELETE FROM dead_letter
                WHERE given_up_at_ms < CAST(unixepoch('subsec') * 1000 AS INTEGER) - ?1";
    connection.execute(aged, [age_max_ms])
}
