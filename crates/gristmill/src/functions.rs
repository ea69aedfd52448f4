//! The functions of a host that its mappings call, each with a task that loads it again when its files
//! change.
//!
//! What must never happen: one file loaded by several mappings at once, or a task that goes on for a
//! function that nobody calls any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{AbortHandle, JoinSet};

use crate::config::FunctionConfig;
use crate::function::HostFunction;
use crate::loader::{FunctionError, Loader};
use crate::watch::{Bell, Watch};

/// The functions of a host.
#[derive(Debug)]
pub(crate) struct Functions {
    loader: Arc<Loader>,
    bell: Bell,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    functions: BTreeMap<String, (Arc<HostFunction>, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// A function that is loaded and not called yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    name: String,
    function: Arc<HostFunction>,
    /// Of before it was loaded, so that no change is missed.
    watch: Watch,
}

impl Functions {
    pub(crate) fn new(loader: Loader, bell: Bell) -> Self {
        Self { loader: Arc::new(loader), bell, kept: Mutex::default() }
    }

    /// Loads a function, unless it is here with these very settings.
    ///
    /// # Errors
    ///
    /// [`FunctionError`]
    pub(crate) async fn prepare(
        &self,
        name: &str,
        config: &FunctionConfig,
    ) -> Result<Option<Prepared>, Arc<FunctionError>> {
        let before = self.kept(|kept| kept.functions.get(name).map(|(kept, _)| Arc::clone(kept)));
        if before.as_ref().is_some_and(|before| before.config() == config) {
            return Ok(None);
        }
        let function = Arc::new(HostFunction::new(name, config, before.as_deref()));
        let watch = function.watch(&self.bell);
        function.load(&self.loader).await?;
        Ok(Some(Prepared { name: name.to_owned(), function, watch }))
    }

    /// Calls prepared functions in the place of those of the same names.
    pub(crate) fn install(&self, prepared: Vec<Prepared>) {
        for Prepared { name, function, watch } in prepared {
            let keep = Arc::clone(&function).keep(Arc::clone(&self.loader), watch);
            self.kept(|kept| kept.put(name, function, keep));
        }
    }

    /// A function by its name and settings; it is loaded in the background if it is not here.
    pub(crate) fn get(&self, name: &str, config: &FunctionConfig) -> Arc<HostFunction> {
        self.kept(|kept| {
            let before = kept.functions.get(name).map(|(before, _)| before);
            if let Some(same) = before.filter(|before| before.config() == config) {
                return Arc::clone(same);
            }
            let function =
                Arc::new(HostFunction::new(name, config, before.map(|before| &**before)));
            let (kept_function, loader) = (Arc::clone(&function), Arc::clone(&self.loader));
            let watch = function.watch(&self.bell);
            let load_and_keep = async move {
                // Whoever waits for it is told.
                drop(kept_function.load(&loader).await);
                kept_function.keep(loader, watch).await;
            };
            kept.put(name.to_owned(), Arc::clone(&function), load_and_keep);
            function
        })
    }

    /// Lets go all functions but these.
    pub(crate) fn retain(&self, names: &BTreeSet<&str>) {
        self.kept(|kept| {
            kept.functions.retain(|name, (_, task)| {
                let stays = names.contains(name.as_str());
                if !stays {
                    task.abort();
                }
                stays
            });
        });
    }

    /// Has those loaded again that could not be loaded the last time.
    pub(crate) fn try_again(&self) {
        self.kept(|kept| kept.functions.values().for_each(|(function, _)| function.try_again()));
    }

    fn kept<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn put(
        &mut self,
        name: String,
        function: Arc<HostFunction>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(task);
        if let Some((_, before)) = self.functions.insert(name, (function, task)) {
            before.abort();
        }
        // Those that were let go.
        while self.tasks.try_join_next().is_some() {}
    }
}
