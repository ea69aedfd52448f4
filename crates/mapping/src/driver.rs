//! One epoch of a mapping: everything between a subscription and its end.
//!
//! The one `select!` of the line is in [`Driver::next`]; what it can bring is [`Happening`], matched
//! once in [`Driver::run`]. The source is polled in every state, because a cancelled consumer, a
//! closed channel and a lost connection are heard of behind the deliveries and nowhere else. What is
//! read and cannot start yet waits here, and that is at most the prefetch.
//!
//! ```text
//! Taking ── stop, consumer cancelled, record too large ──▶ Finishing ── nothing left ──▶ Ended
//!    └────────────────────────── source lost ───────────────────┴──────────────────────▶ Ended
//! ```
//!
//! What must never happen: an ack for anything but a success of this epoch.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use gristmill_broker::{Delivery, Epoch, Received, Settlement, Source, SourceError};
use gristmill_event::Envelope;
use gristmill_invocation::Function;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::batcher::{Batch, Batcher, RecordTooLarge};
use crate::settings::Settings;
use crate::slots::{Invoked, Slots};
use crate::telemetry::Telemetry;
use crate::verdict::{Circumstances, Verdict, decide};

/// A client that does not take a settlement within this time is as good as gone.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an epoch ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// As told; what could be finished within the drain timeout was.
    Stopped,
    /// The broker cancelled the consumer; what was in hand is settled.
    Cancelled,
    /// A message can never be handled; of what was before it, all that succeeds is settled.
    RecordTooLarge(RecordTooLarge),
    /// The channel or the connection is gone, and every unsettled delivery with it.
    SourceLost(SourceError),
    /// The client did not take a settlement in time.
    SettleTimedOut,
    /// An invocation's task died, by a bug of ours; its batch is unsettled.
    InvocationLost(JoinError),
}

/// What can happen to a mapping. Nothing else can.
enum Happening {
    StopRequested,
    Received(Result<Received, SourceError>),
    Invoked(Result<Invoked, JoinError>),
    /// A batching window, a backoff or the drain has come to its end.
    TimePassed,
}

enum Phase {
    Taking,
    /// Takes nothing new; ends when nothing is left, or at the deadline.
    Finishing {
        because: Because,
        deadline: Option<Instant>,
    },
}

#[derive(Clone, Copy)]
enum Because {
    Stopped,
    Cancelled,
    RecordTooLarge(RecordTooLarge),
}

/// A failed batch that keeps its slot until its next try.
struct Resting {
    until: Instant,
    batch: Batch,
}

/// One epoch of a mapping.
pub(crate) struct Driver<'a, S, F> {
    settings: &'a Settings,
    telemetry: &'a Telemetry,
    stop: &'a CancellationToken,
    source: &'a mut S,
    slots: &'a mut Slots<F>,
    epoch: Epoch,
    batcher: Batcher,
    /// Closed batches that wait for a slot, in queue order.
    waiting: VecDeque<Batch>,
    resting: Vec<Resting>,
    /// Unsettled deliveries of this epoch, at most the prefetch.
    in_hand: usize,
    /// Deliveries that were requeued.
    given_back: usize,
    phase: Phase,
}

impl<'a, S: Source, F: Function> Driver<'a, S, F> {
    /// Takes over a source that has just subscribed.
    pub(crate) fn new(
        settings: &'a Settings,
        telemetry: &'a Telemetry,
        stop: &'a CancellationToken,
        source: &'a mut S,
        slots: &'a mut Slots<F>,
        envelope: &Arc<Envelope>,
        epoch: Epoch,
    ) -> Self {
        Self {
            settings,
            telemetry,
            stop,
            source,
            slots,
            epoch,
            batcher: Batcher::new(settings.batch, Arc::clone(envelope), epoch),
            waiting: VecDeque::new(),
            resting: Vec::new(),
            in_hand: 0,
            given_back: 0,
            phase: Phase::Taking,
        }
    }

    /// Works until the epoch ends. The source is left to be closed.
    pub(crate) async fn run(mut self) -> Ended {
        loop {
            self.start_waiting();
            let happening = self.next().await;
            // Read here and nowhere else; everything that follows is told.
            let now = Instant::now();
            let ended = match happening {
                Happening::StopRequested => self.finish(Because::Stopped, now).await,
                Happening::Received(received) => self.receive(received, now).await,
                Happening::Invoked(Ok(invoked)) => self.conclude(invoked, now).await,
                Happening::Invoked(Err(lost)) => Some(Ended::InvocationLost(lost)),
                Happening::TimePassed => self.pass_time(now),
            };
            if let Some(ended) = ended.or_else(|| self.finished(now)) {
                return ended;
            }
        }
    }

    /// Waits for the next thing to happen.
    async fn next(&mut self) -> Happening {
        let wakes_at = self.wakes_at();
        let stopping = matches!(self.phase, Phase::Finishing { because: Because::Stopped, .. });
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if !stopping => Happening::StopRequested,
            invoked = self.slots.next() => Happening::Invoked(invoked),
            received = self.source.receive() => Happening::Received(received),
            () = sleep_until_or_for_ever(wakes_at) => Happening::TimePassed,
        }
    }

    /// The earliest of all that is due.
    fn wakes_at(&self) -> Option<Instant> {
        let resting = self.resting.iter().map(|batch| batch.until);
        let deadline = match self.phase {
            Phase::Taking => None,
            Phase::Finishing { deadline, .. } => deadline,
        };
        resting.chain(self.batcher.closes_at()).chain(deadline).min()
    }

    /// Takes what the source has: all of it at once, so that a burst passes the `select!` once.
    async fn receive(
        &mut self,
        first: Result<Received, SourceError>,
        now: Instant,
    ) -> Option<Ended> {
        let mut received = Some(first);
        while let Some(next) = received {
            let ended = match next {
                Ok(Received::Delivery(delivery)) => match self.take(delivery, now) {
                    Ok(()) => None,
                    Err(too_large) => self.finish(Because::RecordTooLarge(too_large), now).await,
                },
                Ok(Received::Cancelled) => self.finish(Because::Cancelled, now).await,
                Err(lost) => Some(Ended::SourceLost(lost)),
            };
            if ended.is_some() {
                return ended;
            }
            received = self.source.receive().now_or_never();
        }
        if self.in_hand >= usize::from(self.settings.prefetch.get()) {
            // The broker gives nothing more before something is settled: waiting would be in vain.
            self.batcher.close(&mut self.waiting);
        }
        None
    }

    fn take(&mut self, delivery: Delivery, now: Instant) -> Result<(), RecordTooLarge> {
        match self.phase {
            Phase::Taking => {
                self.in_hand += 1;
                self.batcher.push(delivery, now, &mut self.waiting)
            }
            // It goes back to the queue when the source is closed.
            Phase::Finishing { .. } => Ok(()),
        }
    }

    /// Takes nothing new from here on, and hurries what was taken.
    async fn finish(&mut self, because: Because, now: Instant) -> Option<Ended> {
        let first = matches!(self.phase, Phase::Taking);
        if !first && !matches!(because, Because::Stopped) {
            return None;
        }
        let deadline = match because {
            Because::Stopped => Some(now + self.settings.drain_timeout),
            // The function's own timeout bounds these.
            Because::Cancelled | Because::RecordTooLarge(_) => None,
        };
        self.phase = Phase::Finishing { because, deadline };
        if !first {
            return None;
        }
        self.source.cancel().await;
        self.batcher.close(&mut self.waiting);
        // A batch in backoff gets no further try here; the broker gives it its place back.
        for Resting { batch, .. } in mem::take(&mut self.resting) {
            let ended = self.requeue(batch).await;
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    /// The end of a drain: nothing is left, or the time is up.
    fn finished(&self, now: Instant) -> Option<Ended> {
        let Phase::Finishing { because, deadline } = self.phase else { return None };
        let nothing_left = self.slots.running() == 0 && self.waiting.is_empty();
        let time_is_up = deadline.is_some_and(|deadline| deadline <= now);
        if !nothing_left && !time_is_up {
            return None;
        }
        Some(match because {
            Because::Stopped => {
                self.telemetry.drained(self.given_back + self.in_hand);
                Ended::Stopped
            }
            Because::Cancelled => Ended::Cancelled,
            Because::RecordTooLarge(too_large) => Ended::RecordTooLarge(too_large),
        })
    }

    /// Gives free slots to waiting batches.
    fn start_waiting(&mut self) {
        while self.slots.running() + self.resting.len() < self.settings.maximum_concurrency.get() {
            let Some(batch) = self.waiting.pop_front() else { return };
            self.slots.start(batch);
        }
    }

    fn pass_time(&mut self, now: Instant) -> Option<Ended> {
        self.batcher.close_if_due(now, &mut self.waiting);
        for due in self.resting.extract_if(.., |batch| batch.until <= now) {
            self.slots.start(due.batch);
        }
        None
    }

    /// Does with a batch what its outcome demands.
    async fn conclude(&mut self, invoked: Invoked, now: Instant) -> Option<Ended> {
        let Invoked { batch, request_id, report } = invoked;
        self.telemetry.report(self.slots.function_name(), request_id, &batch, &report);
        let circumstances = Circumstances {
            epoch_ended: batch.epoch() != self.epoch,
            finishing: matches!(self.phase, Phase::Finishing { .. }),
            attempts: batch.attempts(),
            jitter: fastrand::f64(),
        };
        match decide(&report.outcome, &self.settings.retry, circumstances) {
            Verdict::Settle(Settlement::Requeue) => self.requeue(batch).await,
            Verdict::Settle(settlement) => {
                // The next batch need not wait until the client has written this one's frames.
                self.start_waiting();
                self.settle(settlement, &batch).await
            }
            Verdict::Retry(wait) => {
                self.telemetry.will_retry(&batch, &report.outcome, wait);
                self.resting.push(Resting { until: now + wait, batch });
                None
            }
            Verdict::Stale => {
                self.telemetry.stale(batch.len());
                None
            }
        }
    }

    /// Puts a batch back. With an order to keep, it and what waits behind it go back when the source
    /// is closed: a quorum queue takes back what a closed channel held in its old place, and puts
    /// what was requeued at its end.
    async fn requeue(&mut self, batch: Batch) -> Option<Ended> {
        if self.settings.maximum_concurrency.get() == 1 {
            self.waiting.clear();
            return None;
        }
        self.given_back += batch.len();
        self.settle(Settlement::Requeue, &batch).await
    }

    async fn settle(&mut self, settlement: Settlement, batch: &Batch) -> Option<Ended> {
        let tokens = batch.tokens();
        match timeout(SETTLE_TIMEOUT, self.source.settle(settlement, &tokens)).await {
            Ok(settled) => {
                self.in_hand -= batch.len();
                if settled.stale > 0 {
                    self.telemetry.stale(settled.stale);
                }
                None
            }
            Err(_elapsed) => Some(Ended::SettleTimedOut),
        }
    }
}

async fn sleep_until_or_for_ever(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
