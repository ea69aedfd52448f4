//! Keeps a running host at what its files say: the configuration file and the plugins folder.
//!
//! ```text
//! gristmill.toml ──changed, SIGHUP──▶ read whole ──▶ with what is dropped in ──▶ applied, or refused whole
//! plugins/NAME.toml ──changed──▶ one drop-in ──▶ with all others ──▶ applied, or that one refused
//! plugins/NAME.wasm ──changed──▶ its function loads it again by itself
//! ```
//!
//! What must never happen: a change that is wrong and takes effect in part, or one drop-in that keeps
//! others from taking effect.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gristmill_broker::with_causes;

use crate::config::{Config, Sidecar};
use crate::drop_ins::{self, Files};
use crate::handle::HostHandle;
use crate::telemetry;
use crate::watch::Watch;

/// Follows the files of a host.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// What the configuration file said when it was last right.
    config: Config,
    handle: HostHandle,
    drop_ins: BTreeMap<String, DropIn>,
}

/// One name in the plugins folder.
#[derive(Debug, Default)]
struct DropIn {
    /// The files as they were when they were last looked at.
    files: Files,
    /// What is in force of it, with the text that says so.
    taken: Option<(String, Sidecar)>,
}

impl Follower {
    /// A follower for the host of `handle`, which was made with `config` as it was read from the file
    /// at `path`.
    #[must_use]
    pub fn new(path: PathBuf, config: Config, handle: HostHandle) -> Self {
        Self { path, config, handle, drop_ins: BTreeMap::new() }
    }

    /// Gives the host what is dropped in, and then whatever changes. Reads everything again whenever
    /// `hangup` returns. The future never ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the host with what was applied last.
    pub async fn run(mut self, mut hangup: impl AsyncFnMut()) {
        let bell = self.handle.bell.clone();
        let mut file = Watch::files(&bell, vec![self.path.clone()]);
        // From before the watch.
        if Config::load(&self.path).is_ok_and(|config| config != self.config) {
            self.reload().await;
        }
        loop {
            let plugins = self.config.plugins.as_ref().map(|plugins| plugins.dir.clone());
            let mut folder = match &plugins {
                Some(dir) => Watch::folder(&bell, dir.clone()),
                None => Watch::files(&bell, Vec::new()),
            };
            self.look().await;
            while self.config.plugins.as_ref().map(|plugins| &plugins.dir) == plugins.as_ref() {
                tokio::select! {
                    () = file.settled() => self.reload().await,
                    () = hangup() => self.reload().await,
                    () = folder.settled() => {}
                }
                // Other rules may let in what was refused before.
                self.look().await;
            }
        }
    }

    /// Reads the configuration file again.
    async fn reload(&mut self) {
        let config = match Config::load(&self.path) {
            Ok(config) => config,
            Err(error) => return telemetry::not_applied(&with_causes(&error)),
        };
        if config.host != self.config.host {
            telemetry::host_section_waits();
        }
        let taken = self.under(&config);
        let sidecars = taken.iter().filter_map(|(name, taken)| {
            let (_, sidecar) = taken.as_ref().ok()?;
            Some((name.as_str(), sidecar))
        });
        if let Err(error) = self.handle.apply(config.with_drop_ins(sidecars)).await {
            return telemetry::not_applied(&with_causes(&error));
        }
        self.config = config;
        self.drop_ins.retain(|name, _| taken.contains_key(name));
        for (name, taken) in taken {
            let drop_in = self.drop_ins.entry(name.clone()).or_default();
            if let Err(reason) = &taken {
                telemetry::drop_in_refused(&name, reason, false);
            }
            drop_in.taken = taken.ok();
        }
    }

    /// What is taken of the drop-ins under the rules of another configuration; nothing where that has
    /// another folder.
    fn under(&self, config: &Config) -> BTreeMap<String, Result<(String, Sidecar), String>> {
        let Some(plugins) = &config.plugins else { return BTreeMap::new() };
        if self.config.plugins.as_ref().is_none_or(|before| before.dir != plugins.dir) {
            return BTreeMap::new();
        }
        let taken = self.drop_ins.iter().filter_map(|(name, drop_in)| {
            let (text, _) = drop_in.taken.as_ref()?;
            let sidecar = drop_ins::parse(text, name, config, plugins);
            Some((name.clone(), sidecar.map(|sidecar| (text.clone(), sidecar))))
        });
        taken.collect()
    }

    /// Looks at what is dropped in.
    async fn look(&mut self) {
        let Some(plugins) = &self.config.plugins else { return };
        let found = drop_ins::found(&plugins.dir);
        let gone: Vec<String> =
            self.drop_ins.keys().filter(|name| !found.contains_key(*name)).cloned().collect();
        for name in gone {
            let taken = self.drop_ins.remove(&name).and_then(|drop_in| drop_in.taken);
            if taken.is_some() && self.apply(None).await.is_ok() {
                telemetry::drop_in_removed(&name);
            }
        }
        for (name, files) in found {
            let before = self.drop_ins.entry(name.clone()).or_default();
            let same_sidecar = before.files.sidecar == files.sidecar;
            let seen = before.files == files || before.taken.is_some() && same_sidecar;
            before.files = files;
            // A handler that has changed is its function's own affair.
            if !seen {
                self.take(&name, files).await;
            }
        }
    }

    /// Takes one drop-in as it is now, or says why not.
    async fn take(&mut self, name: &str, files: Files) {
        let taken = match self.try_to_take(name, files).await {
            Ok((text, sidecar)) => {
                telemetry::drop_in_taken(name, sidecar.mappings.len());
                Some((text, sidecar))
            }
            Err(reason) => {
                let before = self.drop_ins.get_mut(name).and_then(|drop_in| drop_in.taken.take());
                telemetry::drop_in_refused(name, &reason, before.is_some());
                before
            }
        };
        self.drop_ins.entry(name.to_owned()).or_default().taken = taken;
    }

    async fn try_to_take(&self, name: &str, files: Files) -> Result<(String, Sidecar), String> {
        let Some(plugins) = &self.config.plugins else {
            return Err("there is no [plugins]".into());
        };
        let text = drop_ins::text(name, files, plugins)?;
        let sidecar = drop_ins::parse(&text, name, &self.config, plugins)?;
        self.apply(Some((name, &sidecar))).await?;
        Ok((text, sidecar))
    }

    /// Applies the configuration with everything that is taken, and with one drop-in as it is now.
    async fn apply(&self, now: Option<(&str, &Sidecar)>) -> Result<(), String> {
        let taken = self.drop_ins.iter().filter_map(|(name, drop_in)| {
            let (_, sidecar) = drop_in.taken.as_ref()?;
            Some((name.as_str(), sidecar))
        });
        let others = taken.filter(|(name, _)| now.is_none_or(|(now, _)| now != *name));
        let config = self.config.with_drop_ins(others.chain(now));
        let applied = self.handle.apply(config).await;
        applied.map(drop).map_err(|error| with_causes(&error))
    }
}
