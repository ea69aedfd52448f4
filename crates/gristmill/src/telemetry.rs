//! Every log event of the host itself. Constant messages; what varies is in fields.

use std::time::Duration;

use tracing::{error, info};

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
