//! An event source mapping: read, batch, invoke, settle, retry.
//!
//! ```text
//! Source ─Delivery─▶ Batcher ─Batch─▶ event JSON ─▶ Function ─Outcome─▶ verdict ─▶ Source::settle
//! ```
//!
//! One task owns the whole line ([`Mapping::run`]): no locks between its stages, and one `select!`.
//! Only an invocation is a task of its own, on the guests' runtimes ([`Lanes`]). This crate names no broker and
//! no engine, only the ports [`Source`](gristmill_broker::Source) and
//! [`Function`](gristmill_invocation::Function).
//!
//! Deciding is pure and lives in [`batcher`], [`backoff`] and [`verdict`], which are given the time;
//! doing is dull and lives in the driver and the supervisor.
//!
//! What must never happen: an ack before the invocation succeeded, a batch that is tried again after
//! its epoch ended, or a wait without a bound.

pub mod backoff;
pub mod batcher;
pub mod consumer_timeout;
mod driver;
mod failures;
mod hold;
mod lanes;
pub mod lifetime;
pub mod record;
mod settings;
mod slots;
pub mod status;
mod supervisor;
mod telemetry;
pub mod verdict;

pub use hold::Hold;
pub use lanes::Lanes;
pub use settings::{BatchLimits, GiveUp, OnFailure, Settings};
pub use supervisor::{Finished, Mapping, Ports};
