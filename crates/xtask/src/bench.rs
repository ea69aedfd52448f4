//! `cargo xtask bench`: all benchmarks, or the one that is named.

mod line;

use anyhow::Result;

use crate::workspace;

/// The benchmark of the whole line, which is no criterion benchmark: it takes a broker.
const LINE: &str = "line";

pub(crate) fn run(name: Option<&str>) -> Result<()> {
    if name != Some(LINE) {
        let name = name.unwrap_or("*");
        workspace::run(workspace::cargo().args(["bench", "--workspace", "--bench", name]))?;
    }
    if name.is_none_or(|name| name == LINE) {
        line::run()?;
    }
    Ok(())
}
