//! Reads, writes and breaks out of the directories it is granted, by WASI's own calls: a library
//! between would refuse some paths before the host sees them. The event says what: see [`act`].

use std::collections::BTreeSet;

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
                "read all" => {
                    let paths = event["paths"].as_array().into_iter().flatten();
                    read_all(&dir, paths.filter_map(Value::as_str))
                }
                "read again" => {
                    let times = event["times"].as_u64().unwrap_or_default();
                    read_all(&dir, (0..times).map(|_| path))
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

/// How many of the paths could be read, and everything that was read.
fn read_all<'a>(dir: &Descriptor, paths: impl Iterator<Item = &'a str>) -> Value {
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
