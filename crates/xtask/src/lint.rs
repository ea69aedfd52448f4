//! `cargo xtask lint`: clippy on all targets of the workspace; a warning is an error.

use anyhow::Result;

use crate::workspace;

pub(crate) fn run() -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    workspace::run(workspace::cargo().args(arguments))
}
