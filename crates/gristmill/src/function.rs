//! One function of a host, whose handler can be replaced while it works.
//!
//! ```text
//! Waiting ─loaded─▶ Ready(version) ─its files changed, loaded─▶ Ready(another version)
//!    └──refused──▶ Refused ─its files changed─┘     └─refused─▶ Ready(the same version as before)
//! ```
//!
//! A call takes the version that is current when it begins and keeps it to its end; an old version
//! goes, with its idle instances, when its last call has ended. What must never happen: a call that is
//! handled by two versions, or a file that does not load and takes the place of one that did.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use gristmill_invocation::{Function, Invocation, Report};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::config::{FunctionConfig, Variable};
use crate::loader::{FunctionError, Loader, Version};
use crate::telemetry;
use crate::watch::{Bell, Watch};

/// A function of a host.
#[derive(Debug)]
pub(crate) struct HostFunction {
    name: String,
    config: FunctionConfig,
    /// The bound on its calls, over everything that is loaded of it.
    concurrency: Option<Arc<Semaphore>>,
    /// What is called; none before one has been loaded.
    current: ArcSwapOption<Version>,
    readiness: watch::Sender<Readiness>,
    /// The SHA-256 of what was called before it, under other settings.
    replaces: Option<String>,
    /// Rung when it is to be loaded again though no file has changed.
    again: Notify,
    /// Whether the last try to load it failed.
    failing: AtomicBool,
}

/// Whether a function can be called.
#[derive(Debug, Clone)]
pub(crate) enum Readiness {
    /// Nothing has been loaded yet.
    Waiting,
    /// It can.
    Ready,
    /// Nothing that can be loaded has been there.
    Refused(Arc<FunctionError>),
}

impl HostFunction {
    /// A function that is not loaded yet. With `before`, one of the same name, it shares the bound on
    /// its calls, unless that is another.
    pub(crate) fn new(name: &str, config: &FunctionConfig, before: Option<&Self>) -> Self {
        let same =
            |before: &&Self| before.config.reserved_concurrency == config.reserved_concurrency;
        let concurrency = match (before.filter(same), config.reserved_concurrency) {
            (Some(before), _) => before.concurrency.clone(),
            (None, most) => most.map(|most| Arc::new(Semaphore::new(most.get().into()))),
        };
        Self {
            name: name.to_owned(),
            config: config.clone(),
            concurrency,
            current: ArcSwapOption::empty(),
            readiness: watch::Sender::new(Readiness::Waiting),
            replaces: before.map(Self::sha256).filter(|sha256| !sha256.is_empty()),
            again: Notify::new(),
            failing: AtomicBool::new(false),
        }
    }

    pub(crate) fn config(&self) -> &FunctionConfig {
        &self.config
    }

    /// Tells whether it can be called, and wakes whenever another version is loaded.
    pub(crate) fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// The SHA-256 of the handler file that is called now; empty before one was loaded.
    pub(crate) fn sha256(&self) -> String {
        self.current.load().as_ref().map(|version| version.sha256.clone()).unwrap_or_default()
    }

    /// Watches what it is loaded from, as it is now.
    pub(crate) fn watch(&self, bell: &Bell) -> Watch {
        let values = self.config.environment.values().filter_map(|variable| match variable {
            Variable::File(path) => Some(path.clone()),
            Variable::Literal(_) | Variable::Environment(_) => None,
        });
        let dirs = self.config.grants.dirs.iter().map(|dir| dir.host.clone());
        let files: Vec<PathBuf> =
            values.chain(dirs).chain(self.config.component.path().map(Path::to_owned)).collect();
        Watch::files(bell, files)
    }

    /// Loads it from its files as they are now, and calls that from now on.
    ///
    /// # Errors
    ///
    /// [`FunctionError`]; what could be called before still can.
    pub(crate) async fn load(
        self: &Arc<Self>,
        loader: &Arc<Loader>,
    ) -> Result<(), Arc<FunctionError>> {
        let permit = loader.permit(&self.config).await;
        let (function, loader) = (Arc::clone(self), Arc::clone(loader));
        let load = move || {
            let concurrency = function.concurrency.clone();
            loader.load(&function.name, &function.config, concurrency)
        };
        let loaded = match spawn_blocking(load).await {
            Ok(loaded) => loaded.map_err(Arc::new),
            // Only a panic while loading, which would be a bug, comes here.
            Err(lost) => {
                Err(Arc::new(FunctionError::Lost { function: self.name.clone(), source: lost }))
            }
        };
        drop(permit);
        self.failing.store(loaded.is_err(), Ordering::Relaxed);
        match loaded {
            Ok(version) => {
                let new = version.sha256.clone();
                let old = self.current.swap(Some(Arc::new(version)));
                match old.map(|old| old.sha256.clone()).or(self.replaces.clone()) {
                    Some(old) => telemetry::handler_reloaded(&self.name, &old, &new),
                    None => telemetry::handler_loaded(&self.name, &new),
                }
                self.readiness.send_replace(Readiness::Ready);
                Ok(())
            }
            Err(error) => {
                match self.current.load().as_ref() {
                    Some(current) => telemetry::handler_kept(&self.name, &current.sha256, &error),
                    None => {
                        drop(self.readiness.send_replace(Readiness::Refused(Arc::clone(&error))))
                    }
                }
                Err(error)
            }
        }
    }

    /// Loads it again whenever `watch`, which is of before it was last loaded, tells of a change. The
    /// future never ends.
    pub(crate) async fn keep(self: Arc<Self>, loader: Arc<Loader>, mut watch: Watch) {
        loop {
            tokio::select! {
                () = watch.settled() => {}
                () = self.again.notified() => {}
            }
            // It has said so itself.
            drop(self.load(&loader).await);
        }
    }

    /// Has it loaded again, if the last try failed.
    pub(crate) fn try_again(&self) {
        if self.failing.load(Ordering::Relaxed) {
            self.again.notify_one();
        }
    }
}

impl Function for HostFunction {
    fn name(&self) -> &str {
        &self.name
    }

    async fn invoke(&self, invocation: Invocation<'_>) -> Report {
        match self.current.load_full() {
            Some(version) => version.function.invoke(invocation).await,
            // Mappings start when it is ready.
            None => Report::not_started(),
        }
    }
}
