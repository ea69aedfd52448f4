//! The files that `gristmill new` writes: those of `plugins/order-totals*`, as the program was built
//! with them, and the crate for handlers in Rust. A test holds these lists against git's.

/// A file by its path in the project, with `/` between folders.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(File {
            path: $path,
            text: include_str!(concat!("../../../../", $folder, "/", $path)),
        }),*]
    };
}

pub(super) const RUST: &[File] = files!("plugins/order-totals":
    ".gitignore" "Cargo.lock" "Cargo.toml" "README.md" "event.json" "src/lib.rs" "src/totals.rs"
    "wit/handler.wit"
);

/// The crate `gristmill-handler` without its tests.
pub(super) const RUST_CRATE: &[File] = files!("crates/handler":
    "Cargo.toml" "README.md" "src/activemq.rs" "src/date.rs" "src/error.rs" "src/event.rs"
    "src/headers.rs" "src/lib.rs" "src/parse.rs" "src/rabbitmq.rs" "src/record.rs"
    "src/response.rs" "src/value.rs"
);

pub(super) const JS: &[File] = files!("plugins/order-totals-js":
    ".gitignore" "README.md" "event.json" "package-lock.json" "package.json" "src/events.d.ts"
    "src/handler.js" "tsconfig.json" "wit/handler.wit"
);

pub(super) const PYTHON: &[File] = files!("plugins/order-totals-python":
    ".gitignore" "README.md" "app.py" "event.json" "events.py" "requirements.txt"
    "wit/handler.wit"
);

pub(super) const C: &[File] = files!("plugins/order-totals-c":
    ".gitignore" "README.md" "event.json" "gen/handler.c" "gen/handler.h"
    "gen/handler_component_type.c" "src/base64.c" "src/base64.h" "src/handler.c" "vendor/cJSON.c"
    "vendor/cJSON.h" "wit/handler.wit"
);

pub(super) const GO: &[File] = files!("plugins/order-totals-go":
    ".gitignore" "README.md" "event.json" "events.go" "go.mod" "main.go"
);

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// What git has or would have in a folder, by paths in it.
    fn tracked(folder: &str) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").args(arguments).current_dir(&root).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let paths = String::from_utf8(output.stdout).unwrap();
        let mut paths: Vec<_> =
            paths.lines().filter(|path| root.join(path).exists()).map(str::to_owned).collect();
        paths.sort();
        paths
    }

    #[test]
    fn no_file_is_forgotten() {
        for (folder, files) in [
            ("plugins/order-totals", RUST),
            ("crates/handler", RUST_CRATE),
            ("plugins/order-totals-js", JS),
            ("plugins/order-totals-python", PYTHON),
            ("plugins/order-totals-c", C),
            ("plugins/order-totals-go", GO),
        ] {
            let mut expected = tracked(folder);
            expected.retain(|path| !path.starts_with("tests/"));
            let embedded: Vec<_> = files.iter().map(|file| file.path).collect();
            assert_eq!(embedded, expected, "in {folder}");
        }
    }
}
