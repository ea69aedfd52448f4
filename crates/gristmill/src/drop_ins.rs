//! The plugins folder as it lies there: which handlers have been dropped in, with which sidecars.
//!
//! `NAME.wasm` is a handler and `NAME.toml` its sidecar. What must never happen: a file that is read
//! without a bound, or one under a name that no function can have.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use gristmill_broker::{Secret, with_causes};

use crate::bounded;
use crate::config::{Config, PluginsConfig, Sidecar, check_name};
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

/// What a drop-in's sidecar says, and the text that says so, which may hold secrets.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    text: Secret,
    pub(crate) sidecar: Sidecar,
}

impl Taken {
    /// Reads a drop-in as it lies there, under the rules of `config`. Without a sidecar it is as if
    /// there were an empty one.
    ///
    /// # Errors
    ///
    /// Says in a sentence, or one for each problem, what is wrong.
    pub(crate) fn read(
        name: &str,
        files: Files,
        config: &Config,
        plugins: &PluginsConfig,
    ) -> Result<Self, String> {
        check_name(name)?;
        if files.handler.is_none() {
            let handler = plugins.handler(name);
            return Err(format!("{} is not there; put it beside its sidecar", handler.display()));
        }
        let text = match files.sidecar {
            None => String::new(),
            Some(_) => {
                let path = plugins.sidecar(name);
                read_text(&path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?
            }
        };
        Self::parse(Secret::new(text), name, config, plugins)
    }

    /// Reads it again, under the rules of another configuration.
    ///
    /// # Errors
    ///
    /// As [`Taken::read`].
    pub(crate) fn under(
        &self,
        name: &str,
        config: &Config,
        plugins: &PluginsConfig,
    ) -> Result<Self, String> {
        Self::parse(self.text.clone(), name, config, plugins)
    }

    fn parse(
        text: Secret,
        name: &str,
        config: &Config,
        plugins: &PluginsConfig,
    ) -> Result<Self, String> {
        let path = plugins.sidecar(name);
        let sidecar = Sidecar::parse(text.expose(), &path, name, config, plugins);
        sidecar.map(|sidecar| Self { text, sidecar }).map_err(|error| with_causes(&error))
    }
}

/// Whether so many more mappings are not more than sidecars may have together.
///
/// # Errors
///
/// Says that they are.
pub(crate) fn check_count<'a>(
    others: impl Iterator<Item = &'a Sidecar>,
    sidecar: &Sidecar,
    plugins: &PluginsConfig,
) -> Result<(), String> {
    let before: usize = others.map(|other| other.mappings.len()).sum();
    let most = plugins.mappings_max;
    if before.saturating_add(sidecar.mappings.len()) <= most {
        return Ok(());
    }
    Err(format!(
        "with its mappings there would be more than {most} of all sidecars, which is `mappings_max` in \
         [plugins]"
    ))
}

/// A configuration with everything that is dropped in now, and what is refused of that: the name, and
/// why.
#[must_use]
pub fn with_drop_ins(config: &Config) -> (Config, Vec<(String, String)>) {
    let Some(plugins) = &config.plugins else { return (config.clone(), Vec::new()) };
    let mut sidecars: BTreeMap<String, Sidecar> = BTreeMap::new();
    let mut refused = Vec::new();
    for (name, files) in found(&plugins.dir) {
        let taken = Taken::read(&name, files, config, plugins).and_then(|taken| {
            check_count(sidecars.values(), &taken.sidecar, plugins).map(|()| taken.sidecar)
        });
        match taken {
            Ok(sidecar) => drop(sidecars.insert(name, sidecar)),
            Err(reason) => refused.push((name, reason)),
        }
    }
    let sidecars = sidecars.iter().map(|(name, sidecar)| (name.as_str(), sidecar));
    (config.with_drop_ins(sidecars), refused)
}

fn read_text(path: &Path) -> io::Result<String> {
    let bytes = bounded::read(path, SIDECAR_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
