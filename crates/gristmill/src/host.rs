//! A running host: its mappings, each in a task of its own, watched over.
//!
//! ```text
//! a mapping's task   runs ──ended──▶ wanted with other settings? runs again;  not wanted? gone
//!                      └─panicked─▶ runs again, after a while
//! ```
//!
//! What must never happen: one mapping's end or trouble that ends another, or two tasks that work for
//! one mapping at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gristmill_mapping::backoff::Backoff;
use gristmill_mapping::status::{Board, Change};
use gristmill_sandbox::{Engine, EngineError, EngineSettings};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::compile::Compiler;
use crate::config::{Config, HostConfig};
use crate::connections::{self, Connections, Use};
use crate::data_dir::{DataDir, DataDirError};
use crate::dead_letters::{DeadLetterStore, dead_letter_store, on_failure};
use crate::embedded::Embedded;
use crate::functions::Functions;
use crate::guests::Guests;
use crate::handle::{Applied, HostHandle, Order};
use crate::life::Life;
use crate::loader::Loader;
use crate::plan::{Plan, Plans};
use crate::telemetry;
use crate::watch::Bell;

/// A host that cannot start. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("{}", .0.join("; "))]
    Config(Vec<String>),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The engine does not run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No threads for the handlers.
    #[error("cannot start the threads for the handlers")]
    Guests(#[source] std::io::Error),
    /// No thread for an embedded broker.
    #[error("cannot start a thread for an embedded broker")]
    Embedded(#[source] std::io::Error),
}

/// What the engine of a host is sized by.
#[must_use]
pub fn engine_settings(host: &HostConfig) -> EngineSettings {
    EngineSettings { instances_max: host.instances_max, memory_max_bytes: host.memory_max_bytes }
}

/// A host, ready to run: its data directory is its own.
#[derive(Debug)]
pub struct Host {
    handle: HostHandle,
    plans: Plans,
    orders: mpsc::Receiver<Order>,
    running: watch::Sender<bool>,
    connections: Connections,
    /// Ends the handlers' threads with the host.
    guests: Guests,
    embedded: Arc<Embedded>,
    /// Holds the lock of the data directory.
    data_dir: DataDir,
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
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(StartError::Config(problems));
        }
        let data_dir = DataDir::open(&config.host.data_dir)?;
        let environment = Arc::new(environment);
        let looked_up = Arc::clone(&environment);
        let engine = Engine::new(engine_settings(&config.host))?;
        let region = &config.host.region;
        let loader = Loader::new(engine, compiler, move |name| looked_up(name), region);
        let loader = loader.with_cache(data_dir.cache()?);
        let guests = Guests::start().map_err(StartError::Guests)?;
        let embedded = Arc::new(Embedded::of_host(config.host.data_dir.clone()));
        embedded.apply(&config).map_err(StartError::Embedded)?;
        let bell = Bell::new();
        // One is applied at a time.
        let (sender, orders) = mpsc::channel(1);
        let (running, is_running) = watch::channel(false);
        let plans = Plan::all(&config, data_dir.id());
        let handle = HostHandle {
            status: crate::status::HostStatus::default(),
            functions: Arc::new(Functions::new(loader, bell.clone())),
            bell,
            data_dir_id: data_dir.id(),
            embedded: Arc::clone(&embedded),
            host: Arc::new(config.host),
            running: is_running,
            applying: Arc::default(),
            orders: sender,
        };
        let connections = Connections::new(environment, Arc::clone(&embedded));
        Ok(Self { handle, plans, orders, running, connections, guests, embedded, data_dir })
    }

    /// A handle, by which the host is looked at and given another configuration.
    #[must_use]
    pub fn handle(&self) -> HostHandle {
        self.handle.clone()
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
        let Self {
            handle,
            plans,
            mut orders,
            running: is_running,
            connections,
            guests,
            embedded,
            data_dir,
        } = self;
        let (bell, host) = (handle.bell.clone(), Arc::clone(&handle.host));
        let mut tasks = Tasks {
            handle,
            connections,
            store: dead_letter_store(&host),
            guests,
            held: data_dir.held(),
            mappings: BTreeMap::new(),
            running: JoinSet::new(),
            ids: HashMap::new(),
            closing: JoinSet::new(),
            stop,
        };
        tasks.apply(plans);
        telemetry::started(tasks.running.len());
        is_running.send_replace(true);
        tokio::select! {
            () = tasks.supervise(&mut orders) => {}
            () = bell.ring() => {}
            () = embedded.answer_the_door(&bell) => {}
        }
        tasks.guests.rest().await;
        tasks.close().await;
        embedded.close().await;
        telemetry::stopped();
    }
}

/// The mappings' tasks. Dropping it ends them.
struct Tasks {
    handle: HostHandle,
    connections: Connections,
    store: DeadLetterStore,
    guests: Guests,
    /// The folder of the files that hold mappings.
    held: PathBuf,
    mappings: BTreeMap<String, Supervised>,
    running: JoinSet<()>,
    /// The names of those that run.
    ids: HashMap<Id, String>,
    /// Connections that nobody uses any more.
    closing: JoinSet<()>,
    stop: CancellationToken,
}

/// A mapping as it is to be, and what is there of it.
struct Supervised {
    /// What it is to be; `None`: gone.
    plan: Option<Arc<Plan>>,
    board: Arc<Board>,
    /// Ends what runs; there while it does.
    running: Option<CancellationToken>,
    /// How often its task has panicked.
    panics: u32,
}

impl Tasks {
    async fn supervise(&mut self, orders: &mut mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                Some(order) = orders.recv(), if !self.stop.is_cancelled() => {
                    self.handle.functions.install(order.prepared);
                    let applied = self.apply(order.plans);
                    telemetry::applied(&applied);
                    // Whoever gave the order may have gone.
                    order.done.send(applied).unwrap_or_default();
                }
                () = self.stop.cancelled(), if self.running.is_empty() => return,
                else => return,
            }
            self.let_go();
        }
    }

    /// Makes of the mappings what they are to be.
    fn apply(&mut self, plans: Plans) -> Applied {
        let mut applied = Applied::default();
        for (name, mapping) in &mut self.mappings {
            if !plans.contains_key(name) && mapping.plan.take().is_some() {
                applied.removed += 1;
                mapping.tell(name, Change::Delete);
            }
        }
        for (name, plan) in plans {
            let before = self.mappings.get(&name).map(|mapping| mapping.plan.clone());
            match before {
                Some(Some(before)) if *before == plan => applied.unchanged += 1,
                Some(Some(_)) => {
                    applied.changed += 1;
                    self.change(&name, Arc::new(plan));
                }
                Some(None) | None => {
                    applied.added += 1;
                    self.add(name, Arc::new(plan));
                }
            }
        }
        // Those that were not running are gone at once.
        let idle = self
            .mappings
            .extract_if(.., |_, mapping| mapping.plan.is_none() && mapping.running.is_none());
        idle.for_each(|(name, _)| self.handle.status.remove(&name));
        applied
    }

    fn add(&mut self, name: String, plan: Arc<Plan>) {
        // One of this name may still be draining, and says so on a board that nobody sees any more.
        self.handle.status.remove(&name);
        let board = self.handle.status.show(Arc::clone(&plan));
        let running = self.mappings.remove(&name).and_then(|before| before.running);
        let is_free = running.is_none();
        let enabled = plan.mapping.enabled;
        self.mappings
            .insert(name.clone(), Supervised { plan: Some(plan), board, running, panics: 0 });
        if !enabled {
            self.disable(&name);
        } else if is_free {
            self.start(&name, Duration::ZERO);
        }
    }

    fn change(&mut self, name: &str, plan: Arc<Plan>) {
        let Some(mapping) = self.mappings.get_mut(name) else { return };
        self.handle.status.show(Arc::clone(&plan));
        let enabled = plan.mapping.enabled;
        mapping.plan = Some(plan);
        mapping.panics = 0;
        mapping.tell(name, if enabled { Change::Update } else { Change::Disable });
        if mapping.running.is_some() {
            // It begins anew when it has ended.
        } else if enabled {
            self.start(name, Duration::ZERO);
        } else {
            self.disable(name);
        }
    }

    /// Says that a mapping that does not run is not to run.
    fn disable(&mut self, name: &str) {
        if let Some(mapping) = self.mappings.get_mut(name) {
            mapping.tell(name, Change::Disable);
            mapping.tell(name, Change::Ended);
        }
    }

    /// Starts a mapping that does not run.
    fn start(&mut self, name: &str, wait: Duration) {
        let Some(mapping) = self.mappings.get_mut(name) else { return };
        let Some(plan) = &mapping.plan else { return };
        let stop = self.stop.child_token();
        let (broker, function) = (&plan.mapping.broker, &plan.mapping.function);
        let virtual_host = plan.mapping.virtual_host.as_deref().unwrap_or_default();
        let connection = self.connections.get(broker, &plan.broker, virtual_host, Use::Consume);
        // An embedded broker is there before its mappings are, and goes after them.
        let Some(connection) = connection else { return };
        let life = Life {
            connection,
            on_failure: on_failure(plan, &self.store, &mut self.connections),
            function: self.handle.functions.get(function, &plan.function),
            plan: Arc::clone(plan),
            board: Arc::clone(&mapping.board),
            guests: self.guests.lanes(),
            held: self.held.join(name),
            bell: self.handle.bell.clone(),
        };
        mapping.running = Some(stop.clone());
        let task = self.running.spawn(async move {
            if stop.run_until_cancelled(sleep(wait)).await.is_some() {
                Box::pin(life.live(stop)).await;
            }
        });
        self.ids.insert(task.id(), name.to_owned());
    }

    /// What is to be done when a mapping's task has ended.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, panicked) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(name) = self.ids.remove(&id) else { return };
        let Some(mapping) = self.mappings.get_mut(&name) else { return };
        let was_told = mapping.running.take().is_some_and(|stop| stop.is_cancelled());
        let Some(plan) = &mapping.plan else {
            self.mappings.remove(&name);
            self.handle.status.remove(&name);
            return;
        };
        let enabled = plan.mapping.enabled;
        if panicked && enabled {
            mapping.panics += 1;
            let wait = Backoff::RECONNECT.wait(mapping.panics, 0.0);
            telemetry::mapping_panicked(&name, wait);
            mapping
                .tell(&name, Change::Away("its task panicked, which is a bug of the host".into()));
            self.start(&name, wait);
        } else if self.stop.is_cancelled() {
            // It has ended with the host.
        } else if enabled && was_told {
            // A connection that was lost on the way may have ended the state.
            mapping.tell(&name, Change::Update);
            self.start(&name, Duration::ZERO);
        } else if !enabled {
            // If it was told so before it began, it has not said it itself.
            mapping.tell(&name, Change::Ended);
        }
    }

    /// Lets go what no mapping uses any more.
    fn let_go(&mut self) {
        let plans = self.mappings.values().filter_map(|mapping| mapping.plan.as_ref());
        let called = plans.filter(|plan| plan.mapping.enabled);
        let called: BTreeSet<&str> = called.map(|plan| plan.mapping.function.as_str()).collect();
        self.handle.functions.retain(&called);
        let unused = self.connections.take_unused();
        if !unused.is_empty() {
            self.closing.spawn(connections::close(unused));
        }
        while self.closing.try_join_next().is_some() {}
    }

    /// Closes every connection, when no mapping runs any more.
    async fn close(&mut self) {
        self.let_go();
        while self.closing.join_next().await.is_some() {}
    }
}

impl Supervised {
    /// Notes what it is told. What runs of it is ended by that, to begin anew or not at all.
    fn tell(&mut self, name: &str, change: Change) {
        let ends = matches!(change, Change::Update | Change::Disable | Change::Delete);
        if let Some(status) = self.board.note(change) {
            telemetry::state_changed(name, &status);
        }
        if let Some(stop) = self.running.as_ref().filter(|_| ends) {
            stop.cancel();
        }
    }
}
