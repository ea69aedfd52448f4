//! Every log event of the store. Constant messages; what varies is in fields.

use std::path::Path;

use gristmill_broker::{FileError, with_causes};
use tracing::{error, warn};

pub(crate) fn aged(path: &Path, letters: usize) {
    let path = path.display();
    warn!(%path, letters, "dropped dead letters that were older than dead_letters_age_max");
}

pub(crate) fn queues_failed(error: &FileError) {
    let error = with_causes(error);
    error!(%error, "a turn of an embedded broker failed; its subscriptions begin anew");
}
