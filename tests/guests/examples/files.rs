//! Reads, writes and breaks out of the directories it is granted, by WASI's own calls: a library
//! between would refuse some paths before the host sees them. The event says what: see [`act`].

use std::collections::{BTreeMap, BTreeSet};

use gristmill_test_guests::{Answer, handler};
use serde_json::{Value, json};
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

const FOLLOW: PathFlags = PathFlags::SYMLINK_FOLLOW;
const NONE: OpenFlags = OpenFlags::empty();

/// Acts in the first granted directory: on one path, on each of a list of paths, or on one path
/// again and again.
fn act(event: String) -> Answer {
    let event: Value = serde_json::from_str(&event).map_err(|e| e.to_string())?;
    let path = event["path"].as_str().unwrap_or_default();
    let mut granted = get_directories();
    let answer = match event["do"].as_str().unwrap_or_default() {
        "list" => json!(granted.iter().map(|(_, name)| name).collect::<Vec<_>>()),
        what => {
            let dir = granted.swap_remove(0).0;
            match what {
                "read" => shown(read(&dir, path)),
                "write" => shown(write(&dir, path, b"written").map(|()| "ok".to_owned())),
                "write and panic" => {
                    write(&dir, path, b"half").map_err(|e| e.to_string())?;
                    panic!("in the middle");
                }
                "link" => shown(dir.symlink_at(path, "made").map(|()| "ok".to_owned())),
                "everything" => everything(&dir, path),
                "read all" => read_all(&dir, &paths(&event)),
                "change all" => change_all(&dir, &paths(&event)),
                "read again" => read_all(&dir, &again(&event)),
                "write again" => {
                    let written =
                        again(&event).into_iter().map(|path| write(&dir, path, b"written"));
                    json!({ "opened": written.filter(Result::is_ok).count() })
                }
                _ => return Err("no such thing to do".to_owned()),
            }
        }
    };
    Ok(Some(answer.to_string()))
}

fn read(dir: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let file = dir.open_at(FOLLOW, path, NONE, DescriptorFlags::READ)?;
    let (bytes, _is_end) = file.read(1024, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(dir: &Descriptor, path: &str, bytes: &[u8]) -> Result<(), ErrorCode> {
    let how = OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let file = dir.open_at(FOLLOW, path, how, DescriptorFlags::WRITE)?;
    file.write(bytes, 0).map(|_written| ())
}

fn paths(event: &Value) -> Vec<&str> {
    event["paths"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// One path as often as the event says.
fn again(event: &Value) -> Vec<&str> {
    let times = event["times"].as_u64().unwrap_or_default();
    (0..times).filter_map(|_| event["path"].as_str()).collect()
}

/// How many of the paths could be read, and everything that was read.
fn read_all(dir: &Descriptor, paths: &[&str]) -> Value {
    let mut opened = 0;
    let mut contents = BTreeSet::new();
    for path in paths {
        if let Ok(content) = read(dir, path) {
            opened += 1;
            contents.insert(content);
        }
    }
    json!({ "opened": opened, "contents": contents })
}

/// Changes what the paths lead to in many ways, removes it in the end, and counts what was done.
fn change_all(dir: &Descriptor, paths: &[&str]) -> Value {
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    let mut count = |what, result: Result<(), ErrorCode>| {
        *done.entry(what).or_default() += u64::from(result.is_ok());
    };
    for path in paths {
        count("write", write(dir, path, b"written"));
        count("make directory", dir.create_directory_at(path));
        // There and back again, so that the next path finds what this one has found.
        for (from, to) in [("plain", *path), (path, "plain"), (path, "moved"), ("moved", path)] {
            count("rename", dir.rename_at(from, dir, to));
        }
        count("link", dir.link_at(PathFlags::empty(), path, dir, "linked"));
        count("write", write(dir, "linked", b"written"));
        count("remove", dir.unlink_file_at("linked"));
    }
    for path in paths {
        count("remove", dir.unlink_file_at(path));
        count("remove directory", dir.remove_directory_at(path));
    }
    json!(done)
}

/// Every call that takes a path, with this path, and what each said.
fn everything(dir: &Descriptor, path: &str) -> Value {
    let ok = |result: Result<(), ErrorCode>| shown(result.map(|()| "ok".to_owned()));
    json!({
        "read": shown(read(dir, path)),
        "write": ok(write(dir, path, b"written")),
        "open as directory": ok(dir
            .open_at(FOLLOW, path, OpenFlags::DIRECTORY, DescriptorFlags::READ)
            .map(|_dir| ())),
        "stat": ok(dir.stat_at(FOLLOW, path).map(|_stat| ())),
        "hash": ok(dir.metadata_hash_at(FOLLOW, path).map(|_hash| ())),
        "read link": shown(dir.readlink_at(path)),
        "set times": ok(dir.set_times_at(FOLLOW, path, NewTimestamp::Now, NewTimestamp::Now)),
        "make directory": ok(dir.create_directory_at(path)),
        "link to": ok(dir.link_at(PathFlags::empty(), path, dir, "linked")),
        "link from": ok(dir.link_at(PathFlags::empty(), "plain", dir, path)),
        "rename to": ok(dir.rename_at("plain", dir, path)),
        "rename from": ok(dir.rename_at(path, dir, "renamed")),
        "symbolic link at": ok(dir.symlink_at("plain", path)),
        "remove file": ok(dir.unlink_file_at(path)),
        "remove directory": ok(dir.remove_directory_at(path)),
    })
}

fn shown(result: Result<String, ErrorCode>) -> Value {
    match result {
        Ok(text) => json!(text),
        Err(error) => json!({ "refused": error.name() }),
    }
}

handler!(act);
