//! What happens to records that are given up, and to those that must not go back any more.
//!
//! What must never happen: see the parent; and a record that is given up and then nowhere.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use gristmill_broker::{
    Delivery, DeliveryToken, Disposition, KeepError, Settlement, Source, SourceError,
};
use gristmill_invocation::Function;
use tokio::time::{Instant, timeout};

use super::letters::{Group, Letter, OriginalMissing};
use super::{Because, Driver, Ended, Phase, unix_now_ms};
use crate::backoff::Backoff;
use crate::batcher::Batch;
use crate::hold::Impasse;
use crate::record::Reason;
use crate::settings::OnFailure;

/// When somebody should hear that keeping dead letters takes its time.
const KEEP_SLOW: Duration = Duration::from_secs(10);

impl<S: Source, F: Function> Driver<'_, S, F> {
    /// Leaves records, the first of which came at that moment, to whatever the mapping's `on_failure`
    /// says.
    pub(super) async fn give_up(
        &mut self,
        reason: Reason,
        letters: Vec<Letter>,
        arrived: Instant,
    ) -> ControlFlow<Ended> {
        if letters.is_empty() {
            return ControlFlow::Continue(());
        }
        let group = Group::new(letters, reason, arrived, unix_now_ms());
        match self.settings.give_up.on_failure {
            OnFailure::Broker => {
                let cause = group.reason.cause();
                let settled = self.settle(Settlement::Reject(&cause), &group.tokens()).await?;
                self.telemetry.gave_up(&group.reason, settled.sent, group.ids());
            }
            OnFailure::Keep(_) => self.letters.push(group),
        }
        ControlFlow::Continue(())
    }

    /// Has given-up records kept, unless that is under way. A source that does not have one any more has
    /// ended the epoch, or must: so that the broker hands it over again.
    pub(super) fn keep_letters(&mut self, now: Instant) -> ControlFlow<Ended> {
        let OnFailure::Keep(place) = &self.settings.give_up.on_failure else {
            return ControlFlow::Continue(());
        };
        let (place, telemetry) = (Arc::clone(place), self.telemetry.clone());
        let source = &*self.source;
        let taken_up = self.letters.take_up(
            self.settings,
            now,
            &|token, message| source.original(token, message),
            |letters| {
                Box::pin(async move {
                    let mut keeping = place.keep(letters);
                    match timeout(KEEP_SLOW, &mut keeping).await {
                        Ok(kept) => kept,
                        Err(_elapsed) => {
                            telemetry.keeping_is_slow();
                            keeping.await
                        }
                    }
                })
            },
        );
        match taken_up {
            Ok(()) => ControlFlow::Continue(()),
            Err(OriginalMissing) => {
                let queue = self.settings.queue.clone();
                let reason = "the client no longer has a message that was given up".to_owned();
                ControlFlow::Break(Ended::SourceLost(SourceError::Lost { queue, reason }))
            }
        }
    }

    /// Acks what is kept; and what is not, is tried again.
    pub(super) async fn conclude_keeping(
        &mut self,
        kept: Result<(), KeepError>,
        now: Instant,
    ) -> ControlFlow<Ended> {
        let error = match kept {
            Ok(()) => {
                for group in self.letters.kept() {
                    let settled = self.settle(Settlement::Ack, &group.tokens()).await?;
                    self.telemetry.gave_up(&group.reason, settled.sent, group.ids());
                }
                return ControlFlow::Continue(());
            }
            Err(error) => error,
        };
        let (backoff, is_refused) = match error.disposition() {
            Disposition::Reconnect => (Backoff::RECONNECT, false),
            Disposition::Stop(_) => (Backoff::PROBE, true),
        };
        let wait = backoff.wait(self.letters.failed(backoff), fastrand::f64());
        self.telemetry.not_kept(&error, wait);
        match self.phase {
            Phase::Finishing { because: Because::Refused, .. } | Phase::Taking => {
                self.letters.rest(now + wait);
            }
            Phase::Finishing { .. } => self.leave_letters(),
        }
        if is_refused {
            self.finish(Because::Refused, now).await
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Leaves what is not kept to the broker, and what waits behind it too, so that nothing overtakes
    /// it.
    pub(super) fn leave_letters(&mut self) {
        if self.letters.leave() > 0 {
            self.waiting.clear();
        }
    }

    /// Whether what is not kept yet holds up a batch: where there is an order to keep, that of the queue
    /// or of a group.
    pub(super) fn waits_for_letters(&self, batch: &Batch) -> bool {
        let keeps_order = self.settings.maximum_concurrency.get() == 1;
        keeps_order && !self.letters.is_empty() || self.letters.share_group(batch.groups())
    }

    /// When the broker has waited for long enough for what is not kept; `None` if it waits for ever.
    pub(super) fn letters_deadline(&self) -> Option<Instant> {
        self.letters.arrived()?.checked_add(self.settings.latest_start)
    }

    /// Holds the mapping while it has a delivery that may come back once more at most, so that neither
    /// a crash from here on nor a place that keeps nothing becomes a loop that ends in the message's
    /// deletion. One that is rejected in the end is the broker's to keep either way.
    pub(super) fn watch_over(&mut self, delivery: &Delivery) {
        let limits = &self.settings.give_up;
        let near = limits.returns_left(delivery.returns.counted).is_some_and(|left| left <= 1);
        if !near || matches!(limits.on_failure, OnFailure::Broker) {
            return;
        }
        let impasse = Impasse {
            message_id: delivery.message.id().map(str::to_owned),
            returns: delivery.returns.counted,
            limit: limits.delivery_limit.unwrap_or(u32::MAX),
        };
        if self.last_chance.is_empty() {
            self.hold.set(&impasse.to_string());
        }
        self.last_chance.insert(delivery.token.tag, impasse);
    }

    /// Lets the mapping go when no such delivery is left.
    pub(super) fn release(&mut self, settled: &[DeliveryToken]) {
        if self.last_chance.is_empty() {
            return;
        }
        for token in settled {
            self.last_chance.remove(&token.tag);
        }
        if self.last_chance.is_empty() {
            self.hold.clear();
        }
    }
}
