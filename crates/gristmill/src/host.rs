//! A running host: its mappings, each in a task of its own, watched over.
//!
//! A mapping that panics, which would be a bug, is started again with backoff; the others go on.
//!
//! What must never happen: one mapping's end or trouble that ends another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gristmill_mapping::backoff::Backoff;
use gristmill_mapping::status::Change;
use gristmill_sandbox::{Engine, EngineError, EngineSettings};
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::compile::Compiler;
use crate::config::{Config, HostConfig};
use crate::data_dir::{DataDir, DataDirError};
use crate::functions::{Functions, Loader};
use crate::guests::Guests;
use crate::life::Life;
use crate::status::HostStatus;
use crate::telemetry;
use crate::wiring::Wiring;

/// A host that cannot start. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The engine does not run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No threads for the handlers.
    #[error("cannot start the threads for the handlers")]
    Guests(#[source] std::io::Error),
}

/// What the engine of a host is sized by.
#[must_use]
pub fn engine_settings(host: &HostConfig) -> EngineSettings {
    EngineSettings { instances_max: host.instances_max, memory_max_bytes: host.memory_max_bytes }
}

/// A host, ready to run: its data directory is its own.
#[derive(Debug)]
pub struct Host {
    wiring: Arc<Wiring>,
    functions: Arc<Functions>,
    status: HostStatus,
    /// Ends the handlers' threads with the host.
    guests: Guests,
    /// Holds the lock of the data directory.
    _data_dir: DataDir,
}

impl Host {
    /// A host that has not started. Loads no handler and connects to nothing yet.
    ///
    /// `environment` looks up the variables that credentials and functions name; `compiler` makes
    /// native code of handlers that are not in the data directory's cache yet.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn new(
        config: Config,
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        compiler: impl Compiler + 'static,
    ) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&config.host.data_dir)?;
        let environment = Arc::new(environment);
        let looked_up = Arc::clone(&environment);
        let engine = Engine::new(engine_settings(&config.host))?;
        let region = &config.host.region;
        let loader = Loader::new(engine, compiler, move |name| looked_up(name), region);
        let loader = loader.with_cache(data_dir.cache()?);
        let functions = Arc::new(Functions::new(loader, &config));
        let guests = Guests::start().map_err(StartError::Guests)?;
        let wiring = Arc::new(Wiring::new(config, &data_dir, move |name| environment(name)));
        let status = HostStatus::new(wiring.entries());
        Ok(Self { wiring, functions, status, guests, _data_dir: data_dir })
    }

    /// A handle to what the host says about its mappings.
    #[must_use]
    pub fn status(&self) -> HostStatus {
        self.status.clone()
    }

    /// Runs every enabled mapping until `stop` is cancelled; then drains them, each within the drain
    /// timeout. Returns when all have ended.
    ///
    /// A mapping that cannot work, because of its broker, its queue or its function, is looked after
    /// until somebody has mended what is wrong, while the others go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts everything short. Nothing is lost: what was not settled goes back to
    /// the brokers.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = Tasks { host: &self, running: JoinSet::new(), lives: HashMap::new(), stop };
        for name in self.wiring.enabled() {
            tasks.start(Named { name: name.to_owned(), panics: 0 }, Duration::ZERO);
        }
        telemetry::started(tasks.running.len());
        tasks.supervise().await;
        self.wiring.close().await;
        telemetry::stopped();
    }
}

/// The mappings' tasks. Dropping it ends them.
struct Tasks<'a> {
    host: &'a Host,
    running: JoinSet<()>,
    lives: HashMap<Id, Named>,
    stop: CancellationToken,
}

/// A mapping, and how often its task has panicked.
struct Named {
    name: String,
    panics: u32,
}

impl Tasks<'_> {
    fn start(&mut self, named: Named, wait: Duration) {
        let Some(board) = self.host.status.board(&named.name) else { return };
        let life = Life {
            name: named.name.clone(),
            wiring: Arc::clone(&self.host.wiring),
            functions: Arc::clone(&self.host.functions),
            board,
            guests: self.host.guests.lanes(),
        };
        let stop = self.stop.clone();
        let task = self.running.spawn(async move {
            if stop.run_until_cancelled(sleep(wait)).await.is_some() {
                life.live(stop).await;
            }
        });
        self.lives.insert(task.id(), named);
    }

    async fn supervise(&mut self) {
        while let Some(ended) = self.running.join_next_with_id().await {
            let (id, panicked) = match ended {
                Ok((id, ())) => (id, false),
                Err(error) => (error.id(), error.is_panic()),
            };
            let Some(mut named) = self.lives.remove(&id) else { continue };
            if panicked {
                named.panics += 1;
                let wait = Backoff::RECONNECT.wait(named.panics, 0.0);
                telemetry::mapping_panicked(&named.name, wait);
                if let Some(board) = self.host.status.board(&named.name) {
                    board
                        .note(Change::Away("its task panicked, which is a bug of the host".into()));
                }
                self.start(named, wait);
            }
        }
    }
}
