//! Keeps a running host at what its files say: the configuration file and the plugins folder.
//!
//! ```text
//! gristmill.toml ──changed, SIGHUP──▶ read whole ──▶ with what is dropped in ──▶ applied, or refused whole
//! plugins/NAME.toml ──changed──▶ one drop-in ──▶ with all others ──▶ applied, or that one refused
//! plugins/NAME.wasm ──changed──▶ its function loads it again by itself
//! ```
//!
//! What is refused is looked at again when anything that it was refused for may have changed: its own
//! files, the handlers that did not load, the rules.
//! What must never happen: a change that is wrong and takes effect in part, or one drop-in that keeps
//! others, or the operator, from taking effect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gristmill_broker::with_causes;
use tokio::time::sleep;

use crate::config::{Config, PluginsConfig, Sidecar};
use crate::drop_ins::{self, Files, Taken};
use crate::handle::{ApplyError, HostHandle};
use crate::telemetry;
use crate::watch::{QUIET, Watch};

/// Follows the files of a host.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// What the configuration file said when it was last right.
    config: Config,
    handle: HostHandle,
    drop_ins: BTreeMap<String, DropIn>,
    /// The plugins folder as it was at the last look.
    listed: BTreeMap<String, Files>,
    /// The handlers of a configuration that was refused because some did not load.
    refused_for: Watch,
}

/// One name in the plugins folder.
#[derive(Debug, Default)]
struct DropIn {
    /// The files as they were when they were last tried.
    tried: Files,
    /// Whether they were refused.
    refused: bool,
    /// What is in force of it, which may be older.
    taken: Option<Taken>,
}

/// Whether to look at the plugins folder again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// At once: there is more to do.
    Now,
    /// In a while: something may still be being written.
    Soon,
    /// When something has changed.
    Later,
}

impl Follower {
    /// A follower for the host of `handle`, which was made with `config` as it was read from the file
    /// at `path`.
    #[must_use]
    pub fn new(path: PathBuf, config: Config, handle: HostHandle) -> Self {
        let listed = config.plugins.as_ref().map(|plugins| drop_ins::found(&plugins.dir));
        let refused_for = Watch::files(&handle.bell, Vec::new());
        let (drop_ins, listed) = (BTreeMap::new(), listed.unwrap_or_default());
        Self { path, config, handle, drop_ins, listed, refused_for }
    }

    /// Gives the host what is dropped in, and then whatever changes. Reads everything again whenever
    /// `hangup` returns. The future never ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the host with what was applied last.
    pub async fn run(mut self, mut hangup: impl AsyncFnMut()) {
        let mut file = Watch::files(&self.handle.bell, vec![self.path.clone()]);
        let mut folder = self.watch_folder();
        // What has changed since the host was made.
        if Config::load(&self.path).is_ok_and(|config| config != self.config) {
            self.reload(&mut folder).await;
        }
        let mut again = Again::Now;
        loop {
            let look = async {
                match again {
                    Again::Now => {}
                    Again::Soon => sleep(QUIET).await,
                    Again::Later => std::future::pending().await,
                }
            };
            // Between two drop-ins, each of which may take the compiler long, the others have a turn.
            again = tokio::select! {
                () = file.settled() => self.reload(&mut folder).await,
                () = self.refused_for.settled() => self.reload(&mut folder).await,
                () = hangup() => {
                    self.handle.functions.try_again();
                    self.reload(&mut folder).await
                }
                () = folder.changed(), if again == Again::Later => Again::Soon,
                () = look => self.look().await,
            };
        }
    }

    fn watch_folder(&self) -> Watch {
        match &self.config.plugins {
            Some(plugins) => Watch::folder(&self.handle.bell, plugins.dir.clone()),
            None => Watch::files(&self.handle.bell, Vec::new()),
        }
    }

    /// Reads the configuration file again.
    async fn reload(&mut self, folder: &mut Watch) -> Again {
        let bell = self.handle.bell.clone();
        self.refused_for = Watch::files(&bell, Vec::new());
        let config = match Config::load(&self.path) {
            Ok(config) => config,
            Err(error) => {
                telemetry::not_applied(&with_causes(&error));
                return Again::Now;
            }
        };
        let handlers = config.functions.values();
        let handlers =
            handlers.filter_map(|function| function.component.path()).map(Path::to_owned);
        // From before they are loaded.
        let handlers = Watch::files(&bell, handlers.collect());
        let taken = self.under(&config);
        let sidecars = taken.iter().filter_map(|(name, taken)| {
            let taken = taken.as_ref().ok()?;
            Some((name.as_str(), &taken.sidecar))
        });
        if let Err(error) = self.handle.apply(config.with_drop_ins(sidecars)).await {
            telemetry::not_applied(&with_causes(&error));
            if matches!(error, ApplyError::Functions(_)) {
                self.refused_for = handlers;
            }
            return Again::Now;
        }
        if config.host != *self.handle.host {
            telemetry::host_section_waits();
        }
        let dir = |config: &Config| config.plugins.as_ref().map(|plugins| plugins.dir.clone());
        let moved = dir(&config) != dir(&self.config);
        self.config = config;
        if moved {
            *folder = self.watch_folder();
            self.listed.clear();
            self.drop_ins.clear();
        }
        // What was refused may be right under these rules.
        self.drop_ins.retain(|_, drop_in| drop_in.taken.is_some());
        for (name, taken) in taken {
            let Some(drop_in) = self.drop_ins.get_mut(&name) else { continue };
            if drop_in.refused {
                drop_in.tried = Files::default();
            }
            if let Err(reason) = &taken {
                telemetry::drop_in_refused(&name, reason, false);
                drop_in.refused = true;
            }
            drop_in.taken = taken.ok();
        }
        Again::Now
    }

    /// What is taken of the drop-ins under the rules of another configuration; nothing where that has
    /// another folder.
    fn under(&self, config: &Config) -> BTreeMap<String, Result<Taken, String>> {
        let Some(plugins) = &config.plugins else { return BTreeMap::new() };
        if self.config.plugins.as_ref().is_none_or(|before| before.dir != plugins.dir) {
            return BTreeMap::new();
        }
        let mut result: BTreeMap<String, Result<Taken, String>> = BTreeMap::new();
        for (name, drop_in) in &self.drop_ins {
            let Some(taken) = &drop_in.taken else { continue };
            let others = result.values().flatten().map(|taken| &taken.sidecar);
            let again = taken.under(name, config, plugins).and_then(|taken| {
                drop_ins::check_count(others, &taken.sidecar, plugins).map(|()| taken)
            });
            result.insert(name.clone(), again);
        }
        result
    }

    /// Looks at what is dropped in, and takes one of what is new.
    async fn look(&mut self) -> Again {
        let Some(plugins) = self.config.plugins.clone() else { return Again::Later };
        let found = drop_ins::found(&plugins.dir);
        let before = std::mem::replace(&mut self.listed, found.clone());
        // What is another than at the last look may still be being written.
        let is_quiet = |name: &String| before.get(name) == found.get(name);
        let gone = self.drop_ins.keys().find(|name| !found.contains_key(*name) && is_quiet(name));
        if let Some(name) = gone.cloned() {
            self.remove(&name).await;
            return Again::Now;
        }
        for (name, files) in &found {
            if is_quiet(name) && self.is_new(name, *files) {
                self.take(name, *files, &plugins).await;
                return Again::Now;
            }
        }
        if before == found { Again::Later } else { Again::Soon }
    }

    fn is_new(&self, name: &str, files: Files) -> bool {
        let Some(DropIn { tried, refused, taken }) = self.drop_ins.get(name) else { return true };
        // A handler that has changed is its function's own affair.
        let goes_on = taken.is_some() && !refused && tried.sidecar == files.sidecar;
        *tried != files && !goes_on
    }

    /// Removes a drop-in whose files are gone.
    async fn remove(&mut self, name: &str) {
        let Some(DropIn { taken: Some(_), .. }) = self.drop_ins.remove(name) else { return };
        match self.handle.apply(self.config_with(None)).await {
            Ok(_) => telemetry::drop_in_removed(name),
            Err(error) => telemetry::not_applied(&with_causes(&error)),
        }
    }

    /// Takes a drop-in as it is now, or says why not.
    async fn take(&mut self, name: &str, files: Files, plugins: &PluginsConfig) {
        let result = self.try_to_take(name, files, plugins).await;
        let drop_in = self.drop_ins.entry(name.to_owned()).or_default();
        drop_in.tried = files;
        drop_in.refused = result.is_err();
        match result {
            Ok(taken) => {
                telemetry::drop_in_taken(name, taken.sidecar.mappings.len());
                drop_in.taken = Some(taken);
            }
            Err(reason) => telemetry::drop_in_refused(name, &reason, drop_in.taken.is_some()),
        }
    }

    async fn try_to_take(
        &self,
        name: &str,
        files: Files,
        plugins: &PluginsConfig,
    ) -> Result<Taken, String> {
        let taken = Taken::read(name, files, &self.config, plugins)?;
        let others = self.taken().filter(|(other, _)| *other != name).map(|(_, sidecar)| sidecar);
        drop_ins::check_count(others, &taken.sidecar, plugins)?;
        let config = self.config_with(Some((name, &taken.sidecar)));
        let applied = self.handle.apply_for(Some(name), config).await;
        applied.map(|_| taken).map_err(|error| with_causes(&error))
    }

    /// The configuration with everything that is taken, and with one drop-in as it is now.
    fn config_with(&self, now: Option<(&str, &Sidecar)>) -> Config {
        let others = self.taken().filter(|(name, _)| now.is_none_or(|(now, _)| now != *name));
        self.config.with_drop_ins(others.chain(now))
    }

    fn taken(&self) -> impl Iterator<Item = (&str, &Sidecar)> {
        self.drop_ins.iter().filter_map(|(name, drop_in)| {
            let taken = drop_in.taken.as_ref()?;
            Some((name.as_str(), &taken.sidecar))
        })
    }
}
