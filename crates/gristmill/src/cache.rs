//! Native code on disk, so that a handler is compiled once and not at every start.
//!
//! An entry is named after the handler's content and the engine's settings, and begins with the hash
//! of its name and of what follows, which is checked on the very bytes that are loaded. The folder is
//! ours alone: whoever can write into it could have anything run with the host's rights. What must
//! never happen: a damaged entry, or one of another handler or of somebody else's, that is loaded.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::telemetry;

/// What an entry begins with: that it is one, and of which form.
const MAGIC: &[u8; 16] = b"gristmill-code-2";

const HASH_BYTES: usize = 32;

/// The most bytes of all entries. Native code has a few times the size of the WebAssembly that it was
/// made of; the entries that were used last stay.
const BYTES_MAX: u64 = 2 << 30;

/// A folder of native code.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

/// The name of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// Of the code that an engine with this key makes of a handler.
    pub(crate) fn new(wasm: &[u8], code_key: u64) -> Key {
        let mut hasher = Sha256::new();
        hasher.update(code_key.to_le_bytes());
        hasher.update(wasm);
        Key(hex(&hasher.finalize()))
    }

    /// The hash that an entry of this name with this code begins with.
    fn entry_hash(&self, native: &[u8]) -> [u8; HASH_BYTES] {
        // All names are of one length, so where the code begins is no matter of opinion.
        Sha256::new().chain_update(&self.0).chain_update(native).finalize().into()
    }
}

/// The SHA-256 of a handler's content, as logs show it.
pub(crate) fn content_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Cache {
    /// Opens the folder, which is made when it does not exist. One that others could write to is
    /// emptied first.
    ///
    /// # Errors
    ///
    /// When it is somebody else's, or cannot be made.
    pub(crate) fn open(folder: &Path) -> io::Result<Cache> {
        if let Ok(found) = fs::symlink_metadata(folder) {
            if !found.is_dir() || !is_ours(&found) {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "it is no folder of this user; remove it",
                ));
            }
            if !is_private(&found) {
                telemetry::cache_emptied(folder);
                fs::remove_dir_all(folder)?;
            }
        }
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(Cache { folder: folder.to_owned() }),
        }
    }

    /// The native code of an entry, whole and as it was written. One that is damaged is removed.
    pub(crate) fn read(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key);
        let file = File::open(&path).ok()?;
        match read_entry(&file, key) {
            Ok(native) => {
                // What was used last is kept longest; a failure only makes it go sooner.
                drop(file.set_modified(SystemTime::now()));
                Some(native)
            }
            Err(error) => {
                telemetry::cache_damaged(&path, &error);
                self.remove(key);
                None
            }
        }
    }

    /// Writes an entry in one step: it is there as a whole or not at all.
    pub(crate) fn write(&self, key: &Key, native: &[u8]) -> io::Result<()> {
        let partial = self.folder.join(format!("{}.{}.partial", key.0, std::process::id()));
        let written = File::create(&partial).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(&key.entry_hash(native))?;
            file.write_all(native)?;
            file.sync_all()
        });
        let written = written.and_then(|()| fs::rename(&partial, self.path(key)));
        if written.is_err() {
            drop(fs::remove_file(&partial));
        }
        written?;
        self.shrink(BYTES_MAX)
    }

    /// Removes an entry that turned out to be of no use.
    pub(crate) fn remove(&self, key: &Key) {
        drop(fs::remove_file(self.path(key)));
    }

    /// Removes the entries that were used longest ago until the rest fits.
    fn shrink(&self, bytes_max: u64) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if let Ok(metadata) = entry.metadata() {
                entries.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, entry_bytes, path) in entries {
            if bytes <= bytes_max {
                break;
            }
            fs::remove_file(path)?;
            bytes -= entry_bytes;
        }
        Ok(())
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.0).with_extension("code")
    }
}

/// Reads the code of the entry of this name, and checks it.
fn read_entry(mut file: &File, key: &Key) -> io::Result<Vec<u8>> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let metadata = file.metadata()?;
    if !is_ours(&metadata) {
        return Err(damaged("it is somebody else's"));
    }
    let mut magic = [0; MAGIC.len()];
    let mut hash = [0; HASH_BYTES];
    file.read_exact(&mut magic)?;
    file.read_exact(&mut hash)?;
    let mut native = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.read_to_end(&mut native)?;
    if magic != *MAGIC || key.entry_hash(&native) != hash {
        return Err(damaged("its content is not what was written"));
    }
    Ok(native)
}

/// Whether a file is of the user that this process runs as.
fn is_ours(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        metadata.uid() == rustix::process::geteuid().as_raw()
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        true
    }
}

/// Whether nobody else can write into a folder, or look into it.
fn is_private(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.permissions().mode() & 0o077 == 0
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text.as_bytes(), 1)
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        (folder, cache)
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let (_folder, cache) = cache();
        assert_eq!(cache.read(&key("a")), None);
        cache.write(&key("a"), b"native").unwrap();
        assert_eq!(cache.read(&key("a")).unwrap(), b"native");
        assert_eq!(cache.read(&Key::new(b"a", 2)), None, "another engine's");
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1, "no partial file is left");
    }

    #[test]
    fn an_entry_with_any_byte_changed_cut_or_added_is_removed_and_not_read() {
        let (_folder, cache) = cache();
        cache.write(&key("a"), b"native").unwrap();
        let path = cache.path(&key("a"));
        let whole = fs::read(&path).unwrap();
        let mut damaged: Vec<Vec<u8>> = (0..whole.len())
            .map(|at| {
                let mut bytes = whole.clone();
                bytes[at] ^= 1;
                bytes
            })
            .collect();
        damaged.extend((0..whole.len()).map(|end| whole[..end].to_vec()));
        damaged.push([whole.as_slice(), b"x"].concat());
        for bytes in damaged {
            fs::write(&path, &bytes).unwrap();
            assert_eq!(cache.read(&key("a")), None, "{bytes:?}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn an_entry_under_the_name_of_another_is_removed_and_not_read() {
        let (_folder, cache) = cache();
        cache.write(&key("a"), b"native").unwrap();
        fs::copy(cache.path(&key("a")), cache.path(&key("b"))).unwrap();
        assert_eq!(cache.read(&key("b")), None);
        assert!(!cache.path(&key("b")).exists());
        assert!(cache.read(&key("a")).is_some());
    }

    #[test]
    fn the_folder_is_ours_alone_and_emptied_where_others_could_write() {
        let (_folder, cache) = cache();
        let mode = || fs::metadata(&cache.folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o700);
        cache.write(&key("a"), b"native").unwrap();
        Cache::open(&cache.folder).unwrap();
        assert!(cache.read(&key("a")).is_some());
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o770)).unwrap();
        Cache::open(&cache.folder).unwrap();
        assert_eq!(cache.read(&key("a")), None);
        assert_eq!(mode(), 0o700);
        fs::remove_dir(&cache.folder).unwrap();
        std::os::unix::fs::symlink("/tmp", &cache.folder).unwrap();
        Cache::open(&cache.folder).unwrap_err();
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let (_folder, cache) = cache();
        for (age, name) in ["new", "old", "older"].into_iter().enumerate() {
            cache.write(&key(name), b"native").unwrap();
            let file = File::options().append(true).open(cache.path(&key(name))).unwrap();
            let age = Duration::from_secs(3600 * (1 + age as u64));
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        // To read it is to use it.
        cache.read(&key("older")).unwrap();
        let one = fs::metadata(cache.path(&key("new"))).unwrap().len();
        cache.shrink(2 * one).unwrap();
        assert!(cache.read(&key("older")).is_some() && cache.read(&key("new")).is_some());
        assert_eq!(cache.read(&key("old")), None);
    }
}
