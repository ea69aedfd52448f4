//! What a handler is told and answers, as the component model writes it: `wit/handler.wit` in Rust.

use std::time::Duration;

use gristmill_invocation::{Invocation, Outcome};
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::call::About;
use crate::outcome::shortened;

/// The shortest wait that a handler can ask for. Without one, a handler that always asks for none
/// would keep the host busy with nothing else.
const RETRY_AFTER_LEAST: Duration = Duration::from_secs(1);

/// The answer of `handle-batch`.
pub(crate) type BatchAnswer = Result<Option<String>, String>;

/// The answer of `handle-batch-with`.
pub(crate) type ContextAnswer = Result<Option<String>, Failure>;

/// What `handle-batch-with` is told about its call.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Context {
    #[component(name = "request-id")]
    request_id: String,
    #[component(name = "function-name")]
    function_name: String,
    attempt: u32,
    #[component(name = "deadline-ms")]
    deadline_ms: u64,
    #[component(name = "memory-mib")]
    memory_mib: u32,
}

/// How `handle-batch-with` fails.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Failure {
    #[component(name = "retry")]
    Retry(String),
    #[component(name = "retry-after")]
    RetryAfter((u32, String)),
    #[component(name = "give-up")]
    GiveUp(String),
}

impl Context {
    pub(crate) fn new(invocation: &Invocation<'_>, about: &About<'_>) -> Context {
        Context {
            request_id: invocation.request_id.to_string(),
            function_name: about.function.to_owned(),
            attempt: invocation.attempt,
            deadline_ms: about.deadline_ms,
            memory_mib: about.memory_mib,
        }
    }
}

pub(crate) fn of_batch(answer: BatchAnswer) -> Outcome {
    match answer {
        Ok(response) => Outcome::Succeeded(response),
        Err(message) => Outcome::HandlerError(shortened(message)),
    }
}

pub(crate) fn of_context(answer: ContextAnswer) -> Outcome {
    match answer {
        Ok(response) => Outcome::Succeeded(response),
        Err(Failure::Retry(message)) => Outcome::HandlerError(shortened(message)),
        Err(Failure::RetryAfter((seconds, message))) => {
            let after = Duration::from_secs(seconds.into()).max(RETRY_AFTER_LEAST);
            Outcome::RetryAfter(after, shortened(message))
        }
        Err(Failure::GiveUp(message)) => Outcome::GaveUp(shortened(message)),
    }
}
