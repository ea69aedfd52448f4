//! Handlers in other languages than Rust: folders that are built by the lines that their READMEs
//! document.
//!
//! A folder is built as a user builds it: copied to a place of its own, with the language's ordinary
//! tools in `PATH` (see [`super::tools`]). It is built again when its sources, its line or the version
//! of a tool has changed, and at no other time: it takes seconds, and a network where tools are
//! missing. Nothing is ever written into `plugins/`.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::tools::{Shell, Tool, Tools};

/// A handler that is one folder in `plugins/` and becomes the file `NAME.wasm` in it.
#[derive(Debug)]
pub(super) struct Plugin {
    /// The folder, and the handler.
    pub(super) name: &'static str,
    tools: &'static [Tool],
    /// What to run in a copy of the folder, each line as the README has it.
    pub(super) lines: &'static [&'static str],
}

/// As in the plugin's `requirements.txt`.
pub(super) const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

const NODE_MODULES: Tool = Tool::ModulesOf("order-totals-js");

/// All plugins that are not in Rust. One that needs another's modules comes after it.
pub(super) const PLUGINS: [Plugin; 4] = [
    Plugin { name: "order-totals-js", tools: &[Tool::Node], lines: &["npm ci && npm run build"] },
    Plugin {
        name: "order-totals-python",
        tools: &[Tool::Python(COMPONENTIZE_PY)],
        lines: &[
            "componentize-py --wit-path wit --world handler componentize app -o order-totals-python.wasm",
        ],
    },
    Plugin {
        name: "order-totals-c",
        // What makes a component of a module is among what the JavaScript handler's build needs.
        // The compiler last: the `python3` found first has to be the one that knows it.
        tools: &[Tool::Node, NODE_MODULES, Tool::Python("ziglang==0.17.1")],
        lines: &[
            "python3 -m ziglang cc -target wasm32-wasi -mexec-model=reactor -O2 -s \
             -Wl,-z,stack-size=1048576 -o core.wasm src/*.c gen/*.c vendor/*.c",
            "jco new core.wasm --wasi-reactor -o order-totals-c.wasm",
        ],
    },
    Plugin {
        name: "order-totals-go",
        tools: &[Tool::Go],
        lines: &[
            "GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags=\"-s -w\" -o order-totals-go.wasm .",
        ],
    },
];

/// What building leaves in a folder, which is no source.
const PRODUCTS: [&str; 5] = [".venv", "__pycache__", "core.wasm", "node_modules", "wit_world"];

/// Brings the copies of plugins in `build_dir` up to date.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub(super) plugins: &'a Path,
    pub(super) build_dir: &'a Path,
    pub(super) tools: &'a Tools,
}

impl Builder<'_> {
    /// Builds a plugin if it has to be, after those that it needs. Returns the built file, and
    /// whether it is new.
    pub(super) fn build(&self, plugin: &Plugin) -> Result<(PathBuf, bool)> {
        let mut shell = self.tools.shell();
        for tool in plugin.tools {
            if let Tool::ModulesOf(other) = tool {
                let other = PLUGINS.iter().find(|plugin| plugin.name == *other);
                self.build(other.context("there is no plugin with these modules")?)?;
            }
            self.tools.add(*tool, self.build_dir, &mut shell)?;
        }
        let sources = sources(&self.plugins.join(plugin.name))?;
        let copy = self.build_dir.join(plugin.name);
        let built = copy.join(plugin.name).with_extension("wasm");
        let mark = self.build_dir.join(plugin.name).with_extension("built");
        let fingerprint = fingerprint(&sources, plugin, &shell);
        if built.is_file() && fs::read_to_string(&mark).is_ok_and(|mark| mark == fingerprint) {
            return Ok((built, false));
        }
        #[expect(clippy::print_stderr, reason = "seconds may pass, with the compilers' messages")]
        {
            eprintln!("building {}", plugin.name);
        }
        remove(&copy)?;
        write_all(&sources, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
        for line in plugin.lines {
            let status = shell.run(line, &copy).with_context(|| format!("cannot run {line}"))?;
            ensure!(
                status.success(),
                "cannot build plugins/{}: correct what is said above by: {line}",
                plugin.name
            );
        }
        ensure!(built.is_file(), "plugins/{} built no {}", plugin.name, built.display());
        fs::write(&mark, fingerprint)
            .with_context(|| format!("cannot write {}", mark.display()))?;
        Ok((built, true))
    }
}

/// The files of a folder by their paths in it.
fn sources(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let place = folder.join(&inner);
        let entries = fs::read_dir(&place).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for entry in entries.with_context(|| format!("cannot list {}", place.display()))? {
            let name = entry.file_name();
            let path = inner.join(&name);
            let is_handler = path.extension().is_some_and(|extension| extension == "wasm");
            if is_handler || PRODUCTS.iter().any(|product| name == *product) {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                let content = fs::read(entry.path())
                    .with_context(|| format!("cannot read {}", entry.path().display()))?;
                files.insert(path, content);
            }
        }
    }
    Ok(files)
}

/// What a built file depends on, in short. It finds changes, and is no proof against forgery.
fn fingerprint(sources: &BTreeMap<PathBuf, Vec<u8>>, plugin: &Plugin, shell: &Shell) -> String {
    let mut hasher = DefaultHasher::new();
    (sources, plugin.lines, shell.versions()).hash(&mut hasher);
    format!("{:016x}\n", hasher.finish())
}

fn write_all(sources: &BTreeMap<PathBuf, Vec<u8>>, folder: &Path) -> std::io::Result<()> {
    for (path, content) in sources {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, content)?;
    }
    Ok(())
}

/// Removes a folder with all it has, if there is one.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_leaves_behind_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["src/a.js", "node_modules/b/c.js", "name.wasm", "__pycache__/d", ".gitignore"]
        {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found: Vec<_> = sources(folder.path()).unwrap().into_keys().collect();
        assert_eq!(found, [Path::new(".gitignore"), Path::new("src/a.js")]);
    }
}
