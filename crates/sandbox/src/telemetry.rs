//! Every log event of this crate.
//!
//! All have the target `gristmill::handler`, a constant set of fields, and the function
//! and request id that tell whose they are. What a handler writes is logged as it is, control
//! characters included: whoever shows log events as text must escape them.

use gristmill_invocation::Uuid;

/// The target of everything that a handler wrote.
const HANDLER: &str = "gristmill::handler";

/// One line that a handler wrote to `stream` (`stdout` or `stderr`).
pub(crate) fn handler_line(function: &str, request_id: Uuid, stream: &str, line: &str) {
    tracing::info!(target: HANDLER, function, %request_id, stream, "{line}");
}

/// The end of a call that wrote more than is logged.
pub(crate) fn output_cut(function: &str, request_id: Uuid, lines_cut: u64, bytes_cut: u64) {
    tracing::warn!(
        target: HANDLER,
        function,
        %request_id,
        lines_cut,
        bytes_cut,
        "the handler wrote more than is logged for one invocation"
    );
}

/// Something that the handler reached for and was not granted. Told once.
pub(crate) fn refused(function: &str, refused: &str) {
    tracing::warn!(
        target: HANDLER,
        function,
        refused,
        "the handler was refused what it is not granted; told once"
    );
}
