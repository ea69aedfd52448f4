//! Handler files on disk become functions that can be called.
//!
//! A function that does not load stops its mappings and nothing else, and is loaded again when its
//! file has changed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gristmill_sandbox::{Engine, Limits, LoadError, LoadedFunction};

use crate::config::{Config, FunctionConfig};
use crate::watch::Stamp;

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
}

/// Loads one handler file as the function `name`. Blocks while it compiles.
///
/// # Errors
///
/// [`FunctionError`], which says what to change.
pub fn load_function(
    engine: &Engine,
    name: &str,
    path: &Path,
    limits: Limits,
) -> Result<LoadedFunction, FunctionError> {
    let bytes = fs::read(path).map_err(|source| FunctionError::Unreadable {
        function: name.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    Ok(LoadedFunction::load(engine, name, &bytes, limits)?)
}

/// Loads every function of a configuration, to see whether it can be done. Blocks while they
/// compile.
///
/// # Errors
///
/// All that is wrong, not only the first.
pub fn check_functions(engine: &Engine, config: &Config) -> Result<(), Vec<FunctionError>> {
    let load = |(name, function): (&String, &FunctionConfig)| {
        load_function(engine, name, &function.component, limits(function)).err()
    };
    let errors: Vec<FunctionError> = config.functions.iter().filter_map(load).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Every function of a host, each loaded when it is first asked for.
#[derive(Debug)]
pub(crate) struct Functions {
    engine: Engine,
    functions: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    config: FunctionConfig,
    /// Locked while loading, so that several mappings do not load the same file at once.
    latest: Mutex<Option<Attempt>>,
}

/// The latest attempt at loading a file, and the version of the file that it was.
#[derive(Debug)]
struct Attempt {
    stamp: Stamp,
    loaded: Result<Arc<LoadedFunction>, Arc<FunctionError>>,
}

impl Functions {
    /// The functions of a configuration; reads no file yet.
    pub(crate) fn new(engine: Engine, config: &Config) -> Self {
        let entry = |function: &FunctionConfig| Entry {
            config: function.clone(),
            latest: Mutex::new(None),
        };
        let named = |(name, function): (&String, &FunctionConfig)| (name.clone(), entry(function));
        Self { engine, functions: config.functions.iter().map(named).collect() }
    }

    /// A function as its file is now; loads the file if it is another than at the last call. Blocks
    /// meanwhile. `None` if there is no such function.
    ///
    /// # Errors
    ///
    /// [`FunctionError`], the same until the file changes.
    pub(crate) fn get(
        &self,
        name: &str,
    ) -> Option<Result<Arc<LoadedFunction>, Arc<FunctionError>>> {
        let entry = self.functions.get(name)?;
        let mut latest = entry.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the file is read: a file that is still being written then has another one.
        let stamp = Stamp::of(&entry.config.component);
        if let Some(attempt) = latest.as_ref().filter(|attempt| attempt.stamp == stamp) {
            return Some(attempt.loaded.clone());
        }
        let path = &entry.config.component;
        let loaded = load_function(&self.engine, name, path, limits(&entry.config));
        let loaded = loaded.map(Arc::new).map_err(Arc::new);
        *latest = Some(Attempt { stamp, loaded: loaded.clone() });
        Some(loaded)
    }
}

fn limits(config: &FunctionConfig) -> Limits {
    Limits {
        timeout: config.timeout,
        fuel_per_second: config.fuel_per_second,
        memory_max_bytes: config.memory_bytes,
        instance_reuse: config.instance_reuse,
    }
}
