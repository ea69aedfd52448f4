//! Whether files have changed, by looking at them from time to time.
//!
//! A look every two seconds costs next to nothing, works on every file system and in every
//! container, and follows a file that is replaced by renaming.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

/// How often files are looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);

/// What tells one version of a file from another; `None` if there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(SystemTime, u64)>);

impl Stamp {
    /// The stamp of a file as it is now.
    pub(crate) fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path);
        Self(metadata.and_then(|file| Ok((file.modified()?, file.len()))).ok())
    }
}

/// Waits until one of some files changes; for ever without files.
///
/// # Cancel safety
///
/// Safe: a change that was not told is not seen by the next call, which begins anew.
pub(crate) async fn changed(paths: &[PathBuf]) {
    if paths.is_empty() {
        return std::future::pending().await;
    }
    let stamps = || paths.iter().map(|path| Stamp::of(path)).collect::<Vec<_>>();
    let before = stamps();
    while before == stamps() {
        sleep(INTERVAL).await;
    }
}
