//! Given-up records on their way to where the mapping keeps its dead letters.
//!
//! ```text
//! given up ──▶ waiting ──▶ being kept ── kept ──▶ acked
//!                 ▲             │
//!                 └── failed ───┘  after a while
//! ```
//!
//! One group after another, in order, and several at once where they are small: so what is written
//! together is written with one fsync or one round of confirms. A place that keeps nothing for a while
//! does not hold up the source, and of the batches only those that must not overtake what it has to keep;
//! it all stays unsettled, so it is at most the prefetch.
//!
//! What must never happen: an ack before its record is kept, or a record that nobody keeps or knows of.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;

use gristmill_broker::{DeadLetter, Delivery, DeliveryToken, KeepError, Original};
use gristmill_event::Message;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::record::Reason;
use crate::settings::Settings;

/// About how much is kept at once: each record is copied for it.
const KEEP_BYTES: usize = 8 << 20;

/// One given-up record.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) token: DeliveryToken,
    pub(super) message_id: Option<String>,
    /// What the delivery showed, if it did show something.
    message: Option<Message>,
    /// How often it was handed to the function, as far as anybody knows.
    invoke_count: u32,
    /// Whose later messages wait until it is kept.
    group: Option<Arc<str>>,
}

impl Letter {
    /// A record that was tried so often in this epoch.
    pub(super) fn of(delivery: Delivery, attempts: u32) -> Self {
        let Delivery { token, message, returns, group } = delivery;
        Self {
            token,
            message_id: message.id().map(str::to_owned),
            message: Some(message),
            invoke_count: returns.all.saturating_add(attempts),
            group,
        }
    }

    /// A message that no event can show.
    pub(super) fn without_record(token: DeliveryToken, message_id: Option<String>) -> Self {
        Self { token, message_id, message: None, invoke_count: 0, group: None }
    }
}

/// Records that were given up together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) letters: Vec<Letter>,
    pub(super) reason: Reason,
    given_up_at_ms: u64,
    /// When the first of them came.
    arrived: Instant,
}

impl Group {
    pub(super) fn new(
        letters: Vec<Letter>,
        reason: Reason,
        arrived: Instant,
        given_up_at_ms: u64,
    ) -> Self {
        Self { letters, reason, given_up_at_ms, arrived }
    }

    pub(super) fn tokens(&self) -> Vec<DeliveryToken> {
        self.letters.iter().map(|letter| letter.token).collect()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.letters.iter().filter_map(|letter| letter.message_id.as_deref())
    }

    /// Makes dead letters of the records, and says how many bytes they have.
    fn write(
        &self,
        settings: &Settings,
        original: &Originals<'_>,
        to: &mut Vec<DeadLetter>,
    ) -> Result<usize, OriginalMissing> {
        let Self { letters, reason, given_up_at_ms, .. } = self;
        let mut bytes = 0;
        for letter in letters {
            let Letter { token, message_id, message, invoke_count, group: _ } = letter;
            let original = original(*token, message.as_ref()).ok_or(OriginalMissing)?;
            let id = message_id.as_deref();
            let record = reason.record(settings, id, *invoke_count, *given_up_at_ms);
            bytes += original.0.len() + record.len();
            to.push(DeadLetter {
                original,
                message_id: message_id.clone(),
                condition: reason.condition.as_str(),
                cause: reason.cause(),
                record,
                given_up_at_ms: *given_up_at_ms,
            });
        }
        Ok(bytes)
    }
}

/// The source does not have the original of a record that is unsettled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OriginalMissing;

/// Where the originals of unsettled deliveries are had.
pub(super) type Originals<'a> = dyn Fn(DeliveryToken, Option<&Message>) -> Option<Original> + 'a;

/// What keeps letters, once it is polled.
pub(super) type Keep = Pin<Box<dyn Future<Output = Result<(), KeepError>> + Send>>;

/// Given-up records that are not kept yet. Dropping it leaves them to the broker.
#[derive(Default)]
pub(super) struct Letters {
    groups: VecDeque<Group>,
    /// How many of the first groups are being kept, if any are.
    keeping: Option<(usize, Keep)>,
    /// When it is tried again, after it failed.
    retry_at: Option<Instant>,
    /// How often it failed in a row, always in the same way.
    failures: u32,
    /// What is waited for after such a failure.
    backoff: Option<Backoff>,
}

impl Letters {
    pub(super) fn push(&mut self, group: Group) {
        self.groups.push_back(group);
    }

    /// Whether everything is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether something waits that nobody keeps, because it failed.
    pub(super) fn is_resting(&self) -> bool {
        self.retry_at.is_some()
    }

    /// Whether one of them belongs to one of these groups.
    pub(super) fn share_group(&self, groups: &BTreeSet<Arc<str>>) -> bool {
        let mut letters = self.groups.iter().flat_map(|group| &group.letters);
        let is_shared =
            |letter: &Letter| letter.group.as_ref().is_some_and(|it| groups.contains(it));
        !groups.is_empty() && letters.any(is_shared)
    }

    /// When the first record that is not kept came.
    pub(super) fn arrived(&self) -> Option<Instant> {
        self.groups.iter().map(|group| group.arrived).min()
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Has the first groups kept, unless others are being kept or it is to rest.
    ///
    /// # Errors
    ///
    /// [`OriginalMissing`], and nothing is being kept.
    pub(super) fn take_up(
        &mut self,
        settings: &Settings,
        now: Instant,
        original: &Originals<'_>,
        keep: impl FnOnce(Vec<DeadLetter>) -> Keep,
    ) -> Result<(), OriginalMissing> {
        let rests = self.retry_at.is_some_and(|at| at > now);
        if self.groups.is_empty() || self.keeping.is_some() || rests {
            return Ok(());
        }
        self.retry_at = None;
        let (mut letters, mut count, mut bytes) = (Vec::new(), 0, 0);
        for group in &self.groups {
            bytes += group.write(settings, original, &mut letters)?;
            count += 1;
            if bytes >= KEEP_BYTES {
                break;
            }
        }
        self.keeping = Some((count, keep(letters)));
        Ok(())
    }

    /// How keeping ends; waits for ever while nothing is kept.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was going on goes on with the next call.
    pub(super) async fn next(&mut self) -> Result<(), KeepError> {
        match &mut self.keeping {
            Some((_, keep)) => keep.await,
            None => pending().await,
        }
    }

    /// The groups that are kept now.
    pub(super) fn kept(&mut self) -> Vec<Group> {
        self.failures = 0;
        let (count, _) = self.keeping.take().unzip();
        self.groups.drain(..count.unwrap_or(0)).collect()
    }

    /// Notes that keeping failed, and says how often it has in a row. Another trouble than before, after
    /// which something else is waited for, begins anew.
    pub(super) fn failed(&mut self, backoff: Backoff) -> u32 {
        self.keeping = None;
        if self.backoff.replace(backoff) != Some(backoff) {
            self.failures = 0;
        }
        self.failures += 1;
        self.failures
    }

    /// Lets it rest after it failed.
    pub(super) fn rest(&mut self, until: Instant) {
        self.retry_at = Some(until);
    }

    /// Ends its rest: somebody may have mended what was wrong.
    pub(super) fn wake(&mut self) {
        self.retry_at = None;
        self.failures = 0;
    }

    /// Leaves everything to the broker, and says how many records that were.
    pub(super) fn leave(&mut self) -> usize {
        let left = std::mem::take(self);
        left.groups.iter().map(|group| group.letters.len()).sum()
    }
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letters")
            .field("groups", &self.groups)
            .field("retry_at", &self.retry_at)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
