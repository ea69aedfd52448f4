//! One epoch of a mapping: everything between a subscription and its end.
//!
//! The one `select!` of the line is in [`Driver::next`]; what it can bring is [`Happening`], matched
//! once in [`Driver::run`]. The source is polled in every state, because a cancelled consumer, a
//! closed channel and a lost connection are heard of behind the deliveries and nowhere else. What is
//! read and cannot start yet waits here, and that is at most the prefetch.
//!
//! ```text
//! Taking ── stop, cancelled, deliveries too old, dead letters refused ──▶ Finishing ── nothing left ──▶ Ended
//!    └──────────────────────────── source lost ─────────────────────────────┴──────────────────────▶ Ended
//! ```
//!
//! What must never happen: an ack for anything but a success of this epoch or a dead letter that is
//! kept, a reject of anything that was not given up, or an invocation that outlasts what the broker
//! leaves unsettled.

mod batches;
mod giving_up;
mod letters;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt;
use gristmill_broker::{
    Defect, Delivery, Epoch, KeepError, Received, Source, SourceError, Unusable,
};
use gristmill_event::Envelope;
use gristmill_invocation::Function;
use tokio::sync::Notify;
use tokio::task::{JoinError, yield_now};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::batcher::{Batch, Batcher, Taken};
use crate::hold::{Hold, Impasse};
use crate::lifetime::leaves;
use crate::record::Reason;
use crate::settings::Settings;
use crate::slots::{Invoked, Slots};
use crate::status::Change;
use crate::telemetry::Telemetry;
use crate::verdict::Condition;
use letters::{Letter, Letters};

/// Why an epoch ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// As told; what could be finished within the drain timeout was.
    Stopped,
    /// The broker cancelled the consumer; what was in hand is settled.
    Cancelled,
    /// On purpose, because deliveries were unsettled for nearly as long as the broker lets them be.
    Aged,
    /// On purpose, because dead letters were refused; they are kept now, and everything else is settled.
    Refused,
    /// Something went back to the broker that may go back no more; nothing goes on before somebody acts.
    Impasse(Impasse),
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
    Kept(Result<(), KeepError>),
    /// Somebody may have mended what kept dead letters from being kept.
    Nudged,
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Because {
    Stopped,
    Cancelled,
    Aged,
    /// Dead letters are refused until somebody acts; meanwhile they are tried again.
    Refused,
}

/// A failed batch that keeps its slot until its next try.
struct Resting {
    until: Instant,
    batch: Batch,
}

/// How much is taken before anything else is looked at: a queue that never runs dry must not hold up an
/// outcome, a retry or a stop. A window it fills.
const TURN_MESSAGES: usize = 1_000;
const TURN_BYTES: usize = 8 << 20;

/// What a driver works with and leaves behind.
pub(crate) struct Tools<'a, S, F> {
    pub(crate) settings: &'a Settings,
    pub(crate) envelope: &'a Arc<Envelope>,
    pub(crate) telemetry: &'a Telemetry,
    pub(crate) hold: &'a dyn Hold,
    pub(crate) stop: &'a CancellationToken,
    pub(crate) nudge: &'a Notify,
    pub(crate) source: &'a mut S,
    pub(crate) slots: &'a mut Slots<F>,
}

/// One epoch of a mapping.
pub(crate) struct Driver<'a, S, F> {
    settings: &'a Settings,
    envelope: &'a Arc<Envelope>,
    telemetry: &'a Telemetry,
    hold: &'a dyn Hold,
    stop: &'a CancellationToken,
    /// Shared with whoever wakes the mapping.
    nudge: &'a Notify,
    source: &'a mut S,
    slots: &'a mut Slots<F>,
    epoch: Epoch,
    batcher: Batcher,
    /// Closed batches that wait for a slot, in queue order.
    waiting: VecDeque<Batch>,
    resting: Vec<Resting>,
    /// Given-up records that are not kept yet.
    letters: Letters,
    /// When the first deliveries of the running batches came, by their tags. Only batches of this
    /// epoch: the broker waits for no others.
    running: BTreeMap<u64, Instant>,
    /// Unsettled deliveries of this epoch, at most the prefetch.
    in_hand: usize,
    /// Those, by their tags, that may come back once more at most. While there are any, the mapping is
    /// held.
    last_chance: BTreeMap<u64, Impasse>,
    /// Deliveries that were requeued.
    given_back: usize,
    phase: Phase,
}

impl<'a, S: Source, F: Function> Driver<'a, S, F> {
    /// Takes over a source that has just subscribed.
    pub(crate) fn new(tools: Tools<'a, S, F>, epoch: Epoch) -> Self {
        let Tools { settings, envelope, telemetry, hold, stop, nudge, source, slots } = tools;
        Self {
            settings,
            envelope,
            telemetry,
            hold,
            stop,
            nudge,
            source,
            slots,
            epoch,
            batcher: Batcher::new(settings.batch, Arc::clone(envelope), epoch),
            waiting: VecDeque::new(),
            resting: Vec::new(),
            letters: Letters::default(),
            running: BTreeMap::new(),
            in_hand: 0,
            last_chance: BTreeMap::new(),
            given_back: 0,
            phase: Phase::Taking,
        }
    }

    /// Works until the epoch ends. The source is left to be closed.
    pub(crate) async fn run(mut self) -> Ended {
        let ended = loop {
            let happening = self.next().await;
            // Read here and nowhere else; everything that follows is told.
            let now = Instant::now();
            if let ControlFlow::Break(ended) = self.turn(happening, now).await {
                break ended;
            }
        };
        let in_danger = self.last_chance.len();
        let Some((_, impasse)) = self.last_chance.pop_first() else { return ended };
        self.telemetry.may_be_deleted(in_danger);
        match ended {
            Ended::Stopped | Ended::Impasse(_) => ended,
            // To subscribe again would hand them over once more.
            Ended::Cancelled
            | Ended::Aged
            | Ended::Refused
            | Ended::SourceLost(_)
            | Ended::SettleTimedOut
            | Ended::InvocationLost(_) => Ended::Impasse(impasse),
        }
    }

    async fn turn(&mut self, happening: Happening, now: Instant) -> ControlFlow<Ended> {
        match happening {
            Happening::StopRequested => self.finish(Because::Stopped, now).await?,
            Happening::Received(received) => self.receive(received, now).await?,
            Happening::Invoked(Ok(invoked)) => self.conclude(invoked, now).await?,
            Happening::Invoked(Err(lost)) => {
                return ControlFlow::Break(Ended::InvocationLost(lost));
            }
            Happening::Kept(kept) => self.conclude_keeping(kept, now).await?,
            Happening::Nudged => self.letters.wake(),
            Happening::TimePassed => self.batcher.close_if_due(now, &mut self.waiting),
        }
        // Whatever has happened: a source that always has something does not stop the clock.
        self.pass_time(now).await?;
        self.start_waiting(now).await?;
        self.keep_letters(now)?;
        self.finished(now)
    }

    /// Waits for the next thing to happen.
    async fn next(&mut self) -> Happening {
        let wakes_at = self.wakes_at();
        let stopping = matches!(self.phase, Phase::Finishing { because: Because::Stopped, .. });
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if !stopping => Happening::StopRequested,
            invoked = self.slots.next() => Happening::Invoked(invoked),
            kept = self.letters.next() => Happening::Kept(kept),
            () = self.nudge.notified(), if self.letters.is_resting() => Happening::Nudged,
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
        let letters = self.letters.retry_at().into_iter().chain(self.letters_deadline());
        resting.chain(self.batcher.closes_at()).chain(letters).chain(deadline).min()
    }

    /// Takes what the source has: all of it at once, so that a burst passes the `select!` once.
    async fn receive(
        &mut self,
        first: Result<Received, SourceError>,
        now: Instant,
    ) -> ControlFlow<Ended> {
        let unix_ms = unix_now_ms();
        let (mut deliveries, mut bytes) = (0, 0);
        let mut received = Some(first);
        while let Some(next) = received {
            let in_hand = self.in_hand;
            match next {
                Ok(Received::Delivery(delivery)) => {
                    deliveries += 1;
                    bytes += delivery.message.body().len();
                    self.take(delivery, now, unix_ms).await?;
                }
                Ok(Received::Unusable(message)) => {
                    deliveries += 1;
                    self.take_unusable(message, now).await?;
                }
                Ok(Received::Cancelled) => self.finish(Because::Cancelled, now).await?,
                Err(lost) => return ControlFlow::Break(Ended::SourceLost(lost)),
            }
            // Without one more in hand something was settled, which may have taken its time.
            let goes_on =
                self.in_hand > in_hand && deliveries < TURN_MESSAGES && bytes < TURN_BYTES;
            received = if goes_on { self.source.receive().now_or_never() } else { None };
        }
        self.telemetry.received(deliveries);
        if bytes >= TURN_BYTES {
            // Others have to be heard, too, on this thread.
            yield_now().await;
        }
        if self.in_hand >= usize::from(self.settings.prefetch.get()) {
            // The broker gives nothing more before something is settled: waiting would be in vain.
            self.batcher.close(&mut self.waiting);
        }
        ControlFlow::Continue(())
    }

    async fn take(&mut self, delivery: Delivery, now: Instant, unix_ms: u64) -> ControlFlow<Ended> {
        // Also what is not taken any more: it goes back to the queue when the source is closed.
        self.watch_over(&delivery);
        let Phase::Taking = self.phase else { return ControlFlow::Continue(()) };
        self.in_hand += 1;
        let age = self.settings.give_up.maximum_record_age;
        match self.batcher.measure(&delivery.message) {
            Ok(record_bytes) => {
                let leaves = leaves(&delivery.message, now, unix_ms, age);
                let taken = Taken { delivery, leaves };
                self.batcher.push(taken, record_bytes, now, &mut self.waiting);
                ControlFlow::Continue(())
            }
            Err(too_large) => {
                let reason = Reason::of_message(Condition::RecordTooLarge, &too_large.to_string());
                self.give_up(reason, vec![Letter::of(delivery, 0)], now).await
            }
        }
    }

    /// A message that no function can be given.
    async fn take_unusable(&mut self, message: Unusable, now: Instant) -> ControlFlow<Ended> {
        let Phase::Taking = self.phase else { return ControlFlow::Continue(()) };
        self.in_hand += 1;
        let Unusable { token, message_id, defect, reason } = message;
        let condition = match defect {
            Defect::Unsupported => Condition::UnsupportedMessageType,
            Defect::TooLarge => Condition::RecordTooLarge,
        };
        let reason = Reason::of_message(condition, &reason);
        self.give_up(reason, vec![Letter::without_record(token, message_id)], now).await
    }

    /// Takes nothing new from here on, and hurries what was taken.
    async fn finish(&mut self, because: Because, now: Instant) -> ControlFlow<Ended> {
        let first = matches!(self.phase, Phase::Taking);
        if !first && because != Because::Stopped {
            return ControlFlow::Continue(());
        }
        let deadline = match because {
            Because::Stopped => {
                self.telemetry.note(Change::Drain);
                Some(now + self.settings.drain_timeout)
            }
            // The function's own timeout bounds these, and the broker's patience what is not kept.
            Because::Cancelled | Because::Aged | Because::Refused => None,
        };
        self.phase = Phase::Finishing { because, deadline };
        if self.letters.is_resting() && because != Because::Refused {
            self.leave_letters();
        }
        if !first {
            return ControlFlow::Continue(());
        }
        self.source.cancel().await;
        self.batcher.close(&mut self.waiting);
        // A batch in backoff gets no further try here; the broker gives it its place back.
        for Resting { batch, .. } in mem::take(&mut self.resting) {
            self.requeue(batch).await?;
        }
        ControlFlow::Continue(())
    }

    /// The end of a drain: nothing is left, or the time is up.
    fn finished(&self, now: Instant) -> ControlFlow<Ended> {
        let Phase::Finishing { because, deadline } = &self.phase else {
            return ControlFlow::Continue(());
        };
        let nothing_left =
            self.slots.running() == 0 && self.waiting.is_empty() && self.letters.is_empty();
        let time_is_up = deadline.is_some_and(|deadline| deadline <= now);
        if !nothing_left && !time_is_up {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(match because {
            Because::Stopped => {
                self.telemetry.drained(self.given_back + self.in_hand);
                Ended::Stopped
            }
            Because::Cancelled => Ended::Cancelled,
            Because::Aged => Ended::Aged,
            Because::Refused => Ended::Refused,
        })
    }
}

fn unix_now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn sleep_until_or_for_ever(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
