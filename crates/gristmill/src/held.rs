//! Mappings that must not go on before somebody has acted: a file each, in the data directory.
//!
//! The file outlives the host, because each restart would hand the message in question over once
//! more, and a quorum queue deletes what came back too often. It is void when the mapping's settings
//! or its handler are no longer what they were, and when somebody removes it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use gristmill_mapping::Hold;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::telemetry;

/// The file that holds one mapping, if it is there.
pub(crate) struct HoldFile {
    mapping: String,
    path: PathBuf,
    /// Stands for the settings and the handler that the mapping has now: that may be replaced while
    /// the mapping works.
    fingerprint: Box<dyn Fn() -> Uuid + Send + Sync>,
    /// Whether it should be there and could not be written.
    unwritten: AtomicBool,
}

impl HoldFile {
    /// The file of a mapping, which need not exist.
    pub(crate) fn new(
        path: PathBuf,
        mapping: &str,
        fingerprint: impl Fn() -> Uuid + Send + Sync + 'static,
    ) -> Self {
        let (mapping, fingerprint) = (mapping.to_owned(), Box::new(fingerprint));
        Self { mapping, path, fingerprint, unwritten: AtomicBool::new(false) }
    }

    /// What to say of a mapping that is held and whose file could not be written.
    pub(crate) fn unwritten(&self) -> Option<String> {
        let unwritten = self.unwritten.load(Ordering::Relaxed);
        unwritten.then(|| self.with_path("the mapping is held, and its file cannot be written"))
    }

    /// Why the mapping is held, and what to do; `None` if it may go on. A file that is void is
    /// removed; one that cannot be understood holds.
    pub(crate) fn sentence(&self) -> Option<String> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(self.with_path(&format!("cannot be read: {error}"))),
        };
        let held: Value = serde_json::from_str(&text).unwrap_or_default();
        let fingerprint = held["fingerprint"].as_str().and_then(|text| text.parse().ok());
        if fingerprint.is_some_and(|fingerprint: Uuid| fingerprint != (self.fingerprint)()) {
            self.clear();
            return None;
        }
        Some(self.with_path(held["reason"].as_str().unwrap_or("for an unknown reason")))
    }

    fn with_path(&self, reason: &str) -> String {
        format!(
            "{reason}; the mapping goes on when its section, its broker's, its function's or the \
             handler has changed, or when the file {} is removed",
            self.path.display()
        )
    }

    fn write(&self, reason: &str) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let text = json!({ "reason": reason, "fingerprint": (self.fingerprint)().to_string() });
        // Renamed into place, so that a crash leaves the whole file or none.
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let new = self.path.with_file_name(format!("{name}~"));
        let mut file = File::create(&new)?;
        file.write_all(text.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

impl Hold for HoldFile {
    fn set(&self, sentence: &str) {
        let written = self.write(sentence);
        self.unwritten.store(written.is_err(), Ordering::Relaxed);
        if let Err(error) = written {
            telemetry::not_held(&self.mapping, &self.path, &error);
        }
    }

    fn clear(&self) {
        self.unwritten.store(false, Ordering::Relaxed);
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            telemetry::not_released(&self.mapping, &self.path, &error);
        }
    }
}

impl fmt::Debug for HoldFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldFile").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, fingerprint: u128) -> HoldFile {
        let fingerprint = move || Uuid::from_u128(fingerprint);
        HoldFile::new(folder.join("held/orders"), "orders", fingerprint)
    }

    #[test]
    fn a_hold_outlives_the_host_until_the_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), 1).set("too large");
        let sentence = file(folder.path(), 1).sentence().unwrap();
        assert!(sentence.starts_with("too large; "), "{sentence}");
        fs::remove_file(folder.path().join("held/orders")).unwrap();
        assert_eq!(file(folder.path(), 1).sentence(), None);
        file(folder.path(), 1).clear();
    }

    #[test]
    fn other_settings_or_another_handler_void_it() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), 1).set("too large");
        assert_eq!(file(folder.path(), 2).sentence(), None);
        assert_eq!(file(folder.path(), 1).sentence(), None, "for good");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_known() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("held"), "no folder").unwrap();
        let hold = file(folder.path(), 1);
        assert_eq!(hold.unwritten(), None);
        hold.set("too large");
        assert!(hold.unwritten().unwrap().contains("cannot be written"));
        hold.clear();
        assert_eq!(hold.unwritten(), None);
    }

    #[test]
    fn a_damaged_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), 1).set("too large");
        fs::write(folder.path().join("held/orders"), "{").unwrap();
        assert!(file(folder.path(), 1).sentence().is_some());
    }
}
