//! A full disk and a clock that jumps, for one program under test and nobody else; and how often it syncs.
//!
//! The program runs with a small library of ours in front of the C library (`c/trouble.c`, Linux only),
//! which looks at a page of memory shared with the test.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::guests::target_dir;

const SOURCE: &str = include_str!("../c/trouble.c");

/// Where the shared numbers lie, in bytes, and how long they are together.
const FULL_AT: u64 = 0;
const CLOCK_AT: u64 = 8;
const SYNCS_AT: u64 = 16;
const REFUSALS_AT: u64 = 24;
const CONTROL_BYTES: u64 = 32;

/// What can befall the programs that run with its [environment](Trouble::environment).
#[derive(Debug)]
pub struct Trouble {
    control: NamedTempFile,
    library: PathBuf,
}

impl Trouble {
    /// Builds the library if that was not done before. Nothing is amiss yet.
    ///
    /// # Errors
    ///
    /// When the library cannot be built, which takes a C compiler `cc`, as linking Rust programs does.
    pub fn new() -> Result<Self> {
        let library = library()?;
        let control = NamedTempFile::new().context("cannot make a file to share with a program")?;
        control.as_file().set_len(CONTROL_BYTES).context("cannot make room in a shared file")?;
        Ok(Self { control, library })
    }

    /// What a program needs in its environment.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("GRISTMILL_TROUBLE", self.control.path().display().to_string()),
        ]
    }

    /// From now on no file can be written, or all can again.
    ///
    /// # Errors
    ///
    /// When the file shared with the program cannot be written.
    pub fn fill_disk(&self, is_full: bool) -> Result<()> {
        self.tell(FULL_AT, i64::from(is_full))
    }

    /// From now on the wall clock is wrong by so many seconds. What measures time does not notice.
    ///
    /// # Errors
    ///
    /// When the file shared with the program cannot be written.
    pub fn shift_clock(&self, seconds: i64) -> Result<()> {
        self.tell(CLOCK_AT, seconds)
    }

    /// How often files have been synced to the disk.
    ///
    /// # Errors
    ///
    /// When the file shared with the program cannot be read.
    pub fn syncs(&self) -> Result<i64> {
        self.ask(SYNCS_AT)
    }

    /// How many writes the full disk has refused.
    ///
    /// # Errors
    ///
    /// When the file shared with the program cannot be read.
    pub fn refusals(&self) -> Result<i64> {
        self.ask(REFUSALS_AT)
    }

    fn ask(&self, at: u64) -> Result<i64> {
        let mut number = [0; 8];
        let read = self.control.as_file().read_exact_at(&mut number, at);
        read.context("cannot read a file shared with a program")?;
        Ok(i64::from_ne_bytes(number))
    }

    fn tell(&self, at: u64, number: i64) -> Result<()> {
        let written = self.control.as_file().write_all_at(&number.to_ne_bytes(), at);
        written.context("cannot write a file shared with a program")
    }
}

/// The library, built once by this process.
fn library() -> Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(built) = BUILT.get() {
        return Ok(built.clone());
    }
    let folder = target_dir().join("testkit");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Other processes may build it at the same time, each under a name of its own.
    let scratch = tempfile::tempdir_in(&folder).context("cannot make a folder to build in")?;
    let (source, made) = (scratch.path().join("trouble.c"), scratch.path().join("trouble.so"));
    fs::write(&source, SOURCE).context("cannot write a C source")?;
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&made, &source])
        .output()
        .context("cannot run the C compiler cc; install it, on Debian with: apt-get install gcc")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cc does not compile the library for troubles:\n{said}");
    let library = folder.join("trouble.so");
    fs::rename(made, &library).with_context(|| format!("cannot write {}", library.display()))?;
    Ok(BUILT.get_or_init(|| library).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(trouble: &Trouble, line: &str) -> (bool, String) {
        let mut command = Command::new("sh");
        let output = command.args(["-c", line]).envs(trouble.environment()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn a_full_disk_takes_nothing() {
        let trouble = Trouble::new().unwrap();
        let file = NamedTempFile::new().unwrap();
        let append = format!("printf more >> {}", file.path().display());
        let change = format!("printf M | dd of={} conv=notrunc", file.path().display());
        assert!(shell(&trouble, &append).0);
        trouble.fill_disk(true).unwrap();
        assert!(!shell(&trouble, &append).0);
        assert!(!shell(&trouble, &change).0);
        assert_eq!(trouble.refusals().unwrap(), 2);
        trouble.fill_disk(false).unwrap();
        assert!(shell(&trouble, &change).0);
        assert_eq!(fs::read_to_string(file).unwrap(), "More");
        assert_eq!(trouble.refusals().unwrap(), 2);
    }

    #[test]
    fn what_is_synced_is_counted() {
        let trouble = Trouble::new().unwrap();
        let file = NamedTempFile::new().unwrap();
        for (number, options) in [(0, ""), (1, "conv=fsync"), (2, "conv=fdatasync")] {
            let line = format!("printf x | dd of={} {options}", file.path().display());
            assert!(shell(&trouble, &line).0);
            assert_eq!(trouble.syncs().unwrap(), number);
        }
    }

    #[test]
    fn the_clock_jumps_and_comes_back() {
        let trouble = Trouble::new().unwrap();
        let now = || shell(&trouble, "date +%s").1.trim().parse::<i64>().unwrap();
        let before = now();
        trouble.shift_clock(-86_400).unwrap();
        assert!((before - 86_400..before - 86_000).contains(&now()));
        trouble.shift_clock(0).unwrap();
        assert!((before..before + 400).contains(&now()));
    }
}
