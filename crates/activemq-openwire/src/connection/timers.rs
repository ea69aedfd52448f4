//! Keep-alive and deadlines: instants in, decisions out.
//!
//! Each side writes something at least every third of the agreed silence, and counts the other as
//! gone after one and a half of it. Bytes count, not frames: a large frame under way is a sign of
//! life.

use std::time::{Duration, Instant};

use crate::Agreement;

/// When something is due. An instant that the clock cannot tell is never.
#[derive(Debug)]
pub(super) struct Timers {
    /// The agreed silence; `None`: nobody counts it.
    inactivity: Option<Duration>,
    /// Until when the peer need not say anything.
    counts_from: Instant,
    last_received: Instant,
    last_sent: Instant,
    /// When login, or closing, has to have ended.
    deadline: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Login or closing has taken too long.
    Deadline,
    /// The peer has been silent for too long.
    PeerSilent,
    /// This side has been silent for so long that it has to say something.
    KeepAlive,
}

impl Timers {
    pub(super) fn new(now: Instant, login_timeout: Duration) -> Self {
        Self {
            inactivity: None,
            counts_from: now,
            last_received: now,
            last_sent: now,
            deadline: now.checked_add(login_timeout),
        }
    }

    pub(super) fn agree(&mut self, now: Instant, agreement: &Agreement) {
        self.inactivity = agreement.inactivity;
        self.counts_from = now.checked_add(agreement.initial_delay).unwrap_or(now);
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    pub(super) fn next(&self) -> Option<Instant> {
        [self.deadline, self.peer_silent(), self.keep_alive()].into_iter().flatten().min()
    }

    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.deadline) {
            Some(Due::Deadline)
        } else if is_due(self.peer_silent()) {
            Some(Due::PeerSilent)
        } else if is_due(self.keep_alive()) {
            Some(Due::KeepAlive)
        } else {
            None
        }
    }

    fn peer_silent(&self) -> Option<Instant> {
        let silence = self.inactivity?.checked_mul(3)?.checked_div(2)?;
        self.last_received.max(self.counts_from).checked_add(silence)
    }

    fn keep_alive(&self) -> Option<Instant> {
        self.last_sent.checked_add(self.inactivity?.checked_div(3)?)
    }
}
