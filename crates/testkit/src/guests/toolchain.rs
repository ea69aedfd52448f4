//! The compiler that builds handlers: found where it is, fetched where it is not.
//!
//! In order: what is installed, what was fetched before, `rustup target add`, and Debian's packages
//! (see [`super::debian`]). What the cargo that runs *us* was told about compilers, flags and
//! folders must not reach the cargo that we run.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::debian;

/// The target that handlers are built for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// Settings of the outer cargo that the inner one needs too, by the beginnings of their names.
const KEPT: [&str; 8] = [
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// A way to build for [`TARGET`].
#[derive(Debug)]
pub(super) enum Toolchain {
    /// The installed compiler has the target's standard library.
    Installed,
    /// Debian's compiler, unpacked into `unpacked`, builds the standard library itself and links
    /// with the programs in `linkers`, which came with the installed compiler.
    Debian { unpacked: PathBuf, linkers: PathBuf },
}

impl Toolchain {
    /// Finds a toolchain for what lies below `repository`, or gets one: with rustup into the user's
    /// toolchain, from Debian into `cache`.
    pub(super) fn find(repository: &Path, cache: &Path) -> Result<Self> {
        if has_target(repository)? {
            return Ok(Self::Installed);
        }
        if !cache.is_dir() {
            if add_target(repository) && has_target(repository)? {
                return Ok(Self::Installed);
            }
            if !debian::has_apt() {
                bail!(
                    "the installed Rust cannot build for {TARGET}: run `rustup target add {TARGET}`"
                );
            }
            debian::unpack(cache).with_context(|| {
                format!("cannot get Debian's compiler in place of `rustup target add {TARGET}`")
            })?;
        }
        let linkers = debian::linkers(&rustc_print(repository, &["sysroot"])?.unwrap_or_default())?;
        Ok(Self::Debian { unpacked: cache.to_owned(), linkers })
    }

    /// Cargo, set up to build for [`TARGET`]; the subcommand and its arguments are to follow.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = program("cargo");
        match self {
            Self::Installed => {}
            Self::Debian { unpacked, linkers } => debian::set_up(&mut cargo, unpacked, linkers),
        }
        cargo
    }
}

/// A command without the settings that an outer cargo, or its user, made for the outer build.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    for (variable, _) in env::vars_os() {
        if is_for_the_outer_build(&variable) {
            command.env_remove(variable);
        }
    }
    command
}

fn is_for_the_outer_build(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    let is_for_a_build = name.starts_with("CARGO_") || name.starts_with("RUSTC");
    name == "RUSTFLAGS" || is_for_a_build && !KEPT.iter().any(|kept| name.starts_with(kept))
}

/// Whether the compiler used in `repository` has a standard library for [`TARGET`].
fn has_target(repository: &Path) -> Result<bool> {
    let Some(folder) = rustc_print(repository, &["target-libdir", "--target", TARGET])? else {
        return Ok(false);
    };
    let Ok(files) = fs::read_dir(folder) else { return Ok(false) };
    Ok(files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

/// The path that `rustc --print` answers with, or nothing if it refuses the arguments.
fn rustc_print(repository: &Path, arguments: &[&str]) -> Result<Option<PathBuf>> {
    let output = program("rustc")
        .arg("--print")
        .args(arguments)
        .current_dir(repository)
        .stderr(Stdio::null())
        .output()
        .context("cannot run rustc: install Rust from https://rustup.rs")?;
    let answer = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success().then(|| PathBuf::from(answer.trim_end())))
}

/// Asks rustup for the target; false where there is no rustup or it cannot download.
fn add_target(repository: &Path) -> bool {
    let mut rustup = program("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(repository).stdout(Stdio::null());
    rustup.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_outer_build_are_not_passed_on() {
        for name in ["RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "CARGO_TARGET_DIR"] {
            assert!(is_for_the_outer_build(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_HTTP_PROXY", "RUSTUP_TOOLCHAIN", "PATH"] {
            assert!(!is_for_the_outer_build(OsStr::new(name)), "{name}");
        }
    }
}
