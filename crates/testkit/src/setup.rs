//! What tests need besides Rust: a RabbitMQ server, a Python with the AMQP client pika, one that makes
//! virtual environments, where tools for handlers have to be fetched, ActiveMQ, and Java with its
//! compiler.
//!
//! They are looked for first. On Debian and its relatives what is missing is installed, when root
//! asks for it; everywhere else the error says what to install. A service that the Debian package
//! brings along must never be started: tests run private servers only.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Where packages put RabbitMQ's own scripts. Debian's and Fedora's `/usr/sbin/rabbitmq-server` is
/// a wrapper that changes to the user `rabbitmq` and drops the environment, so the folder with the
/// script itself comes first; a generic or Homebrew installation has no wrapper.
const RABBITMQ_FOLDERS: &[&str] =
    &["/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin", "/opt/rabbitmq/sbin"];

/// Debian's `python3-pika` is for this Python only; another one may come first in `PATH`.
const PYTHONS: &[&str] = &["/usr/bin/python3", "python3"];

const RABBITMQ_PACKAGE: &str = "rabbitmq-server";
const PIKA_PACKAGE: &str = "python3-pika";
const VENV_PACKAGE: &str = "python3-venv";
const ACTIVEMQ_PACKAGE: &str = "activemq";
const JAVA_PACKAGE: &str = "default-jdk-headless";

/// One of the jars that the package of ActiveMQ brings.
const ACTIVEMQ_JAR: &str = "/usr/share/activemq/lib/activemq-broker.jar";
/// Comes with what that package needs, and writes its log without a file of settings.
const LOG_JAR: &str = "/usr/share/java/slf4j-simple.jar";

const IMPORT_PIKA: &str = "import pika";
const IMPORT_VENV: &str = "import ensurepip, sys, venv; assert sys.version_info >= (3, 10)";

/// Decides for Debian's tools whether a package may start its service; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_NOTHING_STARTS: &str = "#!/bin/sh\nexit 101\n";

/// The scripts of an installed RabbitMQ.
#[derive(Debug, Clone)]
pub struct RabbitPrograms {
    /// The script that becomes the server.
    pub server: PathBuf,
    /// The script that administers a running server.
    pub ctl: PathBuf,
    /// The folders where both find Erlang, as in `PATH`.
    pub path: OsString,
}

/// An installed Java with its compiler.
#[derive(Debug, Clone)]
pub struct Java {
    /// The program that runs programs.
    pub java: PathBuf,
    /// The compiler.
    pub javac: PathBuf,
    /// Its version, as in 17.
    pub release: u32,
}

/// Finds or installs everything that tests need.
///
/// # Errors
///
/// When something is missing and cannot be installed; the message names the line to run.
pub fn all() -> Result<()> {
    crate::rabbitmq::fetch()?;
    python_with_pika()?;
    crate::activemq::fetch()?;
    Ok(())
}

/// Finds RabbitMQ, or installs it where that is possible.
///
/// # Errors
///
/// When it is missing and cannot be installed; the message names the line to run.
pub fn rabbitmq() -> Result<RabbitPrograms> {
    find_or_install(find_rabbitmq, RABBITMQ_PACKAGE, "the server RabbitMQ")
}

/// Finds a Python that has pika, or installs both where that is possible.
///
/// # Errors
///
/// When it is missing and cannot be installed; the message names the line to run.
pub fn python_with_pika() -> Result<PathBuf> {
    find_or_install(|| find_python(IMPORT_PIKA), PIKA_PACKAGE, "a python3 with the module pika")
}

/// Finds a Python of version 3.10 or later that makes virtual environments, or installs both where
/// that is possible.
///
/// # Errors
///
/// When it is missing and cannot be installed; the message names the line to run.
pub fn python_with_venv() -> Result<PathBuf> {
    let what = "a python3 of version 3.10 or later with the module venv";
    find_or_install(|| find_python(IMPORT_VENV), VENV_PACKAGE, what)
}

/// Finds a Java with its compiler, in `JAVA_HOME` before `PATH`, or installs it where that is possible.
///
/// # Errors
///
/// When it is missing and cannot be installed; the message names the line to run.
pub fn java() -> Result<Java> {
    find_or_install(find_java, JAVA_PACKAGE, "a Java development kit (java and javac)")
}

/// Finds Debian's ActiveMQ, or installs it where that is possible.
///
/// # Errors
///
/// When it is missing and cannot be installed; the message names the line to run.
pub fn activemq() -> Result<()> {
    let find = || [ACTIVEMQ_JAR, LOG_JAR].iter().all(|jar| Path::new(jar).is_file()).then_some(());
    find_or_install(find, ACTIVEMQ_PACKAGE, "Debian's ActiveMQ")
}

/// A program in a folder of `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Runs a command to success; what it says is for the error only.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{program} failed: {}", String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}

fn find_java() -> Option<Java> {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    home.into_iter().chain(env::split_paths(&path)).find_map(|folder| {
        let (java, javac) = (folder.join("java"), folder.join("javac"));
        // A JRE has no compiler. macOS has programs of both names that only say where to get Java.
        let output = Command::new(&javac).arg("-version").stdin(Stdio::null()).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let release = java_release(&String::from_utf8_lossy(&said))?;
        java.is_file().then_some(Java { java, javac, release })
    })
}

/// The 17 of `javac 17.0.15`, and the 8 of `javac 1.8.0_402`.
fn java_release(said: &str) -> Option<u32> {
    let version = said.lines().find_map(|line| line.strip_prefix("javac "))?;
    let mut numbers = version.split(|letter: char| !letter.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        release => Some(release),
    }
}

fn find_rabbitmq() -> Option<RabbitPrograms> {
    let path = env::var_os("PATH").unwrap_or_default();
    RABBITMQ_FOLDERS
        .iter()
        .map(PathBuf::from)
        .chain(env::split_paths(&path))
        .map(|folder| RabbitPrograms {
            server: folder.join("rabbitmq-server"),
            ctl: folder.join("rabbitmqctl"),
            path: path.clone(),
        })
        .find(|programs| programs.server.is_file() && programs.ctl.is_file())
}

/// A Python that runs a line without error.
fn find_python(line: &str) -> Option<PathBuf> {
    PYTHONS.iter().map(PathBuf::from).find(|python| {
        Command::new(python)
            .args(["-c", line])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

fn find_or_install<T>(find: fn() -> Option<T>, package: &str, what: &str) -> Result<T> {
    if let Some(found) = find() {
        return Ok(found);
    }
    // Several test processes may find out at once; one installs, the others find its work.
    let lock_path = env::temp_dir().join("gristmill-test-setup.lock");
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot open the lock file {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
    if let Some(found) = find() {
        return Ok(found);
    }

    let line = format!("apt-get install -y --no-install-recommends {package}");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "tests need {what}, which is not installed; install it so that it is found in PATH, \
             or run the tests in a container of Debian, where they install it themselves"
        );
    }
    if !is_root()? {
        bail!("tests need {what}, which is not installed; run: sudo {line}");
    }
    apt_install(package).with_context(|| format!("tests need {what}; try by hand: {line}"))?;
    find().with_context(|| format!("{what} is still not found after: {line}"))
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().context("cannot run id to tell the user")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn apt_install(package: &str) -> Result<()> {
    let _policy = NothingStarts::begin()?;
    let install = ["install", "-y", "--no-install-recommends", package];
    if apt_get(&install).is_ok() {
        return Ok(());
    }
    // A fresh container has no package lists, and old lists name files that are gone.
    apt_get(&["update"])?;
    apt_get(&install)
}

fn apt_get(args: &[&str]) -> Result<()> {
    let output = Command::new("/usr/bin/apt-get")
        .args(["-o", "DPkg::Lock::Timeout=600"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    ensure!(
        output.status.success(),
        "apt-get {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Keeps installed packages from starting services while it lives, then puts back what was there.
struct NothingStarts {
    saved: Option<PathBuf>,
}

impl NothingStarts {
    fn begin() -> Result<Self> {
        let policy = Path::new(POLICY);
        let saved = policy.exists().then(|| policy.with_extension("d.gristmill-saved"));
        if let Some(saved) = &saved {
            fs::rename(policy, saved).with_context(|| format!("cannot set {POLICY} aside"))?;
        }
        let guard = Self { saved };
        fs::write(policy, POLICY_NOTHING_STARTS)
            .and_then(|()| fs::set_permissions(policy, Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {POLICY}"))?;
        Ok(guard)
    }
}

impl Drop for NothingStarts {
    fn drop(&mut self) {
        // Failing to tidy up must not hide how the installation itself ended.
        drop(match &self.saved {
            Some(saved) => fs::rename(saved, POLICY),
            None => fs::remove_file(POLICY),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_java_is_read_in_its_old_form_and_its_new() {
        assert_eq!(java_release("javac 17.0.15\n"), Some(17));
        assert_eq!(java_release("Picked up JAVA_TOOL_OPTIONS: -Xmx1g\njavac 21-ea"), Some(21));
        assert_eq!(java_release("javac 1.8.0_402"), Some(8));
        assert_eq!(java_release("No Java runtime present"), None);
    }
}
