//! A running host: its mappings, each in a task of its own, watched over.
//!
//! A mapping that panics, which would be a bug, is started again with backoff; the others go on.
//!
//! What must never happen: one mapping's end that ends another, or a host that starts half.

use std::collections::HashMap;
use std::time::Duration;

use gristmill_mapping::backoff::Backoff;
use gristmill_sandbox::{Engine, EngineError};
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::functions::{FunctionError, load_functions};
use crate::guests::Guests;
use crate::telemetry;
use crate::wiring::{Wiring, WiringError};

/// A host that cannot start. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The engine does not run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Functions cannot be loaded.
    #[error("{} of the functions cannot be loaded", .0.len())]
    Functions(Vec<FunctionError>),
    /// A mapping cannot be wired.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// No threads for the handlers.
    #[error("cannot start the threads for the handlers")]
    Guests(#[source] std::io::Error),
}

/// A host, ready to run: its functions are loaded, its data directory is its own.
#[derive(Debug)]
pub struct Host {
    wiring: Wiring,
    /// Holds the lock of the data directory.
    _data_dir: DataDir,
    /// Ends the handlers' threads with the host.
    _guests: Guests,
}

impl Host {
    /// Loads everything that a configuration names. Connects to nothing; blocks while handlers are
    /// compiled, which takes up to seconds each.
    ///
    /// `environment` looks up the variables that credentials name.
    ///
    /// # Errors
    ///
    /// [`StartError`]: nothing starts half-configured.
    pub fn load(
        config: Config,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, StartError> {
        let data_dir = DataDir::open(&config.host.data_dir)?;
        let engine = Engine::new()?;
        let functions = load_functions(&engine, &config).map_err(StartError::Functions)?;
        let guests = Guests::start().map_err(StartError::Guests)?;
        let wiring = Wiring::new(config, data_dir.id(), functions, guests.handle(), environment)?;
        Ok(Self { wiring, _data_dir: data_dir, _guests: guests })
    }

    /// Runs every enabled mapping until `stop` is cancelled; then drains them, each within the drain
    /// timeout. Returns when all have ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cuts everything short. Nothing is lost: what was not settled goes back to
    /// the brokers.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = Tasks { host: &self, running: JoinSet::new(), lives: HashMap::new(), stop };
        for name in self.wiring.enabled() {
            tasks.start(Life { name: name.to_owned(), panics: 0 }, Duration::ZERO);
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
    lives: HashMap<Id, Life>,
    stop: CancellationToken,
}

/// A mapping, and how often its task has panicked.
struct Life {
    name: String,
    panics: u32,
}

impl Tasks<'_> {
    fn start(&mut self, life: Life, wait: Duration) {
        let Some(mapping) = self.host.wiring.mapping(&life.name) else { return };
        let stop = self.stop.clone();
        let task = self.running.spawn(async move {
            if stop.run_until_cancelled(sleep(wait)).await.is_some() {
                mapping.run(stop).await;
            }
        });
        self.lives.insert(task.id(), life);
    }

    async fn supervise(&mut self) {
        while let Some(ended) = self.running.join_next_with_id().await {
            let (id, panicked) = match ended {
                Ok((id, ())) => (id, false),
                Err(error) => (error.id(), error.is_panic()),
            };
            let Some(mut life) = self.lives.remove(&id) else { continue };
            if panicked {
                life.panics += 1;
                let wait = Backoff::RECONNECT.wait(life.panics, 0.0);
                telemetry::mapping_panicked(&life.name, wait);
                self.start(life, wait);
            }
        }
    }
}
