//! What others have of a running host: its status, and a way to give it another configuration.
//!
//! A configuration is applied as a difference. What must never happen: a mapping that is disturbed
//! although nothing of it has changed, or a configuration that is applied in part.

use std::sync::Arc;

use gristmill_broker::with_causes;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::config::{Config, HostConfig};
use crate::embedded::{Embedded, EmbeddedBroker, OpenError};
use crate::functions::{Functions, Prepared};
use crate::loader::FunctionError;
use crate::plan::{Plan, Plans};
use crate::status::HostStatus;
use crate::watch::Bell;

/// A handle to a host, which outlives it. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct HostHandle {
    pub(crate) status: HostStatus,
    pub(crate) bell: Bell,
    pub(crate) functions: Arc<Functions>,
    pub(crate) data_dir_id: Uuid,
    pub(crate) embedded: Arc<Embedded>,
    /// The section `[host]` that the host was made with.
    pub(crate) host: Arc<HostConfig>,
    /// Whether the host has begun to run; closed when it has ended.
    pub(crate) running: watch::Receiver<bool>,
    /// Locked while a configuration is applied.
    pub(crate) applying: Arc<Mutex<()>>,
    pub(crate) orders: mpsc::Sender<Order>,
}

/// Other plans for a running host.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) plans: Plans,
    pub(crate) prepared: Vec<Prepared>,
    pub(crate) done: oneshot::Sender<Applied>,
}

/// What a configuration has changed, in numbers of mappings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Those that were not there.
    pub added: usize,
    /// Those that drain and begin anew with other settings, or stop because they are disabled.
    pub changed: usize,
    /// Those that drain and go.
    pub removed: usize,
    /// Those that never notice.
    pub unchanged: usize,
}

/// Why a configuration was not applied. The one before goes on.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The configuration cannot work.
    #[error("{}", .0.join("; "))]
    Config(Vec<String>),
    /// Functions that are new or changed and that mappings call do not load.
    #[error("{}", .0.iter().map(|error| with_causes(&**error)).collect::<Vec<_>>().join("; "))]
    Functions(Vec<Arc<FunctionError>>),
    /// It has another data directory, in which other grants are safe.
    #[error("host.data_dir has changed, which takes a restart of the host")]
    DataDir,
    /// No thread for an embedded broker.
    #[error("cannot start a thread for an embedded broker")]
    Embedded(#[source] std::io::Error),
    /// The host does not run, or is about to end.
    #[error("the host does not run")]
    NotRunning,
}

impl HostHandle {
    /// What the host says about its mappings.
    #[must_use]
    pub fn status(&self) -> HostStatus {
        self.status.clone()
    }

    /// An embedded broker of the host, to publish on; `None` if the configuration has none of this name.
    #[must_use]
    pub fn embedded(&self, broker: &str) -> Option<EmbeddedBroker> {
        self.embedded.get(broker)
    }

    /// The embedded broker that has a queue and is open to whoever reaches the host's `listen` address.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_embedded(
        &self,
        queue: &str,
        broker: Option<&str>,
    ) -> Result<EmbeddedBroker, OpenError> {
        self.embedded.open_to_http(queue, broker)
    }

    /// Gives the host another configuration, and returns when it is in force: mappings that it leaves
    /// as they are never notice, changed ones drain and begin anew, removed ones drain and go. What is
    /// draining then may take its time.
    ///
    /// The section `[host]` stays as it was when the host was made. Waits until the host runs.
    ///
    /// # Errors
    ///
    /// [`ApplyError`]; then nothing has changed, but for the settings of embedded brokers of a host that is
    /// about to end. That a function does not load whose handler is
    /// dropped in is no such error: it keeps its mappings from working, until it does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the configuration applied or not, but never in part.
    pub async fn apply(&self, config: Config) -> Result<Applied, ApplyError> {
        self.apply_for(None, config).await
    }

    /// The same for the sake of one handler that was dropped in, which has to load.
    pub(crate) async fn apply_for(
        &self,
        drop_in: Option<&str>,
        config: Config,
    ) -> Result<Applied, ApplyError> {
        // Before that, its first functions are not known to be its own.
        let mut running = self.running.clone();
        running.wait_for(|running| *running).await.map_err(|_| ApplyError::NotRunning)?;
        let _one_at_a_time = self.applying.lock().await;
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(ApplyError::Config(problems));
        }
        if config.host.data_dir != self.host.data_dir {
            return Err(ApplyError::DataDir);
        }
        let config = Config { host: HostConfig::clone(&self.host), ..config };
        let plans = Plan::all(&config, self.data_dir_id);
        let (mut prepared, mut errors) = (Vec::new(), Vec::new());
        for (name, function) in &config.functions {
            let mut mappings = config.mappings.values();
            if !mappings.any(|mapping| mapping.enabled && mapping.function == *name) {
                continue;
            }
            match self.functions.prepare(name, function).await {
                Ok(function) => prepared.extend(function),
                Err(_) if function.dropped_in && drop_in != Some(name.as_str()) => {}
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(ApplyError::Functions(errors));
        }
        let (done, applied) = oneshot::channel();
        let order = Order { plans, prepared, done };
        let permit = self.orders.reserve().await.map_err(|_| ApplyError::NotRunning)?;
        // From here on nothing waits, so that both are applied or none.
        self.embedded.apply(&config).map_err(ApplyError::Embedded)?;
        permit.send(order);
        applied.await.map_err(|_| ApplyError::NotRunning)
    }
}
