//! Runs one call of a handler under limits and says how it ended.
//!
//! A handler is a WebAssembly component that exports `handle-batch` or `handle-batch-with`, or a
//! command: a component that exports `wasi:cli/run`, or a core module for WASI preview 1. It imports
//! nothing but WASI. [`Code::compile`] makes native code of it; [`LoadedFunction::load`] checks that
//! it can run here with what it is given; [`LoadedFunction`] then calls it with one event after
//! another, within [`Limits`]; and [`inspect()`] says what a file is without running it.
//!
//! ```text
//! bytes ─recognise─▶ Code ─find export, link─▶ LoadedFunction ─a place in the pool─▶ call ─▶ Report
//!                                                      │    ▲
//!                                                      ▼    │ success or err
//!                                            fresh instance, or a warm one
//! ```
//!
//! What must never happen here: that a handler's misbehaviour is anything but an
//! [`Outcome`](gristmill_invocation::Outcome), that it reaches files, network or environment it
//! was not granted, or that one instance serves a second call after a trap, a timeout or a
//! dropped call. This is the only crate that names wasmtime.
//!
//! Unsafe code is where native code is loaded ([`Code::from_native`]), and nowhere else.

mod answer;
mod backtrace;
mod bounded;
mod call;
mod code;
mod engine;
mod entry;
mod error;
mod function;
mod grants;
mod inspect;
mod limits;
mod lines;
mod outcome;
mod output;
mod places;
mod recognise;
mod refusals;
mod settings;
mod state;
mod telemetry;
mod ticker;
mod types;
mod wasi;

pub use code::{Code, precompile};
pub use engine::{Engine, EngineSettings};
pub use error::{EngineError, LimitsError, LoadError, Refusal};
pub use function::LoadedFunction;
pub use grants::{Address, DirGrant, GrantError, Grants, Host, HttpHost};
pub use inspect::{Inspection, Item, inspect};
pub use limits::{FUEL_PER_SECOND, Limits, MEMORY_MAX_BYTES, RESPONSE_BYTES_MAX, TIMEOUT_MAX};
pub use outcome::MESSAGE_BYTES_MAX;
pub use output::{LINE_BYTES_MAX, LOG_BYTES_MAX, LOG_LINES_MAX};
pub use recognise::FileKind;
pub use settings::{FunctionSettings, RESERVED_VARIABLES};
