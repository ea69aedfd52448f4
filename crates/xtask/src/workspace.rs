//! Where the repository is, and how commands run other programs in it.
//!
//! Every command starts other programs through this file, in the root of the repository, so that it
//! does not matter where `cargo xtask` is called.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target")))
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Manifests of the handlers that users take. They are no part of the workspace, so that their
/// folders build wherever they are copied to.
pub(crate) fn plugin_manifests() -> Result<Vec<PathBuf>> {
    let plugins = root().join("plugins");
    let mut manifests = Vec::new();
    for entry in fs::read_dir(&plugins).context("cannot list the folder plugins")? {
        manifests.push(entry.context("cannot list the folder plugins")?.path().join("Cargo.toml"));
    }
    manifests.retain(|manifest| manifest.is_file());
    manifests.sort();
    Ok(manifests)
}

/// Runs a program with this one's outputs and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    ensure!(status.success(), "{line} failed with {status}; see its messages above");
    Ok(())
}

/// Runs a program and returns what it wrote to its standard output.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let line = line_of(command);
    let output = command.output().with_context(|| format!("cannot run {line}"))?;
    ensure!(
        output.status.success(),
        "{line} failed with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout)
        .with_context(|| format!("{line} wrote something else than text"))
}

/// The command as a person would type it.
pub(crate) fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
