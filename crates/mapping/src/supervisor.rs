//! The life of a mapping over all its epochs: subscribe, drive, wait, subscribe again, for ever.
//!
//! A broker that is away is no reason to stop, and an error that needs a person is looked at again
//! from time to time, so that the mapping comes back by itself when somebody has mended it.

use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::{Disposition, Source};
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

/// A subscription that held this long has proved that the broker is well.
const STEADY: Duration = Duration::from_secs(60);

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
    pub async fn run(mut self, stop: CancellationToken) {
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
                    let Some(backoff) = self.after(ended) else { return };
                    backoff
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

    async fn drive(&mut self, epoch: gristmill_broker::Epoch, stop: &CancellationToken) -> Ended {
        let Self { settings, envelope, telemetry, source, slots } = self;
        let driver = Driver::new(settings, telemetry, stop, source, slots, envelope, epoch);
        let ended = driver.run().await;
        if timeout(CLOSE_TIMEOUT, self.source.close()).await.is_err() {
            self.telemetry.close_timed_out();
        }
        ended
    }

    /// How to go on after an epoch: how fast to subscribe again, or `None` to stop.
    fn after(&self, ended: Ended) -> Option<Backoff> {
        match ended {
            Ended::Stopped => None,
            Ended::Cancelled => {
                self.telemetry.cancelled();
                Some(Backoff::RECONNECT)
            }
            Ended::SourceLost(error) => {
                self.telemetry.not_subscribed(&error);
                Some(Backoff::RECONNECT)
            }
            Ended::SettleTimedOut => {
                self.telemetry.settle_timed_out();
                Some(Backoff::RECONNECT)
            }
            Ended::InvocationLost(lost) => {
                self.telemetry.invocation_lost(&lost);
                Some(Backoff::RECONNECT)
            }
            Ended::RecordTooLarge(too_large) => {
                self.telemetry.record_too_large(too_large);
                Some(Backoff::PROBE)
            }
        }
    }
}
