//! The life of a mapping over all its epochs: subscribe, drive, wait, subscribe again, for ever.
//!
//! A broker that is away is no reason to stop, and an error that needs a person is looked at again
//! from time to time, so that the mapping comes back by itself when somebody has mended it.
//!
//! What must never happen: a mapping that gives up on a broker, a loop that hands messages over and
//! back for nothing, or a drain that outlasts its timeout by more than the close takes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use gristmill_broker::{Disposition, Epoch, Source};
use gristmill_event::Envelope;
use gristmill_invocation::Function;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::driver::{Driver, Ended};
use crate::settings::Settings;
use crate::slots::Slots;
use crate::telemetry::Telemetry;

/// A close that hangs must not keep the mapping: the broker notices a dead connection by itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a drain may take over its timeout, to close the channel.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// A subscription that held this long has proved that the broker is well.
const STEADY: Duration = Duration::from_secs(60);

/// How to go on after an epoch.
enum Next {
    Subscribe(Backoff),
    /// Nothing can be done before somebody acts; the mapping is there and idle.
    WaitForStop,
    Stop,
}

/// An event source mapping: a queue, a function, and everything between them.
#[derive(Debug)]
pub struct Mapping<S, F> {
    settings: Settings,
    envelope: Arc<Envelope>,
    telemetry: Telemetry,
    source: S,
    slots: Slots<F>,
}

impl<S: Source, F: Function> Mapping<S, F> {
    /// A mapping that does nothing yet. `guests` is the runtime on which the function runs; it must
    /// not be the one that does I/O.
    #[must_use]
    pub fn new(settings: Settings, source: S, function: Arc<F>, guests: Handle) -> Self {
        let envelope = Arc::new(settings.envelope.clone());
        let telemetry = Telemetry::new(&settings);
        let slots = Slots::new(function, Arc::clone(&envelope), guests);
        Self { settings, envelope, telemetry, source, slots }
    }

    /// Works until `stop` is cancelled; then drains within the drain timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends every running invocation where it stands. Nothing is lost: what was
    /// not settled goes back to the broker with the source's channel.
    pub async fn run(self, stop: CancellationToken) {
        let telemetry = self.telemetry.clone();
        let patience = self.settings.drain_timeout + CLOSE_PATIENCE;
        let overdue = async {
            stop.cancelled().await;
            sleep(patience).await;
        };
        // A drain ends by itself in time, unless a frozen broker takes neither settlements nor the
        // close. What is dropped then is the broker's as soon as it looks.
        if let Either::Right(_) = select(pin!(self.live(stop.clone())), pin!(overdue)).await {
            telemetry.cut_short();
        }
    }

    async fn live(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let Some(subscribed) = stop.run_until_cancelled(self.source.subscribe()).await else {
                return;
            };
            failures += 1;
            let backoff = match subscribed {
                Ok(epoch) => {
                    self.telemetry.subscribed(epoch);
                    let since = Instant::now();
                    let ended = self.drive(epoch, &stop).await;
                    if since.elapsed() >= STEADY {
                        failures = 1;
                    }
                    match self.after(ended) {
                        Next::Subscribe(backoff) => backoff,
                        Next::WaitForStop => return stop.cancelled().await,
                        Next::Stop => return,
                    }
                }
                Err(error) => {
                    self.telemetry.not_subscribed(&error);
                    match error.disposition() {
                        Disposition::Reconnect => Backoff::RECONNECT,
                        Disposition::Stop(_) => Backoff::PROBE,
                    }
                }
            };
            let wait = backoff.wait(failures, fastrand::f64());
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn drive(&mut self, epoch: Epoch, stop: &CancellationToken) -> Ended {
        let Self { settings, envelope, telemetry, source, slots } = self;
        let driver = Driver::new(settings, telemetry, stop, source, slots, envelope, epoch);
        let ended = driver.run().await;
        if timeout(CLOSE_TIMEOUT, self.source.close()).await.is_err() {
            self.telemetry.close_timed_out();
        }
        ended
    }

    fn after(&self, ended: Ended) -> Next {
        match ended {
            Ended::Stopped => Next::Stop,
            Ended::Cancelled => {
                self.telemetry.cancelled();
                Next::Subscribe(Backoff::RECONNECT)
            }
            Ended::SourceLost(error) => {
                self.telemetry.not_subscribed(&error);
                Next::Subscribe(Backoff::RECONNECT)
            }
            Ended::SettleTimedOut => {
                self.telemetry.settle_timed_out();
                Next::Subscribe(Backoff::RECONNECT)
            }
            Ended::InvocationLost(lost) => {
                self.telemetry.invocation_lost(&lost);
                Next::Subscribe(Backoff::RECONNECT)
            }
            Ended::RecordTooLarge(too_large) => {
                // To look again would hand everything behind it over again and again, and a quorum
                // queue deletes what was handed over too often.
                self.telemetry.record_too_large(too_large);
                Next::WaitForStop
            }
        }
    }
}
