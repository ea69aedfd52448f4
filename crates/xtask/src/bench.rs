//! `cargo xtask bench`: all benchmarks, or the one that is named.

use anyhow::Result;

use crate::workspace;

pub(crate) fn run(name: Option<&str>) -> Result<()> {
    let name = name.unwrap_or("*");
    workspace::run(workspace::cargo().args(["bench", "--workspace", "--bench", name]))
}
