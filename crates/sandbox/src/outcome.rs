//! From what wasmtime says about a failed call to an [`Outcome`].
//!
//! Everything that a handler can do wrong ends here as one of the outcomes, with a message of
//! bounded length: function names and answers come from the handler and can be of any size.

use gristmill_invocation::Outcome;
use wasmtime::{Error, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::output::Response;
use crate::state::DirError;

/// The most bytes of a message in an outcome: why a handler trapped, or what it answered.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// How many functions of a backtrace are told. The panic machinery of Rust takes about eight, and
/// more where inlined ones are told apart.
const FUNCTIONS_MAX: usize = 24;

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
pub(crate) fn of_error(error: &Error, memory_refused: bool) -> Outcome {
    if error.downcast_ref::<Trap>() == Some(&Trap::OutOfFuel) {
        Outcome::OutOfFuel
    } else if is_too_large_an_answer(error) {
        Outcome::ResponseTooLarge
    } else if memory_refused {
        Outcome::OutOfMemory
    } else {
        Outcome::Trapped(shortened(reason(error)))
    }
}

/// Whether the answer was too large to be copied. While the handler runs, wasmtime adds where it was.
fn is_too_large_an_answer(error: &Error) -> bool {
    error.downcast_ref::<WasmBacktrace>().is_none()
        && error.root_cause().to_string().ends_with(TOO_MUCH_COPIED)
}

/// The cause, and the functions that led to it, innermost first.
fn reason(error: &Error) -> String {
    let cause = error.root_cause().to_string();
    let cause = cause.strip_prefix("wasm trap: ").unwrap_or(&cause);
    match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => format!("{cause} in {}", functions(backtrace)),
        None => cause.to_owned(),
    }
}

/// The innermost functions on one line, each with its file and line if the handler tells.
fn functions(backtrace: &WasmBacktrace) -> String {
    in_one_line(&backtrace.to_string())
}

/// Only the backtrace's own text has the names demangled. Below a heading each frame has a line
/// `3: 0x1a2b - module!function`, or, with debug information, a line `3: 0x1a2b - function` and, for
/// each function that was inlined into it, `- function`; below each of these a line
/// `at file:line:column`. What a handler's author knows of these are functions, files and lines.
fn in_one_line(backtrace: &str) -> String {
    let mut functions: Vec<String> = Vec::new();
    for line in backtrace.lines().skip(1) {
        let line = line.trim();
        if let Some(place) = line.strip_prefix("at ") {
            functions.last_mut().into_iter().for_each(|name| *name += &format!(" ({place})"));
            continue;
        }
        if functions.len() == FUNCTIONS_MAX {
            break;
        }
        let named = line.split_once("- ").map_or(line, |(_, named)| named);
        // A `!` can be a part of a function's type too, behind its name.
        let module = named.split_once('!').filter(|(module, _)| !module.contains("::"));
        functions.push(module.map_or(named, |(_, function)| function).to_owned());
    }
    functions.join(" < ")
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
    fn a_backtrace_becomes_one_line_with_files_where_they_are_known() {
        let plain = "error while executing at wasm backtrace:\n    0:   0x3e51 - lib.wasm!abort\n    \
                     1:   0x2aaf - <unknown>!<F as Fn<(), !>>::call\n    2:    0x1c9 - lib.wasm!handle-batch";
        assert_eq!(in_one_line(plain), "abort < <F as Fn<(), !>>::call < handle-batch");
        let detailed = "error while executing at wasm backtrace:\n    0:   0x3e51 - inner::<fn() -> !>\n\
                        \x20                   at src/lib.rs:4:14\n                - outer\n\
                        \x20                   at src/lib.rs:9:1\n    1:   0x2aa5 - handle-batch";
        assert_eq!(
            in_one_line(detailed),
            "inner::<fn() -> !> (src/lib.rs:4:14) < outer (src/lib.rs:9:1) < handle-batch"
        );
    }

    #[test]
    fn running_dry_is_told_apart_even_after_memory_was_refused() {
        assert_eq!(of_error(&Trap::OutOfFuel.into(), true), Outcome::OutOfFuel);
        let unreachable = Error::from(Trap::UnreachableCodeReached);
        assert_eq!(of_error(&unreachable, true), Outcome::OutOfMemory);
        assert_eq!(
            of_error(&unreachable, false),
            Outcome::Trapped("wasm `unreachable` instruction executed".to_owned())
        );
    }
}
