//! Every log event of the host itself. Constant messages; what varies is in fields.

use std::io;
use std::path::Path;
use std::time::Duration;

use gristmill_broker::StopCode;
use gristmill_mapping::status::Status;
use tracing::{error, info, warn};

pub(crate) fn started(mappings: usize) {
    info!(version = env!("CARGO_PKG_VERSION"), mappings, "host started");
}

pub(crate) fn stopped() {
    info!("host stopped");
}

pub(crate) fn mapping_panicked(mapping: &str, wait: Duration) {
    error!(
        mapping,
        restart_in_ms = wait.as_secs_f64() * 1e3,
        "a mapping's task panicked, which is a bug of the host; it starts again"
    );
}

pub(crate) fn not_working(mapping: &str, code: StopCode, reason: &str) {
    error!(mapping, code = code.as_str(), reason, "the mapping does not work; somebody must act");
}

/// The same line as a mapping's own.
pub(crate) fn state_changed(mapping: &str, status: &Status) {
    info!(
        mapping,
        state = status.state.as_str(),
        state_transition_reason = status.reason.as_str(),
        last_processing_result = status.last_processing_result(),
        "state changed"
    );
}

pub(crate) fn not_held(mapping: &str, path: &Path, error: &io::Error) {
    let path = path.display();
    error!(mapping, %path, %error, "cannot write the file that holds the mapping over a restart");
}

pub(crate) fn not_released(mapping: &str, path: &Path, error: &io::Error) {
    let path = path.display();
    error!(mapping, %path, %error, "cannot remove the file that holds the mapping");
}

/// A handler is not in the cache. Says that something takes a while.
pub(crate) fn compiling(function: &str, bytes: usize, sha256: &str) {
    info!(function, bytes, sha256, "compiling");
}

pub(crate) fn not_cached(function: &str, error: &io::Error) {
    warn!(
        function,
        %error,
        "what was compiled cannot be kept in data_dir/cache; it is compiled at the next start again"
    );
}

pub(crate) fn cache_damaged(path: &Path, error: &io::Error) {
    warn!(path = %path.display(), %error, "removed a damaged entry of the cache; compiling again");
}

pub(crate) fn cache_emptied(folder: &Path) {
    warn!(
        path = %folder.display(),
        "others than this user could get into the cache, so it was emptied; compiling again"
    );
}
