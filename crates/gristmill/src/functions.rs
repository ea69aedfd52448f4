//! Handler files on disk become functions that can be called.
//!
//! ```text
//! file ─┬─ WebAssembly ─┬─ cached ────────────▶ native code ─link─▶ function
//!       │               └─ compiled, cached ──▶      ▲
//!       └─ .cwasm, if the function is trusted ───────┘
//! ```
//!
//! A function that does not load stops its mappings and nothing else, and is loaded again when its
//! file, or one with a value of its environment, has changed, or a granted directory has appeared. What must never happen: native code
//! that is loaded though neither this installation made it nor the operator trusts it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gristmill_sandbox::{
    Code, Engine, FileKind, FunctionSettings, Limits, LoadError, LoadedFunction, Refusal,
};
use tokio::sync::Semaphore;

use crate::cache::{Cache, Key, content_hash};
use crate::compile::{CompileError, Compiler};
use crate::config::{Config, FunctionConfig, Variable};
use crate::telemetry;
use crate::watch::Stamp;

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

/// What loads functions.
pub struct Loader {
    engine: Engine,
    compiler: Box<dyn Compiler>,
    cache: Option<Cache>,
    environment: Environment,
    region: String,
    /// Held while a handler is compiled: each takes all cores, and its memory.
    compiling: Mutex<()>,
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
        }
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
    fn load(
        &self,
        name: &str,
        config: &FunctionConfig,
        concurrency: Option<Arc<Semaphore>>,
    ) -> Result<LoadedFunction, FunctionError> {
        let settings = FunctionSettings {
            name: name.to_owned(),
            limits: limits(config),
            grants: config.grants.clone(),
            environment: self.environment(name, config)?,
            region: self.region.clone(),
            concurrency,
        };
        self.load_file(&config.component, config.trusted, settings)
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
        let bytes = fs::read(path).map_err(|source| FunctionError::Unreadable {
            function: settings.name.clone(),
            path: path.to_owned(),
            source,
        })?;
        let code = self.code(&bytes, trusted, &settings.name)?;
        Ok(LoadedFunction::load(&self.engine, &code, settings)?)
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

/// Every function of a host, each loaded when it is first asked for.
#[derive(Debug)]
pub(crate) struct Functions {
    loader: Loader,
    functions: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    config: FunctionConfig,
    /// The bound on its calls, over everything that is loaded of it.
    concurrency: Option<Arc<Semaphore>>,
    /// Locked while loading, so that several mappings do not load the same file at once.
    latest: Mutex<Option<Attempt>>,
}

/// The latest attempt at loading, and the versions of the files that it was.
#[derive(Debug)]
struct Attempt {
    stamps: Vec<Stamp>,
    /// Whether the granted directories were there.
    dirs: Vec<bool>,
    loaded: Result<Arc<LoadedFunction>, Arc<FunctionError>>,
}

impl Functions {
    /// The functions of a configuration; reads no file yet.
    pub(crate) fn new(loader: Loader, config: &Config) -> Self {
        let entry = |function: &FunctionConfig| Entry {
            config: function.clone(),
            concurrency: function
                .reserved_concurrency
                .map(|most| Arc::new(Semaphore::new(most.get().into()))),
            latest: Mutex::new(None),
        };
        let named = |(name, function): (&String, &FunctionConfig)| (name.clone(), entry(function));
        Self { loader, functions: config.functions.iter().map(named).collect() }
    }

    /// A function as its files are now; loads it if they are others than at the last call. Blocks
    /// meanwhile. `None` if there is no such function.
    ///
    /// # Errors
    ///
    /// [`FunctionError`], the same until a file changes.
    pub(crate) fn get(
        &self,
        name: &str,
    ) -> Option<Result<Arc<LoadedFunction>, Arc<FunctionError>>> {
        let entry = self.functions.get(name)?;
        let mut latest = entry.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the files are read: one that is still being written then has another one.
        let stamps: Vec<Stamp> = files(&entry.config).iter().map(|path| Stamp::of(path)).collect();
        let dirs = entry.config.grants.dirs.iter().map(|dir| dir.host.is_dir()).collect();
        let is_same = |attempt: &&Attempt| attempt.stamps == stamps && attempt.dirs == dirs;
        if let Some(attempt) = latest.as_ref().filter(is_same) {
            return Some(attempt.loaded.clone());
        }
        let loaded = self.loader.load(name, &entry.config, entry.concurrency.clone());
        let loaded = loaded.map(Arc::new).map_err(Arc::new);
        *latest = Some(Attempt { stamps, dirs, loaded: loaded.clone() });
        Some(loaded)
    }
}

/// The files that a function is made of: its handler, and those with values of its environment.
pub(crate) fn files(config: &FunctionConfig) -> Vec<PathBuf> {
    let values = config.environment.values().filter_map(|variable| match variable {
        Variable::File(path) => Some(path.clone()),
        Variable::Literal(_) | Variable::Environment(_) => None,
    });
    std::iter::once(config.component.clone()).chain(values).collect()
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
