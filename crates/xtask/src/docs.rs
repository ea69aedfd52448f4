//! `cargo xtask docs`: the documentation of the libraries; a warning, such as a broken link, is an
//! error.

use anyhow::Result;

use crate::workspace;

pub(crate) fn run() -> Result<()> {
    // Only libraries: the library gristmill and the program gristmill would overwrite each other.
    let mut command = workspace::cargo();
    command.args(["doc", "--workspace", "--lib", "--no-deps", "--quiet"]);
    // Its readers work on the code, so it has the private items too, and links to them are right.
    command.arg("--document-private-items");
    let flags = "-D warnings -A rustdoc::private-intra-doc-links";
    workspace::run(command.env("RUSTDOCFLAGS", flags))
}
