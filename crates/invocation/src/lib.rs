//! One call of a function with one batch: what is asked for, and how it ended.
//!
//! The vocabulary between the mapping, which decides what an ending means for its messages, and
//! whatever runs the function: the sandbox, or an embedder's own code. Neither knows the other.
//!
//! ```text
//! invocation   waiting for a slot → Running(deadline) → Outcome
//! ```
//!
//! A function's misbehaviour is an [`Outcome`], never an error and never a panic.

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use uuid::Uuid;

/// A loaded handler with its limits, ready to be called with one batch after another.
pub trait Function: Send + Sync + 'static {
    /// The name under which the configuration knows the function.
    fn name(&self) -> &str;

    /// Calls the function with one event and says how the call ended.
    ///
    /// The returned future does the function's own work where it is polled, so it belongs on the
    /// guests' runtime and never on threads that do I/O for others.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the call where it stands: the function has seen the event and may
    /// have acted on it, and nobody learns the outcome.
    fn invoke(&self, invocation: Invocation<'_>) -> impl Future<Output = Report> + Send;
}

/// What one call is given.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// Identifies this call in every log line about it; each attempt has its own.
    pub request_id: Uuid,
    /// The event JSON, at most 6 MiB.
    pub event: &'a str,
    /// Which call with this batch it is, counted from 1.
    pub attempt: u32,
    /// The longest that the call may wait for its turn. One whose turn comes later does not start,
    /// which is [`Outcome::NotStarted`].
    pub wait_max: Duration,
}

impl fmt::Debug for Invocation<'_> {
    /// Leaves the event out: it holds other people's messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("request_id", &self.request_id)
            .field("event_bytes", &self.event.len())
            .field("attempt", &self.attempt)
            .field("wait_max", &self.wait_max)
            .finish()
    }
}

/// How one invocation ended, and what it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// How long the call waited for its turn, which its timeout does not count.
    pub waited: Duration,
    /// Whether the call began with a new instance, as Lambda's cold starts do.
    pub cold: bool,
    /// Wall-clock time of the call, instantiation included and waiting excluded.
    pub duration: Duration,
    /// Fuel burned, in wasmtime's units (roughly one per instruction).
    pub fuel: u64,
    /// The most linear memory the instance has held so far, in bytes.
    pub memory_bytes: u64,
}

impl Report {
    /// Of a call whose turn did not come, or that has not begun.
    #[must_use]
    pub fn not_started() -> Report {
        Report {
            outcome: Outcome::NotStarted,
            waited: Duration::ZERO,
            cold: false,
            duration: Duration::ZERO,
            fuel: 0,
            memory_bytes: 0,
        }
    }
}

/// How an invocation ended. Everything but [`Outcome::Succeeded`] is a failed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The batch is done; the function's response JSON, if it gave one.
    Succeeded(Option<String>),
    /// The function itself answered with an error, or exited with one.
    HandlerError(String),
    /// The function answered with an error, and when it wants the batch again.
    RetryAfter(Duration, String),
    /// The function answered with an error, and that it does not want the batch again.
    GaveUp(String),
    /// The function trapped: a panic, an `unreachable`, a stack overflow, an access out of bounds.
    Trapped(String),
    /// The function burned all the fuel that its timeout buys.
    OutOfFuel,
    /// The wall clock passed the timeout.
    TimedOut,
    /// The function asked for more memory than its limit, and could not go on without.
    OutOfMemory,
    /// The function answered with more than a response may hold.
    ResponseTooLarge,
    /// The call's turn did not come in time. The function has seen nothing of the batch.
    NotStarted,
}

impl Outcome {
    /// Whether the batch is done.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Succeeded(_))
    }

    /// The outcome's name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Succeeded(_) => "succeeded",
            Outcome::HandlerError(_) => "handler_error",
            Outcome::RetryAfter(..) => "retry_after",
            Outcome::GaveUp(_) => "gave_up",
            Outcome::Trapped(_) => "trapped",
            Outcome::OutOfFuel => "out_of_fuel",
            Outcome::TimedOut => "timed_out",
            Outcome::OutOfMemory => "out_of_memory",
            Outcome::ResponseTooLarge => "response_too_large",
            Outcome::NotStarted => "not_started",
        }
    }
}

impl fmt::Display for Outcome {
    /// One sentence without a full stop, for people; the response itself is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Succeeded(_) => f.write_str("succeeded"),
            Outcome::HandlerError(message) => write!(f, "the handler answered: {message}"),
            Outcome::RetryAfter(after, message) => {
                write!(f, "the handler answered: {message}; it wants the batch again in {after:?}")
            }
            Outcome::GaveUp(message) => {
                write!(f, "the handler answered: {message}; it does not want the batch again")
            }
            Outcome::Trapped(reason) => write!(f, "the handler trapped: {reason}"),
            Outcome::OutOfFuel => f.write_str("the handler burned the fuel of its timeout"),
            Outcome::TimedOut => f.write_str("the handler ran longer than its timeout"),
            Outcome::OutOfMemory => f.write_str("the handler needs more memory than its limit"),
            Outcome::ResponseTooLarge => {
                f.write_str("the handler's response is larger than 6 MiB; let it answer less")
            }
            Outcome::NotStarted => f.write_str(
                "no place for the call in time; raise instances_max or the function's \
                 reserved_concurrency",
            ),
        }
    }
}
