//! Reading files of which nothing is taken for granted: they may be folders, pipes that nobody writes to,
//! or larger than the memory, and another one at every look.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole file of so many bytes at most.
///
/// # Errors
///
/// When it cannot be read, is no ordinary file, or is larger.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Opening a pipe would wait for its writer.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if !metadata.is_file() {
        return refuse("it is no ordinary file".to_owned());
    }
    let too_large =
        |bytes: u64| refuse(format!("it has {bytes} bytes, more than the {bytes_max} that it may"));
    if metadata.len() > bytes_max {
        return too_large(metadata.len());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // One that grows meanwhile is larger than it said.
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)? as u64;
    if read > bytes_max { too_large(read) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        read(path, 1_000).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handler.wasm");
        assert_eq!(refusal(folder.path()), "it is no ordinary file");
        let file = File::create(&path).unwrap();
        file.set_len(1024 * 1024 * 1024).unwrap();
        assert!(refusal(&path).starts_with("it has 1073741824 bytes, more than"));
        file.set_len(3).unwrap();
        assert_eq!(read(&path, 3).unwrap(), [0; 3]);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_without_a_writer_and_a_loop_of_links_do_not_hang() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        assert_eq!(refusal(&pipe), "it is no ordinary file");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        assert!(refusal(&link).contains("symbolic links"));
    }
}
