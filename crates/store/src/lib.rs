//! What a host keeps on its own disk: dead letters, and queues where there is no other broker.
//!
//! They are in databases of SQLite, and this is the only crate that names the library.

#![forbid(unsafe_code)]

mod dead_letters;
pub mod embedded;
mod error;
mod sqlite;
mod telemetry;

pub use dead_letters::{Bounds, DeadLetterStore, Filter, Keeper, Origin, StoredLetter, Summary};
