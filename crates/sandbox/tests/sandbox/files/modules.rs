//! The same for core modules, which have calls of their own: WASI preview 1.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use gristmill_invocation::Outcome;
use gristmill_sandbox::{DirGrant, FunctionSettings, Grants};

use crate::modules::module;
use crate::support::{call, load_bytes};

#[tokio::test]
async fn a_module_opens_what_is_granted_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let inside = root.path().join("inside");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("plain"), "plain").unwrap();
    fs::write(root.path().join("secret"), "secret").unwrap();
    fs::create_dir(inside.join("dir")).unwrap();
    symlink("../secret", inside.join("out")).unwrap();
    symlink("..", inside.join("up")).unwrap();
    // Opens the path in its event in the first directory, which is 3, and exits with the error.
    let opens = |flags: u32, rights: u32| {
        module(&format!(
            "(call $exit (call $open (i32.const 3) (i32.const 1) (i32.const 1024)
                (i32.load (i32.const 8)) (i32.const {flags}) (i64.const {rights}) (i64.const 0)
                (i32.const 0) (i32.const 12)))"
        ))
    };
    // To read; and to write, for which it is created or truncated.
    let (open, create) = (opens(0, 1 << 1), opens(1 | 1 << 3, 1 << 6));
    let code = |code: u32| Outcome::HandlerError(format!("exit code {code}"));
    let (bad_descriptor, no_entry, not_permitted) = (code(8), code(44), code(63));
    let opened = Outcome::Succeeded(None);
    let granted = |module: &[u8], write: bool| {
        let dirs = vec![DirGrant { host: inside.clone(), guest: "/data".to_owned(), write }];
        let grants = Grants { dirs, ..Grants::default() };
        load_bytes(module, FunctionSettings { grants, ..FunctionSettings::default() }).unwrap()
    };
    let ungranted = load_bytes(&open, FunctionSettings::default()).unwrap();
    let absolute = root.path().join("secret").to_str().unwrap().to_owned();
    for (path, to_read, to_write) in [
        ("plain", &opened, &opened),
        ("nowhere", &no_entry, &opened),
        ("../secret", &not_permitted, &not_permitted),
        ("../new", &not_permitted, &not_permitted),
        ("../..", &not_permitted, &not_permitted),
        ("dir/../../secret", &not_permitted, &not_permitted),
        ("out", &not_permitted, &not_permitted),
        ("up/secret", &not_permitted, &not_permitted),
        ("up/new", &not_permitted, &not_permitted),
        (&absolute, &not_permitted, &not_permitted),
    ] {
        assert_eq!(call(&granted(&open, false), path).await.outcome, *to_read, "{path}");
        assert_eq!(call(&granted(&create, true), path).await.outcome, *to_write, "{path}");
        // A grant to read is none to write, and without a grant there is nothing.
        assert_eq!(call(&granted(&create, false), path).await.outcome, not_permitted, "{path}");
        assert_eq!(call(&ungranted, path).await.outcome, bad_descriptor, "{path}");
    }
    // The one that was created is empty now, as is the one that was opened to be written.
    let content = |path: PathBuf| fs::read_to_string(path).unwrap();
    assert_eq!(
        (content(inside.join("plain")), content(inside.join("nowhere"))),
        Default::default()
    );
    assert_eq!(content(root.path().join("secret")), "secret");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
}
