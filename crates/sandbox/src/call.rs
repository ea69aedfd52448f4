//! One call of one instance, whichever kind of handler it is of.

use bytes::Bytes;
use gristmill_invocation::{Invocation, Outcome};
use wasmtime::Store;
use wasmtime::component::Func;

use crate::answer::{BatchAnswer, Context, ContextAnswer, of_batch, of_context};
use crate::entry::Linked;
use crate::outcome;
use crate::output::Response;
use crate::state::State;

/// What of an instance is called again. A command is called once.
pub(crate) enum Callee {
    Batch(Func),
    BatchWithContext(Func),
}

/// The names and limits that a handler is told about its call.
pub(crate) struct About<'a> {
    pub(crate) function: &'a str,
    pub(crate) memory_mib: u32,
    /// When the call ends at the latest, in milliseconds since 1970.
    pub(crate) deadline_ms: u64,
}

/// Makes an instance, which runs the handler's own initialization; and calls a command, for which
/// that is the same. Says how a command ended, or what to call.
pub(crate) async fn start(
    linked: &Linked,
    store: &mut Store<State>,
    response: Option<&Response>,
) -> wasmtime::Result<Result<Callee, Outcome>> {
    let (pre, index) = match linked {
        Linked::Batch(pre, index)
        | Linked::BatchWithContext(pre, index)
        | Linked::Command(pre, index) => (pre, index),
        Linked::Module(pre) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
            let ended = start.call_async(&mut *store, ()).await.map(Ok);
            return Ok(Err(outcome::of_command(ended, response)?));
        }
    };
    let instance = pre.instantiate_async(&mut *store).await?;
    let func = instance
        .get_func(&mut *store, index)
        .ok_or_else(|| wasmtime::Error::msg("the instance lacks the export it was checked for"))?;
    Ok(match linked {
        Linked::Batch(..) => Ok(Callee::Batch(func)),
        Linked::BatchWithContext(..) => Ok(Callee::BatchWithContext(func)),
        Linked::Command(..) | Linked::Module(_) => {
            let run = func.typed::<(), (Result<(), ()>,)>(&*store)?;
            let ended = run.call_async(&mut *store, ()).await.map(|(ended,)| ended);
            Err(outcome::of_command(ended, response)?)
        }
    })
}

/// Calls an instance with an event.
pub(crate) async fn call(
    callee: &Callee,
    store: &mut Store<State>,
    invocation: &Invocation<'_>,
    about: &About<'_>,
) -> wasmtime::Result<Outcome> {
    // The types carry the event's lifetime, so they cannot be kept with the instance.
    match callee {
        Callee::Batch(func) => {
            let typed = func.typed::<(&str,), (BatchAnswer,)>(&*store)?;
            let (answer,) = typed.call_async(store, (invocation.event,)).await?;
            Ok(of_batch(answer))
        }
        Callee::BatchWithContext(func) => {
            let context = Context::new(invocation, about);
            let typed = func.typed::<(&str, &Context), (ContextAnswer,)>(&*store)?;
            let (answer,) = typed.call_async(store, (invocation.event, &context)).await?;
            Ok(of_context(answer))
        }
    }
}

/// The event as a command reads it.
pub(crate) fn stdin(event: &str) -> Bytes {
    Bytes::copy_from_slice(event.as_bytes())
}
