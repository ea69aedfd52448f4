//! The fuzz targets with bytes from `proptest`, with recorded frames that are spoilt in places, and
//! with what fuzzing has found.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;

/// The lines of all recordings.
static LINES: LazyLock<Vec<Vec<serde_json::Value>>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frames");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let texts = files.map(|path| fs::read_to_string(path).unwrap());
    texts
        .map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        .collect()
});

/// All recorded frames, with their sizes.
static RECORDED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let frames: Vec<Vec<u8>> =
        LINES.iter().flatten().filter_map(|line| bytes(line, "hex")).collect();
    assert!(frames.len() > 400);
    frames
});

fn bytes(line: &serde_json::Value, name: &str) -> Option<Vec<u8>> {
    let digits = line[name].as_str()?.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Some(digits.map(byte).collect())
}

/// A frame as a step of the connection's program.
fn step(frame: &[u8]) -> Vec<u8> {
    let frame = &frame[4..];
    let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
    [&[1], &length[..], frame].concat()
}

/// A recorded frame with some of its bytes replaced.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (any::<prop::sample::Index>(), changes).prop_map(|(index, changes)| {
        let mut frame = index.get(&RECORDED).clone();
        for (place, byte) in changes {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn any_frame(data in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::frame(&data);
    }

    #[test]
    fn spoilt_frames(frame in spoilt()) {
        targets::frame(&frame[4..]);
    }

    #[test]
    fn any_content(data in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::content(&data);
    }

    #[test]
    fn any_program_of_a_connection(start in any::<u8>(), data in prop::collection::vec(any::<u8>(), 0..300)) {
        targets::connection(&[&[start], &data[..]].concat());
    }
}

proptest! {
    #[test]
    fn spoilt_frames_in_a_program_of_a_connection(
        start in any::<u8>(),
        steps in prop::collection::vec(
            prop_oneof![
                spoilt().prop_map(|frame| step(&frame)),
                prop::collection::vec(any::<u8>(), 0..12),
            ],
            1..12,
        ),
    ) {
        targets::connection(&[&[start | 3], &steps.concat()[..]].concat());
    }
}

/// A broker that takes short frames only delivered a message with a long id: the ack did not fit,
/// and the delivery was settled all the same.
#[test]
fn an_ack_that_does_not_fit_settles_nothing() {
    targets::connection(&[0x0B, 5, 0, 4, 180, 12]);
}

/// The innermost null map took no level when it was read, but one when it was read again as the
/// empty map that it is written as.
#[test]
fn a_null_map_is_a_level() {
    let lists = [12, 0, 0, 0, 1].repeat(15);
    let map = [&[0, 0, 0, 1, 0, 0], &lists[..], &[11, 0xFF, 0xFF, 0xFF, 0xFF]].concat();
    targets::content(&[&[2], &map[..]].concat());
}

/// Makes the fuzzers' first inputs out of the recordings.
#[test]
#[ignore = "writes into `fuzz/corpus`"]
fn seeds() {
    let write = |target: &str, name: String, seed: &[u8]| {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(format!("{folder}/{name}"), seed).unwrap();
    };
    for (number, frame) in RECORDED.iter().enumerate() {
        write("frame", format!("recorded-{number}"), &frame[4..]);
        write("connection", format!("recorded-{number}"), &[&[3], &step(frame)[..]].concat());
    }
    for (number, lines) in LINES.iter().enumerate() {
        // A second offer would be the end.
        let later = lines.iter().filter(|line| line["fields"]["$"] != "WireFormatInfo");
        let frames = later.filter_map(|line| bytes(line, "hex"));
        let steps: Vec<u8> = frames.flat_map(|frame| step(&frame)).collect();
        write("connection", format!("recording-{number}"), &[&[3], &steps[..]].concat());
        for (line, content) in lines.iter().enumerate() {
            let name = format!("recorded-{number}-{line}");
            for (what, field) in [(2, "marshalled_properties"), (content_kind(content), "content")]
            {
                if let Some(content) = bytes(content, field) {
                    write("content", format!("{name}-{field}"), &[&[what], &content[..]].concat());
                }
            }
        }
    }
}

/// The byte before a recorded content.
fn content_kind(content: &serde_json::Value) -> u8 {
    let kinds = ["Plain", "Bytes", "Map", "Object", "Stream", "Text", "Blob"];
    let kind = kinds.iter().position(|kind| content["kind"] == *kind).unwrap_or_default();
    let compressed = if content["compressed"] == true { 8 } else { 0 };
    u8::try_from(kind).unwrap() | compressed
}
