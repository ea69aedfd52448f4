//! Runs one component call under limits and says how it ended.
//!
//! A handler is a WebAssembly component that exports
//! `handle-batch: func(event: string) -> result<option<string>, string>` and imports nothing but
//! WASI 0.2. [`LoadedFunction::load`] compiles it and checks that it can run here;
//! [`LoadedFunction`] then calls it with one event after another, within [`Limits`], and
//! [`inspect()`] says what a file is without running it.
//!
//! ```text
//! bytes ─recognise─▶ component ─find export, link─▶ LoadedFunction ─invoke─▶ Report
//!                                                       │    ▲
//!                                                       ▼    │ success or err
//!                                             fresh instance, or a warm one
//! ```
//!
//! What must never happen here: that a handler's misbehaviour is anything but an
//! [`Outcome`](gristmill_invocation::Outcome), that it reaches files, network or environment it
//! was not granted, or that one instance serves a second call after a trap, a timeout or a
//! dropped call. This is the only crate that names wasmtime.
#![forbid(unsafe_code)]

mod engine;
mod error;
mod function;
mod inspect;
mod limits;
mod load;
mod outcome;
mod output;
mod recognise;
mod store;
mod telemetry;
mod types;

pub use engine::Engine;
pub use error::{EngineError, LimitsError, LoadError, Refusal};
pub use function::{IDLE_INSTANCES_MAX, LoadedFunction};
pub use inspect::{Inspection, Item, inspect};
pub use limits::{FUEL_PER_SECOND, Limits, MEMORY_MAX_BYTES, TIMEOUT_MAX};
pub use outcome::MESSAGE_BYTES_MAX;
pub use output::{LINE_BYTES_MAX, LOG_BYTES_MAX, LOG_LINES_MAX};
pub use recognise::FileKind;
