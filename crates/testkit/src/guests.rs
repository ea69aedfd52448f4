//! Handlers built from source: the plugins that users can take, and the test guests, which show one
//! behaviour each.
//!
//! They are built into the folder `guests` of the workspace's target folder, as `NAME.wasm` with
//! dashes in the name: `plugins/order-totals` becomes `order-totals.wasm`, and
//! `tests/guests/examples/traps_until.rs` becomes `traps-until.wasm`.
//! Those in Rust are built together (see [`rust`]), each of the others by itself (see [`languages`]),
//! since what builds them is large. A half-written handler must never be seen, and no test may run
//! against an old one.

mod debian;
mod languages;
mod rust;
mod toolchain;
mod tools;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};

use languages::{Builder, PLUGINS, Plugin};
use tools::Tools;

/// The handler `order-totals` in all languages that there are templates in, by their names.
pub const ORDER_TOTALS: [&str; 5] =
    ["order-totals", "order-totals-js", "order-totals-python", "order-totals-c", "order-totals-go"];

/// The environment variable that says that every handler is built already and up to date.
///
/// Whoever runs many test processes builds once, sets it to anything, and spares each of them from
/// asking cargo again.
pub const BUILT_VARIABLE: &str = "GRISTMILL_GUESTS_BUILT";

/// Builds all handlers and returns the folder with their `.wasm` files.
///
/// Building again is cheap when nothing changed. Processes that call this at the same time wait for
/// each other. The messages of compilers go to stderr.
///
/// # Errors
///
/// When the tools for a language cannot be had (the error says what to run), when a handler does not
/// build, and when the target folder cannot be written.
pub fn build_all() -> Result<PathBuf> {
    let folder = build_rust()?;
    for plugin in &PLUGINS {
        build_plugin(plugin)?;
    }
    Ok(folder)
}

/// Builds the handlers in Rust only, and returns the folder with their `.wasm` files.
///
/// That takes nothing but Rust, where [`build_all`] fetches the tools of other languages.
///
/// # Errors
///
/// As those of [`build_all`].
pub fn build_rust() -> Result<PathBuf> {
    let folder = folder();
    let _lock = lock()?;
    let build_dir = folder.join("build");
    for built in rust::build(repository(), &build_dir, &target_dir().join("guest-toolchain"))? {
        install(&built, &folder)?;
    }
    Ok(folder)
}

/// The path of the handler `name`, such as `traps-until`, built if it has to be.
///
/// The first call in a process for a handler in Rust builds all of those; the others are built when
/// they are asked for. Nothing is built if [`BUILT_VARIABLE`] is set.
///
/// # Panics
///
/// When the handler cannot be built or there is none of this name.
#[expect(clippy::panic, reason = "a test that lacks its handler cannot go on")]
pub fn component(name: &str) -> PathBuf {
    static RUST: OnceLock<PathBuf> = OnceLock::new();
    if env::var_os(BUILT_VARIABLE).is_none() {
        let failed = |error| panic!("cannot build the handler {name}: {error:#}");
        if let Some(plugin) = PLUGINS.iter().find(|plugin| plugin.name == name) {
            build_plugin(plugin).unwrap_or_else(failed);
        } else {
            RUST.get_or_init(|| {
                build_rust().unwrap_or_else(|error| panic!("cannot build the handlers: {error:#}"))
            });
        }
    }
    let path = folder().join(name).with_extension("wasm");
    assert!(path.is_file(), "there is no handler {name}: {} does not exist", path.display());
    path
}

/// The component that a package in Rust is, which lies anywhere; built where those of the repository
/// are, so that they share what they depend on.
///
/// # Errors
///
/// When no toolchain for `wasm32-wasip2` can be had (the error says what to run), when the package
/// does not build, and when it is anything but one component.
pub fn build_package(package: &Path) -> Result<PathBuf> {
    let _lock = lock()?;
    let build_dir = folder().join("build");
    let toolchain = target_dir().join("guest-toolchain");
    let built = rust::build_one(repository(), package, &build_dir, &toolchain)?;
    let [component] = built.as_slice() else {
        bail!("{} is {} components", package.display(), built.len());
    };
    let kept = package.join("handler.wasm");
    fs::copy(component, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(kept)
}

fn build_plugin(plugin: &Plugin) -> Result<()> {
    let _lock = lock()?;
    let builder = Builder {
        plugins: &repository().join("plugins"),
        build_dir: &folder().join("plugins"),
        tools: &Tools::new(target_dir().join("guest-tools")),
    };
    let (built, is_new) = builder.build(plugin)?;
    if is_new || !folder().join(plugin.name).with_extension("wasm").is_file() {
        install(&built, &folder())?;
    }
    Ok(())
}

/// Lets one process build at a time, until the file is dropped. The system releases it too if the
/// process dies.
fn lock() -> Result<File> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(".lock");
    let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(lock)
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
pub(crate) fn target_dir() -> PathBuf {
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
    use super::languages::COMPONENTIZE_PY;
    use super::*;

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
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let contract = read(&repository().join("wit/handler.wit"));
        for name in ORDER_TOTALS {
            let plugin = repository().join("plugins").join(name);
            // A command module does not know of the contract.
            if !plugin.join("go.mod").is_file() {
                assert_eq!(read(&plugin.join("wit/handler.wit")), contract, "{name}");
            }
            let sample = repository().join("plugins/order-totals/event.json");
            assert_eq!(read(&plugin.join("event.json")), read(&sample), "{name}");
        }
    }

    /// What users are told to run is what is run here.
    #[test]
    fn a_plugins_readme_has_the_lines_that_build_it() {
        for plugin in &PLUGINS {
            let folder = repository().join("plugins").join(plugin.name);
            let readme = fs::read_to_string(folder.join("README.md")).unwrap();
            for line in plugin.lines {
                let has_line = readme.lines().any(|documented| documented == *line);
                assert!(has_line, "{}: {line}", plugin.name);
            }
        }
        let requirements = repository().join("plugins/order-totals-python/requirements.txt");
        assert_eq!(fs::read_to_string(requirements).unwrap().trim_end(), COMPONENTIZE_PY);
    }
}
