//! What somebody who looks after the letters sees and does. Blocks; not for threads that do I/O.

use gristmill_broker::{FileError, Original};
use rusqlite::{Connection, Params, Row};
use serde_json::Value;

use super::DeadLetterStore;
use crate::sqlite;

/// What is given back to the disk at once: 4 MiB.
const SHRINK_PAGES: u32 = 1_024;

/// Where a letter comes from, which its event is made of and where it goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The mapping's name.
    pub mapping: String,
    /// The broker's name in the configuration.
    pub broker: String,
    /// What kind of broker it is, as the configuration spells it.
    pub broker_type: String,
    /// The queue.
    pub queue: String,
    /// The virtual host that the queue is in, where the broker has such.
    pub virtual_host: Option<String>,
    /// The function's name.
    pub function: String,
    /// The broker's ARN in events.
    pub arn: String,
    /// How events are spelt, as the configuration says it, where that can be chosen.
    pub event_profile: Option<String>,
}

/// A letter, without its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its number, which no other letter of this store ever has.
    pub id: i64,
    /// When it was given up, in milliseconds since 1970 in UTC.
    pub given_up_at_ms: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// Why it was given up, in a word.
    pub condition: String,
    /// The message's identifier, where it has one.
    pub message_id: Option<String>,
    /// Lambda's invocation record: JSON.
    pub record: String,
    /// What it counts for, in bytes.
    pub bytes: u64,
}

impl Summary {
    /// What went wrong last, if the record says so.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let record: Value = serde_json::from_str(&self.record).ok()?;
        record["MQBatchInfo"]["lastError"].as_str().map(str::to_owned)
    }
}

/// A letter with its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    /// Everything else.
    pub summary: Summary,
    /// The message.
    pub original: Original,
}

/// Which letters are meant: those that are all of what is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this mapping.
    pub mapping: Option<String>,
    /// Only these.
    pub ids: Option<Vec<i64>>,
    /// Only those up to this one: not what comes meanwhile.
    pub id_max: Option<i64>,
}

const COLUMNS: &str = "id, given_up_at_ms, mapping, broker, broker_type, queue, virtual_host, function, arn, \
                       event_profile, condition, message_id, record, bytes";

const WHICH: &str = "id > ?1 AND (?2 IS NULL OR mapping = ?2) \
                     AND (?3 IS NULL OR id IN (SELECT value FROM json_each(?3))) \
                     AND (?4 IS NULL OR id <= ?4)";

impl DeadLetterStore {
    /// The letters that follow one of a number, oldest first: at most so many.
    ///
    /// # Errors
    ///
    /// [`FileError`]. A store that is not there yet is empty, and stays so.
    pub fn list(
        &self,
        after_id: i64,
        filter: &Filter,
        letters_max: usize,
    ) -> Result<Vec<Summary>, FileError> {
        self.read(|connection| {
            let select = format!("SELECT {COLUMNS} FROM dead_letter WHERE {WHICH} ORDER BY id");
            let mut select = connection.prepare(&select)?;
            let rows = select.query_map(filter.params(after_id), summary)?;
            rows.take(letters_max).collect()
        })
        .map(Option::unwrap_or_default)
    }

    /// The number of the newest letter; 0 if there is none.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    pub fn newest_id(&self) -> Result<i64, FileError> {
        let newest = "SELECT coalesce(max(id), 0) FROM dead_letter";
        self.read(|connection| connection.query_row(newest, [], |row| row.get(0)))
            .map(Option::unwrap_or_default)
    }

    /// One letter; `None` if there is none of this number.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    pub fn get(&self, id: i64) -> Result<Option<StoredLetter>, FileError> {
        let filter = Filter { ids: Some(vec![id]), ..Filter::default() };
        Ok(self.next(0, &filter, 1, u64::MAX)?.pop())
    }

    /// How many letters are meant.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    pub fn count(&self, filter: &Filter) -> Result<u64, FileError> {
        let count = self.read(|connection| {
            let count = format!("SELECT count(*) FROM dead_letter WHERE {WHICH}");
            connection.query_row(&count, filter.params(0), |row| row.get::<_, i64>(0))
        })?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    /// The letters that follow one of a number, with their messages: at most so many, and about as many
    /// bytes, but at least one if there is one.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    pub fn next(
        &self,
        after_id: i64,
        filter: &Filter,
        records_max: usize,
        bytes_max: u64,
    ) -> Result<Vec<StoredLetter>, FileError> {
        self.read(|connection| {
            let select =
                format!("SELECT {COLUMNS}, original FROM dead_letter WHERE {WHICH} ORDER BY id");
            let mut select = connection.prepare(&select)?;
            let mut rows = select.query(filter.params(after_id))?;
            let (mut letters, mut bytes) = (Vec::new(), 0_u64);
            while letters.len() < records_max && bytes < bytes_max {
                let Some(row) = rows.next()? else { break };
                let summary = summary(row)?;
                bytes = bytes.saturating_add(summary.bytes);
                letters.push(StoredLetter { summary, original: Original(row.get("original")?) });
            }
            Ok(letters)
        })
        .map(Option::unwrap_or_default)
    }

    /// Deletes letters for good, and says how many of them there were. When it returns, that outlives a
    /// crash.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list); then none is deleted.
    pub fn remove(&self, ids: &[i64]) -> Result<usize, FileError> {
        let ids = serde_json::json!(ids).to_string();
        let remove = "DELETE FROM dead_letter WHERE id IN (SELECT value FROM json_each(?1))";
        self.read(|connection| connection.execute(remove, [&ids])).map(Option::unwrap_or_default)
    }

    /// Gives the disk back what removed letters took, bit by bit, so that nobody has to wait for it.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    pub fn shrink(&self) -> Result<(), FileError> {
        self.read(|connection| {
            while sqlite::empty_pages(connection)? > 0 {
                sqlite::shrink(connection, SHRINK_PAGES)?;
            }
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })
        .map(Option::unwrap_or_default)
    }

    /// `None` if there is no store.
    fn read<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, FileError> {
        let file = &self.file;
        if !file.may_be_there() {
            return Ok(None);
        }
        file.with(|connection| work(connection).map(Some).map_err(|error| file.failure(error)))
    }
}

impl Filter {
    /// What `WHICH` asks for.
    fn params(&self, after_id: i64) -> impl Params {
        let ids = self.ids.as_ref().map(|ids| serde_json::json!(ids).to_string());
        (after_id, self.mapping.clone(), ids, self.id_max)
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let unsigned =
        |column| row.get::<_, i64>(column).map(|value| u64::try_from(value).unwrap_or(0));
    Ok(Summary {
        id: row.get("id")?,
        given_up_at_ms: unsigned("given_up_at_ms")?,
        origin: Origin {
            mapping: row.get("mapping")?,
            broker: row.get("broker")?,
            broker_type: row.get("broker_type")?,
            queue: row.get("queue")?,
            virtual_host: row.get("virtual_host")?,
            function: row.get("function")?,
            arn: row.get("arn")?,
            event_profile: row.get("event_profile")?,
        },
        condition: row.get("condition")?,
        message_id: row.get("message_id")?,
        record: row.get("record")?,
        bytes: unsigned("bytes")?,
    })
}
