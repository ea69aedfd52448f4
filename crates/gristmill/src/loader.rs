//! Handler files on disk become functions that can be called.
//!
//! ```text
//! file ─┬─ WebAssembly ─┬─ cached ────────────▶ native code ─link─▶ function
//!       │               └─ compiled, cached ──▶      ▲
//!       └─ .cwasm, if the function is trusted ───────┘
//! ```
//!
//! What must never happen: native code that is loaded though neither this installation made it nor
//! the operator trusts it, or a file that takes all memory because it is read whole.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gristmill_sandbox::{
    Code, Engine, FileKind, FunctionSettings, Limits, LoadError, LoadedFunction, Refusal,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::bounded;
use crate::cache::{Cache, Key, content_hash};
use crate::compile::{CompileError, Compiler};
use crate::config::{Component, Config, FunctionConfig, Variable};
use crate::telemetry;

/// The largest handler file that is read, in bytes: ten times the size of a large Python handler.
const HANDLER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How many functions are loaded at once: each has its whole file in memory meanwhile. What is dropped in
/// has leave of its own, so that files that take for ever to compile hold up nobody but each other.
const LOADS_MAX: usize = 6;
const DROPPED_IN_LOADS_MAX: usize = 2;

/// Looks up an environment variable of the host.
pub(crate) type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A function that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// Its file cannot be read.
    #[error("cannot read the handler {} of function `{function}`", .path.display())]
    Unreadable {
        /// The function's name.
        function: String,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Its file is not a handler that can run here.
    #[error(transparent)]
    Refused(#[from] LoadError),
    /// Its file cannot be compiled.
    #[error("cannot compile function `{function}`")]
    NotCompiled {
        /// The function's name.
        function: String,
        /// Why not.
        #[source]
        source: CompileError,
    },
    /// A variable of the host, from which one of its own takes its value, is not set.
    #[error("function `{function}` takes {name} from the variable {variable}, which is not set")]
    NotSet {
        /// The function's name.
        function: String,
        /// The name of its own variable.
        name: String,
        /// The name of the host's.
        variable: String,
    },
    /// Loading panicked, which is a bug of the host.
    #[error("loading function `{function}` panicked, which is a bug of the host")]
    Lost {
        /// The function's name.
        function: String,
        /// What the runtime says.
        #[source]
        source: tokio::task::JoinError,
    },
    /// A file, from which a variable takes its value, cannot be read as text.
    #[error("function `{function}` takes {name} from {}, which cannot be read", .path.display())]
    NoValue {
        /// The function's name.
        function: String,
        /// The name of its variable.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// A function as it was loaded from one content of its handler file.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) function: LoadedFunction,
    /// The SHA-256 of the file, in hexadecimal.
    pub(crate) sha256: String,
}

/// What loads functions.
pub struct Loader {
    engine: Engine,
    compiler: Box<dyn Compiler>,
    cache: Option<Cache>,
    environment: Environment,
    region: String,
    /// Held while a handler is compiled: each takes all cores, and its memory.
    compiling: Mutex<()>,
    permits: Semaphore,
    dropped_in_permits: Semaphore,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Loader {
    /// A loader that compiles every time. `environment` looks up a variable of the host, for which a
    /// program passes `|name| std::env::var(name).ok()`; `region` is what handlers are told.
    pub fn new(
        engine: Engine,
        compiler: impl Compiler + 'static,
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        region: &str,
    ) -> Self {
        Self {
            engine,
            compiler: Box::new(compiler),
            cache: None,
            environment: Arc::new(environment),
            region: region.to_owned(),
            compiling: Mutex::default(),
            permits: Semaphore::new(LOADS_MAX),
            dropped_in_permits: Semaphore::new(DROPPED_IN_LOADS_MAX),
        }
    }

    /// Waits for the leave to load one more function, which lasts until it is dropped.
    pub(crate) async fn permit(&self, config: &FunctionConfig) -> Option<SemaphorePermit<'_>> {
        let permits = if config.dropped_in { &self.dropped_in_permits } else { &self.permits };
        // It is never closed.
        permits.acquire().await.ok()
    }

    /// The same with a place for what was compiled.
    pub(crate) fn with_cache(self, cache: Cache) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// Loads every function of a configuration, to see whether it can be done. Blocks while they
    /// compile.
    ///
    /// # Errors
    ///
    /// All that is wrong, not only the first.
    pub fn check(&self, config: &Config) -> Result<(), Vec<FunctionError>> {
        let load =
            |(name, function): (&String, &FunctionConfig)| self.load(name, function, None).err();
        let errors: Vec<FunctionError> = config.functions.iter().filter_map(load).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Loads one function. Blocks while it compiles.
    pub(crate) fn load(
        &self,
        name: &str,
        config: &FunctionConfig,
        concurrency: Option<Arc<Semaphore>>,
    ) -> Result<Version, FunctionError> {
        let settings = FunctionSettings {
            name: name.to_owned(),
            limits: limits(config),
            grants: config.grants.clone(),
            environment: self.environment(name, config)?,
            region: self.region.clone(),
            concurrency,
        };
        let bytes = match &config.component {
            Component::File(path) => read(path, name)?,
            Component::Bytes(bytes) => Cow::Borrowed(&**bytes),
        };
        self.load_version(&bytes, config.trusted, settings)
    }

    /// Loads one handler file. Blocks while it compiles. Native code is loaded only if it is
    /// `trusted`: it can do anything that this process can.
    ///
    /// # Errors
    ///
    /// [`FunctionError`], which says what to change.
    pub fn load_file(
        &self,
        path: &Path,
        trusted: bool,
        settings: FunctionSettings,
    ) -> Result<LoadedFunction, FunctionError> {
        let bytes = read(path, &settings.name)?;
        Ok(self.load_version(&bytes, trusted, settings)?.function)
    }

    fn load_version(
        &self,
        bytes: &[u8],
        trusted: bool,
        settings: FunctionSettings,
    ) -> Result<Version, FunctionError> {
        let code = self.code(bytes, trusted, &settings.name)?;
        let function = LoadedFunction::load(&self.engine, &code, settings)?;
        Ok(Version { function, sha256: content_hash(bytes) })
    }

    /// The native code of a handler.
    fn code(&self, bytes: &[u8], trusted: bool, function: &str) -> Result<Code, FunctionError> {
        let refused = |refusal| LoadError { function: function.to_owned(), refusal };
        match FileKind::of(bytes) {
            FileKind::Precompiled if trusted => Ok(self.native(bytes).map_err(refused)?),
            FileKind::Component | FileKind::CoreModule => {
                self.of_wasm(bytes, function).map_err(|source| {
                    let function = function.to_owned();
                    if let CompileError::Refused(refusal) = source {
                        LoadError { function, refusal }.into()
                    } else {
                        FunctionError::NotCompiled { function, source }
                    }
                })
            }
            // Refused for what it is.
            FileKind::Precompiled
            | FileKind::Text
            | FileKind::NativeProgram
            | FileKind::Empty
            | FileKind::CutShort
            | FileKind::Other => Ok(Code::compile(&self.engine, bytes).map_err(refused)?),
        }
    }

    /// The native code of WebAssembly: from the cache, or compiled now.
    fn of_wasm(&self, wasm: &[u8], function: &str) -> Result<Code, CompileError> {
        let key = Key::new(wasm, self.engine.code_key());
        if let Some(code) = self.cached(&key) {
            return Ok(code);
        }
        let _one_at_a_time = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        // Another function may have had the same file.
        if let Some(code) = self.cached(&key) {
            return Ok(code);
        }
        let Some(cache) = &self.cache else {
            return Ok(self.native(&self.compiler.compile(wasm)?)?);
        };
        telemetry::compiling(function, wasm.len(), &content_hash(wasm));
        let native = self.compiler.compile(wasm)?;
        if let Err(error) = cache.write(&key, &native) {
            telemetry::not_cached(function, &error);
        }
        Ok(self.native(&native)?)
    }

    fn cached(&self, key: &Key) -> Option<Code> {
        let cache = self.cache.as_ref()?;
        let native = cache.read(key)?;
        let code = self.native(&native);
        if code.is_err() {
            // Whole, but of no use to this engine.
            cache.remove(key);
        }
        code.ok()
    }

    #[expect(unsafe_code, reason = "the one place where native code is taken for what it says")]
    fn native(&self, native: &[u8]) -> Result<Code, Refusal> {
        // SAFETY: called with a file that the operator declares to be trusted; with what the compiler
        // gave, who promises it by `unsafe trait Compiler`; and with a cache entry, which holds that,
        // in a folder that nobody else can write to, unchanged by its hash.
        unsafe { Code::from_native(&self.engine, native) }
    }

    fn environment(
        &self,
        function: &str,
        config: &FunctionConfig,
    ) -> Result<Vec<(String, String)>, FunctionError> {
        let value = |(name, variable): (&String, &Variable)| {
            let (function, name) = (function.to_owned(), name.clone());
            let value = match variable {
                Variable::Literal(value) => value.expose().to_owned(),
                Variable::Environment(variable) => match (self.environment)(variable) {
                    Some(value) => value,
                    None => {
                        let variable = variable.clone();
                        return Err(FunctionError::NotSet { function, name, variable });
                    }
                },
                Variable::File(path) => match fs::read_to_string(path) {
                    Ok(text) => text.strip_suffix('\n').unwrap_or(&text).to_owned(),
                    Err(source) => {
                        let path = path.clone();
                        return Err(FunctionError::NoValue { function, name, path, source });
                    }
                },
            };
            Ok((name, value))
        };
        config.environment.iter().map(value).collect()
    }
}

fn read(path: &Path, function: &str) -> Result<Cow<'static, [u8]>, FunctionError> {
    let bytes = bounded::read(path, HANDLER_BYTES_MAX);
    bytes.map(Cow::Owned).map_err(|source| FunctionError::Unreadable {
        function: function.to_owned(),
        path: path.to_owned(),
        source,
    })
}

fn limits(config: &FunctionConfig) -> Limits {
    Limits {
        timeout: config.timeout,
        fuel_per_second: config.fuel_per_second,
        memory_max_bytes: config.memory_bytes,
        instance_reuse: config.instance_reuse,
        instance_max_invocations: config.instance_max_invocations,
    }
}
