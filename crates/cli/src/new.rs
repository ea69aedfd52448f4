//! `gristmill new`: a handler project that builds.
//!
//! It is the handler `order-totals` of the language, under another name: something that works, to
//! change from there. Everything comes out of this program, so it needs no network, and nothing that
//! exists is ever overwritten.

mod files;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::{answer, complain, exit};
use files::File;

/// The longest name of a function.
const NAME_BYTES_MAX: usize = 64;

/// Where the crate for handlers in Rust lies in a project, and where it is for `plugins/`.
const CRATE_FOLDER: &str = "gristmill-handler";
const CRATE_PATH: &str = "../../crates/handler";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The name of the handler, and of the folder to make.
    name: String,
    /// The language to write it in.
    #[arg(short, long)]
    lang: Language,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Js,
    Python,
    C,
    Go,
}

/// What a project starts from.
struct Template {
    /// What the files call the handler.
    name: &'static str,
    files: &'static [File],
    /// How it is built, in the words of its README.
    build: &'static [&'static str],
    /// What that makes.
    built: &'static str,
}

impl Language {
    fn template(self) -> Template {
        match self {
            Language::Rust => Template {
                name: "order-totals",
                files: files::RUST,
                build: &[
                    "rustup target add wasm32-wasip2",
                    "cargo build --release --target wasm32-wasip2",
                ],
                built: "target/wasm32-wasip2/release/order_totals.wasm",
            },
            Language::Js => Template {
                name: "order-totals-js",
                files: files::JS,
                build: &["npm ci && npm run build"],
                built: "order-totals-js.wasm",
            },
            Language::Python => Template {
                name: "order-totals-python",
                files: files::PYTHON,
                build: &[
                    "pip install -r requirements.txt",
                    "componentize-py --wit-path wit --world handler componentize app -o order-totals-python.wasm",
                ],
                built: "order-totals-python.wasm",
            },
            Language::C => Template {
                name: "order-totals-c",
                files: files::C,
                build: &[
                    "$WASI_SDK_PATH/bin/clang --target=wasm32-wasip2 -mexec-model=reactor -O2 -s -Wl,-z,stack-size=1048576 -o order-totals-c.wasm src/*.c gen/*.c vendor/*.c",
                ],
                built: "order-totals-c.wasm",
            },
            Language::Go => Template {
                name: "order-totals-go",
                files: files::GO,
                build: &[
                    "GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags=\"-s -w\" -o order-totals-go.wasm .",
                ],
                built: "order-totals-go.wasm",
            },
        }
    }
}

/// Makes the project, tells what to do next, and says what to exit with.
pub(crate) fn run(arguments: &Arguments) -> u8 {
    let Arguments { name, lang } = arguments;
    match check(name, *lang).and_then(|()| write(Path::new(name), &project(name, *lang)?)) {
        Ok(()) => {
            answer(&next_steps(name, *lang));
            exit::OK
        }
        Err(error) => {
            complain(&error);
            exit::CONFIGURATION
        }
    }
}

/// Whether a handler of the language can have this name.
fn check(name: &str, lang: Language) -> Result<()> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    ensure!(
        (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_letter),
        "`{}` is no name of a function: use 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, `-` and `_`",
        name.escape_debug()
    );
    ensure!(!name.starts_with('-'), "`{name}` would be taken for an option; begin with a letter");
    match lang {
        Language::Rust => {
            ensure!(
                !name.starts_with(|first: char| first.is_ascii_digit()),
                "`{name}` is no name of a Rust package: begin with a letter"
            );
            ensure!(
                !RUST_WORDS.split_whitespace().any(|word| word == name)
                    && name.contains(char::is_alphanumeric),
                "`{name}` is no name of a Rust package: it means something else there"
            );
            let line = format!("name = \"{name}\"");
            let lock = text_of(files::RUST, "Cargo.lock")?;
            let is_dependency = lock.lines().any(|other| other == line) && name != "order-totals";
            ensure!(!is_dependency, "`{name}` is a package that the handler depends on");
        }
        Language::Js => ensure!(
            !name.starts_with('_') && !name.chars().any(|letter| letter.is_ascii_uppercase()),
            "`{name}` is no name of an npm package: use small letters, and begin with one"
        ),
        Language::Python | Language::C | Language::Go => {}
    }
    Ok(())
}

/// Names that Rust has other uses for: its keywords, and the crates that come with the compiler.
const RUST_WORDS: &str = "Self abstract alloc as async await become box break const continue core crate do dyn \
    else enum extern false final fn for gen if impl in let loop macro match mod move mut \
    override priv proc-macro proc_macro pub ref return self static std struct super test \
    trait true try type typeof unsafe unsized use virtual where while yield";

/// The files of a project by their paths.
fn project(name: &str, lang: Language) -> Result<Vec<(String, String)>> {
    let template = lang.template();
    let mut project = Vec::new();
    for File { path, text } in template.files {
        let mut text = template.renamed(text, name);
        match (lang, *path) {
            (Language::Rust, "Cargo.toml") => text = text.replace(CRATE_PATH, CRATE_FOLDER),
            (Language::Rust, "Cargo.lock") => text = sorted(&text),
            _ => {}
        }
        project.push(((*path).to_owned(), text));
    }
    if lang == Language::Rust {
        for File { path, text } in files::RUST_CRATE {
            let text = if *path == "Cargo.toml" { alone(text)? } else { text };
            project.push((format!("{CRATE_FOLDER}/{path}"), text.to_owned()));
        }
    }
    Ok(project)
}

impl Template {
    /// A text with the handler's name in place of the template's. In a Rust file's name, dashes
    /// become underscores.
    fn renamed(&self, text: &str, name: &str) -> String {
        text.replace(self.name, name).replace("order_totals", &name.replace('-', "_"))
    }
}

/// A lock file with its packages in the order of their names, which cargo insists on.
fn sorted(lock: &str) -> String {
    const PACKAGE: &str = "\n[[package]]\n";
    let mut parts = lock.trim_end().split(PACKAGE);
    let head = parts.next().unwrap_or_default().to_owned();
    let mut packages: Vec<_> = parts.map(str::trim_end).collect();
    packages.sort_by_key(|package| package.lines().next().map(str::to_owned));
    packages.iter().fold(head, |text, package| text + PACKAGE + package + "\n")
}

/// The part of the crate's manifest that stands for itself: the rest belongs to this workspace.
fn alone(manifest: &'static str) -> Result<&'static str> {
    let (alone, _) = manifest.split_once("\n[lints]\n").context("a manifest without lints")?;
    let comment = alone.find("[package]").context("a manifest without a package")?;
    alone.get(comment..).context("a manifest without a package")
}

fn text_of(files: &[File], path: &str) -> Result<&'static str> {
    let file = files.iter().find(|file| file.path == path);
    file.map(|file| file.text).with_context(|| format!("the program lacks its file {path}"))
}

/// Writes the files into a folder that is new or empty.
fn write(folder: &Path, project: &[(String, String)]) -> Result<()> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("{} exists and is not empty; choose another name", folder.display());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write into {}", folder.display()));
        }
    }
    for (path, text) in project {
        let path = path.split('/').fold(folder.to_owned(), |path, part| path.join(part));
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot make the folder {}", parent.display()))?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn next_steps(name: &str, lang: Language) -> String {
    let template = lang.template();
    let built = template.renamed(template.built, name);
    let mut text = format!("{name} is a handler that sums orders. To build it and to call it:\n\n");
    let build = template.build.iter().map(|line| template.renamed(line, name));
    let commands = [format!("cd {name}")].into_iter().chain(build).chain([
        format!("gristmill invoke {built}"),
        format!("gristmill event activemq --count 3 | gristmill invoke {built} --event -"),
    ]);
    for command in commands {
        text += &format!("    {command}\n");
    }
    text + &format!("\n{name}/README.md says what the build needs, and what to change.\n")
}

#[cfg(test)]
mod tests;
