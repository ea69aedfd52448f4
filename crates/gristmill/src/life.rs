//! The life of one mapping in a host: wait until nothing stands in its way, work, and begin again.
//!
//! ```text
//! held, or its function does not load ──somebody acts──▶ working ──stop──▶ over
//!    ▲                                                      │
//!    └──────────────── it has come to be held ──────────────┘
//! ```
//!
//! What must never happen: a mapping that stays away although what was wrong has been mended.

use std::sync::Arc;

use gristmill_broker::{StopCode, with_causes};
use gristmill_mapping::status::{Board, Change};
use gristmill_mapping::{Finished, Lanes, Ports};
use gristmill_sandbox::LoadedFunction;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::functions::Functions;
use crate::held::HoldFile;
use crate::telemetry;
use crate::watch::Watch;
use crate::wiring::Wiring;

/// One mapping of a host.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) name: String,
    pub(crate) wiring: Arc<Wiring>,
    pub(crate) functions: Arc<Functions>,
    pub(crate) board: Arc<Board>,
    pub(crate) guests: Lanes,
}

/// What keeps a mapping from working.
struct Obstacle {
    code: StopCode,
    sentence: String,
}

impl Obstacle {
    fn function(sentence: String) -> Self {
        Self { code: StopCode::FunctionNotValid, sentence }
    }
}

impl Life {
    /// Works until `stop` is cancelled.
    pub(crate) async fn live(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // From before the files are read, so that no change is missed.
            let mut watch = Watch::new(self.wiring.obstacles_of(&self.name));
            let Some(prepared) = stop.run_until_cancelled(self.prepare()).await else { break };
            let obstacle = match prepared {
                Err(obstacle) => obstacle,
                Ok((function, hold)) => {
                    match self.work(function, Arc::clone(&hold), stop.clone()).await {
                        Some(Finished::Held) => {}
                        // It has said so itself.
                        Some(Finished::Stopped) | None => return,
                    }
                    // With its file there, the next look at it says why.
                    let Some(sentence) = hold.unwritten() else { continue };
                    Obstacle { code: StopCode::ConfigNotValid, sentence }
                }
            };
            self.refuse(&obstacle);
            stop.run_until_cancelled(watch.changed()).await;
        }
        self.note(Change::Disable);
        self.note(Change::Ended);
    }

    fn note(&self, change: Change) {
        if let Some(status) = self.board.note(change) {
            telemetry::state_changed(&self.name, &status);
        }
    }

    /// Loads the function and looks for a hold, off the threads that do I/O.
    async fn prepare(&self) -> Result<(Arc<LoadedFunction>, Arc<HoldFile>), Obstacle> {
        let life = self.clone();
        match spawn_blocking(move || life.prepare_blocking()).await {
            Ok(prepared) => prepared,
            // Only a panic while loading, which would be a bug, comes here.
            Err(lost) => Err(Obstacle::function(lost.to_string())),
        }
    }

    fn prepare_blocking(&self) -> Result<(Arc<LoadedFunction>, Arc<HoldFile>), Obstacle> {
        let function_name = self.wiring.function_of(&self.name);
        let function = match self.functions.get(function_name) {
            Some(Ok(function)) => function,
            Some(Err(error)) => return Err(Obstacle::function(with_causes(&*error))),
            None => return Err(Obstacle::function(format!("no function {function_name}"))),
        };
        let hold = Arc::new(self.wiring.hold(&self.name));
        match hold.sentence() {
            None => Ok((function, hold)),
            Some(sentence) => Err(Obstacle { code: StopCode::ConfigNotValid, sentence }),
        }
    }

    fn refuse(&self, obstacle: &Obstacle) {
        let Obstacle { code, sentence } = obstacle;
        telemetry::not_working(&self.name, *code, sentence);
        self.note(Change::Refused(*code, sentence.clone()));
    }

    async fn work(
        &self,
        function: Arc<LoadedFunction>,
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
        let mapping = self.wiring.mapping(&self.name, function, ports)?;
        let mut secrets = Watch::new(self.wiring.secrets_of(&self.name));
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
