//! Every log event of the store. Constant messages; what varies is in fields.

use std::path::Path;

use tracing::warn;

pub(crate) fn aged(path: &Path, letters: usize) {
    let path = path.display();
    warn!(%path, letters, "dropped dead letters that were older than dead_letters_age_max");
}
