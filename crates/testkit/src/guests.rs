//! Handlers built from source: the plugins that users can take, and the test guests, which show one
//! behaviour each.
//!
//! They are built for `wasm32-wasip2` into the folder `guests` of the workspace's target folder, as
//! `NAME.wasm` with dashes in the name: `plugins/order-totals` becomes `order-totals.wasm`, and
//! `tests/guests/examples/traps_until.rs` becomes `traps-until.wasm`.
//! Where the compiler for that comes from is the affair of [`toolchain`]; what is out of date, cargo
//! decides. A half-written handler must never be seen, and no test may run against an old one.

mod debian;
mod toolchain;

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use toolchain::{TARGET, Toolchain};

/// What is built: cargo packages, each a workspace of its own, by their folders in the repository.
const PACKAGES: [&str; 2] = ["plugins/order-totals", "tests/guests"];

/// The environment variable that says that every handler is built already and up to date.
///
/// Whoever runs many test processes builds once, sets it to anything, and spares each of them from
/// asking cargo again.
pub const BUILT_VARIABLE: &str = "GRISTMILL_GUESTS_BUILT";

/// Builds all handlers and returns the folder with their `.wasm` files.
///
/// Building again is cheap when nothing changed. Processes that call this at the same time wait for
/// each other. Cargo's messages go to stderr.
///
/// # Errors
///
/// When no toolchain for `wasm32-wasip2` can be had (the error says what to run), when a handler
/// does not build, and when the target folder cannot be written.
pub fn build_all() -> Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock_path = folder.join(".lock");
    // Held until the end of this function; the system releases it too if the process dies.
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot create {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;

    let toolchain = Toolchain::find(repository(), &target_dir().join("guest-toolchain"))?;
    for package in PACKAGES {
        for built in build(&toolchain, &repository().join(package), &folder.join("build"))? {
            install(&built, &folder)?;
        }
    }
    Ok(folder)
}

/// The path of the handler `name`, such as `traps-until`, built if it has to be.
///
/// The first call in a process builds all handlers, unless [`BUILT_VARIABLE`] is set.
///
/// # Panics
///
/// When the handlers cannot be built or there is none of this name.
#[expect(clippy::panic, reason = "a test that lacks its handler cannot go on")]
pub fn component(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        if env::var_os(BUILT_VARIABLE).is_some() {
            return folder();
        }
        build_all().unwrap_or_else(|error| panic!("cannot build the handlers: {error:#}"))
    });
    let path = folder.join(name).with_extension("wasm");
    assert!(path.is_file(), "there is no handler {name}: {} does not exist", path.display());
    path
}

/// Builds one package and returns the components that it consists of, as cargo left them.
fn build(toolchain: &Toolchain, package: &Path, build_dir: &Path) -> Result<Vec<PathBuf>> {
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

/// Puts a component where tests look for it, in one step: another process may be reading the old.
fn install(built: &Path, folder: &Path) -> Result<()> {
    let stem = built.file_stem().unwrap_or_default().to_string_lossy();
    let installed = folder.join(stem.replace('_', "-")).with_extension("wasm");
    let partial = installed.with_extension("partial");
    fs::copy(built, &partial)
        .and_then(|_bytes| fs::rename(&partial, &installed))
        .with_context(|| format!("cannot copy {} to {}", built.display(), installed.display()))
}

fn folder() -> PathBuf {
    target_dir().join("guests")
}

/// Where cargo builds this workspace: a relative `CARGO_TARGET_DIR` starts at the repository.
fn target_dir() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    repository().join(target)
}

/// The folder two levels above this crate's.
fn repository() -> &'static Path {
    let this_crate = Path::new(env!("CARGO_MANIFEST_DIR"));
    this_crate.ancestors().nth(2).unwrap_or(this_crate)
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

    #[test]
    fn an_installed_component_has_dashes_in_its_name_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let built = folder.path().join("traps_until.wasm");
        fs::write(&built, "component").unwrap();
        let installed = tempfile::tempdir().unwrap();
        install(&built, installed.path()).unwrap();
        let names: Vec<_> =
            fs::read_dir(installed.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, ["traps-until.wasm"]);
    }

    /// A plugin carries the contract with it, so that its folder builds wherever it is copied to.
    #[test]
    fn a_plugins_copy_of_the_contract_is_exact() {
        let read = |path| fs::read_to_string(repository().join(path)).unwrap();
        assert_eq!(read("plugins/order-totals/wit/handler.wit"), read("wit/handler.wit"));
    }
}
