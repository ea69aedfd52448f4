//! `cargo xtask fmt`: formats all Rust code, also of the packages outside the workspace.

use anyhow::Result;

use crate::workspace;

pub(crate) fn run() -> Result<()> {
    format_all(&[])
}

/// Fails when something is not formatted, and changes nothing.
pub(crate) fn check() -> Result<()> {
    format_all(&["--check"])
}

fn format_all(arguments: &[&str]) -> Result<()> {
    workspace::run(workspace::cargo().args(["fmt", "--all"]).args(arguments))?;
    let mut manifests = workspace::plugin_manifests()?;
    manifests.push(workspace::root().join("tests/guests/Cargo.toml"));
    for manifest in manifests {
        let mut command = workspace::cargo();
        command.arg("fmt").arg("--manifest-path").arg(manifest).args(arguments);
        workspace::run(&mut command)?;
    }
    Ok(())
}
