//! The life of a mapping over all its epochs: subscribe, drive, wait, subscribe again, for ever.
//!
//! A broker that is away is no reason to stop, and an error that needs a person is looked at again
//! from time to time, so that the mapping comes back by itself when somebody has mended it.
//!
//! What must never happen: a mapping that gives up on a broker, a loop that hands messages over and
//! back for nothing, or a drain that outlasts its timeout by more than the close takes.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use gristmill_broker::{Disposition, Epoch, Source};
use gristmill_event::Envelope;
use gristmill_invocation::Function;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::driver::{Driver, Ended, Tools};
use crate::hold::Hold;
use crate::lanes::Lanes;
use crate::settings::{OnFailure, Settings};
use crate::slots::Slots;
use crate::status::{Board, Change};
use crate::telemetry::Telemetry;

/// A close that hangs must not keep the mapping: the broker notices a dead connection by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a drain may take over its timeout, to close the channel.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// A subscription that held this long has proved that the broker is well, as has one over which
/// messages were handled.
const STEADY: Duration = Duration::from_secs(60);

/// A place for dead letters that has said nothing for so long may still be well: a broker that is short of
/// memory says nothing, and what is handled here may be what helps it.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a mapping's work is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// As told.
    Stopped,
    /// It is held: to go on would lose a message, or hand one over again for nothing.
    Held,
}

/// What a mapping has around it besides its broker and its function.
pub struct Ports {
    /// The runtime on which the function runs; it must not be the one that does I/O.
    pub guests: Lanes,
    /// Where the mapping writes its status and its counts.
    pub board: Arc<Board>,
    /// What remembers that the mapping must not go on.
    pub hold: Arc<dyn Hold>,
    /// Ends a wait for the next try, also of keeping dead letters: somebody may have mended what was wrong.
    pub nudge: Arc<Notify>,
}

/// An event source mapping: a queue, a function, and everything between them.
pub struct Mapping<S, F> {
    settings: Settings,
    envelope: Arc<Envelope>,
    telemetry: Telemetry,
    hold: Arc<dyn Hold>,
    nudge: Arc<Notify>,
    source: S,
    slots: Slots<F>,
}

impl<S: Source, F: Function> Mapping<S, F> {
    /// A mapping that does nothing yet.
    #[must_use]
    pub fn new(settings: Settings, source: S, function: Arc<F>, ports: Ports) -> Self {
        let Ports { guests, board, hold, nudge } = ports;
        let envelope = Arc::new(settings.envelope.clone());
        let telemetry = Telemetry::new(&settings, board);
        let slots = Slots::new(
            function,
            Arc::clone(&envelope),
            guests,
            settings.report_batch_item_failures,
        );
        Self { settings, envelope, telemetry, hold, nudge, source, slots }
    }

    /// Works until `stop` is cancelled, and then drains within the drain timeout; or until it is
    /// held, so that it must not go on before somebody has acted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends every running invocation where it stands. Nothing is lost: what was
    /// not settled goes back to the broker with the source's channel.
    pub async fn run(mut self, stop: CancellationToken) -> Finished {
        let telemetry = self.telemetry.clone();
        let patience = self.settings.drain_timeout + CLOSE_PATIENCE;
        let overdue = async {
            stop.cancelled().await;
            sleep(patience).await;
        };
        let working = async {
            let finished = self.live(&stop).await;
            leave(&self.settings.give_up.on_failure).await;
            finished
        };
        telemetry.note(Change::Enable);
        // A drain ends by itself in time, unless a frozen broker takes neither settlements nor the
        // close. What is dropped then is the broker's as soon as it looks.
        let finished = match select(pin!(working), pin!(overdue)).await {
            Either::Left((finished, _)) => finished,
            Either::Right(_) => {
                telemetry.cut_short();
                Finished::Stopped
            }
        };
        telemetry.note(Change::Ended);
        finished
    }

    async fn live(&mut self, stop: &CancellationToken) -> Finished {
        let mut failures = 0;
        let mut kind = Backoff::RECONNECT;
        loop {
            let Some(subscribed) = stop.run_until_cancelled(self.subscribe()).await else {
                return self.stopped();
            };
            failures += 1;
            let backoff = match subscribed {
                Ok(epoch) => {
                    self.telemetry.subscribed(epoch);
                    let (since, before) = (Instant::now(), self.telemetry.handled_so_far());
                    let ended = self.drive(epoch, stop).await;
                    if since.elapsed() >= STEADY || self.telemetry.handled_so_far() > before {
                        failures = 1;
                    }
                    let lost =
                        if let Ended::SourceLost(error) = &ended { Some(error) } else { None };
                    let backoff =
                        lost.map_or(Backoff::RECONNECT, |error| backoff(error.disposition()));
                    if let Some(finished) = self.after(ended) {
                        return finished;
                    }
                    backoff
                }
                Err(disposition) => backoff(disposition),
            };
            if backoff != kind {
                // Another trouble than before: its waits begin anew.
                (failures, kind) = (1, backoff);
            }
            let wait = timeout(backoff.wait(failures, fastrand::f64()), self.nudge.notified());
            match stop.run_until_cancelled(wait).await {
                None => return self.stopped(),
                Some(Ok(())) => failures = 0,
                Some(Err(_elapsed)) => {}
            }
        }
    }

    /// Subscribes, unless dead letters cannot be kept: what is taken must be able to leave. Says what is
    /// in the way, and gives what to do about it.
    async fn subscribe(&mut self) -> Result<Epoch, Disposition> {
        if let OnFailure::Keep(place) = &self.settings.give_up.on_failure {
            match timeout(CHECK_TIMEOUT, place.check()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.telemetry.not_subscribed(&error, error.disposition());
                    return Err(error.disposition());
                }
                Err(_elapsed) => self.telemetry.keeping_is_slow(),
            }
        }
        self.source.subscribe().await.map_err(|error| {
            self.telemetry.not_subscribed(&error, error.disposition());
            error.disposition()
        })
    }

    fn stopped(&self) -> Finished {
        self.telemetry.note(Change::Drain);
        Finished::Stopped
    }

    async fn drive(&mut self, epoch: Epoch, stop: &CancellationToken) -> Ended {
        let tools = Tools {
            settings: &self.settings,
            envelope: &self.envelope,
            telemetry: &self.telemetry,
            hold: &*self.hold,
            stop,
            nudge: &self.nudge,
            source: &mut self.source,
            slots: &mut self.slots,
        };
        let ended = Driver::new(tools, epoch).run().await;
        if timeout(CLOSE_TIMEOUT, self.source.close()).await.is_err() {
            self.telemetry.close_timed_out();
        }
        ended
    }

    /// Says why an epoch ended; `None`: subscribe again.
    fn after(&self, ended: Ended) -> Option<Finished> {
        match ended {
            Ended::Stopped => return Some(Finished::Stopped),
            Ended::Impasse(impasse) => {
                self.telemetry.held(impasse.to_string());
                return Some(Finished::Held);
            }
            Ended::Cancelled => self.telemetry.cancelled(),
            Ended::Aged => self.telemetry.aged(),
            Ended::SourceLost(error) => {
                self.telemetry.not_subscribed(&error, error.disposition());
            }
            // The subscription that follows says that all is well again.
            Ended::Refused => {}
            Ended::SettleTimedOut => self.telemetry.settle_timed_out(),
            Ended::InvocationLost(lost) => self.telemetry.invocation_lost(&lost),
        }
        None
    }
}

async fn leave(on_failure: &OnFailure) {
    if let OnFailure::Keep(place) = on_failure {
        // A broker that takes longer notices the end of the connection by itself.
        drop(timeout(CLOSE_TIMEOUT, place.close()).await);
    }
}

/// How long to wait with the next subscription.
fn backoff(disposition: Disposition) -> Backoff {
    match disposition {
        Disposition::Reconnect => Backoff::RECONNECT,
        Disposition::Stop(_) => Backoff::PROBE,
    }
}

impl<S, F> fmt::Debug for Mapping<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}
