//! Handlers in Rust: cargo packages, each a workspace of its own, whose every library and example is
//! a component.
//!
//! Where the compiler comes from is the affair of [`super::toolchain`]; what is out of date, cargo
//! decides.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::toolchain::{TARGET, Toolchain};

/// The packages by their folders in the repository.
const PACKAGES: [&str; 2] = ["plugins/order-totals", "tests/guests"];

/// Builds all packages, with what cargo keeps in `build_dir` and a compiler that may have to be
/// fetched into `toolchain`. Returns the components, as cargo left them.
pub(super) fn build(repository: &Path, build_dir: &Path, toolchain: &Path) -> Result<Vec<PathBuf>> {
    let toolchain = Toolchain::find(repository, toolchain)?;
    let mut built = Vec::new();
    for package in PACKAGES {
        built.extend(build_package(&toolchain, &repository.join(package), build_dir)?);
    }
    Ok(built)
}

/// Builds one package that lies anywhere, in the same way.
pub(super) fn build_one(
    repository: &Path,
    package: &Path,
    build_dir: &Path,
    toolchain: &Path,
) -> Result<Vec<PathBuf>> {
    build_package(&Toolchain::find(repository, toolchain)?, package, build_dir)
}

fn build_package(toolchain: &Toolchain, package: &Path, build_dir: &Path) -> Result<Vec<PathBuf>> {
    let output = toolchain
        .cargo()
        .args(["build", "--release", "--locked", "--lib", "--examples"])
        .args(["--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(build_dir)
        .current_dir(package)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cannot build the handlers in {}: correct what cargo says above",
        package.display()
    );
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")?;
    components(&messages)
}

/// The components among the files that cargo says it made, one JSON message a line.
fn components(messages: &str) -> Result<Vec<PathBuf>> {
    let mut components = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line)
            .with_context(|| format!("cargo's message is not JSON: {line}"))?;
        if message["reason"] == "compiler-artifact" {
            let files = message["filenames"].as_array().into_iter().flatten();
            let paths = files.filter_map(Value::as_str).map(PathBuf::from);
            components.extend(paths.filter(|path| path.extension() == Some(OsStr::new("wasm"))));
        }
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_components_are_taken_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","filenames":["/b/libserde.rlib"]}
{"reason":"build-script-executed","package_id":"serde"}
{"reason":"compiler-artifact","filenames":["/b/examples/traps_until.wasm"]}
{"reason":"build-finished","success":true}"#;
        let expected = [PathBuf::from("/b/examples/traps_until.wasm")];
        assert_eq!(components(messages).unwrap(), expected);
    }
}
