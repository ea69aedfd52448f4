//! Why an engine, a set of limits or a handler is refused.
//!
//! Only what is found before a call is an error. What a handler does during a call is an
//! [`Outcome`](gristmill_invocation::Outcome).

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::limits::TIMEOUT_MAX;
use crate::load::HANDLE_BATCH_TYPE;

/// An error of wasmtime, which callers outside this crate need not name.
type Cause = Box<dyn Error + Send + Sync>;

/// The engine does not run on this machine.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to set up the WebAssembly engine for this processor and operating system; \
     see the cause, and report it if the platform is listed as supported"
)]
pub struct EngineError {
    #[source]
    pub(crate) source: Cause,
}

/// A limit is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// `timeout` is zero or longer than [`TIMEOUT_MAX`].
    #[error(
        "a timeout of {timeout:?} is out of range; set it above 0 and at most {} s",
        TIMEOUT_MAX.as_secs()
    )]
    Timeout {
        /// What was asked for.
        timeout: Duration,
    },
    /// `fuel_per_second` is zero.
    #[error("without fuel no handler can run; set fuel_per_second above 0 or leave it out")]
    FuelPerSecond,
    /// `memory_max_bytes` is out of range.
    #[error(
        "a memory limit of {bytes} bytes is out of range; set it between 64 KiB and 4 GiB, \
         all that a handler can address"
    )]
    Memory {
        /// What was asked for.
        bytes: u64,
    },
}

/// A function cannot be loaded.
#[derive(Debug)]
pub struct LoadError {
    /// The function's name in the configuration.
    pub function: String,
    /// Why its handler is refused.
    pub refusal: Refusal,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot load function `{}`: {}", self.function, self.refusal)
    }
}

impl Error for LoadError {
    /// The refusal is part of this error's own text, so its cause comes next.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refusal.source()
    }
}

/// Why a handler cannot run here, and what to change.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The limits themselves are wrong.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// There is nothing in the file.
    #[error("the file is empty; build or copy the handler again")]
    Empty,
    /// The file ends before what it announces does.
    #[error("the file is cut short after {bytes} bytes; build or copy the handler again")]
    CutShort {
        /// The file's length.
        bytes: usize,
    },
    /// WebAssembly in its text form.
    #[error(
        "the file is WebAssembly text; turn it into a binary first, \
         for example with `wasm-tools parse handler.wat -o handler.wasm`"
    )]
    Text,
    /// A program for an operating system.
    #[error(
        "the file is a native program, not WebAssembly; \
         build the handler for a WebAssembly target such as wasm32-wasip2"
    )]
    NativeProgram,
    /// A component or module that was compiled to native code ahead of time.
    #[error(
        "the file holds native code compiled ahead of time (.cwasm), which is not loaded; \
         give the .wasm that it was made from"
    )]
    Precompiled,
    /// A core module instead of a component.
    #[error(
        "the file is a core module, not a component; build the handler for wasm32-wasip2, \
         or wrap the module with `wasm-tools component new`"
    )]
    CoreModule,
    /// Nothing that is known here.
    #[error(
        "the file is not WebAssembly (it starts with `{start}`, WebAssembly with `\\0asm`); \
         check the path, and build the handler as a component"
    )]
    NotWebAssembly {
        /// The first bytes, escaped.
        start: String,
    },
    /// A component that does not validate or compile.
    #[error("the component is not valid here; see the cause, and build it again")]
    Invalid(#[source] Cause),
    /// No export of that name.
    #[error(
        "the component exports no handle-batch ({}); export `handle-batch: {HANDLE_BATCH_TYPE}`",
        exported(exports)
    )]
    NoHandleBatch {
        /// What it exports instead.
        exports: Vec<String>,
    },
    /// More than one export of that name.
    #[error(
        "the component exports handle-batch more than once ({}); leave one of them",
        candidates.join(", ")
    )]
    Ambiguous {
        /// Where each of them is.
        candidates: Vec<String>,
    },
    /// An export of that name that cannot be called with an event.
    #[error("`{export}` is a {found}; it must be a {HANDLE_BATCH_TYPE}")]
    WrongType {
        /// Where it is.
        export: String,
        /// Its type, as WIT writes it.
        found: String,
    },
    /// Imports beyond WASI 0.2.
    #[error(
        "the component imports what cannot be given ({}); \
         a handler may import WASI 0.2 only: wasi:cli, clocks, filesystem, io, random, sockets",
        imports.join(", ")
    )]
    Imports {
        /// What cannot be given; empty if only the cause can tell.
        imports: Vec<String>,
        /// What the linker found first.
        source: Cause,
    },
    /// The memory that the component starts with is over the limit.
    #[error(
        "the component starts with {needed_bytes} bytes of memory and its limit is \
         {limit_bytes}; raise the function's memory limit"
    )]
    Memory {
        /// The largest memory that the component starts with, in bytes.
        needed_bytes: u64,
        /// The limit, in bytes.
        limit_bytes: u64,
    },
}

/// What a component exports, for a person.
fn exported(exports: &[String]) -> String {
    if exports.is_empty() {
        "it exports nothing".to_owned()
    } else {
        format!("it exports {}", exports.join(", "))
    }
}
