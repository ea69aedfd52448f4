//! What stands in the file, and each thing that is done to it. All within a transaction of the worker.
//!
//! A message's key is its place: the queue, then its rank, which a higher priority makes smaller, then a
//! number that no later message of that rank has. So the table is in the order in which messages are handed
//! out, without an index. Up to where each rank was handed out is one number, so that handing out writes
//! nothing for each message: what is still there below it was handed out once. Only a message that was
//! handed out more often, or that went back untouched, has a row that says how often.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::sqlite::Layout;

/// `griq`.
pub(super) const LAYOUT: Layout =
    Layout { application_id: 0x6772_6971, version: 1, tables: TABLES };

const TABLES: &str = "
    CREATE TABLE queue (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        messages INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE rank (
        queue INTEGER NOT NULL,
        rank INTEGER NOT NULL,
        next INTEGER NOT NULL,
        handed_out INTEGER NOT NULL,
        PRIMARY KEY (queue, rank)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE message (
        key INTEGER PRIMARY KEY,
        expires_at_ms INTEGER,
        properties BLOB,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX expiring ON message (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
    CREATE TABLE handed_out (key INTEGER PRIMARY KEY, times INTEGER NOT NULL) STRICT;
    CREATE TABLE checked (times INTEGER NOT NULL) STRICT;
    INSERT INTO checked VALUES (0);
";

/// What a message counts for beside its body and its properties, in bytes.
const MESSAGE_BYTES: u64 = 64;

const RANK_BITS: u32 = 8;
const NUMBER_BITS: u32 = 44;

/// The most queues that one file can have in its life: the end of the last still is a positive key.
pub(super) const QUEUES_MAX: i64 = (1 << (63 - RANK_BITS - NUMBER_BITS)) - 2;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) i64);

impl Key {
    /// Before the first message of a rank.
    pub(super) fn start(queue: i64, rank: u8) -> Self {
        Self((queue << (RANK_BITS + NUMBER_BITS)) | (i64::from(rank) << NUMBER_BITS))
    }

    /// Behind the last message that a rank can have.
    fn end(self) -> Self {
        Self(((self.0 >> NUMBER_BITS) + 1) << NUMBER_BITS)
    }

    pub(super) fn queue(self) -> i64 {
        self.0 >> (RANK_BITS + NUMBER_BITS)
    }

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// How far a rank has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank {
    pub(super) rank: u8,
    /// The key that its next message gets.
    pub(super) next: Key,
    /// The last that was handed out.
    pub(super) handed_out: Key,
}

/// A message as it is stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) key: Key,
    /// How often it was handed out, where a row says so.
    pub(super) times: Option<u32>,
    expires_at_ms: Option<i64>,
    pub(super) properties: Option<Vec<u8>>,
    pub(super) body: Vec<u8>,
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: Key(row.get(0)?),
            times: row.get(1)?,
            expires_at_ms: row.get(2)?,
            properties: row.get(3)?,
            body: row.get(4)?,
        })
    }

    /// Whether its time was over before an instant.
    pub(super) fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at_ms| at_ms < signed(now_ms))
    }

    pub(super) fn bytes(&self) -> u64 {
        bytes(self.properties.as_deref(), &self.body)
    }
}

/// What a message counts for.
pub(super) fn bytes(properties: Option<&[u8]>, body: &[u8]) -> u64 {
    (properties.map_or(0, <[u8]>::len) + body.len()) as u64 + MESSAGE_BYTES
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The number of a queue, which is made if it has none.
pub(super) fn queue_id(file: &Connection, name: &str) -> rusqlite::Result<i64> {
    let find = "SELECT id FROM queue WHERE name = ?1";
    if let Some(id) = file.query_row(find, [name], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    file.execute("INSERT INTO queue (name) VALUES (?1)", [name])?;
    Ok(file.last_insert_rowid())
}

/// The names of all queues that have ever been used, by their numbers.
pub(super) fn queue_names(file: &Connection) -> rusqlite::Result<BTreeMap<i64, String>> {
    let mut select = file.prepare_cached("SELECT id, name FROM queue")?;
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// How many messages a queue has.
pub(super) fn messages(file: &Connection, queue: i64) -> rusqlite::Result<u64> {
    let count = "SELECT messages FROM queue WHERE id = ?1";
    file.prepare_cached(count)?.query_row([queue], |row| row.get(0)).map(unsigned)
}

/// What all messages count for.
pub(super) fn held_bytes(file: &Connection) -> rusqlite::Result<u64> {
    let sum = "SELECT coalesce(sum(bytes), 0) FROM queue";
    file.prepare_cached(sum)?.query_row([], |row| row.get(0)).map(unsigned)
}

/// Notes that a queue has so many messages and bytes more.
pub(super) fn add(
    file: &Connection,
    queue: i64,
    messages: i64,
    bytes: i64,
) -> rusqlite::Result<()> {
    let add = "UPDATE queue SET messages = messages + ?2, bytes = bytes + ?3 WHERE id = ?1";
    file.prepare_cached(add)?.execute([queue, messages, bytes]).map(drop)
}

/// Counts a queue's messages and bytes anew.
pub(super) fn recount(file: &Connection, queue: i64) -> rusqlite::Result<()> {
    let recount = "
        UPDATE queue SET (messages, bytes) = (
            SELECT count(*), coalesce(sum(length(body) + coalesce(length(properties), 0) + ?4), 0)
            FROM message WHERE key > ?2 AND key < ?3
        ) WHERE id = ?1";
    let (start, end) = (Key::start(queue, 0).0, Key::start(queue + 1, 0).0);
    file.prepare_cached(recount)?
        .execute(params![queue, start, end, signed(MESSAGE_BYTES)])
        .map(drop)
}

/// The ranks of a queue, in the order in which they are handed out.
pub(super) fn ranks(file: &Connection, queue: i64) -> rusqlite::Result<Vec<Rank>> {
    let select = "SELECT rank, next, handed_out FROM rank WHERE queue = ?1 ORDER BY rank";
    let mut select = file.prepare_cached(select)?;
    let rank = |row: &Row<'_>| {
        Ok(Rank { rank: row.get(0)?, next: Key(row.get(1)?), handed_out: Key(row.get(2)?) })
    };
    select.query_map([queue], rank)?.collect()
}

/// The key that the next message of a rank gets.
pub(super) fn next_key(file: &Connection, queue: i64, rank: u8) -> rusqlite::Result<Key> {
    let select = "SELECT next FROM rank WHERE queue = ?1 AND rank = ?2";
    let next = file.prepare_cached(select)?.query_row(params![queue, rank], |row| row.get(0));
    Ok(next.optional()?.map_or(Key::start(queue, rank).next(), Key))
}

pub(super) fn set_next_key(
    file: &Connection,
    queue: i64,
    rank: u8,
    next: Key,
) -> rusqlite::Result<()> {
    let set = "INSERT INTO rank VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET next = ?3";
    let start = Key::start(queue, rank);
    file.prepare_cached(set)?.execute(params![queue, rank, next.0, start.0]).map(drop)
}

pub(super) fn set_handed_out(
    file: &Connection,
    queue: i64,
    rank: u8,
    up_to: Key,
) -> rusqlite::Result<()> {
    let set = "UPDATE rank SET handed_out = ?3 WHERE queue = ?1 AND rank = ?2";
    file.prepare_cached(set)?.execute(params![queue, rank, up_to.0]).map(drop)
}

pub(super) fn insert(
    file: &Connection,
    key: Key,
    expires_at_ms: Option<u64>,
    properties: Option<&[u8]>,
    body: &[u8],
) -> rusqlite::Result<()> {
    file.prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key.0, expires_at_ms.map(signed), properties, body])
        .map(drop)
}

/// Puts a message somewhere else, with other properties.
pub(super) fn r#move(
    file: &Connection,
    from: Key,
    to: Key,
    expires_at_ms: Option<u64>,
    properties: Option<&[u8]>,
) -> rusqlite::Result<()> {
    let r#move = "UPDATE message SET key = ?2, expires_at_ms = ?3, properties = ?4 WHERE key = ?1";
    file.prepare_cached(r#move)?
        .execute(params![from.0, to.0, expires_at_ms.map(signed), properties])
        .map(drop)
}

/// The messages of a rank from behind a key on, at most so many, until `take` wants no more.
pub(super) fn read_on(
    file: &Connection,
    after: Key,
    messages_max: usize,
    mut take: impl FnMut(Stored) -> bool,
) -> rusqlite::Result<()> {
    let select = "
        SELECT message.key, times, expires_at_ms, properties, body
        FROM message LEFT JOIN handed_out ON handed_out.key = message.key
        WHERE message.key > ?1 AND message.key < ?2 ORDER BY message.key LIMIT ?3";
    let mut select = file.prepare_cached(select)?;
    let limit = i64::try_from(messages_max).unwrap_or(i64::MAX);
    let mut rows = select.query([after.0, after.end().0, limit])?;
    while let Some(row) = rows.next()? {
        if !take(Stored::read(row)?) {
            break;
        }
    }
    Ok(())
}

/// One message, if it is still there.
pub(super) fn get(file: &Connection, key: Key) -> rusqlite::Result<Option<Stored>> {
    let select = "
        SELECT message.key, times, expires_at_ms, properties, body
        FROM message LEFT JOIN handed_out ON handed_out.key = message.key
        WHERE message.key = ?1";
    file.prepare_cached(select)?.query_row([key.0], Stored::read).optional()
}

/// Removes all messages from one key to another, and says how many there were. There must be none among
/// them that is not meant.
pub(super) fn remove(file: &Connection, from: Key, to: Key) -> rusqlite::Result<usize> {
    file.prepare_cached("DELETE FROM message WHERE key BETWEEN ?1 AND ?2")?.execute([from.0, to.0])
}

/// Notes how often a message was handed out.
pub(super) fn set_times(file: &Connection, key: Key, times: u32) -> rusqlite::Result<()> {
    let set = "INSERT INTO handed_out VALUES (?1, ?2) ON CONFLICT DO UPDATE SET times = ?2";
    file.prepare_cached(set)?.execute(params![key.0, times]).map(drop)
}

pub(super) fn forget_times(file: &Connection, key: Key) -> rusqlite::Result<()> {
    file.prepare_cached("DELETE FROM handed_out WHERE key = ?1")?.execute([key.0]).map(drop)
}

/// Messages whose time is over, until `take` wants no more.
pub(super) fn expired(
    file: &Connection,
    now_ms: u64,
    mut take: impl FnMut(Key) -> bool,
) -> rusqlite::Result<()> {
    let select = "SELECT key FROM message WHERE expires_at_ms < ?1 ORDER BY expires_at_ms";
    let mut select = file.prepare_cached(select)?;
    let mut rows = select.query([signed(now_ms)])?;
    while let Some(row) = rows.next()? {
        if !take(Key(row.get(0)?)) {
            break;
        }
    }
    Ok(())
}

/// When the next message expires, from an instant on.
pub(super) fn next_expiry(file: &Connection, now_ms: u64) -> rusqlite::Result<Option<u64>> {
    let select = "SELECT min(expires_at_ms) FROM message WHERE expires_at_ms >= ?1";
    let next = |row: &Row<'_>| row.get::<_, Option<i64>>(0);
    let next = file.prepare_cached(select)?.query_row([signed(now_ms)], next)?;
    Ok(next.map(unsigned))
}

/// Writes something, as a disk that takes no more is noticed by nothing else.
pub(super) fn check(file: &Connection) -> rusqlite::Result<()> {
    file.execute("UPDATE checked SET times = times + 1", []).map(drop)
}

/// How many pages the file has.
pub(super) fn pages(file: &Connection) -> rusqlite::Result<i64> {
    file.pragma_query_value(None, "page_count", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_queues_and_ranks_up_to_the_last() {
        let last = Key::start(QUEUES_MAX, u8::MAX);
        assert!(last < last.end(), "{last:?}");
        assert_eq!((last.queue(), last.next().queue()), (QUEUES_MAX, QUEUES_MAX));
        assert!(Key::start(1, 255).end() <= Key::start(2, 0));
        assert_eq!(Key::start(1, 3).end(), Key::start(1, 4));
        assert!(Key::start(QUEUES_MAX + 1, 0).0 > 0, "the end of the last queue");
    }
}
