//! `cargo xtask guests`: builds the handlers that tests run, and fetches what that needs.

use anyhow::Result;

pub(crate) fn run() -> Result<()> {
    let folder = gristmill_testkit::guests::build_all()?;
    println!("handlers are in {}", folder.display());
    Ok(())
}
