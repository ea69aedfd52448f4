//! The life of one mapping in a host: wait until nothing stands in its way, work, and begin again.
//!
//! ```text
//! held, or its function does not load ──somebody acts──▶ working ──stop──▶ over
//!    ▲                                                      │
//!    └──────────────── it has come to be held ──────────────┘
//! ```
//!
//! What must never happen: a mapping that stays away although what was wrong has been mended.

use std::path::PathBuf;
use std::sync::Arc;

use gristmill_broker::{Source, StopCode, with_causes};
use gristmill_mapping::status::{Board, Change};
use gristmill_mapping::{Finished, Lanes, Mapping, OnFailure, Ports};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::MappingConfig;
use crate::connections::Connection;
use crate::function::{HostFunction, Readiness};
use crate::held::HoldFile;
use crate::plan::Plan;
use crate::telemetry;
use crate::watch::{Bell, Watch};

/// One mapping of a host.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) plan: Arc<Plan>,
    pub(crate) connection: Connection,
    /// Where its given-up messages go.
    pub(crate) on_failure: OnFailure,
    pub(crate) function: Arc<HostFunction>,
    pub(crate) board: Arc<Board>,
    pub(crate) guests: Lanes,
    /// The file that holds it, if it is there.
    pub(crate) held: PathBuf,
    pub(crate) bell: Bell,
}

/// What keeps a mapping from working.
struct Obstacle {
    code: StopCode,
    sentence: String,
}

impl Obstacle {
    fn hold(sentence: String) -> Self {
        Self { code: StopCode::ConfigNotValid, sentence }
    }
}

impl Life {
    /// Works until `stop` is cancelled.
    pub(crate) async fn live(self, stop: CancellationToken) {
        let mut readiness = self.function.readiness();
        while !stop.is_cancelled() {
            // From before the file is read, so that no change is missed.
            let mut watch = Watch::files(&self.bell, vec![self.held.clone()]);
            let prepared = stop.run_until_cancelled(self.prepare(&mut readiness)).await;
            let obstacle = match prepared {
                None => break,
                Some(Err(obstacle)) => obstacle,
                Some(Ok(hold)) => {
                    match self.work(Arc::clone(&hold), stop.clone()).await {
                        Some(Finished::Held) => {}
                        // It has said so itself.
                        Some(Finished::Stopped) | None => return,
                    }
                    // With its file there, the next look at it says why.
                    let Some(sentence) = hold.unwritten() else { continue };
                    Obstacle::hold(sentence)
                }
            };
            self.refuse(&obstacle);
            let act = async {
                tokio::select! {
                    () = watch.changed() => {}
                    // The sender is the function's, which is ours too.
                    changed = readiness.changed() => drop(changed),
                }
            };
            stop.run_until_cancelled(act).await;
        }
        self.note(Change::Drain);
        self.note(Change::Ended);
    }

    fn note(&self, change: Change) {
        if let Some(status) = self.board.note(change) {
            telemetry::state_changed(&self.plan.name, &status);
        }
    }

    /// Waits until the function is loaded, and looks for a hold.
    async fn prepare(
        &self,
        readiness: &mut watch::Receiver<Readiness>,
    ) -> Result<Arc<HoldFile>, Obstacle> {
        let is_known = |readiness: &Readiness| !matches!(readiness, Readiness::Waiting);
        if let Ok(known) = readiness.wait_for(is_known).await
            && let Readiness::Refused(error) = &*known
        {
            let sentence = with_causes(&**error);
            return Err(Obstacle { code: StopCode::FunctionNotValid, sentence });
        }
        let settings = self.plan.fingerprint();
        let function = Arc::clone(&self.function);
        let fingerprint = move || Uuid::new_v5(&settings, function.sha256().as_bytes());
        let hold = Arc::new(HoldFile::new(self.held.clone(), &self.plan.name, fingerprint));
        match hold.sentence() {
            None => Ok(hold),
            Some(sentence) => Err(Obstacle::hold(sentence)),
        }
    }

    fn refuse(&self, obstacle: &Obstacle) {
        let Obstacle { code, sentence } = obstacle;
        telemetry::not_working(&self.plan.name, *code, sentence);
        self.note(Change::Refused(*code, sentence.clone()));
    }

    async fn work(&self, hold: Arc<HoldFile>, stop: CancellationToken) -> Option<Finished> {
        match &self.connection {
            Connection::RabbitMq(broker) => {
                let source = broker.source(self.plan.rabbitmq_source());
                self.work_on(source, hold, stop).await
            }
            Connection::ActiveMq(broker) => {
                let source = broker.source(self.plan.activemq_source());
                self.work_on(source, hold, stop).await
            }
            Connection::Embedded(broker) => {
                let MappingConfig { queue, prefetch, .. } = &self.plan.mapping;
                self.work_on(broker.source(queue, prefetch.get()), hold, stop).await
            }
            Connection::Custom(broker) => broker.work(self, hold, stop).await,
        }
    }

    pub(crate) async fn work_on(
        &self,
        source: impl Source,
        hold: Arc<HoldFile>,
        stop: CancellationToken,
    ) -> Option<Finished> {
        let nudge = Arc::new(Notify::new());
        let ports = Ports {
            guests: self.guests.clone(),
            board: Arc::clone(&self.board),
            hold,
            nudge: Arc::clone(&nudge),
        };
        let settings = self.plan.settings(self.on_failure.clone())?;
        let mapping = Mapping::new(settings, source, Arc::clone(&self.function), ports);
        let mut secrets = Watch::files(&self.bell, self.plan.secrets());
        let watching = async {
            loop {
                secrets.changed().await;
                nudge.notify_one();
            }
        };
        tokio::select! {
            finished = mapping.run(stop) => Some(finished),
            () = watching => None,
        }
    }
}
