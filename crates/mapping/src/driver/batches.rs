//! What happens to batches: they start, end, rest, and leave one way or another.
//!
//! What must never happen: see the parent.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use gristmill_broker::{Delivery, DeliveryToken, Settled, Settlement, Source};
use gristmill_invocation::{Function, Outcome};
use tokio::time::{Instant, timeout};

use super::letters::Letter;
use super::{Because, Driver, Ended, Phase, Resting};
use crate::batcher::{Batch, Taken};
use crate::lifetime::Leaving;
use crate::record::Reason;
use crate::slots::Invoked;
use crate::verdict::{Circumstances, Condition, Verdict, decide, fate};

/// A client that does not take a settlement within this time is as good as gone.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

impl<S: Source, F: Function> Driver<'_, S, F> {
    /// Gives free slots to waiting batches, in queue order: one whose messages share a group with a
    /// batch under way, or with a record that is not kept yet, holds up those behind it.
    pub(super) async fn start_waiting(&mut self, now: Instant) -> ControlFlow<Ended> {
        while self.slots.running() + self.resting.len() < self.settings.maximum_concurrency.get() {
            let is_held_up = |batch| self.waits_for_letters(batch) || self.shares_group(batch);
            if self.waiting.front().is_none_or(is_held_up) {
                break;
            }
            let Some(batch) = self.waiting.pop_front() else { break };
            self.start(batch, now).await?;
        }
        ControlFlow::Continue(())
    }

    fn shares_group(&self, batch: &Batch) -> bool {
        let resting = self.resting.iter().map(|resting| resting.batch.groups());
        let mut under_way = self.slots.groups().chain(resting);
        !batch.groups().is_empty() && under_way.any(|groups| !groups.is_disjoint(batch.groups()))
    }

    /// Does what is due, but for closing a batch.
    pub(super) async fn pass_time(&mut self, now: Instant) -> ControlFlow<Ended> {
        let due: Vec<Resting> =
            self.resting.extract_if(.., |resting| resting.until <= now).collect();
        for Resting { batch, .. } in due {
            self.start(batch, now).await?;
        }
        if self.letters_deadline().is_some_and(|deadline| deadline <= now) {
            self.leave_letters();
            return self.end_in_time(now).await;
        }
        ControlFlow::Continue(())
    }

    /// Starts an invocation, unless the broker might close the channel before it ends; of what follows
    /// the batch, if its records have all left it. What must not overtake a record that is not kept yet
    /// waits.
    async fn start(&mut self, batch: Batch, now: Instant) -> ControlFlow<Ended> {
        let mut next = Some(batch);
        while let Some(mut batch) = next {
            if !self.may_start(&batch, now) {
                return self.end_in_time(now).await;
            }
            let behind = batch.take_behind();
            if let Some(batch) = self.without_leaving(batch, now).await? {
                let batch = batch.followed_by(behind);
                if self.waits_for_letters(&batch) {
                    self.put_back(batch);
                } else {
                    self.invoke(batch, now);
                }
                break;
            }
            next = Batch::first_of(behind);
        }
        ControlFlow::Continue(())
    }

    /// Has a batch wait for a slot again, in its old place.
    fn put_back(&mut self, batch: Batch) {
        let tag = |batch: &Batch| batch.first_token().map(|token| token.tag);
        let place = self.waiting.partition_point(|waiting| tag(waiting) < tag(&batch));
        self.waiting.insert(place, batch);
    }

    fn invoke(&mut self, batch: Batch, now: Instant) {
        if let Some((first, last)) = batch.first_token().zip(batch.last_token()) {
            self.running.insert(first.tag, batch.arrived());
            self.source.tried(last);
        }
        let wait_max = self.time_left(&batch, now);
        self.slots.start(batch, wait_max);
    }

    /// Whether an invocation of this batch that begins at an instant ends before the broker loses
    /// patience with the oldest of all unsettled deliveries.
    fn may_start(&self, batch: &Batch, at: Instant) -> bool {
        self.oldest_age(batch, at) <= self.settings.latest_start
    }

    /// How long an invocation of this batch can be put off.
    fn time_left(&self, batch: &Batch, now: Instant) -> Duration {
        self.settings.latest_start.saturating_sub(self.oldest_age(batch, now))
    }

    /// The age that the oldest of all unsettled deliveries, those of this batch among them, has at
    /// an instant.
    fn oldest_age(&self, batch: &Batch, at: Instant) -> Duration {
        let running = self.running.first_key_value().map(|(_, arrived)| *arrived);
        let resting = self.resting.iter().map(|resting| resting.batch.arrived());
        let waiting = self.waiting.front().map(Batch::arrived).or(self.batcher.opened_at());
        let letters = self.letters.arrived();
        let unsettled =
            resting.chain(running).chain(waiting).chain(letters).chain([batch.arrived()]);
        unsettled.min().map_or(Duration::ZERO, |oldest| at.duration_since(oldest))
    }

    /// Ends the epoch on purpose. What has not started goes back when the source is closed.
    async fn end_in_time(&mut self, now: Instant) -> ControlFlow<Ended> {
        self.finish(Because::Aged, now).await?;
        self.waiting.clear();
        ControlFlow::Continue(())
    }

    /// What is left of a batch without the records whose time is over, which are settled.
    async fn without_leaving(
        &mut self,
        batch: Batch,
        now: Instant,
    ) -> ControlFlow<Ended, Option<Batch>> {
        if !batch.has_leaving(now) {
            return ControlFlow::Continue(Some(batch));
        }
        let is_over = |taken: &Taken, why| {
            taken.leaves.is_some_and(|leaves| leaves.because == why && leaves.at <= now)
        };
        let (expired, rest) = batch.split(self.envelope, |taken| is_over(taken, Leaving::Expired));
        if !expired.is_empty() {
            let settled = self.settle(Settlement::Expire, &tokens(&expired)).await?;
            self.telemetry.expired(settled.sent);
        }
        let Some(rest) = rest else { return ControlFlow::Continue(None) };
        self.give_up_of(rest, Condition::MaximumRecordAgeExceeded, |taken| {
            is_over(taken, Leaving::TooOld)
        })
        .await
    }

    /// Gives up records of a batch, and gives back what is left of it.
    async fn give_up_of(
        &mut self,
        batch: Batch,
        condition: Condition,
        goes: impl Fn(&Taken) -> bool,
    ) -> ControlFlow<Ended, Option<Batch>> {
        if !batch.has(&goes) {
            return ControlFlow::Continue(Some(batch));
        }
        let (failure, attempts) = (batch.failure().cloned(), batch.attempts());
        let arrived = batch.arrived();
        let (given_up, rest) = batch.split(self.envelope, goes);
        let letters = given_up.into_iter().map(|delivery| Letter::of(delivery, attempts));
        self.give_up(Reason::of_batch(condition, failure), letters.collect(), arrived).await?;
        ControlFlow::Continue(rest)
    }

    /// Does with a batch what its outcome demands.
    pub(super) async fn conclude(&mut self, invoked: Invoked, now: Instant) -> ControlFlow<Ended> {
        let Invoked { mut batch, request_id, report, failed } = invoked;
        let epoch_ended = batch.epoch() != self.epoch;
        if let Some(first) = batch.first_token().filter(|_| !epoch_ended) {
            self.running.remove(&first.tag);
        }
        self.telemetry.report(self.slots.function_name(), request_id, &batch, &report);
        let behind = batch.take_behind();
        let records = batch.len();
        let (outcome, is_part) = match failed {
            Ok(failed) if failed.is_empty() => (report.outcome, false),
            Ok(failed) => {
                let sentence = format!("{} of {records} records failed", failed.len());
                if !epoch_ended {
                    let rest = self.without_done(batch, &failed).await?;
                    let Some(rest) = rest else { return self.follow(behind, now).await };
                    batch = rest;
                }
                (Outcome::HandlerError(sentence), true)
            }
            Err(sentence) => (Outcome::HandlerError(sentence), false),
        };
        if !outcome.is_success() {
            batch.fail(request_id, &outcome, records);
        }
        let circumstances = Circumstances {
            epoch_ended,
            finishing: matches!(self.phase, Phase::Finishing { .. }),
            attempts: batch.attempts(),
            time_left: self.time_left(&batch, now),
            jitter: fastrand::f64(),
        };
        match decide(&outcome, &self.settings.retry, circumstances) {
            Verdict::Ack => {
                if behind.is_empty() {
                    // The next batch need not wait until the client has written this one's frames.
                    self.start_waiting(now).await?;
                }
                let settled = self.settle(Settlement::Ack, &batch.tokens()).await?;
                self.telemetry.handled(settled.sent);
                self.follow(behind, now).await
            }
            Verdict::Stale => {
                self.telemetry.stale(batch.followed_by(behind).all_tokens().len());
                ControlFlow::Continue(())
            }
            Verdict::TooLate => self.end_in_time(now).await,
            Verdict::Requeue => {
                let rest = if self.is_bisected(&batch, &outcome, is_part) {
                    // Nobody knows yet which of its records it is.
                    self.telemetry.failed(&outcome);
                    Some(batch)
                } else {
                    self.without_given_up(batch, &outcome).await?
                };
                let left = match rest {
                    Some(batch) => Some(batch.followed_by(behind)),
                    None => Batch::first_of(behind),
                };
                let Some(batch) = left else { return ControlFlow::Continue(()) };
                self.requeue(batch).await
            }
            Verdict::Retry(_) if self.is_bisected(&batch, &outcome, is_part) => {
                self.telemetry.failed(&outcome);
                self.telemetry.will_bisect(&batch, &outcome);
                let batch = batch.followed_by(behind).bisect(self.envelope);
                self.start(batch, now).await
            }
            Verdict::Retry(wait) => {
                let rest = self.without_given_up(batch, &outcome).await?;
                let Some(batch) = rest else { return self.follow(behind, now).await };
                if !self.may_start(&batch, now + wait) {
                    // Until then it would only grow older.
                    return self.end_in_time(now).await;
                }
                self.telemetry.will_retry(&batch, &outcome, wait);
                let batch = batch.followed_by(behind);
                self.resting.push(Resting { until: now + wait, batch });
                ControlFlow::Continue(())
            }
        }
    }

    /// Whether a failed batch is to be called again as two halves: where the function has not said more
    /// about it itself.
    fn is_bisected(&self, batch: &Batch, outcome: &Outcome, is_part: bool) -> bool {
        let says_more = is_part || matches!(outcome, Outcome::RetryAfter(..) | Outcome::GaveUp(_));
        self.settings.bisect_batch_on_function_error && batch.len() > 1 && !says_more
    }

    /// Acks the records of a batch that the function is done with, and leaves the others.
    async fn without_done(
        &mut self,
        batch: Batch,
        failed: &BTreeSet<usize>,
    ) -> ControlFlow<Ended, Option<Batch>> {
        let places = batch.tokens().into_iter().enumerate();
        let failed = places.filter(|(place, _)| failed.contains(place));
        let failed: BTreeSet<u64> = failed.map(|(_, token)| token.tag).collect();
        let is_done = |taken: &Taken| !failed.contains(&taken.delivery.token.tag);
        let (done, rest) = batch.split(self.envelope, is_done);
        let settled = self.settle(Settlement::Ack, &tokens(&done)).await?;
        self.telemetry.handled(settled.sent);
        ControlFlow::Continue(rest)
    }

    /// Goes on with what follows a batch that is settled, or will be when its dead letters are kept.
    async fn follow(&mut self, behind: Vec<Batch>, now: Instant) -> ControlFlow<Ended> {
        match Batch::first_of(behind) {
            None => ControlFlow::Continue(()),
            Some(next) => self.start(next, now).await,
        }
    }

    /// What is left of a failed batch without the records that are given up.
    async fn without_given_up(
        &mut self,
        batch: Batch,
        outcome: &Outcome,
    ) -> ControlFlow<Ended, Option<Batch>> {
        self.telemetry.failed(outcome);
        let (limits, attempts) = (&self.settings.give_up, batch.attempts());
        let fate = |taken: &Taken| fate(limits, outcome, taken.delivery.returns, attempts);
        let mut rest = Some(batch);
        for condition in [
            Condition::GivenUpByFunction,
            Condition::RetryAttemptsExhausted,
            Condition::DeliveryLimitNear,
        ] {
            let Some(batch) = rest else { break };
            rest =
                self.give_up_of(batch, condition, |taken| fate(taken) == Some(condition)).await?;
        }
        ControlFlow::Continue(rest)
    }

    /// Puts a batch back. With an order to keep, it and what waits behind it go back when the source
    /// is closed: a quorum queue takes back what a closed channel held in its old place, and puts
    /// what was requeued at its end. The order of a group is kept as well: what waits may be of it.
    pub(super) async fn requeue(&mut self, batch: Batch) -> ControlFlow<Ended> {
        if !batch.groups().is_empty() {
            self.waiting.clear();
        }
        if self.settings.maximum_concurrency.get() == 1 {
            self.waiting.clear();
            return ControlFlow::Continue(());
        }
        let tokens = batch.all_tokens();
        self.given_back += tokens.len();
        self.settle(Settlement::Requeue, &tokens).await?;
        ControlFlow::Continue(())
    }

    pub(super) async fn settle(
        &mut self,
        settlement: Settlement<'_>,
        tokens: &[DeliveryToken],
    ) -> ControlFlow<Ended, Settled> {
        match timeout(SETTLE_TIMEOUT, self.source.settle(settlement, tokens)).await {
            Ok(settled) => {
                self.in_hand -= tokens.len();
                if settled.stale > 0 {
                    self.telemetry.stale(settled.stale);
                } else if settlement != Settlement::Requeue {
                    self.release(tokens);
                }
                ControlFlow::Continue(settled)
            }
            Err(_elapsed) => ControlFlow::Break(Ended::SettleTimedOut),
        }
    }
}

fn tokens(deliveries: &[Delivery]) -> Vec<DeliveryToken> {
    deliveries.iter().map(|delivery| delivery.token).collect()
}
