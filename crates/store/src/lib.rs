//! What a host keeps on its own disk: dead letters.
//!
//! ```text
//! mapping ─DeadLetter─▶ Keeper ─one transaction, synced─▶ dead-letters.sqlite3 ◀─ gristmill dead-letters
//! ```
//!
//! The file is a database of SQLite, and this is the only crate that names the library. Several processes
//! use it at once: the host, and whoever looks after the letters. Nothing in it is ever dropped to make
//! room.
//!
//! What must never happen: a letter that is said to be kept and is not there after a crash, or one that
//! vanishes without somebody having said so.

#![forbid(unsafe_code)]

mod database;
mod error;
mod keeper;
mod letters;
mod telemetry;

pub use database::{Bounds, DeadLetterStore};
pub use error::StoreError;
pub use keeper::Keeper;
pub use letters::{Filter, Origin, StoredLetter, Summary};
