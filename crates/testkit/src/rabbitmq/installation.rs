//! Which RabbitMQ the tests run against.
//!
//! It is the installed one unless [`VERSION_VARIABLE`] names another line of releases. That is then
//! fetched from a later Debian, once, into the target folder: the server, Erlang, and the libraries
//! that Erlang is linked with. They are unpacked and used from there. Nothing is installed, nothing
//! is mounted and nobody needs to be root: a program of a later Debian runs on an earlier system if
//! the later one's own dynamic linker and C library start it, and that is what a short script in each
//! program's place does.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use crate::guests::target_dir;
use crate::setup::{self, RabbitPrograms, run};

/// The environment variable that chooses the release, one of [`LINES`]; without it, the installed
/// one, which is 3.10 in Debian 12.
///
/// `cargo xtask test --rabbitmq 4` sets it.
pub const VERSION_VARIABLE: &str = "GRISTMILL_RABBITMQ";

/// The lines of releases that tests can run with.
pub const LINES: [&str; 3] = [INSTALLED_LINE, "4.0", "4"];

const INSTALLED_LINE: &str = "3.10";

/// Which Debian has a line of releases. The newest is in Debian's next version and moves with it.
const SUITES: [(&str, &str); 2] = [("4.0", "trixie"), ("4", "forky")];

/// Raised when what is made of the packages changes, so that it is made anew.
const RECIPE: u32 = 2;

/// For systems whose package lists do not say where they come from.
const MIRROR: &str = "http://deb.debian.org/debian";

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What of the packages is unpacked, by the beginnings of their names. The others that the server's
/// package asks for are to run it as a service.
const UNPACKED: [&str; 4] = ["rabbitmq-server_", "erlang-", "lib", "zlib1g_"];

/// Where Erlang is in the packages, and in its own start script.
const ERLANG: &str = "usr/lib/erlang";

/// Finds, installs or fetches what the servers of this process need. Later calls cost nothing.
pub(super) fn programs() -> Result<Arc<RabbitPrograms>> {
    static FOUND: Mutex<Option<Arc<RabbitPrograms>>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = &*found {
        return Ok(Arc::clone(found));
    }
    let made = Arc::new(match chosen(env::var_os(VERSION_VARIABLE).as_deref())? {
        Some((line, suite)) => unpacked(line, suite)?,
        None => setup::rabbitmq()?,
    });
    *found = Some(Arc::clone(&made));
    Ok(made)
}

/// Does all that the first server would otherwise do: finds, installs or fetches.
///
/// # Errors
///
/// When something is missing and cannot be had; the message says what to run.
pub fn fetch() -> Result<()> {
    programs().map(drop)
}

fn chosen(line: Option<&OsStr>) -> Result<Option<(&'static str, &'static str)>> {
    let Some(line) = line.filter(|line| !line.is_empty() && *line != INSTALLED_LINE) else {
        return Ok(None);
    };
    let suite = SUITES.into_iter().find(|(name, _)| line == *name);
    suite.map(Some).with_context(|| {
        format!("{VERSION_VARIABLE} is {}; it can be one of {}", line.display(), LINES.join(", "))
    })
}

/// The programs of a line of releases, fetched unless they are there.
fn unpacked(line: &str, suite: &str) -> Result<RabbitPrograms> {
    let folder = target_dir().join("rabbitmq");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let folder = folder.canonicalize().context("cannot find the folder for RabbitMQ")?;
    // The scripts name the folder they are in, so a folder that was moved is made anew.
    let mut hasher = DefaultHasher::new();
    (RECIPE, suite, &folder).hash(&mut hasher);
    let root = folder.join(format!("{line}-{:016x}", hasher.finish()));

    // One process fetches, the others find its work.
    let path = folder.join(".lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    if !root.is_dir() {
        fetch_from_debian(suite, &folder, &root)
            .with_context(|| format!("cannot fetch RabbitMQ {line} from Debian {suite}"))?;
    }

    let scripts = root.join("usr/lib/rabbitmq/bin");
    let mut path = root.join(ERLANG).join("bin").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    Ok(RabbitPrograms {
        server: scripts.join("rabbitmq-server"),
        ctl: scripts.join("rabbitmqctl"),
        path,
    })
}

/// Makes the folder `root`, which appears when it is whole.
fn fetch_from_debian(suite: &str, parent: &Path, root: &Path) -> Result<()> {
    let partial = tempfile::Builder::new()
        .prefix("fetching-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
    let made = partial.path().join("root");
    fs::create_dir(&made).context("cannot create a folder to unpack into")?;
    for package in download(suite, &partial.path().join("apt"))? {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        if UNPACKED.iter().any(|beginning| name.starts_with(beginning)) {
            run(Command::new("dpkg").arg("--extract").arg(&package).arg(&made))?;
        }
    }
    wrap_programs(&made, root)?;
    fs::rename(&made, root).with_context(|| format!("cannot write {}", root.display()))
}

/// Downloads the server's package and all that it needs, with an apt whose state is in `folder`: the
/// system's own packages count for nothing, and nothing of the system is changed.
fn download(suite: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    ensure!(
        setup::find_program("apt-get").is_some() && Path::new(KEYS).is_file(),
        "only Debian and its relatives can fetch it (with apt-get and the package \
         debian-archive-keyring); elsewhere install that RabbitMQ yourself and leave out \
         {VERSION_VARIABLE}"
    );
    let archives = folder.join("cache/archives");
    fs::create_dir_all(folder.join("lists/partial"))
        .and_then(|()| fs::create_dir_all(archives.join("partial")))
        .and_then(|()| fs::write(folder.join("status"), ""))
        .and_then(|()| {
            let line = format!("deb [signed-by={KEYS}] {} {suite} main\n", mirror());
            fs::write(folder.join("sources.list"), line)
        })
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    apt_get(folder, &["update"])?;
    let install = ["install", "--yes", "--download-only", "--no-install-recommends"];
    apt_get(folder, &[&install[..], &["rabbitmq-server"]].concat())?;
    let files = fs::read_dir(&archives).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let files = files.with_context(|| format!("cannot read {}", archives.display()))?;
    let paths = files.into_iter().map(|file| file.path());
    Ok(paths.filter(|path| path.extension() == Some(OsStr::new("deb"))).collect())
}

fn apt_get(folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.arg("--quiet");
    for (option, name) in [
        ("Dir::State", ""),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "cache"),
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::Etc::sourceparts", "none"),
        ("Dir::Etc::preferences", "none"),
        ("Dir::Etc::preferencesparts", "none"),
    ] {
        command.arg("-o").arg(format!("{option}={}", folder.join(name).display()));
    }
    // A mirror that stands still has lists that are past their date, and some suites never expire.
    command.args(["-o", "Acquire::Check-Valid-Until=false", "-o", "Acquire::Languages=none"]);
    // As root, apt would download as a user who cannot write here.
    command.args(["-o", "APT::Sandbox::User=root"]).args(arguments);
    run(&mut command)
}

/// The Debian mirror that this machine uses, as its package lists name it.
fn mirror() -> String {
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(folder.map(|entry| entry.path()));
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts.filter_map(|text| mirror_in(&text)).next().unwrap_or_else(|| MIRROR.to_owned())
}

/// The first address in a file of sources that ends in `/debian`: not one of the security updates,
/// and not one of somebody else's packages.
fn mirror_in(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}

/// Puts a script in the place of every program of Erlang in `made`, which starts the program as it
/// will be in `root`; and tells Erlang's own scripts where it will be.
fn wrap_programs(made: &Path, root: &Path) -> Result<()> {
    let (linker, libraries) = linker(made)?;
    let start = format!(
        "#!/bin/sh\nexec '{}' --argv0 \"$0\" --library-path '{}'",
        root.join(linker).display(),
        root.join(libraries).display()
    );
    let mut folders = vec![PathBuf::from(ERLANG)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(made.join(&folder))?.collect::<Result<Vec<_>, _>>()?;
        for entry in entries {
            let (path, kind) = (folder.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if entry.file_name() == "erl" {
                move_script(&entry.path(), root)?;
            } else if kind.is_file() && is_program(&entry.path())? {
                let mut name = path.into_os_string();
                name.push(".elf");
                fs::rename(entry.path(), made.join(&name))?;
                let script = format!("{start} '{}' \"$@\"\n", root.join(&name).display());
                fs::write(entry.path(), script)?;
                fs::set_permissions(entry.path(), Permissions::from_mode(0o755))?;
            }
        }
    }
    Ok(())
}

/// One of Erlang's start scripts, which all have where Erlang is.
fn move_script(path: &Path, root: &Path) -> Result<()> {
    let script =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let packaged = format!("=/{ERLANG}\n");
    let moved = script.replace(&packaged, &format!("='{}'\n", root.join(ERLANG).display()));
    ensure!(moved != script, "{} does not say where Erlang is", path.display());
    fs::write(path, moved).with_context(|| format!("cannot write {}", path.display()))
}

/// The dynamic linker and the folder of libraries beside it, both within the packages.
fn linker(made: &Path) -> Result<(PathBuf, PathBuf)> {
    let libraries = PathBuf::from(format!("usr/lib/{}-linux-gnu", env::consts::ARCH));
    for folder in ["usr/lib64", "usr/lib"] {
        let Ok(files) = fs::read_dir(made.join(folder)) else { continue };
        let names = files.flatten().map(|file| file.file_name());
        let found = names.into_iter().find(|name| name.to_string_lossy().starts_with("ld-linux"));
        if let Some(name) = found {
            return Ok((Path::new(folder).join(name), libraries));
        }
    }
    bail!("the packages have no dynamic linker for {}", env::consts::ARCH)
}

/// Whether it is a program for the processor: neither a script nor a library.
fn is_program(path: &Path) -> Result<bool> {
    if path.extension() == Some(OsStr::new("so")) || path.metadata()?.permissions().mode() & 1 == 0
    {
        return Ok(false);
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes.starts_with(b"\x7fELF"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_releases_is_chosen_by_its_number() {
        let suite = |line: &str| chosen(Some(OsStr::new(line))).map(|found| found.map(|it| it.1));
        assert_eq!(chosen(None).unwrap(), None);
        assert_eq!(suite("").unwrap(), None);
        assert_eq!(suite("3.10").unwrap(), None);
        assert_eq!(suite("4.0").unwrap(), Some("trixie"));
        assert!(LINES.iter().all(|line| suite(line).is_ok()));
        assert!(suite("5").unwrap_err().to_string().contains("3.10, 4.0, 4"));
    }

    #[test]
    fn the_mirror_is_the_one_of_debian_itself() {
        let old = "# deb http://old.example/debian x main\ndeb [arch=amd64] http://deb.example/debian/ \
                   bookworm main\n";
        assert_eq!(mirror_in(old).as_deref(), Some("http://deb.example/debian"));
        let new = "Types: deb\nURIs: https://deb.example/debian\nSuites: bookworm\n";
        assert_eq!(mirror_in(new).as_deref(), Some("https://deb.example/debian"));
        let other = "URIs: http://deb.example/debian-security\ndeb https://x.example/node_20.x a b";
        assert_eq!(mirror_in(other), None);
    }
}
