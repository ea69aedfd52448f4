//! The folder that belongs to one running host.
//!
//! It holds an id, from which default UUIDs are made, so that they stay the same over restarts; a
//! lock file, so that no second host writes here; files that hold mappings; and compiled handlers.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::cache::Cache;

/// A data directory, locked. Dropping it gives it free.
#[derive(Debug)]
pub(crate) struct DataDir {
    id: Uuid,
    path: PathBuf,
    /// Held open for its lock.
    _lock: File,
}

/// A data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another host works in it.
    #[error("{} belongs to a running host: stop that one, or set another `data_dir`", .0.display())]
    InUse(PathBuf),
    /// It cannot be made, read or written.
    #[error("cannot use {} as the data directory", .path.display())]
    Io {
        /// The file or folder that failed.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Its id is no UUID.
    #[error("{} holds no UUID: restore it, or delete it to get a new id", .0.display())]
    BadId(PathBuf),
}

impl DataDir {
    /// Opens a data directory, which is made when it does not exist, and locks it.
    ///
    /// # Errors
    ///
    /// [`DataDirError`], when another host works in it or it cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        fs::create_dir_all(path).map_err(at(path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(at(&lock_path)(error)),
        }
        Ok(Self { id: read_or_make_id(path)?, path: path.to_owned(), _lock: lock })
    }

    /// The directory's id, made when the directory was.
    #[must_use]
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// The compiled handlers.
    ///
    /// # Errors
    ///
    /// [`DataDirError`], when their folder is somebody else's or cannot be made.
    pub(crate) fn cache(&self) -> Result<Cache, DataDirError> {
        let folder = self.path.join("cache");
        Cache::open(&folder).map_err(at(&folder))
    }

    /// The folder of the files that hold mappings.
    #[must_use]
    pub(crate) fn held(&self) -> PathBuf {
        self.path.join("held")
    }
}

fn read_or_make_id(folder: &Path) -> Result<Uuid, DataDirError> {
    let path = folder.join("id");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| DataDirError::BadId(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            // Renamed into place, so that a crash leaves the whole id or none.
            let new = folder.join("id.new");
            fs::write(&new, format!("{id}\n")).map_err(at(&new))?;
            fs::rename(&new, &path).map_err(at(&path))?;
            Ok(id)
        }
        Err(error) => Err(at(&path)(error)),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_outlives_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/by/us");
        let first = DataDir::open(&path).unwrap().id();
        assert_eq!(DataDir::open(&path).unwrap().id(), first);
    }

    #[test]
    fn a_second_host_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::InUse(_))));
        drop(first);
        DataDir::open(folder.path()).unwrap();
    }

    #[test]
    fn a_damaged_id_is_never_replaced_silently() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("id"), "not a uuid").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::BadId(_))));
    }
}
