//! One consumer: what it asked for, and what it has been given.

use crate::structures::Destination;

use super::ledger::{Ledger, Tag, Unsettled};

/// How a consumer takes messages.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerOptions {
    /// What to consume.
    pub destination: Destination,
    /// The most unsettled deliveries; 0 for those asked for with a pull only. Exactly 1,000 is
    /// Java's default, which brokers may replace by their own, so that 999 is sent instead.
    pub prefetch: u16,
    /// Which messages, as an SQL-92 expression over their properties; `None`: all.
    pub selector: Option<String>,
    /// Whether the broker gives all messages to this consumer.
    pub exclusive: bool,
    /// Higher ones get messages before others; 0 is usual.
    pub priority: i8,
    /// Whether to look only, without taking anything away.
    pub browses: bool,
}

impl ConsumerOptions {
    /// A consumer of all messages.
    #[must_use]
    pub fn new(destination: Destination, prefetch: u16) -> Self {
        Self {
            destination,
            prefetch,
            selector: None,
            exclusive: false,
            priority: 0,
            browses: false,
        }
    }

    /// The prefetch as it is sent.
    pub(super) fn prefetch_sent(&self) -> u16 {
        avoid_default(self.prefetch)
    }
}

/// Brokers take exactly this for "nobody has chosen one".
const REPLACED_BY_BROKERS: u16 = 1_000;

pub(super) fn avoid_default(prefetch: u16) -> u16 {
    if prefetch == REPLACED_BY_BROKERS { REPLACED_BY_BROKERS - 1 } else { prefetch }
}

/// A consumer's state.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) destination: Destination,
    pub(super) ledger: Ledger,
    /// Whether its close is on its way: what still comes is the broker's.
    pub(super) is_closing: bool,
    /// The largest prefetch it has had.
    prefetch_max: u32,
    /// Pulls that have not been answered.
    pulls: u32,
}

impl Consumer {
    pub(super) fn new(options: &ConsumerOptions) -> Self {
        Self {
            destination: options.destination.clone(),
            ledger: Ledger::default(),
            is_closing: false,
            prefetch_max: u32::from(options.prefetch_sent()),
            pulls: 0,
        }
    }

    /// Notes a delivery; `None` if nobody asked for that many.
    ///
    /// Twice the prefetch passes, because a broker can raise it without saying so at once. What
    /// counts is that there is a bound.
    pub(super) fn deliver(&mut self, entry: Unsettled) -> Option<Tag> {
        if self.pulls > 0 {
            self.pulls = self.pulls.saturating_sub(1);
        } else {
            let max = usize::try_from(self.prefetch_max.saturating_mul(2)).unwrap_or(usize::MAX);
            if self.ledger.unsettled() >= max {
                return None;
            }
        }
        Some(self.ledger.deliver(entry))
    }

    pub(super) fn is_pulling(&self) -> bool {
        self.pulls > 0
    }

    pub(super) fn pull(&mut self) {
        self.pulls = self.pulls.saturating_add(1);
    }

    pub(super) fn nothing_there(&mut self) {
        self.pulls = self.pulls.saturating_sub(1);
    }

    pub(super) fn raise_prefetch(&mut self, prefetch: u32) {
        self.prefetch_max = self.prefetch_max.max(prefetch);
    }
}
