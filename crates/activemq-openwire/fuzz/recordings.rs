//! The recorded frames, which fuzzing and the tests beside it begin with.
#![allow(dead_code, reason = "each program that includes this uses a part of it")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// The lines of all recordings.
pub(crate) static LINES: LazyLock<Vec<Vec<serde_json::Value>>> = LazyLock::new(|| {
    // Beside the tests, and so in another place for the fuzzers' own crate.
    let folders = ["tests/frames", "../tests/frames"];
    let folders = folders.map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let folder = folders.into_iter().find(|folder| folder.is_dir()).unwrap();
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let texts = files.map(|path| fs::read_to_string(path).unwrap());
    texts
        .map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        .collect()
});

/// All recorded frames, with their sizes.
pub(crate) static RECORDED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let frames: Vec<Vec<u8>> =
        LINES.iter().flatten().filter_map(|line| bytes(line, "hex")).collect();
    assert!(frames.len() > 400);
    frames
});

pub(crate) fn bytes(line: &serde_json::Value, name: &str) -> Option<Vec<u8>> {
    let digits = line[name].as_str()?.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Some(digits.map(byte).collect())
}

/// A frame as a step of the connection's program.
pub(crate) fn step(frame: &[u8]) -> Vec<u8> {
    let frame = &frame[4..];
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    [&[1], &length[..], frame].concat()
}
