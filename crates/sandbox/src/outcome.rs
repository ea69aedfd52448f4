//! From what wasmtime says about a failed call to an [`Outcome`].
//!
//! Everything that a handler can do wrong ends here as one of the outcomes, with a message of
//! bounded length: function names and answers come from the handler and can be of any size.

use gristmill_invocation::Outcome;
use wasmtime::{Error, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::backtrace::{self, Told};
use crate::lines::Lines;
use crate::output::Response;
use crate::state::DirError;

/// The most bytes of a message in an outcome: why a handler trapped, or what it answered.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// How wasmtime says that a handler hands over more than may be copied. Its type is not public.
const TOO_MUCH_COPIED: &str = "fuel allocated for hostcalls has been exhausted";

/// The outcome of a command that ended by itself: that returned, or asked to exit.
pub(crate) fn of_command(
    ended: wasmtime::Result<Result<(), ()>>,
    response: Option<&Response>,
) -> wasmtime::Result<Outcome> {
    let code = match ended {
        Ok(Ok(())) => 0,
        Ok(Err(())) => 1,
        Err(error) => error.downcast::<I32Exit>()?.0,
    };
    if code != 0 {
        return Ok(Outcome::HandlerError(format!("exit code {code}")));
    }
    Ok(response.map_or(Outcome::Succeeded(None), Response::outcome))
}

/// The outcome of a call that could not begin because of a directory.
pub(crate) fn of_dir(error: &DirError) -> Outcome {
    Outcome::Trapped(shortened(format!("it could not start: {error}: {}", error.source)))
}

/// The outcome of a call that ended in an error. `memory_refused` tells whether the handler asked
/// for memory in this call that it did not get.
pub(crate) fn of_error(error: &Error, memory_refused: bool, lines: Option<&Lines>) -> Outcome {
    if error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel) {
        Outcome::OutOfFuel
    } else if is_too_large_an_answer(error) {
        Outcome::ResponseTooLarge
    } else if memory_refused {
        Outcome::OutOfMemory
    } else {
        Outcome::Trapped(shortened(reason(error, lines)))
    }
}

/// Whether the answer was too large to be copied. While the handler runs, wasmtime adds where it was.
fn is_too_large_an_answer(error: &Error) -> bool {
    error.downcast_ref::<WasmBacktrace>().is_none()
        && error.root_cause().to_string().ends_with(TOO_MUCH_COPIED)
}

/// The cause, and the functions that led to it, innermost first.
fn reason(error: &Error, lines: Option<&Lines>) -> String {
    let cause = error.root_cause().to_string();
    let cause = cause.strip_prefix("wasm trap: ").unwrap_or(&cause);
    match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => {
            let Told { functions, is_panic } = backtrace::told(backtrace, lines);
            // What a panic ends with is always the same and says less.
            let cause = if is_panic { "a panic" } else { cause };
            format!("{cause} in {functions}")
        }
        None => cause.to_owned(),
    }
}

/// Cuts a text to [`MESSAGE_BYTES_MAX`].
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = shortened("é".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(message.chars().count(), MESSAGE_BYTES_MAX / 2 + 1);
        assert!(message.ends_with("é…"));
    }

    #[test]
    fn running_dry_is_told_apart_even_after_memory_was_refused() {
        assert_eq!(of_error(&Trap::OutOfFuel.into(), true, None), Outcome::OutOfFuel);
        let unreachable = Error::from(Trap::UnreachableCodeReached);
        assert_eq!(of_error(&unreachable, true, None), Outcome::OutOfMemory);
        assert_eq!(
            of_error(&unreachable, false, None),
            Outcome::Trapped("wasm `unreachable` instruction executed".to_owned())
        );
    }
}
