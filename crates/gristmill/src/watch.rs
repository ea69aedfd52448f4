//! Whether files have changed, by looking at them from time to time.
//!
//! A look every two seconds costs next to nothing, works on every file system and in every
//! container, and follows a file that is replaced by renaming.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

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

/// Some files as they were at one moment.
#[derive(Debug)]
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    before: Vec<Stamp>,
}

impl Watch {
    /// The files as they are now.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let before = stamps(&files);
        Self { files, before }
    }

    /// Waits until one of the files is another than before; for ever without files.
    ///
    /// # Cancel safety
    ///
    /// Safe: a change is told by the next call.
    pub(crate) async fn changed(&mut self) {
        loop {
            let now = stamps(&self.files);
            if now != self.before {
                self.before = now;
                return;
            }
            sleep(INTERVAL).await;
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|path| Stamp::of(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_changes_or_goes_is_noticed_even_before_the_wait_begins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut watch = Watch::new(vec![file.clone()]);
        fs::write(&file, "a").unwrap();
        watch.changed().await;
        fs::write(&file, "longer").unwrap();
        watch.changed().await;
        fs::remove_file(&file).unwrap();
        watch.changed().await;
        let again = tokio::time::timeout(INTERVAL * 10, watch.changed()).await;
        assert!(again.is_err(), "nothing has changed since");
    }
}
