//! Whether files have changed.
//!
//! What a file is now is compared with what it was; that holds on every file system, in every
//! container, and for a file that is replaced by renaming. When to look says the [`Bell`]: at once
//! where the operating system tells of changes, and every two seconds in any case, which costs next
//! to nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::telemetry;

/// How often files are looked at when nothing tells of changes.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long after a ring files are looked at: what happens meanwhile costs no look of its own.
const GATHER: Duration = Duration::from_millis(50);

/// A file that has not changed for so long is not being written any more.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// Rings when files are to be looked at. Clones are the same bell.
#[derive(Debug, Clone)]
pub(crate) struct Bell {
    rung: Arc<watch::Sender<()>>,
    folders: Arc<Mutex<Folders>>,
}

/// The folders whose changes the operating system tells.
#[derive(Debug)]
struct Folders {
    /// `None` where the operating system tells of none.
    watcher: Option<RecommendedWatcher>,
    /// Those that are watched, or cannot be.
    known: BTreeSet<PathBuf>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        let rung = Arc::new(watch::Sender::new(()));
        let rings = Arc::clone(&rung);
        let on_event = move |event: notify::Result<notify::Event>| {
            // To read a file is an event too, and would ring the bell for ever.
            if !event.is_ok_and(|event| is_mere_access(event.kind)) {
                rings.send_replace(());
            }
        };
        let watcher = notify::recommended_watcher(on_event);
        let watcher = watcher.inspect_err(telemetry::changes_not_told).ok();
        let folders = Arc::new(Mutex::new(Folders { watcher, known: BTreeSet::new() }));
        Self { rung, folders }
    }

    /// Rings from time to time. The future never ends.
    pub(crate) async fn ring(&self) {
        loop {
            sleep(INTERVAL).await;
            self.rung.send_replace(());
        }
    }

    /// Has changes in a folder told. Where that fails, the next ring in its time has to do.
    fn watch(&self, folder: &Path) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if folders.known.contains(folder) || !folder.is_dir() {
            return;
        }
        folders.known.insert(folder.to_owned());
        if let Some(watcher) = &mut folders.watcher {
            watcher.watch(folder, RecursiveMode::NonRecursive).unwrap_or_default();
        }
    }
}

fn is_mere_access(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// There is nothing, or nothing that can be looked at.
    Nothing,
    /// A folder, whose content does not count.
    Folder,
    /// A file.
    File {
        modified: Option<SystemTime>,
        bytes: u64,
        /// What tells a file from another of the same size and time that was moved in its place:
        /// the inode, and its last change in seconds and nanoseconds.
        identity: (u64, i64, i64),
    },
}

impl Stamp {
    /// The stamp of a file as it is now.
    pub(crate) fn of(path: &Path) -> Self {
        let Ok(metadata) = std::fs::metadata(path) else { return Self::Nothing };
        if metadata.is_dir() {
            return Self::Folder;
        }
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0);
        Self::File { modified: metadata.modified().ok(), bytes: metadata.len(), identity }
    }
}

/// Files, each with its stamp.
type Look = Vec<(PathBuf, Stamp)>;

/// Some files as they were at one moment.
#[derive(Debug)]
pub(crate) struct Watch {
    watched: Arc<Watched>,
    before: Look,
    bell: Bell,
    rung: watch::Receiver<()>,
    /// Whether something has changed and was not told yet.
    pending: bool,
}

#[derive(Debug)]
enum Watched {
    Files(Vec<PathBuf>),
    Folder(PathBuf),
}

impl Watch {
    /// The files as they are now.
    pub(crate) fn files(bell: &Bell, files: Vec<PathBuf>) -> Self {
        Self::new(bell, Watched::Files(files))
    }

    /// Whatever lies in a folder now.
    pub(crate) fn folder(bell: &Bell, folder: PathBuf) -> Self {
        Self::new(bell, Watched::Folder(folder))
    }

    fn new(bell: &Bell, watched: Watched) -> Self {
        let rung = bell.rung.subscribe();
        let before = watched.look(bell);
        Self { watched: Arc::new(watched), before, bell: bell.clone(), rung, pending: false }
    }

    /// Waits until one of the files is another than before; for ever without files.
    ///
    /// # Cancel safety
    ///
    /// Safe: a change is told by the next call.
    pub(crate) async fn changed(&mut self) {
        while !self.pending {
            // Marked before looking, so that a change meanwhile rings again.
            self.rung.mark_unchanged();
            let now = self.look().await;
            if now != self.before {
                self.before = now;
                self.pending = true;
                break;
            }
            // The sender lives as long as the host; without it nothing rings any more.
            if self.rung.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep(GATHER).await;
        }
        self.pending = false;
    }

    /// Waits until one of the files is another than before, and then until none is being written.
    ///
    /// # Cancel safety
    ///
    /// Safe: a change is told by the next call.
    pub(crate) async fn settled(&mut self) {
        self.changed().await;
        self.pending = true;
        loop {
            sleep(QUIET).await;
            let now = self.look().await;
            if now == self.before {
                break;
            }
            self.before = now;
        }
        self.pending = false;
    }

    /// Looks off the threads that do I/O: a file system may be slow to answer, or may not.
    async fn look(&self) -> Look {
        let (watched, bell) = (Arc::clone(&self.watched), self.bell.clone());
        let look = spawn_blocking(move || watched.look(&bell)).await;
        // Only a panic, which would be a bug, has no look.
        look.unwrap_or_else(|_| self.before.clone())
    }
}

impl Watched {
    /// Looks at them, and has changes in their folders told, some of which may not have been there.
    fn look(&self, bell: &Bell) -> Look {
        match self {
            Self::Files(files) => {
                files.iter().filter_map(|file| file.parent()).for_each(|folder| bell.watch(folder));
                stamps(files.iter().cloned())
            }
            Self::Folder(folder) => {
                [folder.parent(), Some(folder)].into_iter().flatten().for_each(|f| bell.watch(f));
                entries(folder)
            }
        }
    }
}

/// What lies in a folder, by name; nothing if it cannot be listed.
pub(crate) fn entries(folder: &Path) -> Look {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut look = stamps(entries.map(|entry| entry.path()));
    look.sort_by(|(one, _), (other, _)| one.cmp(other));
    look
}

fn stamps(files: impl Iterator<Item = PathBuf>) -> Look {
    files.map(|path| (path.clone(), Stamp::of(&path))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    /// No bell is needed for what has changed before the wait begins.
    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_changes_or_goes_is_noticed_even_before_the_wait_begins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let bell = Bell::new();
        let mut watch = Watch::files(&bell, vec![file.clone()]);
        fs::write(&file, "a").unwrap();
        watch.changed().await;
        fs::write(&file, "longer").unwrap();
        watch.changed().await;
        fs::remove_file(&file).unwrap();
        watch.changed().await;
        let again = timeout(INTERVAL * 10, watch.changed()).await;
        assert!(again.is_err(), "nothing has changed since");
    }

    #[tokio::test]
    async fn another_file_of_the_same_size_and_time_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let [file, other] = ["file", "other"].map(|name| folder.path().join(name));
        fs::write(&file, "one").unwrap();
        fs::write(&other, "two").unwrap();
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        let same = fs::File::options().write(true).open(&other).unwrap();
        same.set_modified(time).unwrap();
        let mut watch = Watch::files(&Bell::new(), vec![file.clone()]);
        fs::rename(&other, &file).unwrap();
        watch.changed().await;
    }

    #[tokio::test]
    async fn the_operating_system_tells_of_a_change_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let bell = Bell::new();
        let mut watch = Watch::folder(&bell, folder.path().to_owned());
        let changes = async {
            watch.settled().await;
            watch.settled().await;
        };
        let writes = async {
            fs::write(folder.path().join("one"), "1").unwrap();
            // Longer than until the first change counts as settled.
            sleep(QUIET * 4).await;
            fs::remove_file(folder.path().join("one")).unwrap();
        };
        // Nobody rings in time: what is heard comes from the operating system.
        tokio::join!(changes, writes);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_written_is_not_settled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut watch = Watch::files(&Bell::new(), vec![file.clone()]);
        fs::write(&file, "0").unwrap();
        let mut settled = std::pin::pin!(watch.settled());
        for length in 1..10 {
            fs::write(&file, vec![b'0'; length]).unwrap();
            let early = timeout(QUIET * 2 / 3, &mut settled).await;
            assert!(early.is_err(), "while it was written");
        }
        settled.await;
    }
}
