//! What a mapping says about itself: its state, why it came to it, and how its last work went.
//!
//! The words are Lambda's (GetEventSourceMapping: `State`, `StateTransitionReason`,
//! `LastProcessingResult`). [`Status::after`] is pure; a [`Board`] is where the mapping writes it
//! and others read it.
//!
//! ```text
//! Creating ─Enable─▶ Enabling ─Subscribed or Away─▶ Enabled ─Disable─▶ Disabling ─Ended─▶ Disabled
//! Enabling | Enabled ─Refused─▶ Disabled, by a code ─Subscribed─▶ Enabled
//! Enabled ─Update─▶ Updating, draining and beginning anew ─Subscribed or Away─▶ Enabled
//! Disabled ─Enable─▶ Enabling                                  any ─Delete─▶ Deleting
//! ```
//!
//! What must never happen: a mapping that somebody stopped and that comes back by itself, or a code
//! without a sentence that says what to do.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_broker::StopCode;
use tokio::sync::watch;

/// Where a mapping is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It is known and has not started.
    Creating,
    /// It is about to consume its queue.
    Enabling,
    /// It consumes its queue, or tries again until the broker is back.
    Enabled,
    /// It takes on other settings.
    Updating,
    /// It drains.
    Disabling,
    /// It consumes nothing: somebody has said so, or an error needs somebody to act.
    Disabled,
    /// It ends for good.
    Deleting,
}

/// Why a mapping is in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateTransitionReason {
    /// Somebody has said so.
    UserInitiated,
    /// An error that needs somebody to act.
    Stopped(StopCode),
}

/// How the last batch went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Processing {
    NoRecords,
    Ok,
    Problem(String),
}

/// What a mapping says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it is in its life.
    pub state: State,
    /// Why.
    pub reason: StateTransitionReason,
    /// Whether the broker hands over to it at this moment.
    pub subscribed: bool,
    /// What keeps it from its queue, until it has it again.
    trouble: Option<String>,
    processing: Processing,
}

/// What changes a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Somebody wants it to work.
    Enable,
    /// Somebody wants it to stop.
    Disable,
    /// Somebody gives it other settings.
    Update,
    /// Somebody wants it gone.
    Delete,
    /// It finishes what it was doing: it, or the whole host, was told to stop, or takes on other
    /// settings.
    Drain,
    /// It has ended what it was doing.
    Ended,
    /// The broker hands over to it.
    Subscribed,
    /// The broker is away or busy and will be tried again.
    Away(String),
    /// It cannot go on before somebody acts.
    Refused(StopCode, String),
    /// A batch was handled.
    Handled,
    /// A batch failed.
    Failed(String),
}

impl Status {
    /// The status of a mapping that has not started.
    pub const NEW: Self = Self {
        state: State::Creating,
        reason: StateTransitionReason::UserInitiated,
        subscribed: false,
        trouble: None,
        processing: Processing::NoRecords,
    };

    /// What the status becomes.
    #[must_use]
    pub fn after(self, change: Change) -> Self {
        match change {
            Change::Enable if self.state == State::Updating => self.told(State::Updating),
            Change::Enable => self.told(State::Enabling),
            Change::Disable => self.told(State::Disabling),
            Change::Update => self.told(State::Updating),
            Change::Delete => self.told(State::Deleting),
            Change::Drain if self.state == State::Updating => self,
            Change::Drain => self.told(State::Disabling),
            Change::Ended => self.ended(),
            Change::Subscribed => self.subscribed(),
            Change::Away(trouble) => self.away(trouble),
            Change::Refused(code, trouble) => self.refused(code, trouble),
            Change::Handled => Self { processing: Processing::Ok, ..self },
            Change::Failed(problem) => Self { processing: Processing::Problem(problem), ..self },
        }
    }

    /// `No records processed`, `OK`, or `PROBLEM: ` and a sentence: what keeps the mapping from its
    /// queue, and else how its last batch went.
    #[must_use]
    pub fn last_processing_result(&self) -> String {
        match (&self.trouble, &self.processing) {
            (Some(problem), _) | (None, Processing::Problem(problem)) => {
                format!("PROBLEM: {problem}")
            }
            (None, Processing::NoRecords) => "No records processed".to_owned(),
            (None, Processing::Ok) => "OK".to_owned(),
        }
    }

    /// Does what somebody wants; only what is being deleted stays so.
    fn told(self, state: State) -> Self {
        if self.state == State::Deleting {
            return self;
        }
        let reason = StateTransitionReason::UserInitiated;
        // To begin anew is to begin without a subscription.
        let subscribed = self.subscribed && !matches!(state, State::Enabling | State::Updating);
        Self { state, reason, subscribed, trouble: None, ..self }
    }

    fn away(self, trouble: String) -> Self {
        let state = match self.state {
            State::Creating | State::Enabling | State::Updating => State::Enabled,
            state @ (State::Enabled | State::Disabling | State::Disabled | State::Deleting) => {
                state
            }
        };
        Self { state, subscribed: false, trouble: Some(trouble), ..self }
    }

    /// Whether somebody has ended it, so that what the broker says no longer counts.
    fn is_over(&self) -> bool {
        match self.state {
            State::Disabling | State::Deleting => true,
            State::Disabled => self.reason == StateTransitionReason::UserInitiated,
            State::Creating | State::Enabling | State::Enabled | State::Updating => false,
        }
    }

    fn ended(self) -> Self {
        let disabled = self.state == State::Disabling;
        let state = if disabled { State::Disabled } else { self.state };
        Self { state, subscribed: false, ..self }
    }

    fn subscribed(self) -> Self {
        if self.is_over() {
            return self;
        }
        let reason = StateTransitionReason::UserInitiated;
        Self { state: State::Enabled, reason, subscribed: true, trouble: None, ..self }
    }

    fn refused(self, code: StopCode, trouble: String) -> Self {
        if self.is_over() {
            return Self { subscribed: false, ..self };
        }
        Self {
            state: State::Disabled,
            reason: StateTransitionReason::Stopped(code),
            subscribed: false,
            trouble: Some(trouble),
            ..self
        }
    }
}

impl State {
    /// The state as Lambda spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Creating => "Creating",
            State::Enabling => "Enabling",
            State::Enabled => "Enabled",
            State::Updating => "Updating",
            State::Disabling => "Disabling",
            State::Disabled => "Disabled",
            State::Deleting => "Deleting",
        }
    }
}

impl StateTransitionReason {
    /// The reason as Lambda spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StateTransitionReason::UserInitiated => "USER_INITIATED",
            StateTransitionReason::Stopped(code) => code.as_str(),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counts of one mapping since the host started. They only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the broker handed over, hand-overs of the same message included.
    pub received: u64,
    /// Messages that were handled and acked.
    pub handled: u64,
    /// Messages that were given up and are dead letters now.
    pub given_up: u64,
    /// Messages whose own expiration passed while they were held.
    pub expired: u64,
    /// Invocations that succeeded.
    pub invocations_ok: u64,
    /// Invocations that failed.
    pub invocations_failed: u64,
}

/// Where a mapping writes its status and its counts, and others read them.
#[derive(Debug)]
pub struct Board {
    status: watch::Sender<Status>,
    received: AtomicU64,
    handled: AtomicU64,
    given_up: AtomicU64,
    expired: AtomicU64,
    invocations_ok: AtomicU64,
    invocations_failed: AtomicU64,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            status: watch::Sender::new(Status::NEW),
            received: AtomicU64::default(),
            handled: AtomicU64::default(),
            given_up: AtomicU64::default(),
            expired: AtomicU64::default(),
            invocations_ok: AtomicU64::default(),
            invocations_failed: AtomicU64::default(),
        }
    }
}

impl Board {
    /// Notes a change. Returns the new status when its state or reason is another than before.
    pub fn note(&self, change: Change) -> Option<Status> {
        let mut moved = None;
        self.status.send_if_modified(|status| {
            let new = status.clone().after(change);
            if (new.state, new.reason) != (status.state, status.reason) {
                moved = Some(new.clone());
            }
            let differs = new != *status;
            *status = new;
            differs
        });
        moved
    }

    /// The status now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// A receiver that wakes at every change of the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            received: read(&self.received),
            handled: read(&self.handled),
            given_up: read(&self.given_up),
            expired: read(&self.expired),
            invocations_ok: read(&self.invocations_ok),
            invocations_failed: read(&self.invocations_failed),
        }
    }

    pub(crate) fn count_received(&self, messages: usize) {
        add(&self.received, messages);
    }

    pub(crate) fn count_handled(&self, messages: usize) {
        add(&self.handled, messages);
    }

    pub(crate) fn count_given_up(&self, messages: usize) {
        add(&self.given_up, messages);
    }

    pub(crate) fn count_expired(&self, messages: usize) {
        add(&self.expired, messages);
    }

    pub(crate) fn count_invocation(&self, succeeded: bool) {
        add(if succeeded { &self.invocations_ok } else { &self.invocations_failed }, 1);
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
