//! The plugins folder as it lies there: which handlers have been dropped in, with which sidecars.
//!
//! `NAME.wasm` is a handler and `NAME.toml` its sidecar. What must never happen: a file that is read
//! without a bound, or one under a name that no function can have.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use gristmill_broker::with_causes;

use crate::config::{Config, PluginsConfig, Sidecar};
use crate::watch::{Stamp, entries};

/// The largest sidecar, in bytes: many times what a hundred mappings take.
const SIDECAR_BYTES_MAX: u64 = 64 * 1024;

/// The files of one drop-in, as they were at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) handler: Option<Stamp>,
    pub(crate) sidecar: Option<Stamp>,
}

/// What lies in the folder now, by the names of the handlers.
pub(crate) fn found(folder: &Path) -> BTreeMap<String, Files> {
    let mut found: BTreeMap<String, Files> = BTreeMap::new();
    for (path, stamp) in entries(folder) {
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        // Such names have files that others are still writing.
        if name.starts_with('.') {
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        let (Some("wasm") | Some("toml")) = extension else { continue };
        let files = found.entry(name.to_owned()).or_default();
        let file = if extension == Some("wasm") { &mut files.handler } else { &mut files.sidecar };
        *file = Some(stamp);
    }
    found
}

/// The text of a drop-in's sidecar, which is empty if there is none.
///
/// # Errors
///
/// Says in a sentence why it cannot be read, or why there can be no such drop-in.
pub(crate) fn text(name: &str, files: Files, plugins: &PluginsConfig) -> Result<String, String> {
    if files.handler.is_none() {
        let handler = plugins.handler(name);
        return Err(format!(
            "{} is not there; put the handler beside its sidecar",
            handler.display()
        ));
    }
    if files.sidecar.is_none() {
        return Ok(String::new());
    }
    let path = plugins.sidecar(name);
    read_text(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Reads what a sidecar says, under the rules of `config`.
///
/// # Errors
///
/// Says in a sentence, or one for each problem, what is wrong.
pub(crate) fn parse(
    text: &str,
    name: &str,
    config: &Config,
    plugins: &PluginsConfig,
) -> Result<Sidecar, String> {
    let path = plugins.sidecar(name);
    Sidecar::parse(text, &path, name, config, plugins).map_err(|error| with_causes(&error))
}

/// A configuration with everything that is dropped in now, and what is refused of that: the name, and
/// why.
#[must_use]
pub fn with_drop_ins(config: &Config) -> (Config, Vec<(String, String)>) {
    let Some(plugins) = &config.plugins else { return (config.clone(), Vec::new()) };
    let (mut taken, mut refused) = (BTreeMap::new(), Vec::new());
    for (name, files) in found(&plugins.dir) {
        let sidecar =
            text(&name, files, plugins).and_then(|text| parse(&text, &name, config, plugins));
        match sidecar {
            Ok(sidecar) => drop(taken.insert(name, sidecar)),
            Err(reason) => refused.push((name, reason)),
        }
    }
    let taken = taken.iter().map(|(name, sidecar)| (name.as_str(), sidecar));
    (config.with_drop_ins(taken), refused)
}

fn read_text(path: &Path) -> io::Result<String> {
    // Neither a folder nor a pipe, which could keep its reader waiting.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
    }
    let mut text = String::new();
    let file = File::open(path)?;
    if file.take(SIDECAR_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > SIDECAR_BYTES_MAX {
        let text = format!("it has more than {SIDECAR_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(text)
}
