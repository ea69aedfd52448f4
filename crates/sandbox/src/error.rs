//! Why an engine, a set of limits or a handler is refused.
//!
//! Only what is found before a call is an error. What a handler does during a call is an
//! [`Outcome`](gristmill_invocation::Outcome).

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::bounded::{list, told};
use crate::engine::EngineSettings;
use crate::limits::TIMEOUT_MAX;
use crate::state::DirError;

/// An error of wasmtime, which callers outside this crate need not name.
type Cause = Box<dyn Error + Send + Sync>;

/// There is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// `instances_max` is out of range.
    #[error(
        "a pool of {instances} instances is out of range; set instances_max between 1 and {}",
        EngineSettings::INSTANCES_MOST
    )]
    Instances {
        /// What was asked for.
        instances: u32,
    },
    /// `memory_max_bytes` is out of range.
    #[error(
        "a greatest memory of {bytes} bytes is out of range; set memory_max between 64 KiB and 4 GiB"
    )]
    Memory {
        /// What was asked for.
        bytes: u64,
    },
    /// wasmtime does not run here, or finds no room for so many instances.
    #[error(
        "failed to set up the WebAssembly engine with room for {instances} instances; set \
         instances_max lower where addresses are short (each takes 4 GiB of them), or see the cause"
    )]
    Unsupported {
        /// The room that was asked for.
        instances: u32,
        /// What wasmtime said.
        #[source]
        source: Cause,
    },
    /// No thread for the engine's clock.
    #[error("cannot start the thread of the WebAssembly engine's clock")]
    Thread(#[source] io::Error),
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
    /// A component or module that was compiled to native code ahead of time, and is not trusted.
    #[error(
        "the file holds native code compiled ahead of time (.cwasm), which can do anything that this \
         process can; give the .wasm that it was made from, or set trusted = true for the function \
         if you know who made it"
    )]
    Precompiled,
    /// Native code for something else than this engine.
    #[error(
        "the file's native code was made by another version of wasmtime, for another processor, with \
         other settings or for a larger instances_max; make it again with `gristmill compile` of this \
         version, see the cause"
    )]
    OtherNative(#[source] Cause),
    /// WebAssembly where native code was promised.
    #[error(
        "the file is WebAssembly and not native code; \
         take trusted = true out of the function, which WebAssembly does not need"
    )]
    NotNative,
    /// A core module that is no command.
    #[error(
        "the file is a core module without the function `_start` of WASI preview 1; build the \
         handler as a component (for wasm32-wasip2) or as a command (for wasip1), \
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
    /// No export that could be called.
    #[error(
        "the component exports nothing that could be called with an event ({}); export \
         `handle-batch: func(event: string) -> result<option<string>, string>`, \
         `handle-batch-with` of gristmill:handler/batch-context, or wasi:cli/run",
        exported(exports)
    )]
    NoHandler {
        /// What it exports instead.
        exports: Vec<String>,
    },
    /// More than one such export.
    #[error(
        "the component exports more than one handler ({}); leave one of them",
        listed(candidates)
    )]
    Ambiguous {
        /// Where each of them is.
        candidates: Vec<String>,
    },
    /// An export of a right name that cannot be called with an event.
    #[error("`{}` is a {found}; it must be a {wanted}", told(export))]
    WrongType {
        /// Where it is.
        export: String,
        /// Its type, as WIT writes it.
        found: String,
        /// The type that was expected.
        wanted: &'static str,
    },
    /// Imports beyond WASI 0.2.
    #[error(
        "the handler imports what cannot be given ({}); a component may import WASI 0.2 only \
         (wasi:cli, clocks, filesystem, http, io, random, sockets), a core module WASI preview 1",
        if imports.is_empty() { "see the cause".to_owned() } else { listed(imports) }
    )]
    Imports {
        /// What cannot be given; empty if only the cause can tell.
        imports: Vec<String>,
        /// What the linker found first.
        source: Cause,
    },
    /// The memory that the component starts with is over the limit.
    #[error(
        "the handler starts with {needed_bytes} bytes of memory and its limit is \
         {limit_bytes}; raise the function's memory limit"
    )]
    Memory {
        /// The largest memory that the component starts with, in bytes.
        needed_bytes: u64,
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// The function may have more memory than the engine has room for.
    #[error(
        "the function's memory limit of {limit_bytes} bytes is more than memory_max of the host, \
         {most_bytes}; lower the one or raise the other"
    )]
    OverTheEngine {
        /// The function's limit, in bytes.
        limit_bytes: u64,
        /// The engine's, in bytes.
        most_bytes: u64,
    },
    /// A granted directory cannot be opened.
    #[error(
        "cannot open the granted directory {}; make it, or take it out of allow.dirs",
        path.display()
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: Cause,
    },
}

impl From<DirError> for Refusal {
    fn from(error: DirError) -> Self {
        Refusal::Directory { path: error.path, source: error.source }
    }
}

/// What a component exports, for a person.
fn exported(exports: &[String]) -> String {
    if exports.is_empty() {
        "it exports nothing".to_owned()
    } else {
        format!("it exports {}", listed(exports))
    }
}

/// Names from a handler's file, as many as fit.
fn listed(names: &[String]) -> String {
    told(fmt::from_fn(|f| list(f, names, |f, name| f.write_str(name))))
}
