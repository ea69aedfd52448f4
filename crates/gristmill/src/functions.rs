//! Handler files on disk become functions that can be called.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gristmill_sandbox::{Engine, Limits, LoadError, LoadedFunction};

use crate::config::{Config, FunctionConfig};

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

/// Loads every function of a configuration. Blocks while they compile.
///
/// # Errors
///
/// All that is wrong, not only the first.
pub fn load_functions(
    engine: &Engine,
    config: &Config,
) -> Result<BTreeMap<String, Arc<LoadedFunction>>, Vec<FunctionError>> {
    let mut functions = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, function) in &config.functions {
        match load_function(engine, name, &function.component, limits(function)) {
            Ok(loaded) => {
                functions.insert(name.clone(), Arc::new(loaded));
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(functions) } else { Err(errors) }
}

fn limits(config: &FunctionConfig) -> Limits {
    Limits {
        timeout: config.timeout,
        fuel_per_second: config.fuel_per_second,
        memory_max_bytes: config.memory_bytes,
        instance_reuse: config.instance_reuse,
    }
}
