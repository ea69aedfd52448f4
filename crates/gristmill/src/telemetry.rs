//! Every log event of the host itself. Constant messages; what varies is in fields.

use std::io;
use std::path::Path;
use std::time::Duration;

use gristmill_broker::{StopCode, with_causes};
use gristmill_mapping::status::Status;
use tracing::{error, info, warn};

use crate::handle::Applied;
use crate::loader::FunctionError;

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

pub(crate) fn handler_loaded(function: &str, sha256: &str) {
    info!(function, sha256, "handler loaded");
}

/// From the next batch on.
pub(crate) fn handler_reloaded(function: &str, old_sha256: &str, new_sha256: &str) {
    info!(function, old_sha256, new_sha256, "handler reloaded");
}

pub(crate) fn handler_kept(function: &str, old_sha256: &str, error: &FunctionError) {
    let reason = with_causes(error);
    warn!(function, old_sha256, reason, "the changed handler does not load; the old one goes on");
}

/// A configuration is in force, and what of it is new.
pub(crate) fn applied(applied: &Applied) {
    let Applied { added, changed, removed, unchanged } = applied;
    info!(added, changed, removed, unchanged, "configuration applied");
}

/// A changed configuration is not in force.
pub(crate) fn not_applied(reason: &str) {
    error!(reason, "the changed configuration is refused; the old one goes on");
}

pub(crate) fn host_section_waits() {
    warn!("the section [host] has changed, which takes effect at the next start");
}

pub(crate) fn drop_in_taken(drop_in: &str, mappings: usize) {
    info!(drop_in, mappings, "drop-in taken");
}

pub(crate) fn drop_in_removed(drop_in: &str) {
    info!(drop_in, "drop-in removed: its files are gone, so its mappings end");
}

pub(crate) fn drop_in_refused(drop_in: &str, reason: &str, old_goes_on: bool) {
    warn!(drop_in, reason, old_goes_on, "drop-in refused");
}

/// Changes are found by looking from time to time only.
pub(crate) fn changes_not_told(error: &notify::Error) {
    warn!(%error, "the operating system tells of no changes of files; they are seen a little later");
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
