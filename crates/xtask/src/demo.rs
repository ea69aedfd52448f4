//! `cargo xtask demo`: builds the program and has it show the main job.

use anyhow::Result;

use crate::workspace;

pub(crate) fn run() -> Result<()> {
    println!("building the program; the first time takes some minutes");
    workspace::run(workspace::cargo().args(["build", "--workspace", "--bin", "gristmill"]))?;
    let mut program = std::process::Command::new(workspace::target().join("debug/gristmill"));
    workspace::run(program.arg("demo"))
}
