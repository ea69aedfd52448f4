//! Granted directories: what is in them is there, and nothing else is, whatever the path.
#![cfg(unix)]

mod escapes;

mod modules;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use gristmill_sandbox::{DirGrant, FunctionSettings, Grants, LoadedFunction, Refusal};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Captured, answer, guest, load_bytes, load_with};

const SECRET: &str = "the secret";

/// How far below its root the granted folder lies: farther than the `..` of most paths here lead. Where
/// a sandbox lets something out, the test finds it, and the machine that it runs on is not harmed.
const DEPTH: &str = "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16";

/// A granted folder with a secret beside it, and every kind of link between the two.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Place {
        let root = tempfile::tempdir().unwrap();
        let place = Place { root };
        fs::create_dir_all(place.inside()).unwrap();
        fs::create_dir_all(place.outside()).unwrap();
        fs::write(place.outside().join("secret"), SECRET).unwrap();
        place.fill();
        place
    }

    /// Puts into the empty folder what is in it at first.
    fn fill(&self) {
        let (inside, outside) = (self.inside(), self.outside());
        fs::create_dir_all(inside.join("dir/deep")).unwrap();
        fs::write(inside.join("plain"), "plain").unwrap();
        fs::write(inside.join("dir/inner"), "inner").unwrap();
        for (target, link) in [
            ("../outside", "out"),
            ("..", "up"),
            (".", "here"),
            ("dir/../../outside/secret", "zigzag"),
            ("../outside/secret", "chain0"),
            ("chain0", "chain1"),
            ("dir/chain3", "chain2"),
            ("../chain1", "dir/chain3"),
            ("../..", "dir/up"),
            ("loop", "loop"),
            ("dir/inner", "within"),
            ("/etc/passwd", "passwd"),
            ("/", "top"),
            ("/proc/self/root", "proc"),
        ] {
            symlink(target, inside.join(link)).unwrap();
        }
        symlink(outside.join("secret"), inside.join("absolute")).unwrap();
        symlink(inside.join("plain"), inside.join("home")).unwrap();
    }

    fn inside(&self) -> PathBuf {
        self.root.path().join(DEPTH).join("inside")
    }

    fn outside(&self) -> PathBuf {
        self.root.path().join(DEPTH).join("outside")
    }

    /// Everything below the root: contents of files, targets of links.
    fn content(&self) -> BTreeMap<PathBuf, String> {
        fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let (path, kind) = entry.map(|e| (e.path(), e.file_type().unwrap())).unwrap();
                let content = if kind.is_dir() {
                    walk(&path, found);
                    "a directory".to_owned()
                } else if kind.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    fs::read_to_string(&path).unwrap()
                };
                found.insert(path, content);
            }
        }
        let mut found = BTreeMap::new();
        walk(self.root.path(), &mut found);
        found
    }

    fn function(&self, write: bool) -> LoadedFunction {
        load_with("files", settings(self.inside(), write))
    }
}

fn settings(host: PathBuf, write: bool) -> FunctionSettings {
    let dirs = vec![DirGrant { host, guest: "/data".to_owned(), write }];
    FunctionSettings { grants: Grants { dirs, ..Grants::default() }, ..FunctionSettings::default() }
}

async fn act(function: &LoadedFunction, event: Value) -> Value {
    serde_json::from_str(&answer(function, &event.to_string()).await).unwrap()
}

/// What every call said about a path; `None` for what was done.
async fn everything(function: &LoadedFunction, path: &str) -> BTreeMap<String, Option<String>> {
    let said = act(function, json!({ "do": "everything", "path": path })).await;
    let said: BTreeMap<String, Value> = serde_json::from_value(said).unwrap();
    said.into_iter()
        .map(|(call, said)| (call, said["refused"].as_str().map(str::to_owned)))
        .collect()
}

#[tokio::test]
async fn without_a_grant_there_is_no_directory() {
    let function = load_with("files", FunctionSettings::default());
    assert_eq!(act(&function, json!({ "do": "list" })).await, json!([]));
}

#[tokio::test]
async fn what_is_granted_for_reading_is_read_and_not_changed() {
    let place = Place::new();
    let function = place.function(false);
    assert_eq!(act(&function, json!({ "do": "list" })).await, json!(["/data"]));
    for (path, content) in
        [("plain", "plain"), ("dir/inner", "inner"), ("dir/../plain", "plain"), ("within", "inner")]
    {
        assert_eq!(act(&function, json!({ "do": "read", "path": path })).await, json!(content));
    }
    let before = place.content();
    for path in ["plain", "dir", "dir/inner", "new", "within", "."] {
        for (call, refused) in everything(&function, path).await {
            let reads = ["read", "open as directory", "stat", "hash", "read link"];
            assert!(reads.contains(&call.as_str()) || refused.is_some(), "{call} {path}");
        }
    }
    assert_eq!(place.content(), before);
}

/// Each thing that was refused and told, sorted, twice if it was told twice.
async fn told(function: &LoadedFunction, path: &str) -> Vec<String> {
    let captured = Captured::start();
    for _ in 0..2 {
        everything(function, path).await;
    }
    let mut told: Vec<String> =
        captured.take().iter().map(|line| line["refused"].clone()).collect();
    told.sort();
    told
}

#[tokio::test]
async fn whatever_is_refused_is_told_once() {
    let place = Place::new();
    let mut changes = vec![
        r#"link "PATH" to "linked""#,
        r#"link "plain" to "PATH""#,
        r#"make the directory "PATH""#,
        r#"make the symbolic link "PATH" to "plain""#,
        r#"open "PATH""#,
        r#"remove "PATH""#,
        r#"remove the directory "PATH""#,
        r#"rename "PATH" to "renamed""#,
        r#"rename "plain" to "PATH""#,
        r#"set the times of "PATH""#,
    ];
    assert_eq!(told(&place.function(false), "PATH").await, changes);
    // What is outside is not even looked at.
    changes.extend([r#"look at "PATH""#, r#"read the link "PATH""#]);
    changes.sort_unstable();
    let outside = "../outside/secret";
    let all: Vec<String> = changes.iter().map(|told| told.replace("PATH", outside)).collect();
    assert_eq!(told(&place.function(true), outside).await, all);
    // What is missing is nothing that could be granted.
    assert_eq!(told(&place.function(true), "nowhere/new").await, [""; 0]);
}

#[tokio::test]
async fn what_is_granted_for_writing_is_changed() {
    let place = Place::new();
    let function = place.function(true);
    for path in ["plain", "new", "dir/inner", "dir/new", "home/../dir/x"] {
        let outcome = act(&function, json!({ "do": "write", "path": path })).await;
        if path.starts_with("home") {
            assert!(outcome["refused"].is_string(), "{path}: {outcome}");
        } else {
            assert_eq!(outcome, json!("ok"), "{path}");
            assert_eq!(fs::read_to_string(place.inside().join(path)).unwrap(), "written");
        }
    }
}

#[tokio::test]
async fn nothing_outside_of_a_writable_directory_is_reached_by_any_call() {
    let place = Place::new();
    let function = place.function(true);
    let outside = place.outside();
    let paths = [
        "/etc/passwd",
        "../..",
        "../outside/secret",
        "../outside/new",
        "dir/../../outside/secret",
        "dir/deep/../../../outside/secret",
        "up/outside/secret",
        "dir/up/outside/new",
        "out/secret",
        "out/new",
        "out/../../outside/secret",
        "top/etc/passwd",
        "proc/etc/passwd",
        "here/here/up/outside/secret",
        outside.to_str().unwrap(),
        "/data/plain",
        "//data/plain",
        "",
        "plain\0",
    ];
    let before = place.content();
    for path in paths {
        for (call, refused) in everything(&function, path).await {
            assert!(refused.is_some(), "{call} {path:?}");
        }
        assert_eq!(place.content(), before, "{path}");
    }
    // To look at a link is no way through it, and it may be removed; so here only reading and writing.
    for path in ["chain0", "chain1", "chain2", "zigzag", "absolute", "passwd", "loop", "home"] {
        for what in ["read", "write"] {
            let said = act(&function, json!({ "do": what, "path": path })).await;
            assert!(said["refused"].is_string(), "{what} {path}: {said}");
        }
    }
    assert_eq!(place.content(), before);
}

#[tokio::test]
async fn a_link_that_a_handler_makes_leads_nowhere_either() {
    let place = Place::new();
    let function = place.function(true);
    let before = place.content();
    let said = act(&function, json!({ "do": "link", "path": "/etc/passwd" })).await;
    assert!(said["refused"].is_string(), "an absolute target: {said}");
    let said = act(&function, json!({ "do": "link", "path": "../outside/secret" })).await;
    let read = act(&function, json!({ "do": "read", "path": "made" })).await;
    assert!(read["refused"].is_string(), "made: {said}, read: {read}");
    fs::remove_file(place.inside().join("made")).ok();
    assert_eq!(place.content(), before);
}

#[test]
fn a_directory_that_is_not_there_is_refused_with_its_path() {
    let place = Place::new();
    for missing in ["nowhere", "plain"] {
        let path = place.inside().join(missing);
        let error = load_bytes(&guest("files"), settings(path.clone(), false)).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(matches!(error.refusal, Refusal::Directory { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_directory_that_goes_away_ends_the_call_and_not_the_function() {
    let place = Place::new();
    let function = place.function(false);
    let away = place.root.path().join("away");
    fs::rename(place.inside(), &away).unwrap();
    let outcome = crate::support::call(&function, r#"{"do":"list"}"#).await.outcome;
    assert!(outcome.to_string().contains("inside"), "{outcome}");
    fs::rename(&away, place.inside()).unwrap();
    assert_eq!(act(&function, json!({ "do": "list" })).await, json!(["/data"]));
}
